//! Reads the plan of a canary, in the shape it has in a configuration: a ramp, or steps one by one.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::domain::rollout::plan::LONGEST_HOLD;
use crate::domain::rollout::{Plan, Ramp, Schedule, Start, Step};
use crate::domain::weight::Weight;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::Node;

/// The factor of a ramp where none is written.
const DEFAULT_FACTOR: u16 = 3;
/// How long a step of a ramp lasts at least where nothing is written.
const DEFAULT_HOLD: Duration = Duration::from_secs(10);
/// The keys of a ramp.
const RAMP: [&str; 5] = ["start", "factor", "hold", "express", "harm"];

/// Reads a plan; `None` after reporting why there is none.
pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Schedule> {
    let mut fields = Fields::open(node, path, report)?;
    let ramp = RAMP.into_iter().any(|key| fields.has(key));
    if ramp && fields.has("steps") {
        let hint = "leave out either 'steps' or 'start', 'factor', 'hold', 'express' and 'harm'";
        report.error(fields.place(), "a plan is either a ramp or steps, and this is both", hint);
    }
    let read = read_ramp(&mut fields, report);
    let steps = fields.list("steps");
    let stepped = fields.has("steps");
    fields.close();
    if !stepped {
        return read.map(Schedule::Ramp);
    }
    let At { value, place } = steps?;
    let steps: Vec<Option<Step>> = value.into_iter().map(|(node, path)| read_step(node, path, report)).collect();
    let steps: Vec<Step> = steps.into_iter().collect::<Option<_>>()?;
    for problem in Plan::problems(&steps) {
        report.error(&place, problem.to_string(), "let each step give more than the one before, and the last 100%");
    }
    Plan::new(steps).ok().map(Schedule::Steps)
}

fn read_ramp(fields: &mut Fields<'_>, report: &Report<'_>) -> Option<Ramp> {
    let (start, factor, hold) = (fields.text("start"), fields.text("factor"), fields.text("hold"));
    let express = fields.boolean("express").is_some_and(|flag| flag.value);
    let harm = fields.text("harm");
    let start = start.map_or(Some(Start::Auto), |text| match text.value.to_ascii_lowercase().as_str() {
        "auto" => Some(Start::Auto),
        _ => weight(&text, report).map(Start::At),
    });
    let factor = factor.map_or(Some(DEFAULT_FACTOR), |text| number(&text, 2..=10_000, report));
    if let (true, Some(text)) = (express, &hold) {
        report.error(&text.place, "an express rollout holds no step, and this one holds each", "leave out either 'express' or 'hold'");
    }
    let default = if express { Duration::ZERO } else { DEFAULT_HOLD };
    let hold = hold.map_or(Some(default), |text| duration(&text, report));
    let harm = harm.map_or(Some(None), |text| number(&text, 1.0..=1e6, report).map(Some));
    Some(Ramp { start: start?, factor: factor?, hold: hold?, harm: harm?, approval: None })
}

fn read_step(node: &Node, path: String, report: &Report<'_>) -> Option<Step> {
    let mut fields = Fields::open(node, path, report)?;
    let (share, hold) = (fields.text("weight"), fields.text("hold"));
    fields.require("weight", "write the share of the canary in this step, such as 10%");
    fields.require("hold", "write how long the step lasts at least, such as 10s");
    fields.close();
    let (share, hold) = (share.and_then(|text| weight(&text, report)), hold.and_then(|text| duration(&text, report)));
    Some(Step { weight: share?, hold: hold?, approval: None })
}

/// Reads a share above nothing.
fn weight(text: &At<String>, report: &Report<'_>) -> Option<Weight> {
    match text.value.parse::<Weight>() {
        Ok(weight) if weight > Weight::ZERO => Some(weight),
        Ok(_) => {
            report.error(&text.place, "a share of 0% never gathers evidence", "write a share above 0%, such as 10%");
            None
        }
        Err(error) => {
            report.error(&text.place, error.to_string(), "write for example 10%");
            None
        }
    }
}

fn duration(text: &At<String>, report: &Report<'_>) -> Option<Duration> {
    let parsed = text.value.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    if parsed.is_none_or(|parsed| parsed > LONGEST_HOLD) {
        let message = format!("{:?} is not a duration from 0 s to 24 h", text.value);
        report.error(&text.place, message, "write a number with a unit (ms, s, m or h), such as 300ms, 10s or 1m 30s");
        return None;
    }
    parsed
}

fn number<T>(text: &At<String>, range: RangeInclusive<T>, report: &Report<'_>) -> Option<T>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let parsed = text.value.parse::<T>().ok().filter(|parsed| range.contains(parsed));
    if parsed.is_none() {
        let hint = format!("write a number from {} to {}", range.start(), range.end());
        report.error(&text.place, format!("{:?} is not a number in range", text.value), hint);
    }
    parsed
}
