//! Compiles the plan of a rollout: a ramp, or steps one by one.

use std::time::Duration;

use crate::config::spec::{PlanSpec, StepSpec};
use crate::config::values;
use crate::domain::rollout::plan::{InvalidPlan, LONGEST_HOLD};
use crate::domain::rollout::{Plan, Ramp, Schedule, Start, Step};
use crate::domain::weight::Weight;
use crate::formats::yaml::place::{At, Place, Report};

/// The first step of a ramp where none is written.
const DEFAULT_START: &str = "10%";
/// The factor of a ramp where none is written.
const DEFAULT_FACTOR: u16 = 3;
/// How long a step of a ramp lasts at least where nothing is written.
const DEFAULT_HOLD: Duration = Duration::from_secs(10);

/// Compiles a plan; `None` after reporting why there is none.
pub(super) fn compile(spec: &PlanSpec, report: &Report<'_>) -> Option<Schedule> {
    match spec {
        PlanSpec::Broken => None,
        PlanSpec::Ramp { start, factor, hold } => ramp(start.as_ref(), factor.as_ref(), hold.as_ref(), report),
        PlanSpec::Steps(steps) => from_steps(steps, report).map(Schedule::Steps),
    }
}

fn ramp(start: Option<&At<String>>, factor: Option<&At<String>>, hold: Option<&At<String>>, report: &Report<'_>) -> Option<Schedule> {
    let default_start = || DEFAULT_START.parse().ok();
    let weight = start.map_or_else(default_start, |text| values::weight(text, report));
    let factor = factor.map_or(Some(DEFAULT_FACTOR), |text| values::whole(text, 2..=10_000, report));
    let hold = hold.map_or(Some(DEFAULT_HOLD), |text| values::duration(text, Duration::ZERO..=LONGEST_HOLD, report));
    if let (Some(Weight::ZERO), Some(text)) = (weight, start) {
        report.error(&text.place, "a ramp that starts at 0% never gathers evidence", "write a share above 0%, such as 10%");
        return None;
    }
    Some(Schedule::Ramp(Ramp { start: Start::At(weight?), factor: factor?, hold: hold?, harm: None }))
}

fn from_steps(steps: &At<Vec<StepSpec>>, report: &Report<'_>) -> Option<Plan> {
    let compiled: Vec<Option<Step>> = steps
        .value
        .iter()
        .map(|step| {
            let weight = step.weight.as_ref().and_then(|text| values::weight(text, report));
            let hold = step.hold.as_ref().and_then(|text| values::duration(text, Duration::ZERO..=LONGEST_HOLD, report));
            Some(Step { weight: weight?, hold: hold? })
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
