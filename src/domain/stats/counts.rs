//! How many requests there were and how many of them were breaches: what tests take in and proxies merge.

use serde::{Deserialize, Serialize};

/// Requests and the breaches among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counts {
    /// The requests started.
    pub requests: u64,
    /// Those known to be breaches; more than `requests` count as `requests`.
    pub breaches: u64,
}

impl Counts {
    /// Makes the counts of `requests` with `breaches` among them.
    #[must_use]
    pub const fn new(requests: u64, breaches: u64) -> Self {
        Self { requests, breaches }
    }

    /// Returns the counts with `in_flight` of the requests counted as breaches, as the stable version's must be.
    #[must_use]
    pub const fn with_in_flight_bad(self, in_flight: u64) -> Self {
        Self { requests: self.requests, breaches: self.breaches.saturating_add(in_flight) }
    }

    /// Returns the share of breaches, from 0 to 1; 0 without requests.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.bad() as f64 / self.requests as f64 }
    }

    /// Returns the breaches, at most as many as there are requests.
    pub(super) fn bad(self) -> u64 {
        self.breaches.min(self.requests)
    }

    /// Returns the requests that are not breaches.
    pub(super) const fn good(self) -> u64 {
        self.requests.saturating_sub(self.breaches)
    }
}

/// Adds up the counts of several proxies, all of them cut at the same start time.
///
/// The tests of counts have the same value on the sums as one proxy would have found. Counts cut at different times, such as
/// those sent only when a breach is seen, raise false alarms.
#[must_use]
pub fn merge_counts(replicas: impl IntoIterator<Item = Counts>) -> Counts {
    replicas.into_iter().fold(Counts::default(), |sum, replica| Counts {
        requests: sum.requests.saturating_add(replica.requests),
        breaches: sum.breaches.saturating_add(replica.breaches),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::stats::exceedance::log_e_breach;

    #[test]
    fn more_breaches_than_requests_are_not_counted() {
        let odd = Counts::new(3, 9);
        assert_eq!((odd.share(), odd.bad(), odd.good()), (1.0, 3, 0));
        assert_eq!((Counts::default().share(), Counts::new(4, 1).share()), (0.0, 0.25));
        assert_eq!(Counts::new(9, 1).with_in_flight_bad(3), Counts::new(9, 4));
        assert_eq!(merge_counts([Counts::new(u64::MAX, 1), Counts::new(1, 1)]), Counts::new(u64::MAX, 2));
    }

    proptest! {
        #[test]
        fn a_fleet_finds_what_one_proxy_would(throws in prop::collection::vec((0..8_usize, prop::bool::weighted(0.2)), 0..300)) {
            let mut replicas = [Counts::default(); 8];
            for (replica, breach) in &throws {
                replicas[*replica].requests += 1;
                replicas[*replica].breaches += u64::from(*breach);
            }
            let merged = merge_counts(replicas);
            let one = Counts::new(throws.len() as u64, throws.iter().filter(|(_, breach)| *breach).count() as u64);
            prop_assert_eq!(merged, one);
            prop_assert_eq!(merged, merge_counts(replicas.into_iter().rev()));
            prop_assert_eq!(log_e_breach(merged.requests, merged.breaches, 0.05), log_e_breach(one.requests, one.breaches, 0.05));
        }
    }
}
