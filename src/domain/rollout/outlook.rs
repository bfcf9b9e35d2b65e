//! What a gate will take before any request was seen: when it brakes, how many requests it needs to pass, and how long.

use std::time::Duration;

use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::judge::Budget;
use crate::domain::rollout::plan::{Plan, Step};
use crate::domain::stats::exceedance;
use crate::domain::tripwire;

/// The longest time that is told, about three years.
const LONGEST: f64 = 1e8;

/// What an automatic first share depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Requests per second over both versions.
    pub rate: f64,
    /// After how long a bad request is known to be one at the latest.
    pub reveal: Duration,
    /// How many clean requests the gate needs to pass that needs most; 0 where that depends on more than counts.
    pub requests: u64,
    /// Within which time: what the first step may take but for its warm-up.
    pub within: Duration,
}

impl Pace {
    /// Returns the pace of a service with these gates at `rate` requests per second.
    #[must_use]
    pub fn of(gates: &[Gate], policy: &Policy, rate: f64) -> Self {
        let requests = gates.iter().filter_map(|gate| clean_requests(gate, policy.beta)).max().unwrap_or(0);
        Self { rate, reveal: reveal(gates, policy), requests, within: policy.max_bake.saturating_sub(policy.warm_up) }
    }

    /// Returns it without anything to prove.
    #[must_use]
    pub const fn without_evidence(self) -> Self {
        Self { requests: 0, ..self }
    }
}

/// Returns how many clean requests, and not one bad, let a canary pass the gate in one step; `None` for a gate whose
/// evidence depends on more than counts: means, scores and comparisons with stable.
///
/// The pass test with zero bad ones: the smallest n with E(n, 0) ≥ 1/β against p1 = share · (1 + margin).
#[must_use]
pub fn clean_requests(gate: &Gate, beta: f64) -> Option<u64> {
    let p1 = gate.passing_share().filter(|_| gate.criterion.is_wired())?;
    (p1 < 1.0).then(|| exceedance::pass_n_min(0, p1, tripwire::log_threshold(beta)))
}

/// Returns the first entries of the gate's tripwire over a whole rollout as (bad, of the first so many requests); empty
/// for a gate without one. `gates` is the number of gates that share alpha.
#[must_use]
pub fn first_trips(gate: &Gate, gates: usize, policy: &Policy, count: usize) -> Vec<(u64, u64)> {
    let Some(share) = gate.criterion.share().filter(|_| gate.criterion.is_wired()) else { return Vec::new() };
    // An even share for each gate, half of it for the test that runs through all steps.
    let alpha = Budget::of(policy, gates, 1, 0).cumulative;
    let threshold = tripwire::log_threshold(alpha);
    let entry = |bad: u64| (bad, exceedance::breach_n_max(bad, share.ratio(), threshold));
    (1..=tripwire::TABLE_LENGTH).map(entry).filter(|(_, requests)| *requests > 0).take(count).collect()
}

/// Returns how long each step takes at least for a canary without a bad request, at `rate` requests per second over both
/// versions: until the gate that needs most has passed, and no less than the step is held.
///
/// Evidence counts only after the warm-up. With a harm-bounded ramp only the last step needs evidence.
#[must_use]
pub fn step_times(plan: &Plan, gates: &[Gate], policy: &Policy, rate: f64) -> Vec<Duration> {
    let needed = gates.iter().filter_map(|gate| clean_requests(gate, policy.beta)).max().unwrap_or(0);
    let step = |(index, step): (usize, &Step)| {
        let warm_up = if index == 0 { policy.warm_up } else { Duration::ZERO };
        let proves = plan.harm().is_none() || index == plan.last_index();
        let evidence = if proves { time_for(needed, step.weight.basis_points(), rate) } else { Duration::ZERO };
        step.hold.max(warm_up.saturating_add(evidence))
    };
    plan.steps().iter().enumerate().map(step).collect()
}

/// Returns how long `requests` requests of a share of the traffic in basis points take, at most about three years.
#[must_use]
pub fn time_for(requests: u64, basis_points: u16, rate: f64) -> Duration {
    let seconds = requests as f64 / (rate * f64::from(basis_points) / 10_000.0);
    Duration::from_secs_f64(if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, LONGEST) })
}

