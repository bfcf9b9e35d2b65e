//! Reads `sli.yaml`: the names of indicators and the queries behind them.

use std::collections::HashMap;

use crate::formats::problem::Problem;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{Report, child};
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// Placeholders that only the Dynatrace provider replaces, beside those of the Prometheus provider.
const DYNATRACE: [&str; 4] = ["CONTEXT", "EVENT", "SOURCE", "TESTSTRATEGY"];

/// The queries of a file by the name of their SLI, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slis {
    file: String,
    queries: Vec<(String, String)>,
    places: HashMap<String, usize>,
    /// What the reader of the file should know.
    pub notes: Vec<Problem>,
}

impl Slis {
    fn new(file: &str, queries: Vec<(String, String)>) -> Self {
        let places = queries.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { file: file.to_owned(), queries, places, notes: Vec::new() }
    }

    /// Returns the file as the user named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the query of an SLI.
    #[must_use]
    pub fn query(&self, sli: &str) -> Option<&str> {
        self.queries.get(*self.places.get(sli)?).map(|(_, query)| query.as_str())
    }

    /// Returns the names in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.queries.iter().map(|(name, _)| name.as_str())
    }

    /// Says whether a placeholder is one of those that a Dynatrace provider replaces.
    #[must_use]
    pub fn resolves(&self, word: &str) -> bool {
        DYNATRACE.contains(&word) || word.starts_with("ENV.")
    }
}

/// Reads an `sli.yaml` strictly.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read_sli(file: &str, text: &str) -> Result<Slis, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::GATES).map_err(|problem| vec![*problem])?;
    let report = Report::new(file, text);
    let queries = read_indicators(&root, &report);
    report.close(queries).map(|(queries, notes)| Slis { notes, ..Slis::new(file, queries) })
}

fn read_indicators(root: &Node, report: &Report<'_>) -> Option<Vec<(String, String)>> {
    let mut fields = Fields::open(root, String::new(), report)?;
    fields.inert(&["spec_version", "comment"]);
    fields.require("indicators", "write 'indicators:' with 'name: query' for each SLI");
    let found = fields.get("indicators");
    fields.close();
    let (node, path) = found?;
    let Value::Map(entries) = &node.value else {
        let message = format!("indicators must be a mapping of names to queries, not {}", node.value.kind());
        report.error(&place_of(node, path), message, "write 'indicators: {response_time_p95: \"…\"}'");
        return None;
    };
    if entries.is_empty() {
        report.error(&place_of(node, path.clone()), "indicators is empty", "write 'name: query' for each SLI");
    }
    let mut seen = HashMap::new();
    let mut queries = Vec::new();
    for (key, value) in entries {
        let (Value::Text(name) | Value::Number(name)) = &key.value else {
            report.error(
                &place_of(key, path.clone()),
                format!("the name of an SLI is a text, not {}", key.value.kind()),
                "put it in quotes",
            );
            continue;
        };
        let here = child(&path, name);
        if let Some(line) = seen.insert(name.clone(), key.line) {
            report.error(&place_of(key, here), format!("the SLI {name:?} is defined twice, first in line {line}"), "keep one of the two");
            continue;
        }
        match &value.value {
            Value::Text(query) if !query.trim().is_empty() => queries.push((name.clone(), query.clone())),
            other => {
                let what = if matches!(other, Value::Text(_)) { "an empty text" } else { other.kind() };
                let message = format!("the query of {name} must be a text, not {what}");
                report.error(&place_of(value, here), message, "write the query as one text, in quotes where it contains ': ' or ' #'");
            }
        }
    }
    Some(queries)
}

/// Reads an `sli.yaml` as the original did: unknown keys are ignored, of repeated names the last counts.
///
/// # Errors
///
/// Returns the syntax error of a text that is no YAML.
pub fn read_sli_keptn(file: &str, text: &str) -> Result<Slis, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::GATES).map_err(|problem| vec![*problem])?;
    let entries = |node: &Node| match &node.value {
        Value::Map(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let named = |node: &Node, wanted: &str| matches!(&node.value, Value::Text(name) if name == wanted);
    let indicators = entries(&root).into_iter().filter(|(key, _)| named(key, "indicators")).flat_map(|(_, value)| entries(&value));
    let query = |(key, value): (Node, Node)| match (key.value, value.value) {
        (Value::Text(name) | Value::Number(name), Value::Text(query) | Value::Number(query)) => Some((name, query)),
        _ => None,
    };
    Ok(Slis::new(file, indicators.filter_map(query).collect()))
}
