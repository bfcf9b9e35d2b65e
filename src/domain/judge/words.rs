//! Says in one plain sentence what was found and which guarantee stands behind it.

use std::time::Duration;

use crate::domain::gate::basis::Losses;
use crate::domain::gate::evidence::{breached, derived, had_it_met_the_gate};
use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::judge::brake::Mean;
use crate::domain::time::human;
use crate::domain::version::Name;

/// What was counted when the evidence sufficed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub requests: u64,
    pub breaches: u64,
    pub unanswered: u64,
    pub stable_requests: u64,
    pub stable_breaches: u64,
    /// The mean latency in nanoseconds, or the mean loss.
    pub mean: f64,
    /// For a mean, what its bets have won.
    pub means: Mean,
    /// What is known to be lost, and what may be lost at most.
    pub losses: Losses,
    pub losses_at_most: Losses,
}

/// Explains a brake: that of `policy`, final where nothing confirms it.
pub(super) fn braked(gate: &Gate, canary: &Name, policy: &Policy, sum: &Sum, log_e: f64) -> String {
    let verb = if policy.confirms() { "braked" } else { "rolled back" };
    format!(
        "{verb} after {}{}; {}, if its requests do not depend on each other",
        happened(gate, sum),
        derived(gate),
        had_it_met_the_gate(canary, log_e)
    )
}

/// Explains a breach that is confirmed.
pub(super) fn confirmed(gate: &Gate, canary: &Name, policy: &Policy, sum: &Sum, moments: usize, log_e: f64) -> String {
    let tolerance = human(policy.burst_tolerance);
    format!(
        "rolled back after {}, in {moments} separate moments at least {tolerance} apart{}; {}, if no pause of it lasts longer than {tolerance}",
        happened(gate, sum),
        derived(gate),
        had_it_met_the_gate(canary, log_e)
    )
}

fn happened(gate: &Gate, sum: &Sum) -> String {
    let Sum { requests, breaches, unanswered, stable_requests, stable_breaches, mean, .. } = *sum;
    let canary = match gate.criterion {
        Criterion::Mean { .. } => {
            format!("{requests} requests took {} on average ({})", human(Duration::from_nanos(mean as u64)), gate.criterion)
        }
        _ => format!("{breaches} of {requests} requests {}", breached(gate, breaches, unanswered)),
    };
    let stable = match gate.criterion {
        _ if stable_requests == 0 => String::new(),
        Criterion::RelativeLatency { .. } => format!(" while {stable_breaches} of {stable_requests} of the stable version exceeded it"),
        Criterion::RelativeErrors { .. } => format!(" while {stable_breaches} of {stable_requests} of the stable version did"),
        _ => String::new(),
    };
    canary + &stable
}
