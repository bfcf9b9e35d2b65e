//! Reads the metrics of a template for values that were measured elsewhere: any provider, with the conditions as written.

use crate::domain::gate::metrics::grade::{Condition, Metric, Rule};
use crate::formats::analysis::documents;
use crate::formats::argo::condition::EXAMPLES;
use crate::formats::argo::expression;
use crate::formats::argo::reader::{self, INERT};
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::Node;

/// What asks whether there is a value at all.
const WITHOUT_VALUE: [&str; 4] = ["isNaN", "isInf", "isNil", "len("];

/// Metrics that can be graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The metrics in the order of the file, dry runs left out; at least one.
    pub metrics: Vec<Metric>,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads the conditions of a file with one `AnalysisTemplate` or `ClusterAnalysisTemplate`. `file` is the name shown in
/// problems.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read_conditions(file: &str, text: &str) -> Result<Evaluated, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let report = Report::new(file, text);
    let written = reader::metrics(&documents, &report).unwrap_or_default();
    let metrics: Vec<Metric> = written.into_iter().filter_map(|(node, path)| metric(node, path, &report)).collect();
    if metrics.iter().all(|metric| metric.rule == Rule::Free)
        && !report.has_errors()
        && let Some(template) = documents.first()
    {
        let place = place_of(template, "spec.metrics".to_owned());
        report.error(&place, "no metric has a condition, so nothing is judged", EXAMPLES);
    }
    report.close(Some(metrics)).map(|(metrics, notes)| Evaluated { metrics, notes })
}

fn metric(node: &Node, path: String, report: &Report<'_>) -> Option<Metric> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "give the metric the name that its value has");
    fields.inert(&INERT);
    fields.peek("provider");
    let place = fields.place().clone();
    let (name, success, failure) = (fields.text("name"), fields.text("successCondition"), fields.text("failureCondition"));
    fields.close();
    let name = name?.value;
    if success.is_none() && failure.is_none() {
        report.note(&place, format!("the metric {name:?} has no condition, so it is not judged"), EXAMPLES);
        return Some(Metric { name, rule: Rule::Free });
    }
    let read = |text: Option<At<String>>| text.map_or(Some(None), |text| condition(text, report).map(Some));
    let (success, failure) = (read(success), read(failure));
    Some(Metric { name, rule: Rule::Conditions { success: success?, failure: failure? } })
}

fn condition(text: At<String>, report: &Report<'_>) -> Option<Condition> {
    match expression::parse(&text.value) {
        Ok(expression) => {
            if WITHOUT_VALUE.iter().any(|word| text.value.contains(word)) {
                let message = "without a finite value the metric is inconclusive, whatever the condition says of that";
                report.note(&text.place, message, "leave that part out");
            }
            Some(Condition { text: text.value, expression })
        }
        Err(reason) => {
            report.error(&text.place, format!("the condition cannot be judged: {reason}"), EXAMPLES);
            None
        }
    }
}
