//! How much a version may hold over all workers for a while, as they all see it.
//!
//! It is there only while a stable version that got everything back is kept from being overrun; a worker that has none does nothing
//! for it. Each worker writes how much it holds whenever it wants to add to it, and on each of its rounds, and adds up what the
//! others have written. So nothing is counted down when a request ends, and the bound is off by no more than what ended at the others
//! since they last wrote, and by what they take at the same moment.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::domain::time::Timestamp;

/// A bound on what a version holds over all workers.
#[derive(Debug)]
pub struct Valve {
    /// The bound; written by the controller, read by workers.
    most: AtomicU32,
    /// From then on it bounds nothing, also when no controller is left to say so.
    until: Timestamp,
    /// How much each worker held when it last looked; each is written by its worker.
    held: Box<[AtomicU32]>,
    /// Requests refused; written by workers, read by the controller.
    refused: AtomicU64,
}

impl Valve {
    /// Makes a bound for so many workers.
    #[must_use]
    pub fn new(workers: usize, most: u32, until: Timestamp) -> Self {
        let held = (0..workers.max(1)).map(|_| AtomicU32::new(0)).collect();
        Self { most: AtomicU32::new(most), until, held, refused: AtomicU64::new(0) }
    }

    /// Says whether it still bounds anything.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    /// Notes how much a worker holds.
    pub fn note(&self, worker: usize, held: u32) {
        if let Some(own) = self.held.get(worker) {
            own.store(held, Ordering::Relaxed);
        }
    }

    /// Says whether a worker that holds so much may take one more request; one that may not is counted as refused.
    #[must_use]
    pub fn admits(&self, worker: usize, held: u32, now: Timestamp) -> bool {
        self.note(worker, held.saturating_add(1));
        let all = self.held.iter().fold(0_u32, |sum, held| sum.saturating_add(held.load(Ordering::Relaxed)));
        if all <= self.most.load(Ordering::Relaxed) || self.is_over(now) {
            return true;
        }
        self.note(worker, held);
        self.refused.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Sets the bound.
    pub fn set_most(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Returns how many requests were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_bound_is_over_all_workers_and_for_a_while() {
        let now = Timestamp::ZERO + Duration::from_secs(1);
        let later = now + Duration::from_secs(1);
        let valve = Valve::new(2, 3, later);
        assert!(valve.admits(0, 0, now) && valve.admits(0, 1, now) && valve.admits(1, 0, now));
        assert!(!valve.admits(0, 2, now) && !valve.admits(1, 1, now), "three are held");
        assert_eq!(valve.refused(), 2);
        assert!(valve.admits(0, 1, now), "one of the first worker has ended");
        assert!(!valve.admits(1, 1, now));
        valve.note(0, 0);
        assert!(valve.admits(1, 1, now), "the first worker said in its round that it holds none");
        valve.set_most(1);
        assert!(!valve.admits(1, 2, now));
        assert!(valve.admits(1, 2, later), "its time is over");
        assert_eq!(valve.refused(), 4);
    }
}
