//! Grades an analysis as the lifecycle toolkit did: failure criteria first, a missing value without points, no baseline.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Definition, Objective, Outcome, TotalScore};
use crate::domain::gate::slo::criterion::go_float;
use crate::domain::gate::verdict::Verdict;

/// One objective with its points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectiveResult {
    /// The objective as it was written.
    pub objective: Objective,
    /// What the target says of the value; `None` without a value.
    pub result: Option<Outcome>,
    /// The value; 0 without one.
    pub value: f64,
    /// The points; `None` when they are undecided.
    pub score: Option<f64>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The result of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `pass`, `warning` or `fail`; in strict mode also `inconclusive`.
    pub result: &'static str,
    /// Every objective in the order of the file.
    pub objective_results: Vec<ObjectiveResult>,
    /// The sum of the points; `None` when it is undecided.
    pub total_score: Option<f64>,
    /// The sum of all weights.
    pub maximum_score: f64,
    /// The analysis passes.
    pub pass: bool,
    /// The analysis passes with a warning.
    pub warning: bool,
    /// The verdict.
    #[serde(skip)]
    pub verdict: Verdict,
    /// Why; empty for the original.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Reads the value of an objective from the texts that the providers gave.
///
/// # Errors
///
/// Returns the original's text: that the value is missing, or is no number.
pub fn read_value(values: &BTreeMap<String, String>, key: &str) -> Result<f64, String> {
    let text = values.get(key).ok_or_else(|| format!("required value '{key}' not available"))?;
    go_float(text).ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
}

/// Grades one objective.
#[must_use]
pub fn grade(objective: &Objective, values: &BTreeMap<String, String>) -> ObjectiveResult {
    match read_value(values, &objective.reference.value_key()) {
        Err(error) => ObjectiveResult { objective: objective.clone(), result: None, value: 0.0, score: Some(0.0), error: Some(error) },
        Ok(value) => {
            let outcome = objective.target.outcome(value, Quantity::approximate);
            let score = Some(outcome.points(weight(objective)));
            ObjectiveResult { objective: objective.clone(), result: Some(outcome), value, score, error: None }
        }
    }
}

/// The total of an analysis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// The sum of the points.
    pub score: f64,
    /// The sum of the weights.
    pub maximum: f64,
    /// The analysis passes.
    pub pass: bool,
    /// The analysis passes with a warning.
    pub warning: bool,
}

/// Adds up points: `(weight, points, key objective)` of each objective. Without any weight the percentage is 0.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "percentages are small numbers")]
pub fn total(points: &[(f64, f64, bool)], needed: TotalScore) -> Total {
    let maximum = points.iter().fold(0.0, |sum, (weight, ..)| sum + weight);
    let score = points.iter().fold(0.0, |sum, (_, points, _)| sum + points);
    let percent = if maximum == 0.0 { 0.0 } else { 100.0 * score / maximum };
    let key_lost = points.iter().any(|(_, points, key)| *key && *points == 0.0);
    let pass = !key_lost && percent >= needed.pass_percentage as f64;
    Total { score, maximum, pass, warning: !key_lost && !pass && percent >= needed.warning_percentage as f64 }
}

/// Grades a whole analysis.
#[must_use]
pub fn evaluate(definition: &Definition, values: &BTreeMap<String, String>) -> Report {
    let objective_results: Vec<ObjectiveResult> = definition.objectives.iter().map(|objective| grade(objective, values)).collect();
    let points: Vec<(f64, f64, bool)> =
        objective_results.iter().map(|one| (weight(&one.objective), one.score.unwrap_or(0.0), one.objective.key_objective)).collect();
    let total = total(&points, definition.total_score);
    let verdict = match (total.pass, total.warning) {
        (true, _) => Verdict::Pass,
        (false, true) => Verdict::Warning,
        (false, false) => Verdict::Fail,
    };
    Report {
        result: verdict.as_str(),
        objective_results,
        total_score: Some(total.score),
        maximum_score: total.maximum,
        pass: total.pass,
        warning: total.warning,
        verdict,
        reasons: Vec::new(),
    }
}

/// Returns the points an objective can give.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the original adds weights as doubles")]
pub fn weight(objective: &Objective) -> f64 {
    objective.weight as f64
}
