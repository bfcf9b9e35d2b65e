//! Checks what came of a scenario against what its file says must come of it.
//!
//! With fewer runs than the file asks for, the figures of the file are claims about what is behind the runs: a count or median
//! must then only be one that chance leaves open, at the 99.9 % level.

use serde::Serialize;

use crate::domain::rollout::Phase;
use crate::domain::stats::binomial;
use crate::simulate::outcome::Outcome;
use crate::simulate::scenario::expectation::Exactly;
use crate::simulate::scenario::{Expect, Figure, Tally};

/// What chance is allowed to do before a count says that a claim is wrong.
const LEVEL: f64 = 0.999;

/// One expectation and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// What was looked at, such as `rolled_back`.
    pub what: &'static str,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// How far off a median is, as a share of what was expected.
    pub deviation: Option<f64>,
    /// Whether it is as expected.
    pub holds: bool,
}

/// Checks every expectation. `full` is the number of runs the file asks for.
#[must_use]
pub fn check(expect: &Expect, runs: &[Outcome], full: usize) -> Vec<Checked> {
    let in_phase = |wanted: Phase| runs.iter().filter(|run| run.phase == wanted).count();
    let tallies = [
        ("rolled_back", expect.rolled_back, in_phase(Phase::RolledBack)),
        ("braked", expect.braked, runs.iter().filter(|run| run.brakes > 0).count()),
        ("promoted", expect.promoted, in_phase(Phase::Promoted)),
        ("aborted", expect.aborted, in_phase(Phase::Aborted)),
        ("paused", expect.paused, in_phase(Phase::Paused)),
        ("awaiting_approval", expect.awaiting_approval, in_phase(Phase::AwaitingApproval)),
        ("receding", expect.receding, in_phase(Phase::Receding)),
        ("progressing", expect.progressing, [Phase::Progressing, Phase::Braked, Phase::Watching].into_iter().map(in_phase).sum()),
    ];
    let of_brake = |get: fn(&crate::simulate::outcome::Brake) -> u64| -> Vec<f64> {
        runs.iter().filter_map(|run| run.brake.as_ref().map(|brake| get(brake) as f64)).collect()
    };
    let figures = [
        ("delay", expect.delay, runs.iter().filter_map(Outcome::delay).collect()),
        ("confirmed", expect.confirmed, runs.iter().filter_map(Outcome::confirmed).collect()),
        ("harmed", expect.harmed, of_brake(|brake| brake.harmed)),
        ("requests", expect.requests, of_brake(|brake| brake.requests)),
        ("breaches", expect.breaches, of_brake(|brake| brake.breaches)),
        ("late", expect.late, runs.iter().map(|run| run.late as f64).collect()),
        ("shed", expect.shed, runs.iter().map(|run| run.shed as f64).collect()),
        ("full", expect.full, runs.iter().filter_map(|run| run.full).collect()),
        ("promotion", expect.promotion, runs.iter().filter_map(Outcome::promotion).collect::<Vec<f64>>()),
    ];
    let mut checked: Vec<Checked> = tallies
        .into_iter()
        .filter_map(|(what, tally, found)| Some(check_tally(what, tally?, found as u64, runs.len() as u64, full as u64)))
        .collect();
    for (what, figure, values) in figures {
        if let Some(figure) = figure {
            check_figure(what, figure, values, runs.len() >= full, &mut checked);
        }
    }
    checked
}

