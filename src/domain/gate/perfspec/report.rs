//! The result of a run in the shape of the original, which other tools read; strict mode adds a verdict and its reasons.

use serde::{Serialize, Serializer};

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

    /// Returns the report as an object with the fields in the original's order.
    #[must_use]
    pub fn to_js(&self) -> Js {
        let mut out = Vec::new();
        let mut reasons = self.reasons.clone();
        if let Some(figures) = &self.figures {
            let total = &figures.total_score;
            if matches!(total, Js::Number(total) if !total.is_finite()) {
                reasons.push(format!("totalScore is {} and is written as null", total.to_text()));
            }
            let options = if self.options == Js::Undefined { Js::Object(Vec::new()) } else { self.options.clone() };
            out.push(("options", options));
            out.push(("totalScore", total.clone()));
            out.push(("objectives", figures.objectives.clone()));
            out.push(("indicatorResults", Js::List(figures.indicator_results.iter().map(indicator_object).collect())));
        }
        out.push(("result", text(self.result)));
        out.push(("error", self.error.as_deref().map_or(Js::Undefined, text)));
        if self.compat == Compat::Strict {
            out.push(("verdict", text(self.verdict.as_str())));
            out.push(("reasons", Js::List(reasons.iter().map(|reason| text(reason)).collect())));
        }
        object(out)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_js().serialize(serializer)
    }
}

fn indicator_object(result: &IndicatorResult) -> Js {
    let unusable = |u: &Unusable| object(vec![("key", u.key.clone()), ("value", u.value.clone()), ("reason", text(&u.reason))]);
    let unusable = match result.unusable.as_slice() {
        [] => Js::Undefined,
        values => Js::List(values.iter().map(unusable).collect()),
    };
    object(vec![
        ("id", result.id.clone()),
        ("violations", Js::List(result.violations.iter().map(violation_object).collect())),
        ("score", result.score.clone()),
        ("unusable", unusable),
    ])
}

fn violation_object(violation: &Violation) -> Js {
    object(vec![
        ("metadata", violation.metadata.clone()),
        ("value", violation.value.clone()),
        ("key", violation.key.clone()),
        ("breach", text(violation.breach)),
        ("threshold", violation.threshold.clone()),
    ])
}

fn object(fields: Vec<(&str, Js)>) -> Js {
    Js::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Js {
    Js::Text(text.to_owned())
}
