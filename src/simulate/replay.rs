//! Replays recorded requests through gates: would they have fired, when, at which request, and what would it have cost.
//!
//! Requests count in the order of their starts, and a breach counts when it would have been known: when the limit passed, or
//! with the failure. That is what the proxy does; only requests still in flight at the end of the log are missing from it.
//! Each gate has its share of α in one cumulative test, without a warm-up and without steps.

use std::time::Duration;

use serde::Serialize;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::{Criterion, Evidence, Gate};
use crate::domain::outcome::{Blame, Role};
use crate::domain::stats::exceedance;
use crate::domain::time::nanos;
use crate::domain::tripwire::{log_threshold, n_max_table};
use crate::domain::version::Name;
use crate::formats::access_log::Recorded;

/// The most requests of the canary that are kept; each takes 40 bytes.
pub const MOST: usize = 20_000_000;

/// How long after its limit a waiting request is looked at, as in the proxy.
const GRACE: Duration = Duration::from_millis(1);

/// What of one canary request matters.
#[derive(Clone, Copy, Debug)]
struct Kept {
    started_ns: u64,
    head_ns: Option<u64>,
    ended_ns: u64,
    errors: ErrorKinds,
    /// Whether the version is to blame for the missing answer.
    blamed: bool,
}

/// The canary's requests of a log.
#[derive(Debug, Default)]
pub struct Log {
    kept: Vec<Kept>,
    stable: u64,
}

/// What one gate would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The gate.
    pub gate: String,
    /// The first time it would have fired.
    pub fired: Option<Fired>,
    /// After how many canary requests it would first have passed, had nothing fired.
    pub passed_at: Option<u64>,
    /// Canary requests of the log.
    pub requests: u64,
    /// Breaches of this gate in the whole log.
    pub breaches: u64,
}

/// A gate that fires.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fired {
    /// How long after the first canary request of the log began, in seconds.
    pub after_seconds: f64,
    /// The request whose breach decided, by its start number in the log.
    pub request: u64,
    /// Breaches until then.
    pub breaches: u64,
    /// Requests with a breach that had begun by then and could not be spared.
    pub harmed: u64,
    /// Requests with a breach that began later and would have been spared.
    pub spared: u64,
    /// One plain sentence.
    pub sentence: String,
}

impl Log {
    /// Takes in one request; says whether there was room for it.
    pub fn add(&mut self, recorded: &Recorded) -> bool {
        if recorded.role == Role::Stable {
            self.stable += 1;
            return true;
        }
        let started_ns = recorded.started_ns();
        let unanswered = recorded.response_time.is_none();
        self.kept.push(Kept {
            started_ns,
            head_ns: recorded.response_time.map(nanos),
            ended_ns: nanos(recorded.duration),
            errors: ErrorKinds::of(recorded.outcome),
            blamed: unanswered && recorded.outcome.blame() == Some(Blame::Upstream),
        });
        self.kept.len() < MOST
    }

    /// Returns how many requests of the canary and of the stable version were taken in.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.kept.len() as u64, self.stable)
    }

    /// Replays every gate; `alpha` is shared evenly by them.
    ///
    /// # Errors
    ///
    /// Names the gate that cannot be replayed from single finished requests.
    pub fn replay(mut self, gates: &[Criterion], alpha: f64, beta: f64) -> Result<Vec<Replayed>, String> {
        self.kept.sort_by_key(|kept| kept.started_ns);
        let each = alpha / gates.len().max(1) as f64;
        gates.iter().map(|criterion| self.replay_gate(*criterion, each, beta)).collect()
    }

    fn replay_gate(&self, criterion: Criterion, alpha: f64, beta: f64) -> Result<Replayed, String> {
        let (Criterion::Latency { share, .. } | Criterion::Errors { share, .. }) = criterion else {
            return Err(format!(
                "the gate {criterion} cannot be replayed; a replay takes gates on a share of the requests, such as 'p95 < 1s' and 'errors < 1%'"
            ));
        };
        // When each breach is known, and of which request it is.
        let mut breaches: Vec<(u64, u64)> = Vec::new();
        for (index, kept) in self.kept.iter().enumerate() {
            if let Some(after) = known_after(criterion, kept) {
                breaches.push((kept.started_ns.saturating_add(after), index as u64 + 1));
            }
        }
        breaches.sort_unstable();
        let table = n_max_table(share, alpha);
        let mut last = 0;
        let mut fired = None;
        for (count, (at, seq)) in (1_u64..).zip(breaches.iter().copied()) {
            last = last.max(seq);
            let index = usize::try_from(count - 1).unwrap_or(usize::MAX);
            let enough = match table.get(index) {
                Some(n_max) => last <= *n_max,
                None => exceedance::log_e_breach(last, count, share.ratio()) >= log_threshold(alpha),
            };
            if enough {
                fired = Some(self.fired(criterion, alpha, &breaches, at, seq, last, count));
                break;
            }
        }
        Ok(Replayed {
            gate: criterion.to_string(),
            fired,
            passed_at: self.passed_at(criterion, share.ratio(), beta),
            requests: self.kept.len() as u64,
            breaches: breaches.len() as u64,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "these are the facts of one trip, each used once")]
    fn fired(&self, criterion: Criterion, alpha: f64, breaches: &[(u64, u64)], at: u64, seq: u64, requests: u64, count: u64) -> Fired {
        let begun = |seq: u64| usize::try_from(seq - 1).ok().and_then(|index| self.kept.get(index)).map_or(0, |kept| kept.started_ns);
        let harmed = breaches.iter().filter(|(_, seq)| begun(*seq) <= at).count() as u64;
        let first = self.kept.first().map_or(0, |kept| kept.started_ns);
        let canary: Name = "canary".parse().expect("it is written here and is a name");
        let evidence = Evidence::of_trip(&Gate::written(criterion), &canary, alpha, requests, count, 0);
        Fired {
            after_seconds: Duration::from_nanos(at.saturating_sub(first)).as_secs_f64(),
            request: seq,
            breaches: count,
            harmed,
            spared: breaches.len() as u64 - harmed,
            sentence: evidence.sentence,
        }
    }

    /// Returns after how many requests in start order the pass test would first have sufficed.
    fn passed_at(&self, criterion: Criterion, share: f64, beta: f64) -> Option<u64> {
        let log_beta = log_threshold(beta);
        let (mut requests, mut breaches) = (0, 0);
        let mut needed = exceedance::pass_n_min(0, share, log_beta);
        for kept in &self.kept {
            let bad = known_after(criterion, kept).is_some();
            // Whoever left before an answer says nothing for the version.
            let counts = bad || kept.head_ns.is_some();
            requests += u64::from(counts);
            if bad {
                breaches += 1;
                needed = exceedance::pass_n_min(breaches, share, log_beta);
            }
            if requests >= needed {
                return Some(requests);
            }
        }
        None
    }
}

