//! Turns the weights and the interval of a Canary into a plan.

use std::time::Duration;

use crate::domain::rollout::plan::LONGEST_HOLD;
use crate::domain::rollout::{Plan, Step};
use crate::domain::weight::Weight;
use crate::formats::yaml::place::{At, Place, Report};

/// The interval where none is written, and the shortest there is.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// The keys about weights, as written.
pub(super) struct Written {
    pub(super) interval: Option<At<String>>,
    pub(super) step: Option<At<String>>,
    pub(super) steps: Option<At<Vec<At<String>>>>,
    pub(super) most: Option<At<String>>,
}

/// Makes the plan: the weights one after the other, each held for the interval, then everything. `Some(None)` where
/// there are no weights, `None` after reporting what is wrong.
pub(super) fn plan(written: &Written, place: &Place, report: &Report<'_>) -> Option<Option<Plan>> {
    let interval = written.interval.as_ref().map_or(Some(DEFAULT_INTERVAL), |text| interval(text, report));
    let most = written.most.as_ref().map_or(Some(100), |text| percent(text, report));
    let weights: Option<Vec<u16>> = match (&written.steps, &written.step) {
        (Some(list), other) => {
            if let Some(text) = other {
                report.note(&text.place, "\"stepWeight\" has no effect beside stepWeights", "keep one of the two");
            }
            let read: Vec<Option<u16>> = list.value.iter().map(|text| percent(text, report)).collect();
            read.into_iter().collect()
        }
        (None, Some(text)) => percent(text, report).zip(most).map(|(step, most)| climb(step, most)),
        (None, None) => return interval.and(most).map(|_| None),
    };
    let (weights, hold) = (weights?, interval?);
    let last = weights.last().is_some_and(|weight| *weight == 100);
    let weights = weights.into_iter().chain((!last).then_some(100));
    let steps: Option<Vec<Step>> = weights
        .map(|percent| Some(Step { weight: Weight::from_basis_points(percent.checked_mul(100)?).ok()?, hold, approval: None }))
        .collect();
    let steps = steps?;
    let at = written.steps.as_ref().map_or(place, |list| &list.place);
    for problem in Plan::problems(&steps) {
        report.error(at, problem.to_string(), "let each weight be above the one before, and at most 100");
    }
    Plan::new(steps).ok().map(Some)
}

/// The weights from `step` to `most` in steps of `step`.
fn climb(step: u16, most: u16) -> Vec<u16> {
    let first = step.min(most);
    std::iter::successors(Some(first), |weight| (*weight < most).then(|| weight.saturating_add(step).min(most))).collect()
}

fn percent(text: &At<String>, report: &Report<'_>) -> Option<u16> {
    match text.value.parse::<u16>() {
        Ok(percent) if (1..=100).contains(&percent) => Some(percent),
        _ => {
            report.error(&text.place, format!("{:?} is not a weight", text.value), "write whole percent from 1 to 100, without a sign");
            None
        }
    }
}

fn interval(text: &At<String>, report: &Report<'_>) -> Option<Duration> {
    let parsed = text.value.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    match parsed {
        Some(interval) if !interval.is_zero() && interval <= LONGEST_HOLD => {
            if interval < SHORTEST_INTERVAL {
                report.note(&text.place, "an interval below 10s is taken as 10s, as Flagger does", "write 10s, or a plan of your own");
            }
            Some(interval.max(SHORTEST_INTERVAL))
        }
        _ => {
            report.error(&text.place, format!("{:?} is not an interval above 0 and at most 24h", text.value), "write for example 1m");
            None
        }
    }
}
