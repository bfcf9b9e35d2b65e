//! Reads a file of measured values, one for each SLI: `{"response_time_p95": 312.5}`, or the list a keptn provider sends.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::gate::slo::criterion::go_float;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::strict::{Reading, Readings};
use crate::domain::gate::slo::value::{Answer, Provider, Value as SliValue};
use crate::formats::json::{self, Member, Node, Value};
use crate::formats::perfspec::reader::{Reader, nearest};
use crate::formats::problem::Problem;

/// The most unknown names for which a known one is looked up.
const MAX_ALIKE: usize = 20;

/// How a file of values may look.
const HINT: &str = "write {\"response_time_p95\": 312.5, \"error_rate\": 0}";

/// Reads a file of values strictly for the SLIs in `names`.
///
/// A value is a number, a number as text, `[{"key": "…", "value": 1.0}]` as for a perfspec, or
/// `{"value": 1.0, "success": true, "message": ""}`. What is no single number becomes an unusable reading.
///
/// # Errors
///
/// Returns every problem of the file, SLIs that are not in `names` among them.
pub fn read_values<'s>(file: &str, text: &str, names: impl Iterator<Item = &'s str>) -> Result<Readings, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let names: Vec<&str> = names.collect();
    let known: HashSet<&str> = names.iter().copied().collect();
    let mut found = BTreeMap::new();
    let mut unknown = 0;
    for (name, at, node) in entries(&reader, &root) {
        let mut offer = || {
            unknown += 1;
            if unknown <= MAX_ALIKE {
                nearest(&name, names.get(..names.len().min(200)).unwrap_or_default())
            } else {
                "see the names in the gate file".to_owned()
            }
        };
        if !known.contains(name.as_str()) {
            reader.error(at, &name, format!("the gate file has no SLI \"{name}\""), offer());
        } else if found.insert(name.clone(), reading(node)).is_some() {
            reader.error(at, &name, format!("the SLI \"{name}\" occurs twice"), "keep one of the two");
        }
    }
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(Readings { by_sli: found, source_failed: None }) }
}

/// Reads a file of values for the original, as the Prometheus provider of that time would have delivered it.
///
/// # Errors
///
/// Returns why the file has no values.
pub fn read_values_keptn(file: &str, text: &str, release: Lighthouse) -> Result<Answer, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let provider = if release.separates_targets() { Provider::Newer } else { Provider::Older };
    // Of a repeated name the last value counts, at the first place.
    let mut values: Vec<SliValue> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let listed = root.items().is_some();
    for (name, _, node) in entries(&reader, &root) {
        let Some(value) = delivered(&name, node, provider) else { continue };
        match places.get(&name).filter(|_| !listed).and_then(|place| values.get_mut(*place)) {
            Some(slot) => *slot = value,
            None => {
                places.insert(name, values.len());
                values.push(value);
            }
        }
    }
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(Answer { values, ..Answer::default() }) }
}

/// Returns the names with their places and values; reports anything that is neither an object nor a provider's list.
fn entries<'n>(reader: &Reader<'_>, root: &'n Node) -> Vec<(String, usize, &'n Node)> {
    if let Some(members) = root.members() {
        return members.iter().map(|Member { key, start, node }| (key.clone(), *start, node)).collect();
    }
    let Some(items) = root.items() else {
        reader.error(root.start, "", format!("the values must be an object, not {}", root.kind()), HINT);
        return Vec::new();
    };
    let named = |(index, item): (usize, &'n Node)| match item.get("metric").and_then(Node::text) {
        Some(metric) => Some((metric.to_owned(), item.start, item)),
        None => {
            let hint = "write {\"metric\": \"…\", \"value\": 1.0, \"success\": true}";
            reader.error(item.start, &format!("[{index}]"), "this is no value of an SLI: it has no metric", hint);
            None
        }
    };
    items.iter().enumerate().filter_map(named).collect()
}

fn reading(node: &Node) -> Reading {
    let unusable = |why: &str| Reading::Unusable(why.to_owned());
    match &node.value {
        Value::Number(number) => Reading::Value(*number),
        Value::Text(text) => {
            text.trim().parse().map_or_else(|_| Reading::Unusable(format!("the value {text:?} is not a number")), Reading::Value)
        }
        Value::Null => unusable("the value is null"),
        Value::Bool(_) => unusable("the value is not a number"),
        Value::List(items) => match items.as_slice() {
            [] => unusable("no values"),
            [one] => reading(one.get("value").unwrap_or(one)),
            many => Reading::Unusable(format!("{} values where one is wanted", many.len())),
        },
        Value::Object(_) => {
            let failed = node.get("success").is_some_and(|success| success.value == Value::Bool(false));
            let message = node.get("message").and_then(Node::text).filter(|message| !message.is_empty());
            match node.get("value") {
                _ if failed => Reading::Unusable(message.unwrap_or("the source gave no value").to_owned()),
                Some(value) if value.members().is_none() => reading(value),
                _ => unusable("there is no value"),
            }
        }
    }
}

fn delivered(name: &str, node: &Node, provider: Provider) -> Option<SliValue> {
    let number = |node: &Node| match &node.value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => go_float(text),
        _ => None,
    };
    match &node.value {
        Value::Null => None,
        Value::List(items) => {
            let samples: Vec<f64> = items.iter().filter_map(|item| number(item.get("value").unwrap_or(item))).collect();
            Some(provider.value(name, &samples))
        }
        Value::Object(_) => Some(SliValue {
            metric: name.to_owned(),
            value: node.get("value").and_then(number).unwrap_or(0.0),
            success: node.get("success").map_or_else(|| node.get("value").is_some(), |success| success.value == Value::Bool(true)),
            message: node.get("message").and_then(Node::text).unwrap_or_default().to_owned(),
        }),
        _ => Some(
            number(node)
                .map_or_else(|| SliValue::failed(name, "query did not return valid values"), |value| provider.value(name, &[value])),
        ),
    }
}
