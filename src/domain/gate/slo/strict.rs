//! Grades an evaluation so that missing and odd data never pass: what is not known is graded as both its worst and its best.

use std::collections::BTreeMap;

use crate::domain::gate::slo::baseline::{Baseline, Earlier};
use crate::domain::gate::slo::criterion::{Criterion, go_text};
use crate::domain::gate::slo::report::{Judge, Report, Row, Target};
use crate::domain::gate::slo::spec::{Clause, Objective, Spec, TotalScore};
use crate::domain::gate::slo::value::Value;
use crate::domain::gate::verdict::Verdict;

/// What was measured of one SLI.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// One number.
    Value(f64),
    /// No usable value; the text says why.
    Unusable(String),
}

/// What was measured, by SLI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// The readings.
    pub by_sli: BTreeMap<String, Reading>,
    /// The source reported that the whole measurement failed; the text says why.
    pub source_failed: Option<String>,
}

/// The points of one objective, between the worst and the best that what is unknown could bring.
struct Graded {
    lowest: f64,
    highest: f64,
    row: Row,
    reasons: Vec<String>,
}

/// The score word of a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fail,
    Warning,
    Pass,
}

/// Grades a whole evaluation. `earlier` is what is remembered, newest first.
///
/// The verdict is what the file's arithmetic says if that is the same whether everything unknown had gone as badly or
/// as well as possible; a run that at worst is a warning is a warning; everything else is inconclusive. A file whose
/// objectives are all informational judges nothing and is inconclusive too.
#[must_use]
pub fn evaluate(spec: &Spec, readings: &Readings, earlier: &[Earlier]) -> Report {
    let baseline = Baseline::new(earlier, spec.comparison);
    let graded: Vec<(&Objective, Graded)> =
        spec.objectives.iter().map(|objective| (objective, grade(objective, readings.by_sli.get(&objective.sli), &baseline))).collect();
    let counted = || graded.iter().filter(|(objective, _)| !objective.is_informational());
    let maximum: f64 = counted().map(|(objective, _)| f64::from(objective.weight)).sum();
    let percent = |points: &dyn Fn(&Graded) -> f64| 100.0 * (counted().fold(0.0, |sum, (_, one)| sum + points(one)) / maximum);
    let (lowest, highest) = (percent(&|one| one.lowest), percent(&|one| one.highest));
    let key = |points: &dyn Fn(&Graded) -> f64| counted().find(|(objective, one)| objective.key && points(one) <= 0.0);
    let (lost_key, endangered_key) = (key(&|one| one.highest), key(&|one| one.lowest));

    let (mut verdict, mut sentence) = if spec.judges() {
        judge(&spec.total, lowest, highest, lost_key.map(|(key, _)| *key), endangered_key.map(|(key, _)| *key))
    } else {
        (Verdict::Inconclusive, "every objective is informational, so nothing is judged".to_owned())
    };
    if let Some(why) = &readings.source_failed
        && verdict != Verdict::Fail
    {
        (verdict, sentence) = (Verdict::Inconclusive, format!("the source failed: {why}"));
    }
    let mut reasons = vec![sentence.clone()];
    reasons.extend(graded.iter().flat_map(|(objective, one)| one.reasons.iter().map(|reason| format!("{}: {reason}", objective.name()))));
    Report {
        judge: Judge::Strict,
        status: "succeeded",
        result: verdict.as_str(),
        message: sentence,
        evaluation_result: verdict.as_str().to_owned(),
        score: if spec.judges() { decided(lowest, highest) } else { None },
        rows: Some(graded.into_iter().map(|(_, one)| one.row).collect()),
        slo_text: String::new(),
        verdict,
        reasons,
    }
}

