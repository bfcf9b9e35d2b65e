//! The result of a run in the shape of the original, which other tools read; strict mode adds a verdict and its reasons.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::perfspec::spec::Compat;
use crate::domain::gate::verdict::Verdict;

/// What an indicator without a single value breaches.
pub const NO_VALUES: &str = "The indicator returned no values";

/// One limit that one value violates.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The metadata of the grading; left out when undefined, as every field here.
    pub metadata: Js,
    /// The value as the source gave it.
    pub value: Js,
    /// The entity it belongs to.
    pub key: Js,
    /// The name of the limit, or [`NO_VALUES`].
    pub breach: &'static str,
    /// The limit.
    pub threshold: Js,
}

/// A value that says nothing about the version.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    /// The entity it belongs to.
    pub key: Js,
    /// The value; written as `null` when it is not finite.
    pub value: Js,
    /// Why it says nothing.
    pub reason: String,
}

/// The points of one indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct IndicatorResult {
    /// The indicator's id.
    pub id: Js,
    /// Every violated limit of every value, in the order of the source.
    pub violations: Vec<Violation>,
    /// The points; `null` when they are undecided.
    pub score: Js,
    /// The values that could not be used; strict mode only.
    pub unusable: Vec<Unusable>,
}

/// The figures of a run that was graded to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The sum of the points; `null` when it is undecided.
    pub total_score: Js,
    /// The objectives of the file.
    pub objectives: Js,
    /// The indicators in the order they were graded.
    pub indicator_results: Vec<IndicatorResult>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The behaviour that judged.
    pub compat: Compat,
    /// The options of the run: `context`, `timeStart` and `timeEnd`, as far as they are known.
    pub options: Js,
    /// The figures; `None` when the original rejects the whole run.
    pub figures: Option<Figures>,
    /// The result's word: `pass`, `warning`, `fail`; with strict also `inconclusive`, with keptn also `failed`.
    pub result: &'static str,
    /// Why the original rejects the run.
    pub error: Option<String>,
    /// The verdict; the original's `failed` is a fail.
    pub verdict: Verdict,
    /// Why; never empty in strict mode.
    pub reasons: Vec<String>,
}

impl Report {
    /// Makes the report of a run the original rejects.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            compat: Compat::Keptn,
            options: Js::Undefined,
            figures: None,
            result: "failed",
            error: Some(error.clone()),
            verdict: Verdict::Fail,
            reasons: vec![error],
        }
    }

    /// Adds the options of the run.
    #[must_use]
    pub fn with_options(mut self, options: Js) -> Self {
        self.options = options;
        self
    }

    /// Says whether the run counts as passed: a warning does, as in the original since 0.2.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(self.verdict, Verdict::Pass | Verdict::Warning)
    }

    /// Returns the report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut reasons = self.reasons.clone();
        if let Some(figures) = &self.figures {
            let options = if self.options == Js::Undefined { json!({}) } else { self.options.to_json() };
            out.insert("options".to_owned(), options);
            if matches!(figures.total_score, Js::Number(total) if !total.is_finite()) {
                reasons.push(format!("totalScore is {} and is written as null", figures.total_score.to_text()));
            }
            out.insert("totalScore".to_owned(), figures.total_score.to_json());
            put(&mut out, "objectives", &figures.objectives);
            out.insert("indicatorResults".to_owned(), figures.indicator_results.iter().map(indicator_json).collect());
        }
        out.insert("result".to_owned(), json!(self.result));
        if let Some(error) = &self.error {
            out.insert("error".to_owned(), json!(error));
        }
        if self.compat == Compat::Strict {
            out.insert("verdict".to_owned(), json!(self.verdict));
            out.insert("reasons".to_owned(), json!(reasons));
        }
        Value::Object(out)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

fn indicator_json(result: &IndicatorResult) -> Value {
    let mut out = Map::new();
    put(&mut out, "id", &result.id);
    out.insert("violations".to_owned(), result.violations.iter().map(violation_json).collect());
    put(&mut out, "score", &result.score);
    if !result.unusable.is_empty() {
        let unusable = |u: &Unusable| json!({ "key": u.key, "value": u.value, "reason": u.reason });
        out.insert("unusable".to_owned(), result.unusable.iter().map(unusable).collect());
    }
    Value::Object(out)
}

fn violation_json(violation: &Violation) -> Value {
    let mut out = Map::new();
    put(&mut out, "metadata", &violation.metadata);
    put(&mut out, "value", &violation.value);
    put(&mut out, "key", &violation.key);
    out.insert("breach".to_owned(), json!(violation.breach));
    put(&mut out, "threshold", &violation.threshold);
    Value::Object(out)
}

/// Puts a field unless it is undefined.
fn put(out: &mut Map<String, Value>, name: &str, value: &Js) {
    if *value != Js::Undefined {
        out.insert(name.to_owned(), value.to_json());
    }
}
