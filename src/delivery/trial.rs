//! Stops a test as soon as the gates have decided: the tripwire over the requests of the test itself.
//!
//! A test of thousands of requests to a version that takes a second for each would last minutes, although three of three decide.
//! The same arithmetic as on the request path holds here: the k-th breach decides when it is request number n ≤ n_max\[k\]. As a
//! request's number serves how many were sent when it ended, which is never less, so that it decides later rather than sooner.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::tripwire::n_max_table;

/// The tripwires of one test.
pub(super) struct Trial {
    wires: Vec<Wire>,
    /// Until when a version may warm up, and nothing is counted.
    warm: Instant,
    decided: OnceLock<String>,
}

/// One absolute gate.
struct Wire {
    criterion: Criterion,
    table: Box<[u64]>,
    breaches: AtomicU64,
}

impl Trial {
    /// Watches the absolute gates among these from the end of the policy's warm-up on, with a chance of at most its alpha of ever
    /// stopping a test of a version that meets them all.
    pub(super) fn new(gates: &[Gate], policy: &Policy) -> Self {
        let wired: Vec<&Gate> = gates.iter().filter(|gate| gate.criterion.is_wired()).collect();
        let count = u32::try_from(wired.len().max(1)).unwrap_or(u32::MAX);
        let wire = |gate: &&Gate| {
            let share = gate.criterion.share()?;
            let table = n_max_table(share, policy.alpha / f64::from(count));
            Some(Wire { criterion: gate.criterion, table, breaches: AtomicU64::new(0) })
        };
        Self { wires: wired.iter().filter_map(wire).collect(), warm: Instant::now() + policy.warm_up, decided: OnceLock::new() }
    }

    /// Takes in an answer; `sent` is how many requests were sent so far. Says whether the gates have decided.
    pub(super) fn answer(&self, status: u16, latency: Duration, sent: u64) -> bool {
        if Instant::now() < self.warm {
            return false;
        }
        for wire in &self.wires {
            let bad = match wire.criterion {
                Criterion::Latency { limit, .. } => latency > limit,
                Criterion::Errors { .. } => status >= 500,
                _ => false,
            };
            if !bad {
                continue;
            }
            let breaches = wire.breaches.fetch_add(1, Ordering::Relaxed) + 1;
            let most = usize::try_from(breaches).ok().and_then(|k| wire.table.get(k.checked_sub(1)?)).copied().unwrap_or(0);
            if sent.max(breaches) <= most {
                let sentence = format!("{} was breached by {breaches} of {sent} requests of the test", wire.criterion);
                let _ = self.decided.set(sentence);
            }
        }
        self.decided.get().is_some()
    }

    /// Returns what the gates have decided, where they have.
    pub(super) fn decided(&self) -> Option<&str> {
        self.decided.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(gate: &str) -> Trial {
        Trial::new(&[Gate::written(gate.parse().unwrap())], &Policy::default())
    }

    #[test]
    fn three_slow_requests_of_three_decide_and_a_few_of_many_do_not() {
        let slow = Duration::from_millis(1001);
        let all_slow = trial("p95 < 1s");
        assert!(!all_slow.answer(201, slow, 2) && !all_slow.answer(201, slow, 2));
        assert!(all_slow.answer(201, slow, 3));
        assert!(all_slow.decided().unwrap().contains("3 of 3"), "{:?}", all_slow.decided());
        let some = trial("p95 < 1s");
        for n in 1..=1000 {
            let latency = if n % 30 == 0 { slow } else { Duration::from_millis(5) };
            assert!(!some.answer(201, latency, n), "{n}");
        }
        // Ten users: when the third slow answer comes twelve requests were sent, which is not enough yet.
        let many = trial("p95 < 1s");
        let decided: Vec<bool> = (1..=12).map(|k| many.answer(201, slow, 10 + k)).collect();
        assert_eq!(decided.iter().position(|decided| *decided), Some(6), "{decided:?}");
    }

    #[test]
    fn errors_count_where_a_gate_asks_for_them() {
        let errors = trial("errors < 1%");
        assert!((1..=3).any(|n| errors.answer(500, Duration::ZERO, n)));
        let latency = trial("p95 < 1s");
        assert!((1..=100).all(|n| !latency.answer(500, Duration::ZERO, n)));
    }
}
