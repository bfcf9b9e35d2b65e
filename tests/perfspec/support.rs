//! Runs a gate file and values through the public functions, as the command line does.

use portcullis::domain::gate::perfspec::{Js, Report, keptn, strict};
use portcullis::formats::perfspec;
use portcullis::formats::problem::Problem;
use serde_json::{Value, json};

pub const DYNATRACE: &str = include_str!("../data/compat/perfspec_dynatrace.json");
pub const PROMETHEUS: &str = include_str!("../data/compat/perfspec_prometheus.json");

/// Returns a report as it is printed.
pub fn json_of(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// Grades as the original does.
pub fn in_keptn(spec: &Value, values: &Value) -> Value {
    let values = Js::from(values);
    json_of(&keptn::evaluate(&perfspec::load_keptn(&spec.to_string()), &|id| {
        Ok(match values.get(id)? {
            Js::Undefined => Js::List(Vec::new()),
            results => results.clone(),
        })
    }))
}

/// Loads both texts strictly and grades.
pub fn in_strict(spec: &Value, values: &Value) -> Result<Report, Vec<Problem>> {
    let loaded = perfspec::load("perfspec.json", &spec.to_string())?;
    let answers = perfspec::load_values("values.json", &values.to_string(), &loaded.spec)?;
    Ok(strict::evaluate(&loaded.spec, &answers))
}

/// Returns the seed's Dynatrace file, changed.
pub fn carts(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = serde_json::from_str(DYNATRACE).unwrap();
    change(&mut spec);
    spec
}

/// Returns one value of the indicator of [`carts`].
pub fn value(value: impl Into<Value>) -> Value {
    json!({"ResponseTime_Backend": [{"key": "SERVICE-1", "value": value.into()}]})
}

/// Returns the errors a changed file has in strict mode, each with its path.
pub fn errors(spec: &Value) -> Vec<String> {
    let problems = perfspec::load("perfspec.json", &spec.to_string()).err().unwrap_or_default();
    problems
        .iter()
        .filter(|p| p.is_error())
        .map(|p| format!("{}: {} ({})", p.path, p.message, p.hint.as_deref().unwrap_or("no hint")))
        .collect()
}

/// Returns the notes of a file that loads in strict mode.
pub fn notes(spec: &Value) -> Vec<String> {
    let loaded = perfspec::load("perfspec.json", &spec.to_string()).unwrap();
    loaded.notes.iter().map(|note| format!("{}: {}", note.path, note.message)).collect()
}
