//! Reads a file of measured values by metric: `{"request-success-rate": 99.5}`, or a list where a query gives several.

use crate::domain::gate::metrics::grade::Readings;
use crate::formats::json::{self, Node, Value};
use crate::formats::perfspec::reader::{Reader, nearest};
use crate::formats::problem::Problem;

/// The most unknown names for which a known one is looked up.
const MAX_ALIKE: usize = 20;

/// Reads a file of values. A value is a number, a number as text, a list of them, `[{"key": "…", "value": 1.0}]` as for
/// a perfspec, or `{"value": 1.0, "success": true, "message": ""}`; of anything else it is said why it is none.
///
/// # Errors
///
/// Returns every problem of the file; with `known`, names that are not in it among them.
pub fn read(file: &str, text: &str, known: Option<&[&str]>) -> Result<Readings, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let Some(members) = root.members() else {
        let hint = "write {\"request-success-rate\": 99.5, \"request-duration\": 312}";
        reader.error(root.start, "", format!("the values must be an object, not {}", root.kind()), hint);
        return Err(reader.into_problems());
    };
    let mut found = Readings::new();
    let mut unknown = 0;
    for member in members {
        if known.is_some_and(|known| !known.contains(&member.key.as_str())) {
            unknown += 1;
            let shown = known.and_then(|known| known.get(..known.len().min(200))).unwrap_or_default();
            let hint = if unknown <= MAX_ALIKE { nearest(&member.key, shown) } else { "see the names in the gate file".to_owned() };
            reader.error(member.start, &member.key, format!("the gate file has no metric \"{}\"", member.key), hint);
        } else if found.insert(member.key.clone(), values(&member.node)).is_some() {
            reader.error(member.start, &member.key, format!("the metric \"{}\" occurs twice", member.key), "keep one of the two");
        }
    }
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(found) }
}

fn values(node: &Node) -> Result<Vec<f64>, String> {
    match &node.value {
        Value::List(items) if items.is_empty() => Err("no values".to_owned()),
        Value::List(items) => items.iter().map(|item| number(item.get("value").unwrap_or(item))).collect(),
        Value::Object(_) => {
            if node.get("success").is_some_and(|success| success.value == Value::Bool(false)) {
                let message = node.get("message").and_then(Node::text).filter(|message| !message.is_empty());
                return Err(message.unwrap_or("the source gave no value").to_owned());
            }
            number(node.get("value").ok_or("there is no value")?).map(|number| vec![number])
        }
        _ => number(node).map(|number| vec![number]),
    }
}

fn number(node: &Node) -> Result<f64, String> {
    match &node.value {
        Value::Number(number) => Ok(*number),
        Value::Text(text) => text.trim().parse().map_err(|_| format!("the value {text:?} is not a number")),
        Value::Null => Err("the value is null".to_owned()),
        Value::Bool(_) | Value::List(_) | Value::Object(_) => Err("the value is not a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_shape_are_read_and_what_is_none_says_why() {
        for (text, wanted) in [
            ("99.5", Ok(vec![99.5])),
            ("\" 99.5 \"", Ok(vec![99.5])),
            ("[1, \"2\"]", Ok(vec![1.0, 2.0])),
            ("[{\"key\": \"v2\", \"value\": 3}]", Ok(vec![3.0])),
            ("{\"value\": 4, \"success\": true}", Ok(vec![4.0])),
            ("{\"value\": 4, \"success\": false, \"message\": \"timed out\"}", Err("timed out")),
            ("null", Err("the value is null")),
            ("[]", Err("no values")),
            ("[1, null]", Err("the value is null")),
            ("true", Err("the value is not a number")),
            ("\"99%\"", Err("the value \"99%\" is not a number")),
            ("{}", Err("there is no value")),
        ] {
            let found = read("v.json", &format!("{{\"m\": {text}}}"), Some(&["m"])).unwrap().remove("m").unwrap();
            assert_eq!(found, wanted.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn unknown_names_and_other_files_are_refused() {
        let problems = read("v.json", "{\"request-durration\": 1}", Some(&["request-duration"])).unwrap_err();
        assert!(
            problems[0].message.contains("no metric \"request-durration\"") && problems[0].hint.as_deref().unwrap().contains("did you")
        );
        assert!(read("v.json", "[1]", None).unwrap_err()[0].message.contains("must be an object"));
        assert!(read("v.json", "{", None).is_err());
    }
}
