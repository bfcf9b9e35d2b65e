//! Reads the metrics of a Canary for values that were measured elsewhere: any name, with the range its value must keep to.

use std::collections::HashSet;

use crate::domain::gate::metrics::grade::{Metric, Rule};
use crate::formats::analysis::documents;
use crate::formats::flagger::{metrics, reader};
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{Place, Report};
use crate::formats::yaml::tree::Node;

/// Keys of an analysis that make a plan, which no value is graded by.
const PLAN: [&str; 4] = ["interval", "stepWeight", "stepWeights", "maxWeight"];

/// Metrics that can be graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The metrics in the order of the file; at least one.
    pub metrics: Vec<Metric>,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads the ranges of a file with one `Canary`, or with the `analysis` of one alone. `file` is the name shown in
/// problems. The older `threshold` is the least success rate, and the most of every other metric, as in Flagger.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read_ranges(file: &str, text: &str) -> Result<Evaluated, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let report = Report::new(file, text);
    let metrics = reader::find(&documents, &report).and_then(|(node, path)| analysis(node, path, &report));
    report.close(metrics).map(|(metrics, notes)| Evaluated { metrics, notes })
}

fn analysis(node: &Node, path: String, report: &Report<'_>) -> Option<Vec<Metric>> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("metrics", "write 'metrics:' with one entry for each value that is judged");
    for key in PLAN.into_iter().chain(reader::INERT) {
        fields.peek(key);
    }
    let written = fields.list("metrics");
    fields.close();
    let written = written?;
    if written.value.is_empty() {
        report.error(&written.place, "metrics is empty, so nothing is judged", "write for example request-success-rate");
    }
    let mut metrics: Vec<Metric> = Vec::new();
    let mut seen = HashSet::new();
    for (node, path) in written.value {
        let Some((metric, place)) = metric(node, path, report) else { continue };
        if seen.insert(metric.name.clone()) {
            metrics.push(metric);
        } else {
            report.error(&place, format!("the metric {} occurs twice", metric.name), "keep one of the two");
        }
    }
    Some(metrics)
}

fn metric(node: &Node, path: String, report: &Report<'_>) -> Option<(Metric, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "give the metric the name that its value has");
    for key in ["interval", "query", "templateRef", "templateVariables"] {
        fields.peek(key);
    }
    let (name, threshold) = (fields.text("name"), fields.text("threshold"));
    let has_range = fields.has("thresholdRange");
    let range = fields.get("thresholdRange").and_then(|(node, path)| metrics::range(node, path, report));
    let place = fields.place().clone();
    fields.close();
    let name = name?.value;
    let range = match (range, threshold) {
        (Some(range), _) => range,
        // What is wrong with the range was reported.
        (None, _) if has_range => return None,
        (None, Some(text)) => metrics::older(&name, text, report)?,
        (None, None) => {
            let hint = "write 'thresholdRange: {min: 99}' for the least, 'thresholdRange: {max: 500}' for the most";
            report.error(&place, format!("the metric {name} has no threshold, so it could never fail"), hint);
            return None;
        }
    };
    let limit = |end: Option<(f64, _)>| end.map(|(limit, _)| limit);
    Some((Metric { name, rule: Rule::Range { min: limit(range.min), max: limit(range.max) } }, place))
}
