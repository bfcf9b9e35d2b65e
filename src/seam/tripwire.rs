//! The tripwire cell: start numbers, breach counts and the flag that takes the canary's share back.
//!
//! Each canary request takes a start number. A breach does `last.fetch_max(number)`, then `breaches.fetch_add(1)`, then one
//! compare with the table n_max, in that order: whoever counts the k-th breach then sees a `last` that covers all k of them.
//! Whoever crosses the table sets `tripped` with one store; every worker reads it at its next pick. This file knows nothing
//! but its atomics, so that `tests/loom` can check it under every interleaving.

use super::sync::{AtomicU32, AtomicU64, Ordering};

/// One gate's wire.
#[derive(Debug)]
struct Wire {
    /// Entry k−1: the largest request number at which the k-th breach suffices.
    n_max: Box<[u64]>,
    /// The highest start number among counted breaches; written by whoever breaches, before `breaches`.
    last: AtomicU64,
    /// How many requests breached; written by whoever breaches.
    breaches: AtomicU64,
    /// How many of them were unanswered when they counted; for the report only.
    unanswered: AtomicU64,
}

/// What tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The index of the wire.
    pub wire: usize,
    /// Breaches at the trip.
    pub breaches: u64,
    /// The highest start number among them.
    pub requests: u64,
}

/// The counts of one wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The highest start number among the counted breaches.
    pub requests: u64,
    /// The breaches counted.
    pub breaches: u64,
    /// How many of them were unanswered when they counted.
    pub unanswered: u64,
}

/// One trial of a canary, shared by all workers and by all epochs of its rollout.
#[derive(Debug)]
pub struct Trial {
    wires: Box<[Wire]>,
    /// The last start number taken; written by every canary request.
    started: AtomicU64,
    /// Zero while armed; else the packed [`Trip`]. Written once, by whoever crosses a table.
    tripped: AtomicU64,
}

/// The most wires of a trial: each has a bit in the [`Claims`] of a request.
pub const MOST_WIRES: usize = 32;

const WIRE_BITS: u32 = 8;
const BREACH_BITS: u32 = 16;

impl Trial {
    /// Arms a trial with one table n_max per gate that has a wire; at most [`MOST_WIRES`] of at most 65 535 entries.
    #[must_use]
    pub fn new(tables: Vec<Box<[u64]>>) -> Self {
        let wire = |n_max| Wire { n_max, last: AtomicU64::new(0), breaches: AtomicU64::new(0), unanswered: AtomicU64::new(0) };
        let wires: Box<[Wire]> = tables.into_iter().take(MOST_WIRES).map(wire).collect();
        Self { wires, started: AtomicU64::new(0), tripped: AtomicU64::new(0) }
    }

    /// Takes the start number of a canary request, from 1.
    pub fn begin(&self) -> u64 {
        self.started.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the last start number taken.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Says whether the canary must get nothing any more.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Acquire) != 0
    }

    /// Returns what tripped, `None` while armed.
    #[must_use]
    pub fn trip(&self) -> Option<Trip> {
        let packed = self.tripped.load(Ordering::Acquire);
        let wire = usize::try_from(packed & ((1 << WIRE_BITS) - 1)).ok()?.checked_sub(1)?;
        let breaches = (packed >> WIRE_BITS) & ((1 << BREACH_BITS) - 1);
        Some(Trip { wire, breaches, requests: packed >> (WIRE_BITS + BREACH_BITS) })
    }

    /// Counts a breach of one wire by the request with start number `seq`; says whether this breach tripped the trial.
    ///
    /// The caller has claimed the breach with [`Claims::claim`], so that no request counts twice.
    pub fn breach(&self, wire: usize, seq: u64, unanswered: bool) -> bool {
        let Some(cell) = self.wires.get(wire) else { return false };
        cell.last.fetch_max(seq, Ordering::AcqRel);
        if unanswered {
            cell.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        let breaches = cell.breaches.fetch_add(1, Ordering::AcqRel) + 1;
        let requests = cell.last.load(Ordering::Acquire);
        let index = usize::try_from(breaches - 1).unwrap_or(usize::MAX);
        let Some(n_max) = cell.n_max.get(index) else { return false };
        if requests > *n_max {
            return false;
        }
        let packed = (requests << (WIRE_BITS + BREACH_BITS)) | (breaches << WIRE_BITS) | (wire as u64 + 1);
        self.tripped.compare_exchange(0, packed, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Returns the counts of every wire, for the judge and for reports.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        let count = |wire: &Wire| {
            // Breaches first: `last` then covers at least those counted.
            let breaches = wire.breaches.load(Ordering::Acquire);
            Count { requests: wire.last.load(Ordering::Acquire), breaches, unanswered: wire.unanswered.load(Ordering::Relaxed) }
        };
        self.wires.iter().map(count).collect()
    }
}

/// Which wires have had their say on one request: its deadline or its end, whichever comes first.
#[derive(Debug, Default)]
pub struct Claims {
    /// One bit per wire; written by the deadline queue and by the end of the request.
    settled: AtomicU32,
}

impl Claims {
    /// Makes claims on nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { settled: AtomicU32::new(0) }
    }

    /// Settles one wire for this request; says whether the caller is the first to do so. Wires from 32 on are never claimed.
    pub fn claim(&self, wire: usize) -> bool {
        let Some(bit) = u32::try_from(wire).ok().and_then(|w| 1_u32.checked_shl(w)) else { return false };
        self.settled.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Says whether a wire is settled; wires from 32 on always are.
    #[must_use]
    pub fn is_settled(&self, wire: usize) -> bool {
        let bit = u32::try_from(wire).ok().and_then(|w| 1_u32.checked_shl(w));
        bit.is_none_or(|bit| self.settled.load(Ordering::Acquire) & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed() -> Trial {
        Trial::new(vec![vec![0, 0, 3, 6, 10].into()])
    }

    #[test]
    fn three_of_three_trip_and_two_do_not() {
        let trial = armed();
        for expected in [false, false, true] {
            let seq = trial.begin();
            assert_eq!(trial.breach(0, seq, false), expected);
        }
        assert!(trial.is_tripped());
        assert_eq!(trial.trip(), Some(Trip { wire: 0, breaches: 3, requests: 3 }));
    }

    #[test]
    fn the_newest_breach_decides_which_request_it_was() {
        let trial = armed();
        for _ in 0..7 {
            trial.begin();
        }
        assert!(!trial.breach(0, 7, false));
        assert!(!trial.breach(0, 1, false));
        assert!(!trial.breach(0, 2, false), "the third breach is request 7, not request 2");
        assert!(!trial.breach(0, 3, true), "four of seven are still too few");
        assert!(trial.breach(0, 4, false), "five of seven suffice");
        assert_eq!(trial.counts(), [Count { requests: 7, breaches: 5, unanswered: 1 }]);
    }

    #[test]
    fn a_trial_trips_once() {
        let trial = armed();
        let tripped = (1..=5).filter(|_| trial.breach(0, trial.begin(), false)).count();
        assert_eq!(tripped, 1);
    }

    #[test]
    fn the_first_claim_wins() {
        let claims = Claims::new();
        assert!(claims.claim(3));
        assert!(!claims.claim(3));
        assert!(claims.claim(0));
        assert!(!claims.claim(32), "a wire that cannot be claimed never counts");
    }
}
