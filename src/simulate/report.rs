//! What is told of many runs: verdicts with exact bounds on what is behind them, delays, harm, and each expectation.

use std::fmt::Write as _;

use serde::Serialize;

use crate::domain::rollout::Phase;
use crate::domain::stats::binomial;
use crate::simulate::expect::{self, Checked, short};
use crate::simulate::outcome::{Brake, Outcome};
use crate::simulate::run::{self, Results};
use crate::simulate::scenario::Scenario;

/// How sure the bounds on a share are.
const LEVEL: f64 = 0.95;

/// How many of the runs, and what share that may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub runs: u64,
    /// The lower 95 % bound of Clopper and Pearson on the probability behind it.
    pub lower: f64,
    /// The upper one.
    pub upper: f64,
}

/// A figure over the runs that have one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The 90 % point.
    pub p90: f64,
    /// The largest.
    pub max: f64,
}

/// What one controller made of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The controller.
    pub controller: String,
    /// How many runs.
    pub runs: u64,
    /// Runs that ended rolled back.
    pub rolled_back: Share,
    /// Runs in which the share was taken back at least once.
    pub braked: Share,
    /// Runs that ended promoted.
    pub promoted: Share,
    /// Runs that ended aborted.
    pub aborted: u64,
    /// Runs that go on or wait.
    pub open: u64,
    /// From when the canary went bad until its share was taken back, in seconds.
    pub delay: Option<Spread>,
    /// From when the canary went bad until it was rolled back for good, in seconds.
    pub confirmed: Option<Spread>,
    /// Bad requests the canary got until its share was taken back.
    pub harmed: Option<Spread>,
    /// Bad requests the canary got in the whole run.
    pub harmed_in_all: Option<Spread>,
    /// From the beginning to the promotion, in seconds.
    pub promotion: Option<Spread>,
    /// What was expected and what was found.
    pub checks: Vec<Checked>,
}

/// What came of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The file and the variation.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Where its expectations come from.
    pub source: Option<String>,
    /// The seed of the first run.
    pub seed: u64,
    /// Requests simulated for Portcullis.
    pub requests: u64,
    /// Portcullis first, then its peers.
    pub lines: Vec<Line>,
    /// Runs that broke an invariant, with their seeds; the first ten.
    pub broken: Vec<String>,
}

impl Report {
    /// Sums up what came of a scenario that is called `name`.
    #[must_use]
    pub fn new(name: String, scenario: &Scenario, results: &Results) -> Self {
        let mut lines = vec![line("Portcullis".to_owned(), &results.runs, expect::check(&scenario.expect, &results.runs, scenario.runs.0))];
        for (peer, runs) in scenario.peer.iter().zip(&results.peers) {
            let full = run::runs_of_peers(scenario, scenario.runs.0);
            lines.push(line(peer.name.clone(), runs, expect::check(&peer.expect, runs, full)));
        }
        let broken =
            results.runs.iter().enumerate().filter_map(|(index, run)| {
                run.broken.as_ref().map(|what| format!("seed {}: {what}", results.seed.wrapping_add(index as u64)))
            });
        Self {
            name,
            title: scenario.title.clone(),
            source: scenario.source.clone(),
            seed: results.seed,
            requests: results.runs.iter().map(|run| run.requests).sum(),
            broken: broken.take(10).collect(),
            lines,
        }
    }

    /// Says whether every expectation held and no invariant was broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.lines.iter().all(|line| line.checks.iter().all(|check| check.holds))
    }

    /// Writes it as text of several lines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} · {}\n", self.name, self.title);
        if let Some(source) = &self.source {
            let _ = writeln!(text, "  after {source}");
        }
        let _ = writeln!(
            text,
            "  {:<26} {:>6}  {:<24} {:<24} {:>8}  {:>19}  {:>19}  {:>13}",
            "", "runs", "rolled back", "promoted", "braked", "delay s (p90)", "harmed (p90)", "promotion s"
        );
        for line in &self.lines {
            let spread = |spread: Option<Spread>| spread.map_or("-".to_owned(), |s| format!("{} ({})", short(s.median), short(s.p90)));
            let _ = writeln!(
                text,
                "  {:<26} {:>6}  {:<24} {:<24} {:>8}  {:>19}  {:>19}  {:>13}",
                line.controller,
                line.runs,
                share(line.rolled_back),
                share(line.promoted),
                line.braked.runs,
                spread(line.delay),
                spread(line.harmed),
                line.promotion.map_or("-".to_owned(), |s| short(s.median)),
            );
        }
        for line in &self.lines {
            for check in &line.checks {
                let word = if check.holds { "ok    " } else { "FAILED" };
                let off = check.deviation.map_or(String::new(), |d| format!(" ({:+.1} %)", d * 100.0));
                let _ =
                    writeln!(text, "  {word} {}: {} expected {}, found {}{off}", line.controller, check.what, check.expected, check.found);
            }
        }
        for broken in &self.broken {
            let _ = writeln!(text, "  BROKEN {broken}");
        }
        text
    }
}

fn share(share: Share) -> String {
    format!("{} ({}–{} %)", share.runs, short(share.lower * 100.0), short(share.upper * 100.0))
}

fn line(controller: String, runs: &[Outcome], checks: Vec<Checked>) -> Line {
    let count = runs.len() as u64;
    let of = |what: &dyn Fn(&Outcome) -> bool| {
        let hits = runs.iter().filter(|run| what(run)).count() as u64;
        let (lower, upper) = binomial::bounds(hits, count, LEVEL);
        Share { runs: hits, lower, upper }
    };
    let spread = |get: &dyn Fn(&Outcome) -> Option<f64>| {
        let mut values: Vec<f64> = runs.iter().filter_map(get).collect();
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        Some(Spread { mean, median: expect::median(&values)?, p90: expect::quantile(&values, 0.9)?, max: *values.last()? })
    };
    let (rolled_back, promoted) = (of(&|run| run.phase == Phase::RolledBack), of(&|run| run.phase == Phase::Promoted));
    let aborted = of(&|run| run.phase == Phase::Aborted).runs;
    Line {
        controller,
        runs: count,
        rolled_back,
        braked: of(&|run| run.brakes > 0),
        promoted,
        aborted,
        open: count - rolled_back.runs - promoted.runs - aborted,
        delay: spread(&Outcome::delay),
        confirmed: spread(&Outcome::confirmed),
        harmed: spread(&|run| run.brake.as_ref().map(|brake: &Brake| brake.harmed as f64)),
        harmed_in_all: spread(&|run| Some(run.harmed as f64)),
        promotion: spread(&Outcome::promotion),
        checks,
    }
}
