//! Lets at most one request through in a stretch of time, over all workers; knows nothing but its atomic, like the tripwire.

use super::sync::{AtomicU64, Ordering};

/// The spacing of probes.
#[derive(Debug)]
pub struct Spacing {
    /// How long after one request the next may go, in nanoseconds.
    nanos: u64,
    /// From when the next may go, in nanoseconds of the process's clock; written by whoever takes a turn.
    next: AtomicU64,
}

impl Spacing {
    /// Makes a spacing of so many nanoseconds; the first request may go at once.
    #[must_use]
    pub fn new(nanos: u64) -> Self {
        Self { nanos, next: AtomicU64::new(0) }
    }

    /// Takes the turn at `now`, in nanoseconds of the process's clock; says whether it was there to take.
    ///
    /// The moments of two turns taken are at least one spacing apart, whatever the workers' clocks were read at: a moment
    /// before the next turn gets nothing, and of those after it the exchange lets one pass.
    pub fn take(&self, now: u64) -> bool {
        let next = self.next.load(Ordering::Acquire);
        now >= next && self.next.compare_exchange(next, now.saturating_add(self.nanos), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_is_taken_per_spacing() {
        let spacing = Spacing::new(500);
        let taken: Vec<u64> = (7..3_000).filter(|now| spacing.take(*now)).collect();
        assert_eq!(taken, [7, 507, 1_007, 1_507, 2_007, 2_507]);
    }

    #[test]
    fn a_clock_read_before_the_last_turn_gets_none() {
        let spacing = Spacing::new(500);
        assert!(spacing.take(1_000));
        assert!(!spacing.take(999));
        assert!(spacing.take(1_500));
    }

    #[test]
    fn a_spacing_beyond_the_clock_gives_one_turn() {
        let spacing = Spacing::new(u64::MAX);
        assert!(spacing.take(1));
        assert!(!spacing.take(u64::MAX - 1));
    }
}
