//! Reads a file of measured values for an analysis: `{"response-time-p95": "312.5"}`, by template name or `name-namespace`.

use std::collections::{BTreeMap, HashSet};

use crate::domain::gate::slo::criterion::go_text;
use crate::formats::json::{self, Node, Value};
use crate::formats::perfspec::reader::{Reader, nearest};
use crate::formats::problem::Problem;

/// The most unknown names for which a known one is looked up.
const MAX_ALIKE: usize = 20;

/// Reads a file of values as the texts that providers give. A number is written out; `null`, an empty list and a list of
/// several values leave the value out, so that it is missing.
///
/// # Errors
///
/// Returns every problem of the file; with `known`, names that are not in it among them.
pub fn read_values(file: &str, text: &str, known: Option<&[String]>) -> Result<BTreeMap<String, String>, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let mut found = BTreeMap::new();
    let Some(members) = root.members() else {
        let hint = "write {\"response-time-p95\": 312.5, \"error-rate\": 0}";
        reader.error(root.start, "", format!("the values must be an object, not {}", root.kind()), hint);
        return Err(reader.into_problems());
    };
    let names: HashSet<&str> = known.unwrap_or_default().iter().map(String::as_str).collect();
    let shown: Vec<&str> = known.unwrap_or_default().iter().map(String::as_str).take(200).collect();
    let mut unknown = 0;
    for member in members {
        if known.is_some() && !names.contains(member.key.as_str()) {
            unknown += 1;
            let hint = if unknown <= MAX_ALIKE { nearest(&member.key, &shown) } else { "see the names in the gate file".to_owned() };
            reader.error(member.start, &member.key, format!("the gate file has no value \"{}\"", member.key), hint);
        } else if let Some(value) = value_of(&member.node) {
            found.insert(member.key.clone(), value);
        }
    }
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(found) }
}

fn value_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(go_text(*number)),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null => None,
        Value::List(items) => match items.as_slice() {
            [one] => value_of(one.get("value").unwrap_or(one)),
            _ => None,
        },
        Value::Object(_) => node.get("value").filter(|value| value.members().is_none()).and_then(value_of),
    }
}
