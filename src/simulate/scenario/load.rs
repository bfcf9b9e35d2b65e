//! Reads a scenario file: the text, its variations laid over it, and everything that is wrong with them.

use serde::Deserialize;

use crate::formats::problem::Problem;
use crate::simulate::scenario::spec::{Arrivals, Scenario};

/// The largest file that is read.
const LARGEST: usize = 1 << 20;
/// The most variations of one file.
const MOST_VARIATIONS: usize = 1_000;

/// Reads the scenarios of one file: itself, or one for each of its `[[vary]]` tables.
///
/// # Errors
///
/// Returns everything that is wrong, with place and hint.
pub fn load(file: &str, text: &str) -> Result<Vec<Scenario>, Vec<Problem>> {
    if text.len() > LARGEST {
        return Err(vec![Problem::error(file, "", format!("the file has {} bytes, a scenario at most {LARGEST}", text.len()))]);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|error| vec![problem(file, text, &error)])?;
    let Some(variations) = table.remove("vary") else {
        let scenario: Scenario = toml::from_str(text).map_err(|error| vec![problem(file, text, &error)])?;
        return check(&scenario).map(|()| vec![scenario]).map_err(|why| vec![Problem::error(file, "", why)]);
    };
    let toml::Value::Array(variations) = variations else {
        return Err(vec![Problem::error(file, "vary", "vary is not a list of tables").with_hint("write [[vary]] with two brackets")]);
    };
    if variations.is_empty() || variations.len() > MOST_VARIATIONS {
        let message = format!("vary has {} tables, it must have 1 to {MOST_VARIATIONS}", variations.len());
        return Err(vec![Problem::error(file, "vary", message)]);
    }
    let headers: Vec<usize> = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("[[vary]]")).map(|x| x.0).collect();
    let (mut scenarios, mut problems) = (Vec::new(), Vec::new());
    for (index, variation) in variations.into_iter().enumerate() {
        let mut whole = toml::Value::Table(table.clone());
        overlay(&mut whole, variation);
        let made = Scenario::deserialize(whole).map_err(|error| error.message().to_owned());
        match made.and_then(|scenario| check(&scenario).map(|()| scenario)) {
            Ok(scenario) if scenario.name.is_empty() => {
                problems.push(at_header(file, text, &headers, index, "this variation has no name").with_hint("add name = \"…\""));
            }
            Ok(scenario) => scenarios.push(scenario),
            Err(why) => {
                let hint = hint(&why);
                problems.push(Problem { hint, ..at_header(file, text, &headers, index, &format!("with this variation: {why}")) });
            }
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems) }
}

fn at_header(file: &str, text: &str, headers: &[usize], index: usize, message: &str) -> Problem {
    let problem = Problem::error(file, &format!("vary[{index}]"), message);
    match headers.get(index) {
        Some(line) => problem.at(text, line + 1, 1),
        None => problem,
    }
}

/// Lays `over` over `base`: tables are merged key by key, everything else is replaced. A table that names one of several
/// alternatives, such as `latency` or `plan`, is replaced whole.
fn overlay(base: &mut toml::Value, over: toml::Value) {
    /// Tables of which exactly one key may be written.
    const ALTERNATIVES: [&str; 6] = ["latency", "plan", "errors_take", "body", "after", "way_back"];
    match (base, over) {
        (toml::Value::Table(base), toml::Value::Table(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(known) if !ALTERNATIVES.contains(&key.as_str()) => overlay(known, value),
                    _ => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Finds what no single value shows.
fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.gates.is_empty() && scenario.chaos.as_ref().is_none_or(|chaos| chaos.gates.is_empty()) {
        return Err("there is no gate, so nothing is judged; write for example gates = [\"p95 < 1s\"]".to_owned());
    }
    let closed = matches!(scenario.traffic.arrivals, Arrivals::Closed { .. });
    let rates = scenario.chaos.as_ref().and_then(|chaos| chaos.rates);
    match (closed, scenario.traffic.rate.is_some() || rates.is_some()) {
        (false, false) => return Err("traffic has no rate; write for example rate = 100".to_owned()),
        (true, true) => return Err("closed-loop traffic has no rate of its own; remove rate".to_owned()),
        _ => {}
    }
    if let Some(change) = scenario.traffic.change.iter().find(|change| !(0.0..=1e6).contains(&change.rate)) {
        return Err(format!("a change of the rate to {} is not between 0 and a million requests per second", change.rate));
    }
    if !scenario.traffic.change.is_sorted_by(|a, b| a.at <= b.at) {
        return Err("the changes of the rate are not in the order of their times".to_owned());
    }
    for scale in [&scenario.stable.scale, &scenario.canary.scale].into_iter().flatten() {
        if !scale.change.is_sorted_by(|a, b| a.at <= b.at) {
            return Err("the changes of the number of endpoints are not in the order of their times".to_owned());
        }
    }
    if let Some((low, high)) = rates.filter(|(low, high)| low > high) {
        return Err(format!("chaos.rates goes from {} down to {}", low.0, high.0));
    }
    for pauses in [&scenario.stable.pauses, &scenario.canary.pauses, &scenario.stalls].into_iter().flatten() {
        if pauses.from > pauses.to || pauses.to >= pauses.every || pauses.to.0.is_zero() {
            return Err("pauses must have from <= to, to above 0s, and every longer than to".to_owned());
        }
    }
    let plans = scenario.chaos.iter().flat_map(|chaos| &chaos.plans).chain([&scenario.plan]);
    plans.into_iter().try_for_each(|plan| plan.schedule().map(|_| ()))?;
    scenario.policy.policy().map(|_| ())
}

fn problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let hint = hint(&message);
    let problem = Problem { hint, ..Problem::error(file, "", message) };
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            problem.at(text, line, column)
        }
        None => problem,
    }
}

/// Suggests the key that was meant.
fn hint(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown") || message.contains("unknown field") || message.contains("unknown variant") {
        let wrong = quoted.next()?;
        let best = quoted.map(|known| (strsim::jaro_winkler(wrong, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
        return best.filter(|(alike, _)| *alike > 0.75).map(|(_, known)| format!("did you mean \"{known}\"?"));
    }
    let missing = message.strip_prefix("missing field")?;
    Some(format!("add {}", missing.trim().trim_matches('`')))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
