//! Turns the published cases, which are JSON, into the values of the domain, and compares as the wire would.

use portcullis::domain::gate::slo::baseline::{Earlier, EarlierRow};
use portcullis::domain::gate::slo::criterion::{Criterion, Operator};
use portcullis::domain::gate::slo::keptn;
use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::slo::report::Report;
use portcullis::domain::gate::slo::spec::Spec;
use portcullis::domain::gate::slo::strict;
use portcullis::domain::gate::slo::value::{Answer, Value as SliValue};
use portcullis::domain::gate::slo::written::{Comparison, Slo};
use portcullis::formats::problem::Problem;
use portcullis::formats::slo;
use serde_json::{Value, json};

pub const LIGHTHOUSE: &str = include_str!("../data/compat/lighthouse-cases.json");
pub const ANALYSIS: &str = include_str!("../data/compat/analysis-cases.json");
pub const PROMETHEUS: &str = include_str!("../data/compat/prometheus-sli-cases.json");
pub const ALL_KEYS: &str = include_str!("../data/compat/slo-all-keys.yaml");
pub const QUALITY_GATES: &str = include_str!("../data/compat/slo-quality-gates.yaml");
pub const SLI_PROMETHEUS: &str = include_str!("../data/compat/sli-prometheus.yaml");
pub const SLI_DYNATRACE: &str = include_str!("../data/compat/sli-dynatrace.yaml");
pub const OBJECTIVES: &str = include_str!("../data/compat/service-objectives.yaml");
pub const INDICATORS: &str = include_str!("../data/compat/service-indicators.yaml");

/// Returns a group of cases, asserting how many there are.
pub fn cases(text: &str, group: &str, count: usize) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap();
    let found = all[group].as_array().unwrap().clone();
    assert_eq!(found.len(), count, "{group}");
    found
}

/// Reads a number; the non-finite ones are written as texts.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap(),
    }
}

pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|items| items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

pub fn criterion(value: &Value) -> Option<Criterion> {
    Some(Criterion {
        operator: Operator::from_sign(value["operator"].as_str()?)?,
        value: number(&value["value"]),
        percentage: value["percentage"].as_bool()?,
        comparison: value["comparison"].as_bool()?,
        increase: value["increase"].as_bool()?,
    })
}

pub fn comparison(value: &Value) -> Comparison {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Comparison {
        compare_with: text("compare_with"),
        include_result_with_score: text("include_result_with_score"),
        number_of_comparison_results: value["number_of_comparison_results"].as_i64().unwrap_or(0),
        aggregate_function: text("aggregate_function"),
    }
}

/// Reads a file of a case as the original reads it. JSON is YAML, but absent and empty lists must stay apart.
pub fn slo_of(value: &Value) -> Slo {
    slo::read_keptn(&value.to_string()).unwrap()
}

pub fn sli_value(value: &Value) -> SliValue {
    SliValue {
        metric: value["metric"].as_str().unwrap_or_default().to_owned(),
        value: value["value"].as_f64().unwrap_or(0.0),
        success: value["success"].as_bool().unwrap_or(false),
        message: value["message"].as_str().unwrap_or_default().to_owned(),
    }
}

pub fn answer(values: &Value, result: &str) -> Answer {
    let values = values.as_array().unwrap().iter().map(sli_value).collect();
    Answer { values, result: result.to_owned(), message: "provider message".to_owned() }
}

pub fn earlier(previous: &Value) -> Vec<Earlier> {
    let row = |row: &Value| EarlierRow {
        value: (!row["value"].is_null()).then(|| sli_value(&row["value"])),
        status: row["status"].as_str().unwrap_or_default().to_owned(),
    };
    let one = |one: &Value| Earlier {
        result: one["result"].as_str().unwrap().to_owned(),
        invalidated: false,
        rows: one["indicators"].as_array().unwrap().iter().map(row).collect(),
    };
    previous.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

/// Compares JSON values; numbers as numbers, so that 10 and 10.0 are equal.
pub fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().unwrap().to_bits() == b.as_f64().unwrap().to_bits(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            keys.into_iter().all(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => same(a, b),
                // The wire leaves empty texts out in places; no other key may be missing.
                (Some(only), None) | (None, Some(only)) => only == "",
                (None, None) => true,
            })
        }
        _ => found == wanted,
    }
}

#[track_caller]
pub fn assert_same(found: &Value, wanted: &Value, name: &str) {
    assert!(same(found, wanted), "{name}\nfound  {found}\nwanted {wanted}");
}

pub fn json_of(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// Grades a file by the rules of a release.
pub fn in_keptn(file: &Value, values: &Value, previous: &Value, release: Lighthouse) -> Report {
    keptn::evaluate(&slo_of(file), &answer(values, ""), &earlier(previous), release)
}

/// Loads a file strictly, which leaves out nulls: absent keys are what a person writes.
pub fn load(file: &Value) -> Result<Spec, Vec<Problem>> {
    slo::read("slo.yaml", &without_nulls(file).to_string()).map(|loaded| loaded.spec)
}

/// Grades a file strictly.
pub fn in_strict(file: &Value, values: &Value, previous: &Value) -> Result<Report, Vec<Problem>> {
    let spec = load(file)?;
    let names = spec.objectives.iter().map(|objective| objective.sli.as_str());
    let readings = slo::read_values("values.json", &values.to_string(), names)?;
    Ok(strict::evaluate(&spec, &readings, &earlier(previous)))
}

pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = |(key, value): (&String, &Value)| (!value.is_null()).then(|| (key.clone(), without_nulls(value)));
            Value::Object(fields.iter().filter_map(kept).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Returns a file with one objective per `(sli, pass criteria)`, changed.
pub fn file(objectives: &[(&str, &[&str])], change: impl FnOnce(&mut Value)) -> Value {
    let objectives: Vec<Value> = objectives.iter().map(|(sli, criteria)| json!({"sli": sli, "pass": [{"criteria": criteria}]})).collect();
    let mut file = json!({"objectives": objectives, "total_score": {"pass": "90%", "warning": "75%"}});
    change(&mut file);
    file
}

/// Returns the problems that `show` picks, each with its path.
pub fn shown(problems: &[Problem], show: impl Fn(&Problem) -> bool) -> Vec<String> {
    let line = |p: &Problem| format!("{}: {} ({})", p.path, p.message, p.hint.as_deref().unwrap_or("no hint"));
    problems.iter().filter(|p| show(p)).map(line).collect()
}

/// Returns the errors a file has in strict mode.
pub fn errors(file: &Value) -> Vec<String> {
    shown(&slo::read("slo.yaml", &file.to_string()).err().unwrap_or_default(), Problem::is_error)
}
