//! Grades an analysis so that missing and odd values never pass: an unknown objective is the interval from 0 to its weight.

use std::collections::BTreeMap;

use crate::domain::gate::analysis::keptn::{ObjectiveResult, Report, read_value, total, weight};
use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Definition, Objective, Outcome};
use crate::domain::gate::slo::criterion::go_text;
use crate::domain::gate::verdict::Verdict;

/// Grades a whole analysis. The verdict is what the arithmetic says if it is the same at the worst and at the best of
/// what is unknown; a run that at worst is a warning is a warning; everything else is inconclusive.
#[must_use]
pub fn evaluate(definition: &Definition, values: &BTreeMap<String, String>) -> Report {
    let results: Vec<ObjectiveResult> = definition.objectives.iter().map(|objective| grade(objective, values)).collect();
    let points = |unknown: &dyn Fn(f64) -> f64| -> Vec<(f64, f64, bool)> {
        let of = |one: &ObjectiveResult| {
            let full = weight(&one.objective);
            (full, one.score.unwrap_or_else(|| unknown(full)), one.objective.key_objective)
        };
        results.iter().map(of).collect()
    };
    let (worst, best) = (total(&points(&|_| 0.0), definition.total_score), total(&points(&|full| full), definition.total_score));
    let known = results.iter().all(|one| one.score.is_some());
    let score = if known { go_text(worst.score) } else { format!("between {} and {}", go_text(worst.score), go_text(best.score)) };
    let needed = definition.total_score;
    let of = format!("{score} of {} points", go_text(worst.maximum));
    let judges = definition.objectives.iter().any(|objective| !objective.target.is_empty());
    let (verdict, sentence) = if !judges {
        (Verdict::Inconclusive, "no objective has a target, so nothing is judged".to_owned())
    } else if worst.pass {
        (Verdict::Pass, format!("{of} reach totalScore.passPercentage {}", needed.pass_percentage))
    } else if worst.warning {
        (Verdict::Warning, format!("{of} reach totalScore.warningPercentage {}", needed.warning_percentage))
    } else if !best.pass && !best.warning {
        let lost = results.iter().find(|one| one.objective.key_objective && one.score == Some(0.0));
        let sentence = lost.map_or_else(
            || format!("{of} do not reach totalScore.warningPercentage {}", needed.warning_percentage.min(needed.pass_percentage)),
            |key| format!("the key objective {} fails", key.objective.reference.value_key()),
        );
        (Verdict::Fail, sentence)
    } else {
        (Verdict::Inconclusive, format!("{of} leave the result open"))
    };
    let mut reasons = vec![sentence];
    reasons.extend(results.iter().filter_map(reason));
    Report {
        result: verdict.as_str(),
        total_score: known.then_some(worst.score),
        maximum_score: worst.maximum,
        pass: verdict == Verdict::Pass,
        warning: verdict == Verdict::Warning,
        objective_results: results,
        verdict,
        reasons,
    }
}

fn grade(objective: &Objective, values: &BTreeMap<String, String>) -> ObjectiveResult {
    let usable = read_value(values, &objective.reference.value_key())
        .and_then(|value| if value.is_finite() { Ok(value) } else { Err(format!("the value is {}", go_text(value))) });
    let objective = objective.clone();
    match usable {
        Ok(value) => {
            let outcome = objective.target.outcome(value, Quantity::exact);
            let score = Some(outcome.points(weight(&objective)));
            ObjectiveResult { objective, result: Some(outcome), value, score, error: None }
        }
        Err(error) => ObjectiveResult { objective, result: None, value: 0.0, score: None, error: Some(error) },
    }
}

fn reason(one: &ObjectiveResult) -> Option<String> {
    let name = one.objective.reference.value_key();
    let target = &one.objective.target;
    match one.result {
        None => one.error.as_ref().map(|error| format!("{name}: {error}")),
        Some(Outcome::Pass) => None,
        Some(Outcome::Fail) => target.failure.as_ref().map(|failure| format!("{name}: {} is {failure}", go_text(one.value))),
        Some(Outcome::Warning) => target.warning.as_ref().map(|warning| format!("{name}: {} is {warning}", go_text(one.value))),
    }
}
