//! How many tries a version may cost beyond one per request: a share of its recent requests, and a few per second.

use crate::domain::time::Timestamp;

/// A retry, in parts.
const RETRY: u64 = 1_000;
/// What each request earns: one retry for five requests.
const PER_REQUEST: u64 = RETRY / 5;
/// How many retries each second earns, so that a version with few requests can have some too.
const PER_SECOND: u64 = 3;
/// How many retries can be saved up: what counts as recent is as many requests, or seconds, as earn them.
const MOST: u64 = 20;
const NANOS: u64 = 1_000_000_000;

/// The budget of one version, with one owner.
///
/// Over any stretch of time there are at most 20 % of its requests, 3 a second and 20 besides.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    saved: u64,
    /// Up to when the seconds are counted.
    since: Timestamp,
}

impl RetryBudget {
    /// Begins with as much as can be saved up.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { saved: MOST * RETRY, since: now }
    }

    /// Counts a request.
    pub const fn request(&mut self) {
        let saved = self.saved + PER_REQUEST;
        self.saved = if saved < MOST * RETRY { saved } else { MOST * RETRY };
    }

    /// Takes one retry; says whether there was one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let passed = crate::domain::time::nanos(now.since(self.since)).min(MOST * NANOS);
        self.since = self.since.max(now);
        let earned = passed * PER_SECOND / (NANOS / RETRY);
        self.saved = (self.saved + earned).min(MOST * RETRY);
        match self.saved.checked_sub(RETRY) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn one_request_in_five_may_be_repeated_when_all_fail() {
        let mut budget = RetryBudget::new(at(0));
        let retries = (0..10_000)
            .filter(|_| {
                budget.request();
                budget.take(at(0))
            })
            .count();
        assert!((2_019..=2_020).contains(&retries), "{retries}");
    }

    #[test]
    fn few_requests_can_be_repeated_too_but_not_without_end() {
        let mut budget = RetryBudget::new(at(0));
        let mut taken = 0;
        while budget.take(at(0)) {
            taken += 1;
        }
        assert_eq!(taken, 20);
        let later = (0..100).filter(|i| budget.take(at(i * 100))).count();
        assert!((28..=30).contains(&later), "{later} of three a second in ten seconds");
        let rested = std::iter::repeat_with(|| budget.take(at(10_000_000))).take(100).filter(|taken| *taken).count();
        assert_eq!(rested, 20);
    }
}
