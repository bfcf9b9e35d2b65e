//! Counts and a latency histogram of one version over one stretch of time; mergeable.

use crate::domain::distribution::{Distribution, HIGHEST_US};
use crate::domain::outcome::{Class, Outcome, Role};

/// The longest latency in the last cell of such a histogram.
const LAST_US: u64 = (HIGHEST_US + 1).next_power_of_two() - 1;

/// Returns the cell of a [`Distribution`] that counts a latency, as the longest one in it; both in microseconds.
///
/// Three digits need 2,048 cells of one microsecond, and 1,024 for each doubling after those (the layout of `HdrHistogram`). What is
/// longer than the last cell is counted there, so that the order is kept.
#[must_use]
pub const fn cell(us: u64) -> u64 {
    const ONE_EACH: u32 = 11;
    let us = if us > LAST_US { LAST_US } else { us };
    let bits = u64::BITS - us.leading_zeros();
    us | ((1 << bits.saturating_sub(ONE_EACH)) - 1)
}

/// Latencies of one stretch of time: exact count and sum, and the histogram's filled cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many were measured.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_ns: u64,
    /// The filled cells: a latency in microseconds and how many fell there.
    pub cells: Vec<(u64, u64)>,
}

/// What one worker saw of one version in one epoch since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The part the version played.
    pub role: Role,
    /// Requests sent to it.
    pub decided: u64,
    /// Requests it answered in full.
    pub answered: u64,
    /// Requests that failed, for whatever reason but the client's leaving.
    pub failed: u64,
    /// Requests whose client left.
    pub aborted: u64,
    /// Requests in flight at the moment of the report; not a sum.
    pub in_flight: u64,
    /// Ended requests by class, in the order of [`Class::ALL`].
    pub classes: [u64; 7],
    /// Head read → response head sent on.
    pub response_time: Latencies,
    /// Head read → last byte.
    pub duration: Latencies,
}

impl Observation {
    /// Makes an observation of nothing.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            decided: 0,
            answered: 0,
            failed: 0,
            aborted: 0,
            in_flight: 0,
            classes: [0; 7],
            response_time: Latencies::default(),
            duration: Latencies::default(),
        }
    }

    /// Counts one ended request.
    pub fn count(&mut self, outcome: Outcome) {
        let class = outcome.class();
        match class {
            Class::Aborted => self.aborted += 1,
            Class::Error => self.failed += 1,
            _ => self.answered += 1,
        }
        if let Some(cell) = self.classes.get_mut(class.index()) {
            *cell += 1;
        }
    }
}

/// The sum of many observations of one version in one role.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Requests sent to the version.
    pub decided: u64,
    /// Requests it answered in full.
    pub answered: u64,
    /// Requests that failed, for whatever reason but the client's leaving.
    pub failed: u64,
    /// Requests whose client left.
    pub aborted: u64,
    /// Ended requests by class, in the order of [`Class::ALL`].
    pub classes: [u64; 7],
    /// Head read → response head sent on, in microseconds.
    pub response_time: Distribution,
    /// Head read → last byte, in microseconds.
    pub duration: Distribution,
    /// The sum of the response times in nanoseconds.
    pub response_time_sum_ns: u128,
    /// The sum of the durations in nanoseconds.
    pub duration_sum_ns: u128,
}

impl Window {
    /// Adds an observation. The order of additions does not matter.
    pub fn merge(&mut self, seen: &Observation) {
        self.decided += seen.decided;
        self.answered += seen.answered;
        self.failed += seen.failed;
        self.aborted += seen.aborted;
        for (sum, more) in self.classes.iter_mut().zip(seen.classes) {
            *sum += more;
        }
        for (distribution, latencies) in [(&mut self.response_time, &seen.response_time), (&mut self.duration, &seen.duration)] {
            for (value, count) in &latencies.cells {
                distribution.record(*value, *count);
            }
        }
        self.response_time_sum_ns += u128::from(seen.response_time.sum_ns);
        self.duration_sum_ns += u128::from(seen.duration.sum_ns);
    }

    /// Returns what was added since an earlier state of the same window.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |more: u64, less: u64| more.saturating_sub(less);
        let mut classes = self.classes;
        classes.iter_mut().zip(before.classes).for_each(|(sum, old)| *sum = less(*sum, old));
        Self {
            decided: less(self.decided, before.decided),
            answered: less(self.answered, before.answered),
            failed: less(self.failed, before.failed),
            aborted: less(self.aborted, before.aborted),
            classes,
            response_time: self.response_time.since(&before.response_time),
            duration: self.duration.since(&before.duration),
            response_time_sum_ns: self.response_time_sum_ns.saturating_sub(before.response_time_sum_ns),
            duration_sum_ns: self.duration_sum_ns.saturating_sub(before.duration_sum_ns),
        }
    }

    /// Returns how many requests ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.answered + self.failed + self.aborted
    }

    /// Returns the mean response time in nanoseconds, `None` without any.
    #[must_use]
    pub fn mean_response_time_ns(&self) -> Option<f64> {
        let count = self.response_time.len();
        (count > 0).then(|| self.response_time_sum_ns as f64 / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::outcome::Failure;

    fn seen(latencies: &[u64]) -> Observation {
        let mut observation = Observation::new(Role::Canary);
        for us in latencies {
            observation.decided += 1;
            observation.count(Outcome::Answered(200));
            observation.response_time.count += 1;
            observation.response_time.sum_ns += us * 1_000;
            observation.response_time.cells.push((*us, 1));
        }
        observation
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative(a in prop::collection::vec(1_u64..100_000_000, 0..50), b in prop::collection::vec(1_u64..100_000_000, 0..50)) {
            let (mut left, mut right) = (Window::default(), Window::default());
            left.merge(&seen(&a));
            left.merge(&seen(&b));
            right.merge(&seen(&b));
            right.merge(&seen(&a));
            prop_assert_eq!(&left.response_time, &right.response_time);
            prop_assert_eq!(left.response_time_sum_ns, right.response_time_sum_ns);
            prop_assert_eq!(left.decided, (a.len() + b.len()) as u64);
        }
    }

    #[test]
    fn each_outcome_is_counted_once() {
        let mut observation = Observation::new(Role::Stable);
        for outcome in [
            Outcome::Answered(200),
            Outcome::Answered(503),
            Outcome::Failed(Failure::ResponseTimeout),
            Outcome::Failed(Failure::ClientGone),
        ] {
            observation.count(outcome);
        }
        assert_eq!((observation.answered, observation.failed, observation.aborted), (2, 1, 1));
        assert_eq!(observation.classes.iter().sum::<u64>(), 4);
    }
}
