//! Failures in the order in which the requests started, however late and in whatever order they become known.
//!
//! Requests up to a failure that are still in flight count as good. By Theorem 1 of the project's statistics the largest
//! E(m, k) over the prefixes that end in a known failure is valid for any delays; only those after a new one can have changed.

use crate::domain::stats::exceedance::BetaMixture;

/// The k-th failure was request number n, with the evidence of that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub log_e: f64,
    pub requests: u64,
    pub breaches: u64,
}

/// The test of a share of failures over the requests from one start number on.
#[derive(Clone, Debug)]
pub(super) struct Order {
    first: u64,
    test: Option<BetaMixture>,
    /// The failures before which every request is resolved.
    before: u64,
    /// The other failures' start numbers, growing.
    known: Vec<u64>,
    /// The least start number of a failure that was not evaluated yet.
    fresh: Option<u64>,
    pub best: Best,
}

impl Order {
    /// Begins with request `first` against a share that may fail; one outside (0, 1) has no test and never any evidence.
    pub fn new(p0: f64, first: u64) -> Self {
        let best = Best { log_e: 0.0, requests: 0, breaches: 0 };
        Self { first, test: BetaMixture::new(p0).ok(), before: 0, known: Vec::new(), fresh: None, best }
    }

    /// Returns the share that may fail.
    pub fn p0(&self) -> f64 {
        self.test.map_or(1.0, |test| test.p0())
    }

    /// Notes that a request failed.
    pub fn breach(&mut self, seq: u64) {
        if seq < self.first {
            return;
        }
        if let Err(place) = self.known.binary_search(&seq) {
            self.known.insert(place, seq);
            self.fresh = Some(self.fresh.map_or(seq, |fresh| fresh.min(seq)));
        }
    }

    /// Evaluates what changed; every request before `resolved` is resolved.
    pub fn evaluate(&mut self, resolved: u64) -> Best {
        if let (Some(fresh), Some(test)) = (self.fresh.take(), self.test) {
            let from = self.known.partition_point(|seq| *seq < fresh);
            for (index, seq) in self.known.iter().enumerate().skip(from) {
                let (requests, breaches) = (seq - self.first + 1, self.before + index as u64 + 1);
                let log_e = test.log_e(requests, breaches);
                if log_e > self.best.log_e {
                    self.best = Best { log_e, requests, breaches };
                }
            }
        }
        let settled = self.known.partition_point(|seq| *seq < resolved);
        self.before += settled as u64;
        self.known.drain(..settled);
        self.best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::stats::exceedance::log_e_breach;

    #[test]
    fn an_early_failure_that_is_reported_late_counts_where_it_started() {
        let mut order = Order::new(0.01, 1);
        order.breach(50);
        order.evaluate(1);
        order.breach(2);
        let best = order.evaluate(1);
        assert_eq!((best.requests, best.breaches), (2, 1));
        order.breach(3);
        let best = order.evaluate(1);
        assert_eq!((best.requests, best.breaches), (3, 2), "of three known failures the third started far later");
    }

    proptest! {
        #[test]
        fn it_finds_the_largest_evidence_over_all_prefixes(
            seqs in prop::collection::btree_set(1..300_u64, 0..40), order in any::<u64>(), first in 1..20_u64, ticks in 1..6_usize,
        ) {
            let mut shuffled: Vec<u64> = seqs.iter().copied().collect();
            let mut state = order;
            for place in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(place, (state >> 33) as usize % (place + 1));
            }
            let mut test = Order::new(0.05, first);
            let size = shuffled.len().div_ceil(ticks).max(1);
            for (index, chunk) in shuffled.chunks(size).enumerate() {
                chunk.iter().for_each(|seq| test.breach(*seq));
                // Everything before the least failure that is still to come is resolved.
                let to_come = shuffled.iter().skip((index + 1) * size).min();
                test.evaluate(to_come.copied().unwrap_or(u64::MAX));
            }
            let counted: Vec<u64> = seqs.iter().copied().filter(|seq| *seq >= first).collect();
            let naive = counted.iter().zip(1..).map(|(seq, k)| log_e_breach(seq - first + 1, k, 0.05)).fold(0.0, f64::max);
            prop_assert!((test.evaluate(u64::MAX).log_e - naive).abs() < 1e-9);
        }
    }
}