/// Returns after how long a bad request is known to be one at the latest: the longest limit of the gates, the outcome
/// deadline where none has a limit on a time.
#[must_use]
pub fn reveal(gates: &[Gate], policy: &Policy) -> Duration {
    let limit = |gate: &Gate| match gate.criterion {
        Criterion::Latency { limit, .. } | Criterion::Mean { limit, .. } => Some(limit),
        Criterion::Apdex { satisfied, .. } => Some(satisfied * 4),
        Criterion::Errors { .. } | Criterion::RelativeErrors { .. } | Criterion::RelativeLatency { .. } => None,
    };
    gates.iter().filter_map(limit).max().unwrap_or(policy.outcome_deadline)
}

/// Writes a long time the way people say it, rounded up: `12 s`, `7 min 20 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {smaller}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Writes an amount of traffic the way people say it: `2 requests per second`, `24.7 requests per minute`.
#[must_use]
pub fn spoken_rate(rate: f64) -> String {
    let (number, unit) = match rate {
        1.0.. => (rate, "second"),
        _ if rate * 60.0 >= 1.0 => (rate * 60.0, "minute"),
        _ => (rate * 3_600.0, "hour"),
    };
    let number = format!("{number:.2}");
    format!("{} requests per {unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str) -> Gate {
        Gate::written(text.parse().unwrap())
    }

    #[test]
    fn the_requests_to_pass_are_those_of_the_statistics() {
        for (text, margin, requests) in [
            ("p95 < 1s", 0, Some(74)),
            ("errors < 5%", 0, Some(74)),
            ("p99 < 1s", 0, Some(377)),
            ("errors < 1%", 400, Some(74)),
            ("errors < 50%", 100, None),
            ("mean < 1s", 0, None),
            ("p95 <= stable * 1.1", 100, None),
        ] {
            assert_eq!(clean_requests(&Gate { margin, ..gate(text) }, 0.05), requests, "{text}");
        }
    }

    #[test]
    fn the_first_trips_are_those_of_the_design() {
        let policy = Policy::default();
        assert_eq!(first_trips(&gate("p95 < 1s"), 1, &policy, 3), [(3, 3), (4, 5), (5, 9)], "half of alpha");
        assert_eq!(first_trips(&gate("errors < 1%"), 1, &policy, 2), [(2, 2), (3, 7)]);
        assert_eq!(first_trips(&gate("mean < 1s"), 1, &policy, 3), []);
        let (all, _) = first_trips(&gate("p95 < 1s"), 4, &policy, 1)[0];
        assert_eq!(all, 4, "four gates: four of four");
    }

    #[test]
    fn a_step_lasts_until_the_slowest_gate_has_passed_and_at_least_its_hold() {
        let plan = Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap();
        let gates = [gate("p95 < 1s"), gate("mean < 1s")];
        let seconds = |plan: &Plan, policy: &Policy, rate: f64| {
            step_times(plan, &gates, policy, rate).iter().map(|time| time.as_secs_f64().round()).collect::<Vec<_>>()
        };
        assert_eq!(seconds(&plan, &Policy::default(), 10.0), [74.0, 25.0, 10.0]);
        let warm = Policy { warm_up: Duration::from_secs(30), ..Policy::default() };
        assert_eq!(seconds(&plan, &warm, 10.0), [104.0, 25.0, 10.0]);
        assert_eq!(seconds(&plan.clone().within_harm(Some(10.0)), &Policy::default(), 1.0), [10.0, 10.0, 74.0]);
        assert_eq!(seconds(&plan, &Policy::default(), 0.0), [LONGEST; 3]);
    }

    #[test]
    fn long_times_read_like_speech() {
        for (seconds, text) in [(0, "0 s"), (12, "12 s"), (60, "1 min"), (440, "7 min 20 s"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h")] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
        assert_eq!(spoken(Duration::from_millis(1_001)), "2 s");
    }

    #[test]
    fn traffic_reads_like_speech() {
        for (rate, text) in [(2.0, "2 requests per second"), (0.5, "30 requests per minute"), (2.0 / 3_600.0, "2 requests per hour")] {
            assert_eq!(spoken_rate(rate), text);
        }
    }

    #[test]
    fn a_bad_request_is_known_after_the_longest_limit() {
        let policy = Policy { outcome_deadline: Duration::from_secs(7), ..Policy::default() };
        for (gates, seconds) in [
            (&["p95 < 1s", "p99 < 3s"][..], 3),
            (&["p95 < 1s", "mean < 9s"][..], 9),
            (&["apdex(2s) > 0.9", "errors < 1%"][..], 8),
            (&["errors < 1%", "p95 <= stable * 1.1"][..], 7),
        ] {
            let gates: Vec<Gate> = gates.iter().map(|text| gate(text)).collect();
            assert_eq!(reveal(&gates, &policy), Duration::from_secs(seconds), "{gates:?}");
        }
    }
}
