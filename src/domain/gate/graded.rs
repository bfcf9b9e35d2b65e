//! Grades a step of a rollout by an `slo.yaml` or an Analysis definition: the file's own arithmetic over the proxy's own figures.
//!
//! A figure that the proxy does not have, or that nobody has asked for yet, is missing, and what is missing is graded as both
//! its worst and its best. A criterion that compares with earlier runs is held against the stable version of the same time.

use std::collections::BTreeMap;

use crate::domain::gate::analysis::spec::Definition;
use crate::domain::gate::analysis::strict as analysis;
use crate::domain::gate::live;
use crate::domain::gate::slo::baseline::{Earlier, EarlierRow};
use crate::domain::gate::slo::criterion::go_text;
use crate::domain::gate::slo::live::{Failure, Figure, Measured};
use crate::domain::gate::slo::spec::Spec;
use crate::domain::gate::slo::strict as slo;
use crate::domain::gate::slo::value::Value;
use crate::domain::gate::verdict::Verdict;
use crate::domain::outcome::Class;

/// The arithmetic of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Arithmetic {
    /// That of an `slo.yaml`.
    Slo(Spec),
    /// That of an Analysis definition.
    Analysis(Definition),
}

/// A file that grades each step, with the figures that answer its objectives.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// Its arithmetic.
    pub arithmetic: Arithmetic,
    /// The figure of each objective that the proxy measures, by the name the arithmetic asks for.
    pub figures: BTreeMap<String, Measured>,
}

impl Graded {
    /// Grades what was measured of the canary, held against stable where the file compares; says why in one sentence.
    #[must_use]
    pub fn grade(&self, canary: &live::Measured<'_>, stable: Option<&live::Measured<'_>>) -> (Verdict, String) {
        let values = |measured: &live::Measured<'_>| -> BTreeMap<String, f64> {
            self.figures.iter().filter_map(|(name, figure)| Some((name.clone(), value(*figure, measured)?))).collect()
        };
        let found = values(canary);
        let (verdict, reasons) = match &self.arithmetic {
            Arithmetic::Slo(spec) => {
                let by_sli = found.into_iter().map(|(name, value)| (name, slo::Reading::Value(value))).collect();
                let earlier: Vec<Earlier> = stable.map(|stable| earlier(values(stable))).into_iter().collect();
                let report = slo::evaluate(spec, &slo::Readings { by_sli, source_failed: None }, &earlier);
                (report.verdict, report.reasons)
            }
            Arithmetic::Analysis(definition) => {
                let texts = found.into_iter().map(|(name, value)| (name, go_text(value))).collect();
                let report = analysis::evaluate(definition, &texts);
                (report.verdict, report.reasons)
            }
        };
        (verdict, reasons.join("; "))
    }
}

/// Joins the grades of several files: what fails one fails, and only what all pass passes.
#[must_use]
pub fn joined(grades: Vec<(Verdict, String)>) -> Option<(Verdict, String)> {
    let rank = |verdict: Verdict| match verdict {
        Verdict::Fail => 3,
        Verdict::Inconclusive => 2,
        Verdict::Warning => 1,
        Verdict::Pass => 0,
    };
    grades.into_iter().reduce(|one, other| {
        let (worse, better) = if rank(other.0) > rank(one.0) { (other, one) } else { (one, other) };
        (worse.0, format!("{}; {}", worse.1, better.1))
    })
}

/// The stable version as the only earlier run.
fn earlier(values: BTreeMap<String, f64>) -> Earlier {
    let row = |(name, value): (String, f64)| EarlierRow { value: Some(Value::new(&name, value)), status: "pass".to_owned() };
    Earlier { result: "pass".to_owned(), invalidated: false, rows: values.into_iter().map(row).collect() }
}

/// Returns a figure in its unit; `None` when no request tells of it, and for figures that depend on the clients.
fn value(measured: Measured, of: &live::Measured<'_>) -> Option<f64> {
    let base = match measured.figure {
        Figure::MeanResponseTime => (of.count > 0).then_some(of.mean_ns)?,
        Figure::ResponseTime(above) => (of.count > 0).then(|| (of.quantile)(1.0 - above.ratio()))?,
        Figure::ErrorRate(failure) => failed(failure, &of.classes)?,
        Figure::Throughput | Figure::Requests => return None,
    };
    Some(measured.unit.from_base(base))
}

/// Returns the share of the ended requests that failed, those whose client left not counted; `None` without any.
fn failed(failure: Failure, classes: &[u64; 7]) -> Option<f64> {
    let of = |class: Class| classes.get(class.index()).copied().unwrap_or(0);
    let ended = classes.iter().sum::<u64>() - of(Class::Aborted);
    let failed = match failure {
        Failure::NotSuccess => ended - of(Class::Success),
        Failure::ServerError | Failure::Service => of(Class::ServerError) + of(Class::Error),
    };
    (ended > 0).then(|| failed as f64 / ended as f64)
}

#[cfg(test)]
#[path = "graded_tests.rs"]
mod tests;