fn check_tally(what: &'static str, tally: Tally, found: u64, runs: u64, full: u64) -> Checked {
    let mut expected = Vec::new();
    let mut holds = true;
    match tally.exactly {
        Some(Exactly::All) => {
            holds &= found == runs;
            expected.push("all".to_owned());
        }
        Some(Exactly::Runs(0)) => {
            holds &= found == 0;
            expected.push("0".to_owned());
        }
        Some(Exactly::Runs(count)) => {
            holds &= if runs >= full { found == count } else { found <= count };
            expected.push(count.to_string());
        }
        None => {}
    }
    let share = |count: u64| (count as f64 / full.max(1) as f64).min(1.0);
    if let Some(most) = tally.at_most {
        let most = if runs >= full { most } else { binomial::quantile(LEVEL, runs, share(most)) };
        holds &= found <= most;
        expected.push(format!("at most {most}"));
    }
    if let Some(least) = tally.at_least {
        let least = if runs >= full { least } else { binomial::quantile(1.0 - LEVEL, runs, share(least)) };
        holds &= found >= least;
        expected.push(format!("at least {least}"));
    }
    if let Some(share) = tally.share_at_most {
        let most = binomial::quantile(LEVEL, runs, share);
        holds &= found <= most;
        expected.push(format!("at most {most} ({} %)", share * 100.0));
    }
    Checked { what, expected: expected.join(", "), found: format!("{found} of {runs}"), deviation: None, holds }
}

fn check_figure(what: &'static str, figure: Figure, mut values: Vec<f64>, exact: bool, checked: &mut Vec<Checked>) {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most), Some(median)) = (values.first().copied(), values.last().copied(), median(&values)) else {
        checked.push(Checked { what, expected: "a figure".to_owned(), found: "no run has one".to_owned(), deviation: None, holds: false });
        return;
    };
    let (low, high) = if exact { (median, median) } else { median_bounds(&values) };
    let within = figure.within.map_or(0.1, |ratio| ratio.0);
    let near = |name: &str, wanted: f64, found: f64, (low, high): (f64, f64)| {
        let (from, to) = (wanted * (1.0 - within), wanted * (1.0 + within));
        Checked {
            what,
            expected: format!("{name} {} ± {} %", short(wanted), short(within * 100.0)),
            found: short(found),
            deviation: Some(if wanted > 0.0 { found / wanted - 1.0 } else { 0.0 }),
            holds: low <= to + 1e-9 && high >= from - 1e-9,
        }
    };
    if let Some(wanted) = figure.median.map(|quantity| quantity.0) {
        checked.push(near("median", wanted, median, (low, high)));
    }
    if let Some(wanted) = figure.mean.map(|quantity| quantity.0) {
        let (mean, error) = mean_and_error(&values);
        let doubt = student(values.len()) * error;
        let bounds = if exact { (mean, mean) } else { (mean - doubt, mean + doubt) };
        checked.push(near("mean", wanted, mean, bounds));
    }
    if let Some(bound) = figure.median_at_most.map(|quantity| quantity.0) {
        let expected = format!("median at most {}", short(bound));
        checked.push(Checked { what, expected, found: short(median), deviation: None, holds: low <= bound });
    }
    if let Some(wanted) = figure.every.map(|quantity| quantity.0) {
        let holds = (least - wanted).abs() < 1e-9 && (most - wanted).abs() < 1e-9;
        let found = format!("{} to {}", short(least), short(most));
        checked.push(Checked { what, expected: format!("always {}", short(wanted)), found, deviation: None, holds });
    }
    if let Some(bound) = figure.at_most.map(|quantity| quantity.0) {
        let expected = format!("never above {}", short(bound));
        checked.push(Checked { what, expected, found: short(most), deviation: None, holds: most <= bound });
    }
}

/// How many standard errors the mean of at least so many values is off with 0.1 %: the two-sided points of Student's
/// distribution for one value less, the last one that of the normal distribution.
const STUDENT: [(usize, f64); 14] = [
    (2, 636.6),
    (3, 31.60),
    (4, 12.92),
    (5, 8.61),
    (6, 6.87),
    (7, 5.96),
    (8, 5.41),
    (9, 5.04),
    (11, 4.59),
    (13, 4.32),
    (16, 4.07),
    (21, 3.85),
    (31, 3.65),
    (1_000, 3.30),
];

fn student(values: usize) -> f64 {
    STUDENT.iter().rev().find(|(least, _)| values >= *least).map_or(f64::INFINITY, |(_, factor)| *factor)
}

