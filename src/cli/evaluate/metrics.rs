//! Evaluates the metrics of a Canary or an AnalysisTemplate.

use crate::cli::evaluate::files::{File, Outcome, Stop, both};
use crate::domain::gate::metrics::grade::{self, Metric};
use crate::formats::problem::Problem;
use crate::formats::{argo, flagger, metric_values};

/// Evaluates the ranges of a Canary.
///
/// # Errors
///
/// Fails with every problem of both files.
pub fn canary(gate: &File, values: &File) -> Result<Outcome, Stop> {
    let read = gate.text().and_then(|text| flagger::read_ranges(&gate.name, text));
    judge(read.map(|read| (read.metrics, read.notes)), values)
}

/// Evaluates the conditions of an AnalysisTemplate.
///
/// # Errors
///
/// Fails with every problem of both files.
pub fn template(gate: &File, values: &File) -> Result<Outcome, Stop> {
    let read = gate.text().and_then(|text| argo::read_conditions(&gate.name, text));
    judge(read.map(|read| (read.metrics, read.notes)), values)
}

fn judge(read: Result<(Vec<Metric>, Vec<Problem>), Vec<Problem>>, values: &File) -> Result<Outcome, Stop> {
    let known: Option<Vec<&str>> = read.as_ref().ok().map(|(metrics, _)| metrics.iter().map(|metric| metric.name.as_str()).collect());
    let found = values.text().and_then(|text| metric_values::read(&values.name, text, known.as_deref()));
    let ((metrics, notes), found) = both(read, found)?;
    let report = grade::evaluate(&metrics, &found);
    Outcome::new(report.verdict, &report, notes)
}
