//! Looks at a perfspec that is well formed: contradictions, placeholders, and what its reader should know.

use crate::domain::gate::live::{self, Unit};
use crate::domain::gate::perfspec::reach;
use crate::domain::gate::perfspec::spec::{Indicator, Outcome, Spec, Thresholds};
use crate::domain::time;
use crate::formats::json::{Node, Value};
use crate::formats::perfspec::reader::{Reader, nearest};

/// The placeholders of a perfspec; each stands for a whole word.
const PLACEHOLDERS: [&str; 3] = ["ENVIRONMENT", "DURATION_MINUTES", "DURATION"];

/// Returns where a key below an indicator stands, or the deepest part of its path that is there.
pub fn place_of(root: &Node, index: usize, key: &str) -> usize {
    let Some(mut node) = root.get("indicators").and_then(|list| list.items()?.get(index)) else {
        return root.start;
    };
    for step in key.split('.') {
        match node.get(step) {
            Some(next) => node = next,
            None => break,
        }
    }
    node.start
}

/// Reports bounds that contradict each other: a lower bound that is not below an upper bound.
pub fn contradictions(reader: &Reader<'_>, root: &Node, spec: &Spec) {
    for (index, indicator) in spec.indicators.iter().enumerate() {
        let Thresholds { upper_severe, upper_warning, lower_severe, lower_warning } = indicator.thresholds;
        let pairs = [
            ("lowerSevere", lower_severe, "upperSevere", upper_severe),
            ("lowerWarning", lower_warning, "upperWarning", upper_warning),
            ("lowerSevere", lower_severe, "upperWarning", upper_warning),
            ("lowerWarning", lower_warning, "upperSevere", upper_severe),
        ];
        let contrary = pairs.iter().filter_map(|(low, lower, high, upper)| Some((*low, (*lower)?, *high, (*upper)?)));
        for (low, lower, high, upper) in contrary.filter(|(_, lower, _, upper)| lower >= upper) {
            let key = format!("grading.thresholds.{low}");
            let relation = if lower > upper { "is above" } else { "is equal to" };
            let message = format!("{low} {lower} {relation} {high} {upper}, so some values violate both and none is good between them");
            let hint = format!("{low} must be below {high}");
            reader.error(place_of(root, index, &key), &format!("indicators[{index}].{key}"), message, hint);
        }
    }
    if !reach::full_points(spec).is_finite() {
        let at = root.get("indicators").map_or(root.start, |node| node.start);
        reader.error(at, "indicators", "the points of all indicators together are too large a number", "write smaller metricScore values");
    }
}

/// Reports placeholders that nothing will replace, in every text of a query.
pub fn placeholders(reader: &Reader<'_>, node: &Node, path: &str) {
    match &node.value {
        Value::Text(text) => {
            for name in names_in(text).filter(|name| !PLACEHOLDERS.contains(name)) {
                let hint = nearest(name, &PLACEHOLDERS);
                reader.error(node.start, path, format!("unknown placeholder \"${name}\""), hint);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                placeholders(reader, item, &format!("{path}[{index}]"));
            }
        }
        Value::Object(members) => {
            for member in members {
                placeholders(reader, &member.node, &format!("{path}.{}", member.key));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the names after each `$`: capitals and underscores, as in `$DURATION_MINUTESm`.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
        rest.get(..end).filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
    })
}

/// Notes what a usable file does that its reader may not expect.
pub fn notes(reader: &Reader<'_>, root: &Node, spec: &Spec) {
    for (index, indicator) in spec.indicators.iter().enumerate() {
        hidden_limits(reader, root, index, indicator);
        fail_line(reader, root, index, spec);
    }
    impossible_results(reader, root, spec);
}

/// Notes a warning that the severe limit of its side always hides.
fn hidden_limits(reader: &Reader<'_>, root: &Node, index: usize, indicator: &Indicator) {
    let Thresholds { upper_severe, upper_warning, lower_severe, lower_warning } = indicator.thresholds;
    let pairs = [
        ("upperWarning", upper_warning, "upperSevere", upper_severe, f64::ge as fn(&f64, &f64) -> bool),
        ("lowerWarning", lower_warning, "lowerSevere", lower_severe, f64::le as fn(&f64, &f64) -> bool),
    ];
    for (name, warning, severe_name, severe, hides) in pairs {
        if let (Some(warning), Some(severe)) = (warning, severe)
            && hides(&warning, &severe)
        {
            let key = format!("grading.thresholds.{name}");
            let message = format!("{name} {warning} has no effect: {severe_name} {severe} is always reached first");
            reader.note(place_of(root, index, &key), &format!("indicators[{index}].{key}"), message);
        }
    }
}

/// Notes the value from which an indicator fails the run, which need not be its severe limit.
fn fail_line(reader: &Reader<'_>, root: &Node, index: usize, spec: &Spec) {
    let Some(indicator) = spec.indicators.get(index) else { return };
    let unit = live::recognise(index, indicator).map(|(_, unit)| unit);
    let spoken = |value: f64| {
        let seconds = match unit {
            Ok(Unit::Microseconds) => value / 1e6,
            Ok(Unit::Seconds) => value,
            _ => return String::new(),
        };
        std::time::Duration::try_from_secs_f64(seconds).map_or_else(|_| String::new(), |limit| format!(" ({})", time::human(limit)))
    };
    let limits = [
        (reach::fails_from(spec, index), "fails from", indicator.thresholds.upper_warning, "upperWarning", "upperSevere"),
        (reach::fails_down_from(spec, index), "fails down from", indicator.thresholds.lower_warning, "lowerWarning", "lowerSevere"),
    ];
    let at = |key: &str| (place_of(root, index, key), format!("indicators[{index}].{key}"));
    let mut any = false;
    for (line, words, warning, warning_name, severe_name) in limits {
        let Some(line) = line else { continue };
        any = true;
        let by_warning = warning.is_some_and(|warning| warning.total_cmp(&line).is_eq());
        let name = if by_warning { warning_name } else { severe_name };
        let (place, path) = at(&format!("grading.thresholds.{name}"));
        let why = if by_warning { ": a warning leaves too few points for the objectives" } else { "" };
        reader.note(place, &path, format!("\"{}\" {words} {line}{}{why}", indicator.id, spoken(line)));
    }
    if !any {
        let (place, path) = at("grading.thresholds");
        reader.note(place, &path, format!("no value of \"{}\" fails the run by itself", indicator.id));
    }
}

/// Notes results that no measurement can bring about.
fn impossible_results(reader: &Reader<'_>, root: &Node, spec: &Spec) {
    let Some(possible) = reach::possible_outcomes(spec) else { return };
    let objectives = root.get("objectives");
    let at = |key: &str| objectives.and_then(|node| node.get(key).or(Some(node))).map_or(root.start, |node| node.start);
    let full = reach::full_points(spec);
    let pass = spec.objectives.pass;
    if !possible.contains(&Outcome::Pass) {
        let message = format!("the result \"pass\" can never occur: it needs {pass} points and there are at most {full}");
        reader.note(at("pass"), "objectives.pass", message);
    }
    if !possible.contains(&Outcome::Warning) {
        let message = match spec.objectives.warning {
            None => "the result \"warning\" can never occur: there is no objectives.warning".to_owned(),
            Some(warning) => format!("the result \"warning\" can never occur: no total lies from {warning} up to {pass} points"),
        };
        reader.note(at("warning"), "objectives.warning", message);
    }
    if !possible.contains(&Outcome::Fail) {
        reader.note(at("pass"), "objectives", "the result \"fail\" can never occur: every total is enough");
    }
}
