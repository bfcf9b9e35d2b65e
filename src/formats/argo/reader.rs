//! Finds the template in a file and turns each of its metrics into gates.

use std::collections::HashSet;

use crate::domain::gate::criterion::{Gate, Origin};
use crate::domain::gate::foreign::{self, Bound};
use crate::domain::gate::query::{self, Asked};
use crate::formats::analysis::documents;
use crate::formats::argo::condition::{self, EXAMPLES, Good};
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// The kinds of documents that are read.
const KINDS: [&str; 2] = ["AnalysisTemplate", "ClusterAnalysisTemplate"];

/// Keys of a metric that say when and how often it is asked; here every request counts.
pub(super) const INERT: [&str; 7] =
    ["interval", "initialDelay", "count", "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit"];

/// What to do about a metric that is not the proxy's.
const LEAVE: &str =
    "leave the metric out of the live gate, or ask for a success rate, a share of errors or a quantile of the response time";

/// A template that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The gates, in the order of the metrics; at least one.
    pub gates: Vec<Gate>,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads a file with one `AnalysisTemplate` or `ClusterAnalysisTemplate`. `file` is the name shown in problems.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let report = Report::new(file, text);
    let mut gates = Vec::new();
    if let Some(metrics) = metrics(&documents, &report) {
        gates.extend(metrics.into_iter().flat_map(|(node, path)| read_metric(node, path, &report).unwrap_or_default()));
        if gates.is_empty() && !report.has_errors() {
            let start = Place { path: "spec.metrics".to_owned(), spot: Some((1, 1)) };
            report.error(&start, "no metric has a condition, so nothing is judged", EXAMPLES);
        }
    }
    report.close(Some(gates)).map(|(gates, notes)| Loaded { gates, notes })
}

/// Returns the metrics of the one template that are no dry runs; reports why there are none.
pub(super) fn metrics<'n>(documents: &'n [Node], report: &'n Report<'_>) -> Option<Vec<(&'n Node, String)>> {
    let mut metrics = None;
    let mut found = 0;
    for document in documents {
        let place = place_of(document, String::new());
        if !text_of(document, "kind").is_some_and(|kind| KINDS.contains(&kind)) {
            report.note(&place, "this document is not read", "the file is read for its AnalysisTemplate");
            continue;
        }
        found += 1;
        if found > 1 {
            report.error(&place, "there are two AnalysisTemplates", "write each into a file of its own");
            continue;
        }
        match inner(document, "spec") {
            Some(spec) => metrics = metrics_of(spec, report),
            None => report.error(&place.missing("spec"), "spec is missing", "write 'spec:' with 'metrics'"),
        }
    }
    if found == 0 {
        let start = Place { path: String::new(), spot: Some((1, 1)) };
        report.error(&start, "there is no AnalysisTemplate", "name a file with a document of 'kind: AnalysisTemplate'");
    }
    metrics
}

fn metrics_of<'n>(node: &'n Node, report: &'n Report<'_>) -> Option<Vec<(&'n Node, String)>> {
    let mut fields = Fields::open(node, "spec".to_owned(), report)?;
    fields.require("metrics", "write 'metrics:' with one entry for each value that is judged");
    fields.inert(&["measurementRetention", "templates"]);
    fields.peek("args");
    let dry: HashSet<&str> = match fields.peek("dryRun").map(|(node, _)| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(|item| text_of(item, "metricName")).collect(),
        _ => HashSet::new(),
    };
    let metrics = fields.list("metrics");
    fields.close();
    let metrics = metrics?;
    if metrics.value.is_empty() {
        report.error(&metrics.place, "metrics is empty, so nothing is judged", EXAMPLES);
    }
    let mut names = HashSet::new();
    let mut kept = Vec::new();
    for (node, path) in metrics.value {
        let name = text_of(node, "name").unwrap_or_default();
        if !names.insert(name) && !name.is_empty() {
            report.error(&place_of(node, path), format!("the metric {name:?} occurs twice"), "give each metric a name of its own");
        } else if dry.contains(name) || dry.contains(".*") {
            report.note(
                &place_of(node, path),
                format!("the metric {name:?} is a dry run, so no gate comes of it"),
                "take it out of dryRun",
            );
        } else {
            kept.push((node, path));
        }
    }
    Some(kept)
}

