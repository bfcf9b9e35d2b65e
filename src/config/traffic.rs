//! Refuses gates that ask for more confidence than the traffic a service expects can give in time.

use std::time::Duration;

use crate::config::gates::Placed;
use crate::config::policy::LONGEST_BAKE;
use crate::domain::gate::{Gate, Policy};
use crate::domain::rollout::outlook::{Pace, clean_requests, spoken, spoken_rate, time_for};
use crate::domain::rollout::{Plan, Schedule};
use crate::domain::weight::Weight;
use crate::formats::yaml::place::{At, Report};

/// The most requests per second that can be expected.
const MOST: f64 = 1e7;

/// Reads requests per unit of time, such as `2/s`, `120/min` or `500/h`, as requests per second.
pub(super) fn rate(text: &At<String>, report: &Report<'_>) -> Option<f64> {
    let parts = text.value.split_once('/').map(|(number, unit)| (number.trim(), unit.trim()));
    let seconds = |unit: &str| match unit {
        "s" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3_600.0),
        _ => None,
    };
    let plain = |number: &str| number.starts_with(|c: char| c.is_ascii_digit()) && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let read = |number: &str| plain(number).then(|| number.parse::<f64>().ok())?;
    if let Some((number, unit)) = parts
        && let (Some(number), Some(seconds)) = (read(number), seconds(unit))
        && number > 0.0
        && number / seconds <= MOST
    {
        return Some(number / seconds);
    }
    let hint = match (parts, read(text.value.trim())) {
        (None, Some(_)) => format!("add the unit: {0}/s are requests per second, {0}/min per minute", text.value.trim()),
        (Some((number, unit)), _) if read(number).is_some() && seconds(unit).is_none() => format!("the units are s, min and h: {number}/s"),
        (Some((number, unit)), _) if read(number).is_some_and(|number| number > 0.0) => {
            format!("write at most 10000000 requests per second, not {number}/{unit}")
        }
        _ => "write how many requests come in which time, such as 2/s or 120/min".to_owned(),
    };
    report.error(&text.place, format!("{:?} is no amount of traffic above 0", text.value), hint);
    None
}

/// Reports each gate that cannot pass a step within `max_bake` at `rate` requests per second, were no request bad.
pub(super) fn check(gates: &[Placed], policy: &Policy, schedule: &Schedule, rate: f64, report: &Report<'_>) {
    let plain: Vec<Gate> = gates.iter().map(|placed| placed.gate.clone()).collect();
    let Ok(plan) = schedule.plan(&Pace::of(&plain, policy, rate)) else { return };
    let Some((step, weight, patience)) = hardest(&plan, policy) else { return };
    for placed in gates {
        let Some(needed) = clean_requests(&placed.gate, policy.beta) else { continue };
        let takes = time_for(needed, weight.basis_points(), rate);
        if takes <= patience {
            continue;
        }
        let message = format!(
            "the gate '{}' cannot pass step {} in time: at {weight} of {} the {needed} clean requests it needs \
             take {}, and the step may take {}",
            placed.gate.name(),
            step + 1,
            spoken_rate(rate),
            spoken(takes),
            spoken(patience)
        );
        let mut ways = Vec::new();
        let bake = policy.max_bake.saturating_sub(patience).saturating_add(takes);
        if bake <= LONGEST_BAKE {
            ways.push(format!("raise max_bake to {}", minutes(bake)));
        }
        let share = needed as f64 / (rate * patience.as_secs_f64());
        if share <= 1.0 && step == 0 {
            ways.push(format!("let the plan start at {}% or more", (share * 1_000.0).ceil() / 10.0));
        }
        ways.push(format!("raise beta above {}, or give the gate a larger margin than {}%", policy.beta, placed.gate.margin));
        report.error(&placed.place, message, ways.join("; "));
    }
}

/// Returns the step whose evidence takes longest, with its index, its weight and how long it may take: the first one,
/// whose weight is the smallest, or with a harm-bounded ramp the last, the only one that needs evidence.
fn hardest(plan: &Plan, policy: &Policy) -> Option<(usize, Weight, Duration)> {
    let index = if plan.harm().is_some() { plan.last_index() } else { 0 };
    let warm_up = if index == 0 { policy.warm_up } else { Duration::ZERO };
    Some((index, plan.step(index)?.weight, policy.max_bake.saturating_sub(warm_up)))
}

/// Writes a time for the configuration, in whole minutes, rounded up.
fn minutes(duration: Duration) -> String {
    format!("{}m", duration.as_secs().div_ceil(60).max(1))
}
