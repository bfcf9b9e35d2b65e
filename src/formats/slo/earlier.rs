//! Reads earlier evaluations, newest first: reports that `portcullis evaluate` printed, or events of keptn.

use crate::domain::gate::slo::baseline::{Earlier, EarlierRow};
use crate::domain::gate::slo::value::Value as SliValue;
use crate::formats::json::{self, Node, Value};
use crate::formats::perfspec::reader::Reader;
use crate::formats::problem::Problem;

/// Reads one evaluation or a list of them. Keys that are not needed are ignored, because other tools write these files.
///
/// # Errors
///
/// Returns every entry that is no evaluation.
pub fn read_earlier(file: &str, text: &str) -> Result<Vec<Earlier>, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let all = match root.items() {
        Some(items) => items.iter().enumerate().filter_map(|(at, item)| evaluation(&reader, item, &format!("[{at}]"))).collect(),
        None => evaluation(&reader, &root, "").into_iter().collect(),
    };
    if reader.has_errors() { Err(reader.into_problems()) } else { Ok(all) }
}

fn evaluation(reader: &Reader<'_>, node: &Node, path: &str) -> Option<Earlier> {
    let event = node.get("data").unwrap_or(node);
    let inner = event.get("evaluation").or_else(|| event.get("evaluationdetails"));
    let Some(result) = event.get("result").and_then(Node::text) else {
        let hint = "give reports that 'portcullis evaluate' printed, newest first, as one object or a list";
        reader.error(node.start, path, "this is no earlier evaluation: it has no result", hint);
        return None;
    };
    let rows = inner.unwrap_or(event);
    let rows = rows.get("indicatorResults").or_else(|| rows.get("indicators"));
    let rows = rows.and_then(Node::items).unwrap_or_default().iter().map(row).collect();
    let invalidated = event.get("invalidated").is_some_and(|found| found.value == Value::Bool(true));
    Some(Earlier { result: result.to_lowercase(), invalidated, rows })
}

fn row(node: &Node) -> EarlierRow {
    let number = |node: &Node| if let Value::Number(number) = node.value { Some(number) } else { None };
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let value = node.get("value").filter(|value| value.members().is_some()).map(|value| SliValue {
        metric: text(value.get("metric")),
        value: value.get("value").and_then(number).unwrap_or(0.0),
        success: value.get("success").is_some_and(|success| success.value == Value::Bool(true)),
        message: text(value.get("message")),
    });
    EarlierRow { value, status: text(node.get("status")) }
}