fn read_metric(node: &Node, path: String, report: &Report<'_>) -> Option<Vec<Gate>> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "give the metric a name");
    fields.require("provider", "write 'provider: {prometheus: {query: …}}'");
    fields.inert(&INERT);
    let place = fields.place().clone();
    let (name, success, failure) = (fields.text("name"), fields.text("successCondition"), fields.text("failureCondition"));
    let provider = fields.get("provider");
    fields.close();
    let name = name?.value;
    if success.is_none() && failure.is_none() {
        report.note(&place, format!("the metric {name:?} has no condition, so no gate comes of it"), EXAMPLES);
        return None;
    }
    let asked = provider.and_then(|(node, path)| read_provider(&name, node, path, report));
    let success = success.map(|text| read_condition(text, condition::success, report));
    let failure = failure.map(|text| read_condition(text, condition::failure, report));
    let (good, at) = match (success, failure) {
        (Some(success), Some(failure)) => {
            let (_, at) = failure?;
            report.note(&at, "the successCondition decides: a canary must keep to it to pass", "leave the failureCondition out");
            success?
        }
        (Some(one), None) | (None, Some(one)) => one?,
        (None, None) => return None,
    };
    if good.without_value {
        report.note(&at, "what holds without a value is left out: without traffic nothing passes", "leave that part out");
    }
    Some(gates(&name, asked?, &good, &at, report))
}

fn read_condition(text: At<String>, read: fn(&str) -> Result<Good, String>, report: &Report<'_>) -> Option<(Good, Place)> {
    match read(&text.value) {
        Ok(good) => Some((good, text.place)),
        Err(reason) => {
            report.error(&text.place, format!("the condition cannot be judged live: {reason}"), EXAMPLES);
            None
        }
    }
}

fn read_provider(name: &str, node: &Node, path: String, report: &Report<'_>) -> Option<Asked> {
    let place = place_of(node, path.clone());
    let Some(prometheus) = inner(node, "prometheus") else {
        report.error(&place, format!("the metric {name:?} asks a provider whose values the proxy does not have"), LEAVE);
        return None;
    };
    let mut fields = Fields::open(prometheus, format!("{path}.prometheus"), report)?;
    fields.require("query", "write what Prometheus is asked");
    for key in ["address", "timeout", "insecure", "headers", "authentication", "rangeQuery"] {
        fields.peek(key);
    }
    let query = fields.text("query");
    fields.close();
    let query = query?;
    match query::recognise(&query.value) {
        Ok(asked) => Some(asked),
        Err(reason) => {
            report.error(&query.place, format!("the query of {name:?} is not one the proxy can answer: {reason}"), LEAVE);
            None
        }
    }
}

/// Makes a gate of each comparison.
fn gates(name: &str, asked: Asked, good: &Good, place: &Place, report: &Report<'_>) -> Vec<Gate> {
    let mut gates = Vec::new();
    for (operator, value) in &good.comparisons {
        let (operator, value) = asked.comparison(*operator, *value);
        let bound = Bound::Fixed(value);
        match foreign::criterion(asked.measured, operator, bound) {
            Ok(criterion) => {
                gates.push(Gate::new(criterion, Origin::Compiled { indicator: name.to_owned() }));
                if let Some(difference) = foreign::difference(asked.measured, bound) {
                    report.note(place, format!("{name}: {difference}"), "write a gate of your own to say it otherwise");
                }
            }
            Err(error) => report.error(place, format!("the metric {name:?} cannot be judged live: {}", error.reason), error.hint),
        }
    }
    gates
}

/// Returns the value of a key of a mapping.
fn inner<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(found, _)| matches!(&found.value, Value::Text(text) if text == key)).map(|(_, node)| node)
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match &inner(node, key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
