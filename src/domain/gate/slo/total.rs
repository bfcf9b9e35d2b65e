//! From the points of the rows to the result of the whole evaluation, with the sentences of the original.

use crate::domain::gate::slo::criterion::{go_float, go_text};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::written::TotalScore;

/// The key objective that failed; of several the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFailure {
    /// Its name for people, which may be empty.
    pub name: String,
    /// What failed.
    pub message: String,
}

/// The points of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Points {
    /// The points.
    pub score: f64,
    /// Whether the row shows any pass target.
    pub has_pass_targets: bool,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Total {
    /// `pass`, `warning` or `fail`.
    pub result: &'static str,
    /// The points in percent of the maximum.
    pub score: f64,
    /// Why it is no pass; empty for a pass.
    pub message: String,
}

/// Adds up the points and judges them.
///
/// # Errors
///
/// Returns the original's text when `total_score` is missing or no number; the event is then errored.
pub fn total(
    maximum: f64,
    points: &[Points],
    needed: Option<&TotalScore>,
    key_failure: Option<&KeyFailure>,
    release: Lighthouse,
) -> Result<Total, &'static str> {
    let target = pass_target(needed);
    if release.checks_total_score_first() {
        target?;
    }
    if maximum == 0.0 {
        return Ok(Total { result: "pass", score: 100.0, message: String::new() });
    }
    let counts = |one: &&Points| !release.fails_missing_keys() || one.has_pass_targets;
    let sum = points.iter().filter(counts).fold(0.0, |sum, one| sum + one.score);
    let score = 100.0 * (sum / maximum);
    let target = target?;
    let text = go_text(score);
    let total = |result, message| Ok(Total { result, score, message });
    if score >= target && key_failure.is_none() {
        return total("pass", String::new());
    }
    if let Some(failure) = key_failure {
        return total("fail", format!("Evaluation failed due to key_sli objective '{}': {}", failure.name, failure.message));
    }
    let warning = needed.map_or("", |needed| needed.warning.as_str());
    if warning.is_empty() {
        let target = go_text(target);
        return total("fail", format!("Evaluation failed since the calculated score of {text} is below the target value of {target}"));
    }
    let warning = percentage(warning).ok_or("could not parse warning target percentage")?;
    let shown = go_text(warning);
    if score >= warning {
        let message =
            format!("Evaluation returned a warning: the calculated score of {text} is close to the warning target value of {shown}");
        total("warning", message)
    } else {
        total("fail", format!("Evaluation failed since the calculated score of {text} is below the warning value of {shown}"))
    }
}

fn pass_target(needed: Option<&TotalScore>) -> Result<f64, &'static str> {
    let pass = needed.map(|needed| needed.pass.as_str()).filter(|pass| !pass.is_empty()).ok_or("no target score defined")?;
    percentage(pass).ok_or("could not parse pass target percentage")
}

/// Reads a percentage with or without its sign.
fn percentage(text: &str) -> Option<f64> {
    go_float(text.strip_suffix('%').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_score_that_cannot_be_read_is_seen_before_the_shortcut_only_by_later_releases() {
        let bad = TotalScore { pass: "many".into(), warning: String::new() };
        assert_eq!(total(0.0, &[], Some(&bad), None, Lighthouse::V0_6_0).map(|total| total.result), Ok("pass"));
        assert_eq!(total(0.0, &[], Some(&bad), None, Lighthouse::V1), Err("could not parse pass target percentage"));
        assert_eq!(total(1.0, &[], None, None, Lighthouse::V0_6_0), Err("no target score defined"));
        let bad = TotalScore { pass: "90".into(), warning: "x".into() };
        assert_eq!(total(1.0, &[], Some(&bad), None, Lighthouse::V1), Err("could not parse warning target percentage"));
    }

    #[test]
    fn points_of_rows_without_pass_targets_count_before_1_2() {
        let needed = TotalScore { pass: "90%".into(), warning: String::new() };
        let points = [Points { score: 1.0, has_pass_targets: false }];
        assert_eq!(total(1.0, &points, Some(&needed), None, Lighthouse::V1_0).map(|total| total.result), Ok("pass"));
        assert_eq!(total(1.0, &points, Some(&needed), None, Lighthouse::V1).map(|total| total.result), Ok("fail"));
    }
}
