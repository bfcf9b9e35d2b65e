//! The healthy experiment: a canary exactly at the limit of a gate, over and over, and how often it is rolled back.
//!
//! A version that meets its gate may be rolled back with probability at most α. At the limit that is hardest to keep. The trip
//! is final here (no burst tolerance) and the share never grows, so that nothing but the test itself is measured.

use crate::domain::gate::Criterion;
use crate::domain::gate::criterion::{Slack, Timing};
use crate::domain::time;
use crate::formats::problem::Problem;
use crate::simulate::scenario::{self, Scenario};

/// How many rollouts, as the acceptance experiment of the method has it.
const RUNS: usize = 2_000;

/// Makes the experiments for one gate: the canary at its limit, and for errors also one whose failures are known long before
/// its successes.
///
/// # Errors
///
/// Returns what is wrong with the gate or α.
pub fn scenarios(criterion: Criterion, alpha: f64) -> Result<Vec<Scenario>, Vec<Problem>> {
    let at_limit = text(criterion, alpha, &canary(criterion), "at the limit");
    let mut all = scenario::load("aa", &at_limit)?;
    if let Criterion::Errors { share, .. } = criterion {
        let delays = format!("latency = {{ constant = \"2s\" }}\nerrors = {:.7}\nerrors_take = {{ constant = \"5ms\" }}", share.ratio());
        let informative = ("latency = { constant = \"20ms\" }".to_owned(), delays);
        all.extend(scenario::load("aa", &text(criterion, alpha, &informative, "at the limit, failures known first"))?);
    }
    Ok(all)
}

fn text(criterion: Criterion, alpha: f64, (stable, canary): &(String, String), what: &str) -> String {
    // Half of the traffic where both versions are compared, all of it where one stands alone.
    let weight = if criterion.is_relative() { "50%" } else { "100%" };
    format!(
        "title = \"{criterion}, {what}\"\nruns = {RUNS}\nlength = \"20s\"\ngates = [\"{criterion}\"]\ntraffic = {{ rate = 200 }}\nplan = {{ fixed = \"{weight}\" }}\n[policy]\nalpha = {alpha}\nalpha_brake = {alpha}\nburst_tolerance = \"0s\"\nmax_bake = \"1h\"\n[stable]\n{stable}\n[canary]\n{canary}\n[expect]\nrolled_back = {{ share_at_most = {alpha} }}\npromoted = 0\n"
    )
}

/// Writes the stable version and a canary exactly at the limit.
fn canary(criterion: Criterion) -> (String, String) {
    let constant = |limit: std::time::Duration| format!("{{ constant = \"{}us\" }}", limit.as_micros().max(1));
    let fast = "latency = { constant = \"20ms\" }".to_owned();
    match criterion {
        Criterion::Latency { share, limit, timing } => {
            let slow = format!(
                "{{ bimodal = {{ fast = {}, slow = {}, share = {:.7} }} }}",
                constant(limit / 2),
                constant(limit * 2),
                share.ratio()
            );
            match timing {
                Timing::ResponseTime => (fast, format!("latency = {slow}")),
                Timing::Duration => (fast, format!("latency = {{ constant = \"1us\" }}\nbody = {slow}")),
            }
        }
        Criterion::Errors { share, .. } => (fast.clone(), format!("{fast}\nerrors = {:.7}", share.ratio())),
        Criterion::Mean { limit, .. } => {
            (fast, format!("latency = {{ uniform = {{ from = \"0s\", to = \"{}us\" }} }}", (limit * 2).as_micros()))
        }
        Criterion::Apdex { satisfied, loss } => {
            let slow = format!(
                "{{ bimodal = {{ fast = {}, slow = {}, share = {:.7} }} }}",
                constant(satisfied / 2),
                constant(satisfied * 5),
                loss.ratio()
            );
            (fast, format!("latency = {slow}"))
        }
        Criterion::RelativeLatency { ratio, .. } => {
            let lognormal = |ms: f64| format!("latency = {{ lognormal = {{ median = \"{}us\", sigma = 0.5 }} }}", (ms * 1e3).round());
            (lognormal(100.0), lognormal(100.0 * ratio.factor()))
        }
        Criterion::RelativeErrors { slack, .. } => {
            const BASE: f64 = 0.01;
            let share = match slack {
                Slack::Times(ratio) => BASE * ratio.factor(),
                Slack::Plus(share) => BASE + share.ratio(),
            };
            (format!("{fast}\nerrors = {BASE}"), format!("{fast}\nerrors = {:.7}", share.min(1.0)))
        }
    }
}

/// Says what is measured, one sentence.
#[must_use]
pub fn sentence(alpha: f64) -> String {
    let length = time::human(std::time::Duration::from_secs(20));
    format!("a canary exactly at its limit for {length} of traffic: false rollbacks against alpha = {alpha}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_absolute_gate_has_its_experiment() {
        for (gate, count) in [("p95 < 1s", 1), ("p99.9 < 300ms", 1), ("errors < 1%", 2), ("mean < 300ms", 1)] {
            let scenarios = scenarios(gate.parse().unwrap(), 0.05).unwrap();
            assert_eq!((scenarios.len(), scenarios[0].runs.0), (count, RUNS), "{gate}");
        }
        assert!(scenarios("p95 < 1s".parse().unwrap(), 1.5).is_err(), "an alpha above 1");
    }
}
