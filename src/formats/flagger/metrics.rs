//! Turns the metrics of a Canary into gates: the two built-in ones, which the proxy measures itself.

use crate::domain::gate::criterion::{Gate, Origin, Share};
use crate::domain::gate::foreign::{self, Bound};
use crate::domain::gate::slo::criterion::Operator;
use crate::domain::gate::slo::live::{Failure, Figure, Measured, Unit};
use crate::formats::perfspec::reader::nearest;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// The built-in metrics.
const BUILT_IN: [&str; 2] = ["request-success-rate", "request-duration"];

/// Returns the gates of the metrics; reports those that the proxy does not measure.
pub(super) fn gates(metrics: At<Vec<(&Node, String)>>, report: &Report<'_>) -> Vec<Gate> {
    if metrics.value.is_empty() {
        report.error(&metrics.place, "metrics is empty, so nothing is judged", "write request-success-rate or request-duration");
    }
    let mut gates: Vec<Gate> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (node, path) in metrics.value {
        let place = place_of(node, path.clone());
        let Some((name, gate)) = metric(node, path, report) else { continue };
        if seen.contains(&name) {
            report.error(&place, format!("the metric {name} occurs twice"), "keep one of the two");
            continue;
        }
        seen.push(name);
        gates.extend(gate);
    }
    gates
}

fn metric(node: &Node, path: String, report: &Report<'_>) -> Option<(String, Option<Gate>)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "write request-success-rate or request-duration");
    let name = fields.text("name");
    let own_query = ["templateRef", "query"].into_iter().find_map(|key| Some((key, fields.peek(key)?)));
    fields.peek("templateVariables");
    // The window is that of the evidence, which grows until it suffices.
    fields.inert(&["interval"]);
    let threshold = fields.text("threshold");
    let range = fields.get("thresholdRange").and_then(|(node, path)| range(node, path, report));
    let place = fields.place().clone();
    fields.close();
    let name = name?;
    if let Some((key, (node, path))) = own_query {
        let message = format!("the metric {:?} has a {key} of its own, which the proxy does not ask", name.value);
        let hint = "leave it out of the live gate, or use request-success-rate and request-duration, which the proxy measures itself";
        report.error(&place_of(node, path), message, hint);
        return None;
    }
    if !BUILT_IN.contains(&name.value.as_str()) {
        report.error(&name.place, format!("the proxy does not measure the metric {:?}", name.value), nearest(&name.value, &BUILT_IN));
        return None;
    }
    let range = match (range, threshold) {
        (Some(range), _) => range,
        (None, Some(text)) => older(&name.value, text, report)?,
        (None, None) => {
            let hint = "write 'thresholdRange: {min: 99}' for a success rate, 'thresholdRange: {max: 500}' for a duration";
            report.error(&place, format!("the metric {} has no threshold, so it could never fail", name.value), hint);
            return None;
        }
    };
    let gate = gate(&name.value, &range, &place, report);
    Some((name.value, gate))
}

/// The limits of a metric.
pub(super) struct Range {
    pub(super) min: Option<(f64, Place)>,
    pub(super) max: Option<(f64, Place)>,
}

/// Reads a `thresholdRange`; reports one without limits, and one that no value keeps to.
pub(super) fn range(node: &Node, path: String, report: &Report<'_>) -> Option<Range> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    let (min, max) = (fields.text("min"), fields.text("max"));
    fields.close();
    let read = |text: Option<At<String>>| text.map(|text| number(&text, report).map(|number| (number, text.place)));
    let (min, max) = (read(min), read(max));
    if min.is_none() && max.is_none() {
        report.error(&place, "there is neither min nor max, so the metric could never fail", "write for example {min: 99} or {max: 500}");
        return None;
    }
    // What could not be read was reported.
    let (min, max) = (min.map_or(Some(None), |min| min.map(Some))?, max.map_or(Some(None), |max| max.map(Some))?);
    if let (Some((low, _)), Some((high, at))) = (&min, &max)
        && low > high
    {
        report.error(at, format!("the range contradicts itself: no value is above {low} and below {high}"), "let min be below max");
        return None;
    }
    Some(Range { min, max })
}

/// The threshold of older files: the least success rate, or the longest duration.
pub(super) fn older(name: &str, text: At<String>, report: &Report<'_>) -> Option<Range> {
    let limit = Some((number(&text, report)?, text.place));
    Some(if name == BUILT_IN[0] { Range { min: limit, max: None } } else { Range { min: None, max: limit } })
}

fn number(text: &At<String>, report: &Report<'_>) -> Option<f64> {
    let number = text.value.parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        report.error(&text.place, format!("{:?} is not a finite number", text.value), "write a number without a unit");
    }
    number
}

fn gate(name: &str, range: &Range, place: &Place, report: &Report<'_>) -> Option<Gate> {
    let success = name == BUILT_IN[0];
    let (limit, other) = if success { (&range.min, &range.max) } else { (&range.max, &range.min) };
    if let Some((value, at)) = other {
        let harmless = if success { *value >= 100.0 } else { *value <= 0.0 };
        let message = if success { "a limit on successes asks for failures" } else { "a lower limit asks for a slower version" };
        if harmless {
            report.note(at, "this limit has no effect, every value keeps to it", "leave it out");
        } else {
            report.error(at, message, if success { "write min, such as {min: 99}" } else { "write max, such as {max: 500}" });
        }
    }
    let Some((value, at)) = limit else {
        let hint = if success { "write for example {min: 99}" } else { "write for example {max: 500}" };
        if !report.has_errors() {
            report.error(place, format!("the metric {name} has no limit that could fail"), hint);
        }
        return None;
    };
    let (measured, bound) = if success {
        (Measured { figure: Figure::ErrorRate(Failure::ServerError), unit: Unit::Percent }, Bound::Fixed(100.0 - value))
    } else {
        report.note(
            at,
            "the duration is judged by the p99 in milliseconds, as Flagger's documents say",
            "write a gate of your own for another quantile",
        );
        let share = Share::from_ppm(10_000)?;
        (Measured { figure: Figure::ResponseTime(share), unit: Unit::Milliseconds }, Bound::Fixed(*value))
    };
    match foreign::criterion(measured, Operator::AtMost, bound) {
        Ok(criterion) => Some(Gate::new(criterion, Origin::Compiled { indicator: name.to_owned() })),
        Err(error) => {
            report.error(at, format!("the metric {name} cannot be judged live: {}", error.reason), error.hint);
            None
        }
    }
}
