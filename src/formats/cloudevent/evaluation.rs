//! The payloads of an evaluation, era by era. What is no number is written as null with a reason.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::formats::cloudevent::incoming::EvaluationResult;

/// A finished evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// Where the evaluated span begins.
    pub start: Timestamp,
    /// Where it ends.
    pub end: Timestamp,
    /// What it says.
    pub result: EvaluationResult,
    /// Whether the artifact goes on (`evaluationpassed` of 0.4); never for an inconclusive one.
    pub passed: bool,
    /// The score: per cent, points in 0.4.
    pub score: f64,
    /// The text of the gate file.
    pub gate_file: &'a str,
    /// Why, in words.
    pub message: &'a str,
    /// One entry for each objective.
    pub indicators: &'a [Indicator],
    /// The ids of the earlier evaluations it was compared with.
    pub compared: &'a [String],
    /// The report of pitometer, which 0.4 sends as `evaluationdetails`.
    pub pitometer: Option<&'a Map<String, Value>>,
}

/// What an objective says.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator {
    /// The name of the SLI.
    pub metric: String,
    /// What people call it.
    pub display_name: String,
    /// Its value; NaN or infinite where there is none.
    pub value: f64,
    /// The value it was compared with.
    pub compared: Option<f64>,
    /// Whether it could be measured.
    pub success: bool,
    /// Why not, or empty.
    pub message: String,
    /// The points it brought.
    pub score: f64,
    /// Whether its failure fails the whole.
    pub key: bool,
    /// What is thought of it.
    pub status: Status,
    /// What it must keep to pass.
    pub pass_targets: Vec<Target>,
    /// What it must keep for a warning.
    pub warning_targets: Vec<Target>,
}

/// What is thought of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Good.
    Pass,
    /// Good enough, perhaps.
    Warning,
    /// Bad.
    Fail,
    /// It has no criteria.
    Info,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warning => "warning",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// A criterion with its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The criterion as it is written, such as `<=+10%`.
    pub criteria: String,
    /// The limit that it comes to.
    pub target_value: f64,
    /// Whether it was broken.
    pub violated: bool,
}

/// Returns the word for a result that every tool knows: what is inconclusive must promote nothing.
pub fn known_word(result: EvaluationResult) -> &'static str {
    match result {
        EvaluationResult::Pass => "pass",
        EvaluationResult::Warning => "warning",
        EvaluationResult::Fail | EvaluationResult::Inconclusive => "fail",
    }
}

/// Returns the word for a result in the details, where an inconclusive one has its own.
fn word(result: EvaluationResult) -> &'static str {
    if result == EvaluationResult::Inconclusive { "inconclusive" } else { known_word(result) }
}

/// Adds what 0.2 to 0.4 say.
pub fn add_0_4(data: &mut Map<String, Value>, evaluation: &Evaluation<'_>) {
    let passed = evaluation.passed && evaluation.result != EvaluationResult::Inconclusive;
    data.insert("evaluationpassed".to_owned(), Value::Bool(passed));
    let mut details = evaluation.pitometer.cloned().unwrap_or_default();
    details.entry("totalScore").or_insert_with(|| number(evaluation.score));
    details.insert("result".to_owned(), word(evaluation.result).into());
    data.insert("evaluationdetails".to_owned(), Value::Object(details));
}

/// Adds what 0.6 and 0.7 say; `targets` are the warning targets followed by the pass targets.
pub fn add_0_6(data: &mut Map<String, Value>, evaluation: &Evaluation<'_>) {
    let indicator = |indicator: &Indicator| {
        let targets: Vec<Value> = indicator.warning_targets.iter().chain(&indicator.pass_targets).map(target).collect();
        json!({ "score": number(indicator.score), "value": measured(indicator), "targets": targets, "status": indicator.status.as_str() })
    };
    let mut details = span(evaluation);
    details.insert("indicatorResults".to_owned(), evaluation.indicators.iter().map(indicator).collect());
    data.insert("evaluationdetails".to_owned(), Value::Object(details));
    data.insert("result".to_owned(), known_word(evaluation.result).into());
}

/// Adds what 1.x says.
pub fn add_1(data: &mut Map<String, Value>, evaluation: &Evaluation<'_>) {
    let indicator = |indicator: &Indicator| {
        let mut value = measured(indicator);
        if let (Some(compared), Value::Object(value)) = (indicator.compared, &mut value) {
            value.insert("comparedValue".to_owned(), number(compared));
        }
        json!({
            "score": number(indicator.score),
            "value": value,
            "displayName": indicator.display_name,
            "passTargets": indicator.pass_targets.iter().map(target).collect::<Vec<_>>(),
            "warningTargets": indicator.warning_targets.iter().map(target).collect::<Vec<_>>(),
            "keySli": indicator.key,
            "status": indicator.status.as_str(),
        })
    };
    let mut details = span(evaluation);
    details.insert("indicatorResults".to_owned(), evaluation.indicators.iter().map(indicator).collect());
    details.insert("comparedEvents".to_owned(), evaluation.compared.into());
    data.insert("evaluation".to_owned(), Value::Object(details));
    let status = if evaluation.result == EvaluationResult::Inconclusive { "unknown" } else { "succeeded" };
    data.insert("status".to_owned(), status.into());
    data.insert("result".to_owned(), known_word(evaluation.result).into());
    data.insert("message".to_owned(), evaluation.message.into());
}

fn span(evaluation: &Evaluation<'_>) -> Map<String, Value> {
    Map::from_iter([
        ("timeStart".to_owned(), time(evaluation.start)),
        ("timeEnd".to_owned(), time(evaluation.end)),
        ("result".to_owned(), word(evaluation.result).into()),
        ("score".to_owned(), number(evaluation.score)),
        ("sloFileContent".to_owned(), STANDARD.encode(evaluation.gate_file).into()),
    ])
}

fn target(target: &Target) -> Value {
    json!({ "criteria": target.criteria, "targetValue": number(target.target_value), "violated": target.violated })
}

/// A value with the reason where there is none.
fn measured(indicator: &Indicator) -> Value {
    let mut value = json!({ "metric": indicator.metric, "value": number(indicator.value), "success": indicator.success });
    let reason = match indicator.value {
        _ if !indicator.message.is_empty() => Some(indicator.message.as_str()),
        value if value.is_nan() => Some("the value is not a number"),
        value if value.is_infinite() => Some("the value is infinite"),
        _ => None,
    };
    if let (Some(reason), Value::Object(value)) = (reason, &mut value) {
        value.insert("message".to_owned(), reason.into());
    }
    value
}

/// Writes a number, one that JSON does not have as null.
fn number(number: f64) -> Value {
    Value::from(number)
}

/// Writes a moment as keptn did, in milliseconds.
pub fn time(time: Timestamp) -> Value {
    format!("{time:.3}").into()
}
