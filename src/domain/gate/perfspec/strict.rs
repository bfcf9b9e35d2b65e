//! Grades a run so that missing and odd data never pass: an undecided indicator is the interval from 0 to its points.

use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::perfspec::report::{Figures, IndicatorResult, Report, Unusable, Violation};
use crate::domain::gate::perfspec::spec::{Answer, Answers, Compat, Indicator, Objectives, Outcome, SourceResult, Spec, Thresholds};
use crate::domain::gate::verdict::Verdict;

/// The points of one indicator, between the worst and the best its unknown values could bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// The points if everything unknown were as bad as possible.
    pub lowest: f64,
    /// The points if everything unknown were as good as possible.
    pub highest: f64,
    /// Every violated limit.
    pub violations: Vec<Violation>,
    /// The values that could not be used.
    pub unusable: Vec<Unusable>,
    /// What the reader should know: why it is undecided, or why it has points without data.
    pub reasons: Vec<String>,
}

/// Grades a whole run.
///
/// The verdict follows three rules: it is what the file's arithmetic says if that is the same whether the undecided
/// indicators had been as bad or as good as possible; a run that at worst is a warning is a warning; everything else is
/// inconclusive.
#[must_use]
pub fn evaluate(spec: &Spec, answers: &Answers) -> Report {
    let mut lowest = 0.0;
    let mut highest = 0.0;
    let mut reasons = Vec::new();
    let mut indicator_results = Vec::new();
    for indicator in &spec.indicators {
        let graded = grade(indicator, answers.get(&indicator.id));
        lowest += graded.lowest;
        highest += graded.highest;
        reasons.extend(graded.reasons.iter().map(|reason| format!("{}: {reason}", indicator.id)));
        reasons.extend(graded.violations.iter().map(|violation| breach_sentence(indicator, violation)));
        indicator_results.push(IndicatorResult {
            id: Js::Text(indicator.id.clone()),
            violations: graded.violations,
            score: decided(graded.lowest, graded.highest),
            unusable: graded.unusable,
        });
    }
    let (verdict, sentence) = judge(&spec.objectives, lowest, highest);
    reasons.insert(0, sentence);
    let warning = spec.objectives.warning.map_or(Js::Undefined, Js::Number);
    Report {
        compat: Compat::Strict,
        options: Js::Undefined,
        figures: Some(Figures {
            total_score: decided(lowest, highest),
            objectives: Js::Object(vec![("pass".to_owned(), Js::Number(spec.objectives.pass)), ("warning".to_owned(), warning)]),
            indicator_results,
        }),
        result: verdict.as_str(),
        error: None,
        verdict,
        reasons,
    }
}

/// Grades one indicator by what its source said; `None` means no values.
#[must_use]
pub fn grade(indicator: &Indicator, answer: Option<&Answer>) -> Graded {
    let full = indicator.metric_score;
    let mut graded = Graded { lowest: full, highest: full, violations: Vec::new(), unusable: Vec::new(), reasons: Vec::new() };
    match answer {
        Some(Answer::Unavailable(reason)) => {
            graded.lowest = 0.0;
            graded.reasons.push(format!("the source gave no answer: {reason}"));
        }
        None => grade_nothing(indicator, &mut graded),
        Some(Answer::Values(results)) if results.is_empty() => grade_nothing(indicator, &mut graded),
        Some(Answer::Values(results)) => {
            for result in results {
                grade_result(indicator, result, &mut graded);
            }
            if indicator.relative.needs_baseline() {
                graded.lowest = 0.0;
                graded.reasons.push("no baseline: the limits relative to an earlier run cannot be judged".to_owned());
            }
        }
    }
    graded
}

fn grade_nothing(indicator: &Indicator, graded: &mut Graded) {
    if indicator.ignore_empty {
        graded.reasons.push("no data, full points because of ignoreEmpty".to_owned());
    } else {
        graded.lowest = 0.0;
        graded.reasons.push("no values".to_owned());
    }
}

fn grade_result(indicator: &Indicator, result: &SourceResult, graded: &mut Graded) {
    match usable(&result.value) {
        Ok(value) => {
            let (score, breaches) = threshold_score(indicator, value);
            graded.lowest = graded.lowest.min(score);
            graded.highest = graded.highest.min(score);
            graded.violations.extend(breaches.into_iter().map(|(breach, threshold)| Violation {
                metadata: indicator.metadata.clone(),
                value: result.value.clone(),
                key: result.key.clone(),
                breach,
                threshold: Js::Number(threshold),
            }));
        }
        Err(reason) => {
            graded.lowest = 0.0;
            let place = if result.key == Js::Undefined { String::new() } else { format!(" of {}", result.key.to_text()) };
            graded.reasons.push(format!("{reason}{place}"));
            graded.unusable.push(Unusable { key: result.key.clone(), value: result.value.clone(), reason });
        }
    }
}

