//! Reads the file of measured values that `portcullis evaluate` grades: `{"indicator id": [{"key": "…", "value": 1.0}]}`.

use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::perfspec::spec::{Answer, Answers, SourceResult, Spec};
use crate::formats::json::{self, Node};
use crate::formats::perfspec::reader::Reader;
use crate::formats::problem::Problem;

/// Reads a file of values for `spec`.
///
/// A value of any kind is taken as the source gave it; the grader says what it is worth.
///
/// # Errors
///
/// Returns every problem of the file, an id that `spec` does not have among them.
pub fn load_values(file: &str, text: &str, spec: &Spec) -> Result<Answers, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let ids: Vec<&str> = spec.indicators.iter().map(|indicator| indicator.id.as_str()).collect();
    let mut answers = Answers::new();
    if let Some(object) = reader.object(&root, String::new(), &ids, &[]) {
        for id in ids {
            if let Some(node) = object.get(id) {
                answers.insert(id.to_owned(), Answer::Values(read_results(&reader, node, &object.path_of(id))));
            }
        }
    }
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(answers) }
}

fn read_results(reader: &Reader<'_>, node: &Node, path: &str) -> Vec<SourceResult> {
    let hint = "write [{\"key\": \"…\", \"value\": 1.0}], or [] for no values";
    let Some(items) = node.items() else {
        reader.error(node.start, path, format!("the values of an indicator must be a list, not {}", node.kind()), hint);
        return Vec::new();
    };
    let read = |(index, item): (usize, &Node)| {
        let object = reader.object(item, format!("{path}[{index}]"), &["key", "value", "timestamp"], &[])?;
        let field = |key| object.get(key).map_or(Js::Undefined, Node::to_js);
        Some(SourceResult { key: field("key"), value: field("value") })
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// Reads a file of values for the original, which takes whatever is in it.
///
/// # Errors
///
/// Returns why the file is not a JSON object.
pub fn load_values_keptn(file: &str, text: &str) -> Result<Js, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    if root.members().is_some() {
        return Ok(root.to_js());
    }
    let (line, column) = json::place(text, root.start);
    let problem = Problem::error(file, "", format!("the values must be an object, not {}", root.kind()))
        .with_hint("write {\"indicator id\": [{\"key\": \"…\", \"value\": 1.0}]}")
        .at(text, line, column);
    Err(vec![problem])
}