/// Returns the mean of at least one value and its standard error, infinite for a single value.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, if values.len() < 2 { f64::INFINITY } else { (squares / (count - 1.0) / count).sqrt() })
}

/// Returns the median of sorted values.
#[must_use]
pub fn median(sorted: &[f64]) -> Option<f64> {
    quantile(sorted, 0.5)
}

/// Returns a quantile of sorted values: the smallest value with at least this share of them at or below it, and for the
/// median of an even number the middle of the two.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let count = sorted.len();
    if share == 0.5 && count > 0 && count.is_multiple_of(2) {
        return Some(f64::midpoint(*sorted.get(count / 2 - 1)?, *sorted.get(count / 2)?));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
    let rank = (count as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, count.max(1)) - 1).copied()
}

/// Returns the order statistics between which the median lies with 99.9 %.
fn median_bounds(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len() as u64;
    let low = binomial::quantile((1.0 - LEVEL) / 2.0, n, 0.5);
    let at = |rank: u64, otherwise: f64| usize::try_from(rank).ok().and_then(|rank| sorted.get(rank)).copied().unwrap_or(otherwise);
    // Fewer values than the level needs bound nothing.
    let lower = if low == 0 { 0.0 } else { at(low - 1, 0.0) };
    (lower, at(n - low, f64::INFINITY))
}

/// Writes a number with three significant digits.
#[must_use]
pub fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the logarithm of a double is below 400")]
    let places = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::scenario::expectation::Quantity;

    fn tally(tally: Tally, found: u64, runs: u64, full: u64) -> bool {
        check_tally("x", tally, found, runs, full).holds
    }

    #[test]
    fn counts_are_exact_with_every_run_and_fair_with_fewer() {
        let most = Tally { at_most: Some(131), ..Tally::default() };
        assert!(tally(most, 131, 2_000, 2_000) && !tally(most, 132, 2_000, 2_000));
        assert!(tally(most, 12, 100, 2_000) && !tally(most, 25, 100, 2_000));
        let share = Tally { share_at_most: Some(0.05), ..Tally::default() };
        assert!(tally(share, 131, 2_000, 2_000) && !tally(share, 132, 2_000, 2_000) && !tally(share, 40, 400, 2_000));
        let all = Tally { exactly: Some(Exactly::All), ..Tally::default() };
        assert!(tally(all, 10, 10, 100) && !tally(all, 9, 10, 100));
    }

    #[test]
    fn a_median_must_be_near_and_fewer_runs_are_given_the_doubt() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let holds = |median: f64, exact: bool| {
            let mut checked = Vec::new();
            let figure = Figure { median: Some(Quantity(median)), ..Figure::default() };
            check_figure("x", figure, values.clone(), exact, &mut checked);
            checked[0].holds
        };
        assert!(holds(50.0, true) && holds(46.0, true) && !holds(40.0, true));
        assert!(holds(40.0, false) && !holds(25.0, false));
        let mean = |values: &[f64]| {
            let mut checked = Vec::new();
            let figure = Figure { mean: Some(Quantity(50.0)), ..Figure::default() };
            check_figure("x", figure, values.to_vec(), false, &mut checked);
            checked[0].holds
        };
        assert!(mean(&[10.0, 11.0]) && !mean(&[10.0, 11.0, 10.0, 11.0, 10.0, 11.0]), "two values that are alike say little");
        let mut checked = Vec::new();
        check_figure("x", Figure { every: Some(Quantity(3.0)), ..Figure::default() }, vec![3.0, 4.0], true, &mut checked);
        assert!(!checked[0].holds);
        check_figure("x", Figure::default(), Vec::new(), true, &mut checked);
        assert!(!checked[1].holds, "a figure that no run has is no success");
    }

    #[test]
    fn numbers_are_written_short() {
        for (value, text) in [(1.296_7, "1.3"), (0.05, "0.05"), (12_345.6, "12346"), (7.94, "7.94"), (0.0, "0"), (100.0, "100")] {
            assert_eq!(short(value), text);
        }
    }
}