/// Reads a value: a finite number, or one written as text, as Prometheus does.
fn usable(value: &Js) -> Result<f64, String> {
    let number = match value {
        Js::Undefined | Js::Null => return Err("no value".to_owned()),
        Js::Number(number) => *number,
        Js::Text(text) => match text.trim().parse::<f64>() {
            Ok(number) => number,
            Err(_) => return Err(format!("value is not a number: {text:?}")),
        },
        Js::Bool(_) => return Err(format!("value is not a number: {}", value.to_text())),
        Js::List(_) => return Err("value is not a number: a list".to_owned()),
        Js::Object(_) => return Err("value is not a number: an object".to_owned()),
    };
    if number.is_nan() {
        Err("value is not a number: NaN".to_owned())
    } else if number.is_infinite() {
        Err(format!("value is not finite: {}", Js::Number(number).to_text()))
    } else {
        Ok(number)
    }
}

/// The threshold grader's arithmetic: a value on a limit violates it, severe leaves no points and hides the warning of
/// its side, a warning halves the points. A limit of 0 counts. A limit that a relative one overrides is left out.
fn threshold_score(indicator: &Indicator, value: f64) -> (f64, Vec<(&'static str, f64)>) {
    let Thresholds { upper_severe, upper_warning, lower_severe, lower_warning } = indicator.thresholds;
    let relative = &indicator.relative;
    let overridden = |perc: Option<f64>| perc.is_some() && relative.needs_baseline();
    let below = |limit: Option<f64>, perc| limit.filter(|limit| !overridden(perc) && value <= *limit);
    let above = |limit: Option<f64>, perc| limit.filter(|limit| !overridden(perc) && value >= *limit);
    let mut score = indicator.metric_score;
    let mut breaches = Vec::new();
    if let Some(limit) = below(lower_severe, relative.lower_severe_perc) {
        score = 0.0;
        breaches.push(("lowerSevere", limit));
    } else if let Some(limit) = below(lower_warning, relative.lower_warning_perc) {
        score /= 2.0;
        breaches.push(("lowerWarning", limit));
    }
    if let Some(limit) = above(upper_severe, relative.upper_severe_perc) {
        score = 0.0;
        breaches.push(("upperSevere", limit));
    } else if let Some(limit) = above(upper_warning, relative.upper_warning_perc) {
        score /= 2.0;
        breaches.push(("upperWarning", limit));
    }
    (score, breaches)
}

/// Returns the number both ends agree on, else `null`.
fn decided(lowest: f64, highest: f64) -> Js {
    #[expect(clippy::float_cmp, reason = "both are the same sum unless an indicator is undecided")]
    if lowest == highest { Js::Number(lowest) } else { Js::Null }
}

/// Judges a total that lies between `lowest` and `highest`.
fn judge(objectives: &Objectives, lowest: f64, highest: f64) -> (Verdict, String) {
    let (worst, best) = (objectives.outcome(lowest), objectives.outcome(highest));
    let total = match decided(lowest, highest) {
        Js::Number(total) => format!("totalScore {total}"),
        _ => format!("totalScore between {lowest} and {highest}"),
    };
    let pass = objectives.pass;
    match (worst, best) {
        (Outcome::Pass, _) => (Verdict::Pass, format!("{total} reaches objectives.pass {pass}")),
        (Outcome::Warning, Outcome::Warning | Outcome::Pass) => {
            let warning = objectives.warning.unwrap_or(pass);
            (Verdict::Warning, format!("{total} reaches objectives.warning {warning} but not surely objectives.pass {pass}"))
        }
        (_, Outcome::Fail) => {
            let (name, needed) = objectives.warning.filter(|w| *w < pass).map_or(("pass", pass), |w| ("warning", w));
            (Verdict::Fail, format!("{total} is below objectives.{name} {needed}"))
        }
        (Outcome::Fail, best) => {
            (Verdict::Inconclusive, format!("{total}: the result would be anything from {} to {}", worst.as_str(), best.as_str()))
        }
    }
}

fn breach_sentence(indicator: &Indicator, violation: &Violation) -> String {
    let side = if violation.breach.starts_with("upper") { "at or above" } else { "at or below" };
    let (id, value, limit) = (&indicator.id, violation.value.to_text(), violation.threshold.to_text());
    format!("{id}: {value} is {side} {} {limit}", violation.breach)
}
