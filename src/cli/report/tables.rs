//! The rows that `history` and `report` share.

use std::time::Duration;

use crate::cli::figures::{UNKNOWN, bounds, latency, odds, quantity};
use crate::cli::report::plot::clock;
use crate::cli::why::check::{self, Check};
use crate::domain::gate::evidence::thousands;
use crate::domain::rollout::Entry;
use crate::domain::time::human;
use crate::telemetry::history::Point;
use crate::telemetry::stretch::{Bounded, Figures};

/// The heads of [`decision`].
pub const DECISIONS: [&str; 8] = ["#", "when", "rollout", "version", "phase", "share", "by", "why"];
/// The heads of [`moment`].
pub const MOMENTS: [&str; 12] = ["when (UTC)", "share", "stable", "wrong", "p50", "p95", "p99", "canary", "wrong", "p50", "p95", "p99"];
/// The heads of [`evidence`].
pub const EVIDENCE: [&str; 8] = ["#", "gate", "verdict", "requests", "in breach", "estimate", "evidence", "computed again"];

/// Writes one decision.
pub fn decision(sequence: u64, entry: &Entry) -> Vec<String> {
    let share = if entry.from == entry.to { entry.to.to_string() } else { format!("{} → {}", entry.from, entry.to) };
    vec![
        sequence.to_string(),
        entry.at.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        entry.rollout.to_string(),
        entry.canary.as_ref().map_or_else(|| UNKNOWN.to_owned(), ToString::to_string),
        entry.phase.as_str().replace('_', " "),
        share,
        entry.actor.clone(),
        entry.reason.clone(),
    ]
}

/// Writes how both versions answered at one moment.
pub fn moment(point: &Point) -> Vec<String> {
    let mut row = vec![clock(point.at_ms), point.weight.to_string()];
    for arm in [&point.stable, &point.canary] {
        row.extend(arm.as_ref().map_or_else(|| vec![UNKNOWN.to_owned(); 5], figures));
    }
    row
}

fn figures(figures: &Figures) -> Vec<String> {
    let shown = |percentile: Option<Bounded>| percentile.map_or_else(|| UNKNOWN.to_owned(), |[_, value, _]| latency(value));
    let [p50, p95, p99] = [figures.p50_us, figures.p95_us, figures.p99_us].map(shown);
    vec![thousands(figures.requests), thousands(figures.errors), p50, p95, p99]
}

/// Writes the evidence of one decision, each piece with how far it went and what became of computing it again.
pub fn evidence(sequence: u64, entry: &Entry) -> Vec<(Vec<String>, f64)> {
    let row = |(evidence, check): (&crate::domain::gate::Evidence, Check)| {
        let estimate = evidence.estimate.map_or_else(
            || UNKNOWN.to_owned(),
            |told| format!("{}{}", quantity(evidence.unit, told.value), bounds(evidence.unit, told.lower, told.upper)),
        );
        let (strength, part) = match (evidence.log_e, evidence.log_threshold) {
            (Some(log_e), Some(threshold)) if threshold > 0.0 => {
                (format!("{}, decides at {}", odds(log_e), odds(threshold)), (log_e / threshold).clamp(0.0, 1.0))
            }
            _ => (UNKNOWN.to_owned(), 0.0),
        };
        let again = match check {
            Check::Verified { log_e } => format!("verified: ln E = {log_e:.2}"),
            Check::Arithmetic { why } => format!("not to be verified: {why}"),
            Check::Broken { why } => format!("does NOT verify: {why}"),
        };
        let mut requests = thousands(evidence.requests);
        if let Some(last) = evidence.tipped_by.last() {
            requests.push_str(&format!(", tipped by one of {}", human(Duration::from_nanos(last.latency_ns))));
        }
        let cells =
            [evidence.gate.clone(), evidence.verdict.to_string(), requests, thousands(evidence.breaches), estimate, strength, again];
        (std::iter::once(sequence.to_string()).chain(cells).collect(), part)
    };
    check::all(entry).map(row).collect()
}
