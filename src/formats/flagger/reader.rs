//! Finds the analysis of a Canary and reads its keys.

use crate::domain::gate::Gate;
use crate::domain::rollout::Plan;
use crate::formats::analysis::documents;
use crate::formats::flagger::{metrics, weights};
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// Keys of an analysis that say nothing about a gate or a plan.
pub(super) const INERT: [&str; 11] = [
    "threshold",
    "iterations",
    "mirror",
    "mirrorWeight",
    "match",
    "sessionAffinity",
    "webhooks",
    "alerts",
    "stepWeightPromotion",
    "primaryReadyThreshold",
    "canaryReadyThreshold",
];

/// A Canary that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The gates, in the order of the metrics; at least one.
    pub gates: Vec<Gate>,
    /// How the canary's share grows, where the file has weights.
    pub plan: Option<Plan>,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads a file with one `Canary`, or with the `analysis` of one alone. `file` is the name shown in problems.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let report = Report::new(file, text);
    let read = find(&documents, &report).and_then(|(node, path)| read_analysis(node, path, &report));
    report.close(read).map(|((gates, plan), notes)| Loaded { gates, plan, notes })
}

/// Finds the analysis of the one Canary, or the analysis that stands alone; reports why there is none.
pub(super) fn find<'n>(documents: &'n [Node], report: &Report<'_>) -> Option<(&'n Node, String)> {
    let canaries: Vec<&Node> = documents.iter().filter(|node| kind_of(node) == Some("Canary")).collect();
    match (canaries.as_slice(), documents) {
        ([canary], _) => analysis_of(canary, report),
        ([], [alone]) if kind_of(alone).is_none() => Some(inner(alone, "analysis").unwrap_or((alone, String::new()))),
        ([], _) => {
            let start = Place { path: String::new(), spot: Some((1, 1)) };
            report.error(&start, "there is no Canary", "name a file with a document of 'kind: Canary'");
            None
        }
        ([_, second, ..], _) => {
            let place = Place { path: String::new(), spot: Some((second.line, second.column)) };
            report.error(&place, "there are two Canaries", "write each into a file of its own");
            None
        }
    }
}

fn analysis_of<'n>(canary: &'n Node, report: &Report<'_>) -> Option<(&'n Node, String)> {
    let found = inner(canary, "spec").and_then(|(spec, path)| {
        // The older name of the block.
        let (node, key) = inner(spec, "analysis").or_else(|| inner(spec, "canaryAnalysis"))?;
        Some((node, format!("{path}.{key}")))
    });
    if found.is_none() {
        let place = Place { path: "spec.analysis".to_owned(), spot: Some((canary.line, canary.column)) };
        report.error(&place, "spec.analysis is missing", "write 'analysis:' with 'metrics' below 'spec'");
    }
    found
}

fn read_analysis(node: &Node, path: String, report: &Report<'_>) -> Option<(Vec<Gate>, Option<Plan>)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("metrics", "write 'metrics:' with request-success-rate or request-duration");
    fields.inert(&INERT);
    let written = weights::Written {
        interval: fields.text("interval"),
        step: fields.text("stepWeight"),
        steps: fields.texts("stepWeights"),
        most: fields.text("maxWeight"),
    };
    let place = fields.place().clone();
    let metrics = fields.list("metrics");
    fields.close();
    let plan = weights::plan(&written, &place, report);
    Some((metrics::gates(metrics?, report), plan?))
}

/// Returns the value of a key of a mapping, and the key.
fn inner<'n>(node: &'n Node, key: &str) -> Option<(&'n Node, String)> {
    let Value::Map(entries) = &node.value else { return None };
    let found = entries.iter().find(|(found, _)| matches!(&found.value, Value::Text(text) if text == key))?;
    Some((&found.1, key.to_owned()))
}

fn kind_of(node: &Node) -> Option<&str> {
    match &inner(node, "kind")?.0.value {
        Value::Text(kind) => Some(kind),
        _ => Some(""),
    }
}
