//! Compiles the plan of a rollout: a ramp, or steps one by one.

use std::time::Duration;

use crate::domain::rollout::plan::{InvalidPlan, LONGEST_HOLD};
use crate::domain::rollout::{Plan, Ramp, Schedule, Start, Step};
use crate::domain::weight::Weight;
use crate::formats::plan::spec::{PlanSpec, RampSpec, StepSpec};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::quantities;

/// The factor of a ramp where none is written.
const DEFAULT_FACTOR: u16 = 3;
/// How long a step of a ramp lasts at least where nothing is written.
const DEFAULT_HOLD: Duration = Duration::from_secs(10);

/// The most bad requests that a harm-bounded ramp may expect in flight.
const MOST_HARM: f64 = 1e6;

/// Compiles a plan; `None` after reporting why there is none.
pub fn compile(spec: &PlanSpec, report: &Report<'_>) -> Option<Schedule> {
    match spec {
        PlanSpec::Broken => None,
        PlanSpec::Unwritten => ramp(&RampSpec::default(), report),
        PlanSpec::Ramp(spec) => ramp(spec, report),
        PlanSpec::Steps(steps) => from_steps(steps, report).map(Schedule::Steps),
    }
}

fn ramp(spec: &RampSpec, report: &Report<'_>) -> Option<Schedule> {
    let start = spec.start.as_ref().map_or(Some(Start::Auto), |text| start(text, report));
    let factor = spec.factor.as_ref().map_or(Some(DEFAULT_FACTOR), |text| quantities::whole(text, 2..=10_000, report));
    let hold = spec.hold.as_ref().map(|text| quantities::duration(text, Duration::ZERO..=LONGEST_HOLD, report));
    let express = spec.express.as_ref().is_some_and(|flag| flag.value);
    if let (true, Some(text)) = (express, &spec.hold) {
        let message = "an express rollout holds no step, and this one holds each";
        report.error(&text.place, message, "leave out either 'express' or 'hold'");
        return None;
    }
    let hold = hold.unwrap_or(Some(if express { Duration::ZERO } else { DEFAULT_HOLD }));
    let harm = spec.harm.as_ref().map(|text| harm(text, report));
    let harm = harm.map_or(Some(None), |harm| harm.map(Some));
    let approval = spec.approval.as_ref().map(|approval| approval.compile(report));
    let approval = approval.map_or(Some(None), |approval| approval.map(Some));
    Some(Schedule::Ramp(Ramp { start: start?, factor: factor?, hold: hold?, harm: harm?, approval: approval? }))
}

/// Reads where a ramp starts: `auto` or a share above 0 %.
fn start(text: &At<String>, report: &Report<'_>) -> Option<Start> {
    let lower = text.value.to_ascii_lowercase();
    if lower == "auto" {
        return Some(Start::Auto);
    }
    if lower.starts_with(|c: char| c.is_ascii_alphabetic()) {
        report.error(&text.place, format!("{:?} is no start of a ramp", text.value), "write auto, or a share such as 10%");
        return None;
    }
    let weight = quantities::weight(text, report)?;
    if weight == Weight::ZERO {
        report.error(&text.place, "a ramp that starts at 0% never gathers evidence", "write a share above 0%, such as 10%");
        return None;
    }
    Some(Start::At(weight))
}

/// Reads how many bad requests may be expected in flight while the share grows.
fn harm(text: &At<String>, report: &Report<'_>) -> Option<f64> {
    match text.value.parse::<f64>() {
        Ok(harm) if (1.0..=MOST_HARM).contains(&harm) => Some(harm),
        _ => {
            let hint = format!("write how many bad requests may be in flight at once, from 1 to {MOST_HARM}, such as 10");
            report.error(&text.place, format!("{:?} is no number of requests in range", text.value), hint);
            None
        }
    }
}

fn from_steps(steps: &At<Vec<StepSpec>>, report: &Report<'_>) -> Option<Plan> {
    let compiled: Vec<Option<Step>> = steps
        .value
        .iter()
        .map(|step| {
            let weight = step.weight.as_ref().and_then(|text| quantities::weight(text, report));
            let hold = step.hold.as_ref().and_then(|text| quantities::duration(text, Duration::ZERO..=LONGEST_HOLD, report));
            let approval = step.approval.as_ref().map(|approval| approval.compile(report));
            let approval = approval.map_or(Some(None), |approval| approval.map(Some));
            Some(Step { weight: weight?, hold: hold?, approval: approval? })
        })
        .collect();
    let compiled: Vec<Step> = compiled.into_iter().collect::<Option<_>>()?;
    for problem in Plan::problems(&compiled) {
        let place = problem.step().and_then(|index| steps.value.get(index)?.weight.as_ref()).map_or(&steps.place, |text| &text.place);
        report.error(last_step_or(place, steps, problem), problem.to_string(), hint(problem));
    }
    Plan::new(compiled).ok()
}

/// An unfinished plan is shown at its last step, where the share must be mended.
fn last_step_or<'p>(place: &'p Place, steps: &'p At<Vec<StepSpec>>, problem: InvalidPlan) -> &'p Place {
    let last = || steps.value.last().and_then(|step| step.weight.as_ref());
    if let (InvalidPlan::Unfinished { .. }, Some(text)) = (problem, last()) { &text.place } else { place }
}

const fn hint(problem: InvalidPlan) -> &'static str {
    match problem {
        InvalidPlan::Empty => "write at least one step, such as {weight: 100%, hold: 10s}",
        InvalidPlan::Nothing { .. } => "write a share above 0%",
        InvalidPlan::NotIncreasing { .. } => "let each step give the canary more than the one before",
        InvalidPlan::Unfinished { .. } => "end with a step of 100%",
        InvalidPlan::HeldTooLong { .. } => "write at most 24h",
        InvalidPlan::FlatRamp { .. } => "write a factor of at least 2",
    }
}
