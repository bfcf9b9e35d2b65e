//! Whether the engine lives: it says so again and again, and its end is seen however it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::Timestamp;

/// The engine counts as stuck when its thread has not come round for this long: sixty of its ticks.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Whether the engine lives. Written by its thread, read by everybody.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    shown: Arc<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// When its thread came round last, in nanoseconds of the process's clock; 0 before the first time.
    beat: AtomicU64,
    /// Whether it has ended.
    ended: AtomicBool,
    /// Whether it was told to end, or to let go.
    told: AtomicBool,
}

impl Pulse {
    /// Notes that the engine has come round.
    pub fn beat(&self, now: Timestamp) {
        self.shown.beat.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// Notes that the engine is to end, so that its end is none that anybody must be told of.
    pub fn let_go(&self) {
        self.shown.told.store(true, Ordering::Relaxed);
    }

    /// Notes that the engine works again after all.
    pub fn take_up(&self, now: Timestamp) {
        self.beat(now);
        self.shown.told.store(false, Ordering::Relaxed);
    }

    /// Says whether the engine was told to end.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.shown.told.load(Ordering::Relaxed)
    }

    /// Returns what notes the end of the engine's thread when it is dropped, also by a panic.
    #[must_use]
    pub fn guard(&self) -> impl Drop + use<> {
        Guard(self.clone())
    }

    /// Says why the engine does not work; `None` where it does, or has not begun.
    #[must_use]
    pub fn failure(&self, now: Timestamp) -> Option<&'static str> {
        if self.is_let_go() {
            return None;
        }
        if self.shown.ended.load(Ordering::Relaxed) {
            return Some("the delivery has ended unexpectedly: no artifact goes on until the process is restarted");
        }
        let beat = self.shown.beat.load(Ordering::Relaxed);
        let stuck = beat > 0 && now.since(Timestamp::from_nanos(beat)) > STUCK_AFTER;
        stuck.then_some("the delivery hangs: it has not come round for more than 30 s")
    }
}

struct Guard(Pulse);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.shown.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_hangs_or_ends_unbidden_is_seen_and_one_that_was_told_to_end_is_not_missed() {
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let pulse = Pulse::default();
        assert_eq!(pulse.failure(at(1000)), None, "it has not begun");
        pulse.beat(at(1000));
        assert_eq!(pulse.failure(at(1030)), None);
        assert!(pulse.failure(at(1031)).unwrap().contains("hangs"));
        pulse.beat(at(1031));
        assert_eq!(pulse.failure(at(1031)), None);
        let guard = pulse.guard();
        assert!(
            std::thread::spawn(move || {
                let _guard = guard;
                panic!("a test's own panic")
            })
            .join()
            .is_err()
        );
        assert!(pulse.failure(at(1031)).unwrap().contains("ended unexpectedly"));
        pulse.let_go();
        assert_eq!(pulse.failure(at(2000)), None);
        let back = Pulse::default();
        back.beat(at(1));
        back.let_go();
        back.take_up(at(2000));
        assert_eq!((back.failure(at(2030)), back.failure(at(2031)).is_some()), (None, true), "it counts from when it came back");
    }
}