/// Returns how long after its start a request is known to breach, `None` when it does not.
fn known_after(criterion: Criterion, kept: &Kept) -> Option<u64> {
    match criterion {
        Criterion::Latency { limit, timing, .. } => {
            let limit_ns = nanos(limit);
            let timed = match timing {
                crate::domain::gate::criterion::Timing::ResponseTime => kept.head_ns,
                crate::domain::gate::criterion::Timing::Duration => kept.head_ns.map(|_| kept.ended_ns),
            };
            let took = timed.unwrap_or(kept.ended_ns);
            let due = limit_ns.saturating_add(nanos(GRACE));
            match timed {
                _ if took > limit_ns => Some(took.min(due)),
                None if kept.blamed => Some(took),
                _ => None,
            }
        }
        Criterion::Errors { kinds, .. } => kinds.meets(kept.errors).then_some(kept.ended_ns),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Failure, Outcome};

    /// A request that began at so many milliseconds and took so many.
    fn recorded(start: u64, took: u64, outcome: Outcome) -> Recorded {
        let duration = Duration::from_millis(took);
        let answered = matches!(outcome, Outcome::Answered(_));
        Recorded {
            written_ns: (start + took) * 1_000_000,
            duration,
            response_time: answered.then_some(duration),
            role: Role::Canary,
            outcome,
        }
    }

    fn replay(requests: &[Recorded], gate: &str) -> Replayed {
        let mut log = Log::default();
        assert!(requests.iter().all(|request| log.add(request)));
        log.replay(&[gate.parse().unwrap()], 0.001, 0.05).unwrap().remove(0)
    }

    #[test]
    fn the_third_slow_request_fires_when_its_limit_passes() {
        let slow: Vec<Recorded> = (0..20).map(|n| recorded(n * 100, 5_000, Outcome::Answered(200))).collect();
        let fired = replay(&slow, "p95 < 1s").fired.unwrap();
        assert_eq!((fired.request, fired.breaches, fired.harmed, fired.spared), (3, 3, 13, 7));
        assert!((fired.after_seconds - 1.201).abs() < 1e-9, "{}", fired.after_seconds);
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter() {
        let mut mixed: Vec<Recorded> =
            (0..200).map(|n| recorded(n * 10, if n % 4 == 0 { 3_000 } else { 20 }, Outcome::Answered(200))).collect();
        let in_order = replay(&mixed, "p95 < 1s");
        mixed.sort_by_key(|request| request.written_ns);
        assert_eq!(replay(&mixed, "p95 < 1s"), in_order);
        assert!(in_order.fired.is_some());
    }

    #[test]
    fn a_good_log_passes_where_the_table_says_and_leavers_do_not_count() {
        let good: Vec<Recorded> = (0..100)
            .flat_map(|n| [recorded(n * 10, 20, Outcome::Answered(200)), recorded(n * 10, 20, Outcome::Failed(Failure::ClientGone))])
            .collect();
        let replayed = replay(&good, "p95 < 1s");
        assert_eq!((replayed.fired, replayed.passed_at, replayed.requests), (None, Some(74), 200));
    }

    #[test]
    fn failures_fire_an_error_gate_and_a_mean_is_refused() {
        let failing: Vec<Recorded> = (0..10).map(|n| recorded(n * 10, 5, Outcome::Answered(503))).collect();
        assert_eq!(replay(&failing, "errors < 1%").fired.unwrap().breaches, 2);
        let error = Log::default().replay(&["mean < 1s".parse().unwrap()], 0.001, 0.05).unwrap_err();
        assert!(error.contains("mean < 1 s") && error.contains("p95 < 1s"), "{error}");
    }
}
