//! Where each gate stands, for people and for the plan.

use std::time::Duration;

use crate::domain::gate::criterion::Slack;
use crate::domain::gate::{Criterion, Evidence, Gate, Verdict};
use crate::domain::judge::case::{Case, Setting};
use crate::domain::judge::status::GateStatus;
use crate::domain::judge::terms;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::rate_upper_bound;
use crate::domain::stats::planning::ramp_weight_cap;
use crate::domain::weight::Weight;

/// Says where a gate stands; `found` is what brakes the rollout and what is confirmed.
pub(super) fn status(case: &mut Case, setting: &Setting, found: [Option<&Evidence>; 2]) -> GateStatus {
    let threshold = -setting.policy.beta.ln();
    let (requests, breaches) = case.counted();
    let value = value(case, requests, breaches);
    let bounds = case.shown.bounds.filter(|_| value.is_some());
    let failed = found.into_iter().flatten().any(|evidence| evidence.gate == case.name);
    let log_e = case.pass.log_e(&case.gate);
    let passes = case.passes(setting, log_e);
    let needs = if passes { Some(0) } else { case.needs(threshold) };
    let gate = &case.gate;
    let (log_e, basis) = case.pass.evidence(gate, setting.is_alone, log_e);
    let verdict = match (failed, passes) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Pass,
        (false, false) => Verdict::Inconclusive,
    };
    let (brake_log_e, brake_log_threshold) = nearest(case, setting);
    GateStatus {
        gate: case.name.clone(),
        origin: gate.origin.clone(),
        verdict,
        requests,
        breaches,
        unit: gate.criterion.unit(),
        value,
        limit: limit(case),
        lower: bounds.and_then(|bounds| bounds.lower),
        upper: bounds.and_then(|bounds| bounds.upper),
        log_e,
        log_threshold: threshold,
        basis,
        brake_log_e,
        brake_log_threshold,
        confirm_log_e: case.confirm.as_ref().map_or(0.0, |confirm| confirm.highest()),
        confirm_log_threshold: case.confirm.as_ref().map(|_| -setting.budget.confirm.ln()),
        needs,
        awaits_stable: case.awaits_stable(setting, needs),
    }
}

/// Says where a gate stands that there are too many before.
pub(super) fn excess(gate: &Gate, setting: &Setting) -> GateStatus {
    let threshold = -setting.policy.beta.ln();
    GateStatus {
        gate: gate.name(),
        origin: gate.origin.clone(),
        verdict: Verdict::Inconclusive,
        requests: 0,
        breaches: 0,
        unit: gate.criterion.unit(),
        value: None,
        limit: None,
        lower: None,
        upper: None,
        log_e: 0.0,
        log_threshold: threshold,
        basis: None,
        brake_log_e: 0.0,
        brake_log_threshold: threshold,
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: None,
        awaits_stable: None,
    }
}

fn value(case: &Case, requests: u64, breaches: u64) -> Option<f64> {
    match case.gate.criterion {
        Criterion::Mean { .. } => case.pass.mean_so_far(),
        Criterion::Apdex { .. } => (requests > 0).then(|| 1.0 - case.pass.losses.share()),
        _ => (requests > 0).then(|| breaches as f64 / requests as f64),
    }
}

fn limit(case: &Case) -> Option<f64> {
    let stable = || case.baseline.as_ref().and_then(|baseline| baseline.share());
    match case.gate.criterion {
        Criterion::Mean { .. } => Some(terms::mean_limit(&case.gate.criterion)),
        Criterion::Apdex { loss, .. } => Some(1.0 - loss.ratio()),
        Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => Some(share.ratio()),
        Criterion::RelativeLatency { .. } => stable(),
        Criterion::RelativeErrors { slack: Slack::Times(ratio), .. } => stable().map(|rate| (rate * ratio.factor()).min(1.0)),
        Criterion::RelativeErrors { slack: Slack::Plus(share), .. } => stable().map(|rate| (rate + share.ratio()).min(1.0)),
    }
}

/// Returns the evidence and the threshold of the brake test that is nearest to it.
fn nearest(case: &Case, setting: &Setting) -> (f64, f64) {
    let budget = &setting.budget;
    let step = if setting.is_watched { budget.watch } else { budget.step };
    let own = if case.gate.criterion.is_wired() { case.wire } else { (case.brake.highest, -budget.brake.ln()) };
    let late = case.late.as_ref().map(|late| (late.highest, -budget.change_point.ln()));
    let orders = case.orders.iter().flatten().zip([budget.cumulative, step]).map(|(order, alpha)| (order.best.log_e, -alpha.ln()));
    late.into_iter().chain(orders).fold(own, |near, next| if next.0 - next.1 > near.0 - near.1 { next } else { near })
}

/// Returns the largest weight at which no more than `harm` bad requests are to be expected in flight before anything can be known.
pub(super) fn harm_cap(harm: f64, rate: f64, reveal: Duration, known: Counts, beta: f64) -> Weight {
    let upper = rate_upper_bound(known.requests, known.breaches, beta);
    let points = (ramp_weight_cap(harm, rate, reveal, upper) * 10_000.0).floor();
    Weight::from_basis_points(points.clamp(0.0, 10_000.0) as u16).unwrap_or(Weight::ZERO)
}