fn grade(objective: &Objective, reading: Option<&Reading>, baseline: &Baseline<'_>) -> Graded {
    let mut reasons = Vec::new();
    let value = match reading {
        Some(Reading::Value(value)) if value.is_finite() => Ok(*value),
        Some(Reading::Value(value)) => Err(format!("the value is {}", go_text(*value))),
        Some(Reading::Unusable(why)) => Err(why.clone()),
        None => Err("no value".to_owned()),
    };
    let relative = objective.pass.iter().chain(&objective.warning).flatten().any(|clause| clause.criterion.comparison);
    let base = if relative { baseline.of(&objective.sli) } else { None };
    let judged = |sets: &[Vec<Clause>]| judge_sets(sets, value.as_ref().ok().copied(), base.map(|(base, _)| base), objective);
    let (pass, pass_targets) = judged(&objective.pass);
    let (warning, warning_targets) = judged(&objective.warning);
    let weight = f64::from(objective.weight);
    let half = 0.5 * weight;
    let (lowest, highest) = match (pass, warning) {
        _ if objective.is_informational() => (0.0, 0.0),
        (Some(true), _) => (weight, weight),
        (Some(false), Some(true)) => (half, half),
        (Some(false), Some(false)) => (0.0, 0.0),
        (Some(false), None) => (0.0, half),
        (None, Some(true)) => (half, weight),
        (None, _) => (0.0, weight),
    };
    match &value {
        Err(why) => reasons.push(why.clone()),
        Ok(_) if relative && pass.is_none() => reasons.push(match base {
            None => "nothing earlier to compare with; \"baseline: optional\" in the objective goes without".to_owned(),
            Some((base, _)) => format!("a percentage of the earlier value {} says nothing", go_text(base)),
        }),
        Ok(value) => {
            let missed = pass_targets.iter().filter(|target| target.violated == Some(true));
            reasons.extend(missed.filter(|_| pass == Some(false)).map(|target| {
                let limit = target.target.map_or(String::new(), |limit| format!(", which is {}", go_text(limit)));
                format!("{} misses \"{}\"{limit}", go_text(*value), target.criteria)
            }));
        }
    }
    if let (Some((base, count)), Ok(_)) = (base, &value) {
        let of = if count == 1 { "one earlier evaluation".to_owned() } else { format!("{count} earlier evaluations") };
        reasons.push(format!("compared with {} of {of}", go_text(base)));
    }
    let status = match decided(lowest, highest) {
        _ if objective.is_informational() => "info",
        None => "inconclusive",
        Some(_) if pass == Some(true) => "pass",
        Some(_) if warning == Some(true) => "warning",
        Some(_) => "fail",
    };
    let shown = match value {
        Ok(value) => Value::new(&objective.sli, value),
        Err(why) => Value::failed(&objective.sli, why),
    };
    let row = Row {
        score: decided(lowest, highest),
        value: shown,
        compared: base.map_or(0.0, |(base, _)| base),
        display_name: objective.display_name.clone(),
        pass_targets: Some(pass_targets),
        warning_targets: Some(warning_targets),
        key: objective.key,
        status,
    };
    Graded { lowest, highest, row, reasons }
}

/// Judges criteria sets in three-valued logic: a set is as its worst criterion, the sets together as their best.
fn judge_sets(sets: &[Vec<Clause>], value: Option<f64>, base: Option<f64>, objective: &Objective) -> (Option<bool>, Vec<Target>) {
    let mut targets = Vec::new();
    let mut any = Some(false);
    for set in sets {
        let mut all = Some(true);
        for clause in set {
            let target = target_of(&clause.criterion, base);
            let holds = match (value, target) {
                (Some(_), None) if base.is_none() && objective.baseline_optional => Some(true),
                (Some(value), Some(target)) => Some(clause.criterion.operator.holds(value, target)),
                _ => None,
            };
            all = match (all, holds) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (None, _) | (_, None) => None,
                _ => Some(true),
            };
            targets.push(Target { criteria: clause.text.clone(), target, violated: holds.map(|holds| !holds) });
        }
        any = match (any, all) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        };
    }
    (any, targets)
}

/// Returns what a value is compared with; `None` without a base value, or for a percentage of nothing or less.
fn target_of(criterion: &Criterion, base: Option<f64>) -> Option<f64> {
    if !criterion.comparison {
        return Some(criterion.value);
    }
    let base = base.filter(|base| !criterion.percentage || *base > 0.0)?;
    Some(criterion.target(base)).filter(|target| target.is_finite())
}

/// Returns the number both ends agree on.
fn decided(lowest: f64, highest: f64) -> Option<f64> {
    #[expect(clippy::float_cmp, reason = "both are the same sum unless an objective is undecided")]
    if lowest == highest { Some(lowest) } else { None }
}

/// Judges a score between `lowest` and `highest`, of which key objectives may be lost for sure or perhaps.
fn judge(
    needed: &TotalScore,
    lowest: f64,
    highest: f64,
    lost_key: Option<&Objective>,
    endangered_key: Option<&Objective>,
) -> (Verdict, String) {
    let outcome = |score: f64, key_lost: bool| {
        if key_lost {
            Outcome::Fail
        } else if score >= needed.pass {
            Outcome::Pass
        } else if needed.warning.is_some_and(|warning| score >= warning) {
            Outcome::Warning
        } else {
            Outcome::Fail
        }
    };
    let score = match decided(lowest, highest) {
        Some(score) => format!("the score of {} %", go_text(score)),
        None => format!("the score between {} % and {} %", go_text(lowest), go_text(highest)),
    };
    let pass = go_text(needed.pass);
    match (outcome(lowest, endangered_key.is_some()), outcome(highest, lost_key.is_some())) {
        (Outcome::Pass, _) => (Verdict::Pass, format!("{score} reaches total_score.pass {pass} %")),
        (Outcome::Warning, Outcome::Warning | Outcome::Pass) => {
            let warning = go_text(needed.warning.unwrap_or(needed.pass));
            (Verdict::Warning, format!("{score} reaches total_score.warning {warning} % but not surely total_score.pass {pass} %"))
        }
        (_, Outcome::Fail) => {
            if let Some(key) = lost_key {
                return (Verdict::Fail, format!("the key objective {} fails", key.name()));
            }
            let (name, needed) = needed.warning.filter(|warning| *warning < needed.pass).map_or(("pass", needed.pass), |w| ("warning", w));
            (Verdict::Fail, format!("{score} is below total_score.{name} {} %", go_text(needed)))
        }
        (Outcome::Fail, _) => {
            let key = endangered_key.map_or(String::new(), |key| format!("; the key objective {} is undecided", key.name()));
            (Verdict::Inconclusive, format!("{score} leaves the result open{key}"))
        }
    }
}
