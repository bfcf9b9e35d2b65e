//! How much a version may hold at one worker, and what all workers together let it hold for a while.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::seam::reach::Reach;
use crate::seam::valve::Valve;

/// How much a version may hold at one worker.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) requests: u32,
    /// The same while it is on trial: a canary that hangs must leave room for stable.
    pub(super) on_trial: u32,
    /// Connections being made.
    pub(super) opening: u32,
}

/// What bounds a version at one worker.
pub(super) struct Bound {
    worker: usize,
    most: Most,
    on_trial: Cell<bool>,
    /// What is compared with every request: what the version may hold, or nothing while a valve must be asked.
    now: Cell<u32>,
    valve: RefCell<Option<Arc<Valve>>>,
}

impl Bound {
    pub(super) fn new(worker: usize, most: Most) -> Self {
        Self { worker, most, on_trial: Cell::new(false), now: Cell::new(most.requests), valve: RefCell::default() }
    }

    /// Notes whether the version is on trial.
    pub(super) fn set_on_trial(&self, on_trial: bool) {
        self.on_trial.set(on_trial);
    }

    /// Takes over the valve that all workers look at, or that there is none any more, and tells it how much is held here.
    pub(super) fn follow(&self, reach: &Reach, held: u32, now: Timestamp) {
        let valve = reach.valve().filter(|valve| !valve.is_over(now));
        self.now.set(if valve.is_some() { 0 } else { self.most.requests });
        if let Some(valve) = &valve {
            valve.note(self.worker, held);
        }
        *self.valve.borrow_mut() = valve;
    }

    /// Checks that a version that holds so much may take one more request; one comparison, unless there is a valve.
    pub(super) fn check(&self, held: u32, reach: &Reach, now: impl FnOnce() -> Timestamp) -> Result<(), Failure> {
        let most = if self.on_trial.get() { self.most.on_trial } else { self.now.get() };
        if held < most { Ok(()) } else { self.check_closely(held, reach, now()) }
    }

    #[cold]
    fn check_closely(&self, held: u32, reach: &Reach, now: Timestamp) -> Result<(), Failure> {
        let on_trial = self.on_trial.get();
        if held >= if on_trial { self.most.on_trial } else { self.most.requests } {
            return Err(limited(reach));
        }
        match &*self.valve.borrow() {
            Some(valve) if !on_trial && !valve.admits(self.worker, held, now) => {
                reach.deeds.shed.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Shed)
            }
            _ => Ok(()),
        }
    }

    /// Checks that one more connection may be made beside so many.
    pub(super) fn check_opening(&self, opening: u32, reach: &Reach) -> Result<(), Failure> {
        if opening < self.most.opening { Ok(()) } else { Err(limited(reach)) }
    }
}

#[cold]
fn limited(reach: &Reach) -> Failure {
    reach.deeds.limited.fetch_add(1, Ordering::Relaxed);
    Failure::VersionBusy
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_valve_is_asked_while_there_is_one() {
        let bound = Bound::new(0, Most { requests: 4, on_trial: 2, opening: 1 });
        let reach = Reach::new(false);
        let at = |seconds: u64| Timestamp::ZERO + Duration::from_secs(seconds);
        let check = |held, seconds| bound.check(held, &reach, || at(seconds));
        assert_eq!((check(3, 0), check(4, 0)), (Ok(()), Err(Failure::VersionBusy)));
        reach.narrow(Some(Arc::new(Valve::new(2, 2, at(10)))));
        bound.follow(&reach, 0, at(0));
        assert_eq!((check(1, 1), check(2, 1)), (Ok(()), Err(Failure::Shed)));
        assert_eq!(check(4, 1), Err(Failure::VersionBusy), "its own limit holds as well");
        bound.set_on_trial(true);
        assert_eq!((check(1, 1), check(2, 1)), (Ok(()), Err(Failure::VersionBusy)), "a version on trial is not kept from being overrun");
        bound.set_on_trial(false);
        assert_eq!(check(3, 10), Ok(()), "the time is over, whoever does not say so");
        bound.follow(&reach, 3, at(11));
        assert_eq!(bound.now.get(), 4);
        reach.narrow(None);
        bound.follow(&reach, 3, at(1));
        assert_eq!((check(3, 1), check(4, 1)), (Ok(()), Err(Failure::VersionBusy)));
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!((read(&reach.deeds.shed), read(&reach.deeds.limited)), (1, 4));
        assert_eq!((bound.check_opening(0, &reach), bound.check_opening(1, &reach)), (Ok(()), Err(Failure::VersionBusy)));
    }
}
