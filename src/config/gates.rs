//! Compiles the gates of a service, those in the configuration and those of gate files, and finds those that cannot work.

use std::collections::HashMap;

use crate::config::service_spec::{GateSpec, ServiceSpec};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::overlap::{self, MOST, MOST_WIRED};
use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::time;
use crate::domain::timeouts::Timeouts;
use crate::formats::yaml::place::{At, Place, Report};

/// The largest margin, in percent.
const LARGEST_MARGIN: u16 = 10_000;

/// A gate and where it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) gate: Gate,
    pub(super) place: Place,
}

/// Compiles the gates that the configuration itself has.
pub(super) fn written(specs: &At<Vec<GateSpec>>, report: &Report<'_>) -> Vec<Placed> {
    if specs.value.len() > MOST {
        too_many(specs.value.len(), &specs.place, report);
        return Vec::new();
    }
    let mut gates: Vec<Placed> = Vec::new();
    let mut seen: HashMap<Criterion, ()> = HashMap::new();
    for spec in &specs.value {
        let Some(gate) = read(spec, report) else { continue };
        if seen.insert(gate.criterion, ()).is_some() {
            report.error(&spec.gate.place, format!("the gate '{}' occurs twice", gate.criterion), "keep one of the two");
        } else {
            gates.push(Placed { gate, place: spec.gate.place.clone() });
        }
    }
    gates
}

fn read(spec: &GateSpec, report: &Report<'_>) -> Option<Gate> {
    let criterion = match spec.gate.value.parse::<Criterion>() {
        Ok(criterion) => Some(criterion),
        Err(error) => {
            report.error_inside(&spec.gate, error.column(), error.message(), error.hint());
            None
        }
    };
    let Some(text) = &spec.margin else { return criterion.map(Gate::written) };
    let margin = margin(text, report);
    let gate = Gate { margin: margin?, ..Gate::written(criterion?) };
    if gate.criterion.is_relative() && gate.margin == 0 {
        let hint = "write for example 100%, for no more than twice the share of stable";
        report.error(&text.place, "without a margin no number of requests shows that a version is as good as stable", hint);
        return None;
    }
    if gate.passing_share().is_some_and(|share| share >= 1.0) {
        let message = format!("with a margin of {}% every version passes the gate '{}'", gate.margin, gate.criterion);
        report.error(&text.place, message, "write a smaller margin, such as 50%");
        return None;
    }
    Some(gate)
}

/// Reads how much worse than its limit a version may be and still pass, in whole percent.
fn margin(text: &At<String>, report: &Report<'_>) -> Option<u32> {
    let number = text.value.strip_suffix('%').map(str::trim_end).and_then(|number| number.parse::<u16>().ok());
    let margin = number.filter(|percent| *percent <= LARGEST_MARGIN).map(u32::from);
    if margin.is_none() {
        let hint = match text.value.trim().parse::<u16>() {
            Ok(percent) if percent <= LARGEST_MARGIN => format!("add the percent sign: {percent}%"),
            _ => format!("write whole percent of what the gate allows, from 0% to {LARGEST_MARGIN}%, such as 50%"),
        };
        report.error(&text.place, format!("{:?} is not a margin", text.value), hint);
    }
    margin
}

fn too_many(count: usize, place: &Place, report: &Report<'_>) {
    let message = format!("the service has {count} gates, of which each gets so small a share of alpha that none could act in time");
    report.error(place, message, format!("keep at most {MOST}, better few that matter"));
}

/// Reports gates that contradict their service or say nothing beyond another.
pub(super) fn check(spec: &ServiceSpec, gates: &[Placed], policy: Option<&Policy>, timeouts: &Timeouts, report: &Report<'_>) {
    if gates.len() > MOST {
        return too_many(gates.len(), &spec.place, report);
    }
    let wired = gates.iter().filter(|placed| placed.gate.criterion.is_wired()).count();
    if wired > MOST_WIRED {
        let message = format!("the service has {wired} gates with a tripwire, and the later ones would never trip");
        let hint = format!("keep at most {MOST_WIRED}; gates on a mean, a score or relative to stable have none and do not count");
        report.error(&spec.place, message, hint);
    }
    for placed in gates {
        unreachable(placed, policy, timeouts, report);
    }
    for Placed { place, .. } in gates.iter().filter(|placed| spec.choice.sticky.is_some() && placed.gate.criterion.is_relative()) {
        let message =
            "with 'sticky' users are drawn and not requests, so the bounds on false verdicts of a gate against stable may not hold";
        report.note(place, message, "write a limit without stable, or leave 'sticky' out");
    }
    small(spec, gates, report);
    let criteria: Vec<Criterion> = gates.iter().map(|placed| placed.gate.criterion).collect();
    for (implied, by) in overlap::implied(&criteria) {
        let (Some(loose), Some(strict)) = (gates.get(implied), gates.get(by)) else { continue };
        let message = format!("the gate '{}' says nothing beyond '{}'", loose.gate.name(), strict.gate.name());
        report.note(&loose.place, message, "leave it out: each gate takes a share of alpha, so the others act later");
    }
}

/// Reports a gate on small answers where nothing says what is small, and the other way round.
fn small(spec: &ServiceSpec, gates: &[Placed], report: &Report<'_>) {
    let counts = |criterion| match criterion {
        Criterion::Errors { kinds, .. } | Criterion::RelativeErrors { kinds, .. } => kinds.meets(ErrorKinds::SMALL),
        _ => false,
    };
    let gate = gates.iter().find(|placed| counts(placed.gate.criterion));
    match (gate, &spec.min_body) {
        (Some(Placed { gate, place }), None) => {
            let message = format!("the gate '{}' can never fire: nothing says how long an answer has to be", gate.name());
            report.error(place, message, "write for example min_body: 200B beside the gates");
        }
        (None, Some(least)) if !gates.is_empty() => {
            let message = "no gate counts the answers that are smaller";
            report.note(&least.place, message, "write for example the gate 'errors(small) < 1%', or leave min_body out");
        }
        _ => {}
    }
}

/// Reports a limit that no request can be seen to exceed, because it is given up as an error before.
fn unreachable(placed: &Placed, policy: Option<&Policy>, timeouts: &Timeouts, report: &Report<'_>) {
    use crate::domain::gate::criterion::Timing;
    let (limit, timing) = match placed.gate.criterion {
        Criterion::Latency { limit, timing, .. } | Criterion::Mean { limit, timing } => (limit, timing),
        Criterion::Apdex { satisfied, .. } => (satisfied, Timing::ResponseTime),
        _ => return,
    };
    let name = placed.gate.name();
    if let Some(policy) = policy
        && limit > policy.outcome_deadline
    {
        let deadline = time::human(policy.outcome_deadline);
        let message =
            format!("the gate '{name}' can never fire by its limit: a request counts as failed after the outcome_deadline of {deadline}");
        report.error(&placed.place, message, "lower the limit, or raise outcome_deadline above it");
    } else if timing == Timing::ResponseTime && limit > timeouts.response {
        let timeout = time::human(timeouts.response);
        let message = format!("the gate '{name}' can never fire by its limit: a request fails after the response time-out of {timeout}");
        report.error(&placed.place, message, "lower the limit, or raise timeouts.response above it");
    }
}
