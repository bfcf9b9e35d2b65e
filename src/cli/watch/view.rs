//! Writes one moment of a rollout: for a terminal as a picture, else as one line.

use crate::cli::figures::{UNKNOWN, columns, harmless, latency, odds};
use crate::cli::status::waits;
use crate::control::status::{RolloutStatus, ServiceStatus};
use crate::domain::gate::evidence::thousands;
use crate::domain::judge::GateStatus;
use crate::domain::weight::Weight;
use crate::telemetry::history::Point;
use crate::telemetry::stretch::{Bounded, Figures};

/// The width of the bar of the shares, in characters.
const SHARES: usize = 40;
/// The width of a bar of evidence.
const EVIDENCE: usize = 20;
/// From which age a judgement is told to be old, in milliseconds.
const OLD: u64 = 3_000;

/// What is shown.
pub struct Moment<'m> {
    /// The service.
    pub service: &'m ServiceStatus,
    /// How its versions answered over the last ten seconds.
    pub figures: Option<&'m Point>,
    /// How long ago the controller judged, in milliseconds.
    pub judged_ms: u64,
}

impl Moment<'_> {
    /// Writes what is told anew when it changes.
    pub fn stand(&self) -> String {
        self.service.rollout.as_ref().map_or_else(String::new, |rollout| {
            let verdicts: Vec<&str> = rollout.gates.iter().map(|gate| gate.verdict.as_str()).collect();
            format!("{} {} {} {} {}", rollout.id, rollout.phase.as_str(), rollout.weight, rollout.step, verdicts.join(" "))
        })
    }

    /// Writes the picture, line by line.
    pub fn picture(&self, colour: bool) -> Vec<String> {
        let name = &self.service.name;
        let Some(rollout) = &self.service.rollout else {
            let waits = self.service.waits.as_deref().unwrap_or("waiting for a rollout to begin");
            return vec![format!("{name}: owned by {}; {waits}", self.service.owner.name)];
        };
        let mut lines =
            vec![format!("{name}: rollout {} of {} against {}, {}", rollout.id, rollout.canary.name, rollout.stable.name, place(rollout))];
        lines.push(shares(rollout, colour));
        lines.extend(table(&self.latencies(rollout)));
        lines.extend(table(&rollout.gates.iter().map(|gate| evidence(gate, colour)).collect::<Vec<_>>()));
        if let Some(next) = waits(rollout) {
            lines.push(format!("next: {next}"));
        }
        lines.push(format!("because: {}", rollout.reason));
        if self.judged_ms > OLD {
            lines.push(format!("the last judgement is {:.1} s old", self.judged_ms as f64 / 1e3));
        }
        lines.into_iter().map(|line| clean(&line, colour)).collect()
    }

    /// Writes everything in one line.
    pub fn line(&self, at: &str) -> String {
        let name = &self.service.name;
        let Some(rollout) = &self.service.rollout else {
            let waits =
                self.service.waits.as_ref().map_or_else(|| "waits for a rollout to begin".to_owned(), |waits| format!("waits: {waits}"));
            return format!("{at} {name} {waits}");
        };
        let mut parts = vec![format!("{at} {name} {} {}", rollout.weight, place(rollout))];
        let [stable, canary] = self.arms();
        for (version, arm) in [(&rollout.stable, stable), (&rollout.canary, canary)] {
            if let Some(arm) = arm {
                let [p50, p95, p99] =
                    [arm.p50_us, arm.p95_us, arm.p99_us].map(|p| p.map_or_else(|| UNKNOWN.to_owned(), |[_, p, _]| latency(p)));
                parts.push(format!(
                    "{} p50 {p50} p95 {p95} p99 {p99}, {} of {} wrong",
                    version.name,
                    thousands(arm.errors),
                    thousands(arm.requests)
                ));
            }
        }
        let gate =
            |gate: &GateStatus| format!("{}: {}, evidence {} of {}", gate.gate, gate.verdict, odds(gate.log_e), odds(gate.log_threshold));
        parts.extend(rollout.gates.iter().map(gate));
        parts.extend(waits(rollout));
        parts.join("; ")
    }

    fn arms(&self) -> [Option<&Figures>; 2] {
        self.figures.map_or([None, None], |point| [point.stable.as_ref(), point.canary.as_ref()])
    }

    /// Both latency distributions, each percentile with its 95 % bounds.
    fn latencies(&self, rollout: &RolloutStatus) -> Vec<Vec<String>> {
        let mut rows = vec![["last 10 s", "requests", "wrong", "p50", "p95", "p99"].map(str::to_owned).to_vec()];
        let [stable, canary] = self.arms();
        for (version, arm) in [(&rollout.stable, stable), (&rollout.canary, canary)] {
            let unknown = || vec![UNKNOWN.to_owned(); 5];
            let told = |arm: &Figures| {
                let wrong = if arm.requests == 0 { 0.0 } else { arm.errors as f64 / arm.requests as f64 };
                let mut cells = vec![thousands(arm.requests), format!("{:.1}%", wrong * 100.0)];
                cells.extend([arm.p50_us, arm.p95_us, arm.p99_us].map(bounded));
                cells
            };
            rows.push(std::iter::once(version.name.to_string()).chain(arm.map_or_else(unknown, told)).collect());
        }
        rows
    }
}

fn bounded(percentile: Option<Bounded>) -> String {
    percentile.map_or_else(
        || UNKNOWN.to_owned(),
        |[lower, value, upper]| format!("{} ({} to {})", latency(value), latency(lower), latency(upper)),
    )
}

fn table(rows: &[Vec<String>]) -> Vec<String> {
    columns("  ", rows).lines().map(str::to_owned).collect()
}

fn place(rollout: &RolloutStatus) -> String {
    let phase = rollout.phase.as_str().replace('_', " ");
    if rollout.phase.is_terminal() || rollout.steps == 0 {
        return phase;
    }
    format!("{phase}, step {} of {}", rollout.step + 1, rollout.steps)
}

fn shares(rollout: &RolloutStatus, colour: bool) -> String {
    let weight = rollout.weight;
    let share = usize::from(weight.basis_points()) * SHARES / 10_000;
    let share = if weight > Weight::ZERO { share.max(1) } else { 0 };
    let bar = painted(&"█".repeat(SHARES.saturating_sub(share)), 32, colour) + &painted(&"░".repeat(share), 33, colour);
    format!("  {} {bar} {}  {} | {weight}", rollout.stable.name, rollout.canary.name, weight.complement())
}

/// The gate, its verdict, and how far its evidence for passing and for braking has come.
fn evidence(gate: &GateStatus, colour: bool) -> Vec<String> {
    let told = |name: &str, log_e: f64, threshold: f64, paint: u8| {
        let part = if threshold > 0.0 { (log_e / threshold).clamp(0.0, 1.0) } else { 0.0 };
        let full = (part * EVIDENCE as f64) as usize;
        let bar = painted(&"━".repeat(full), paint, colour) + &painted(&"─".repeat(EVIDENCE.saturating_sub(full)), 90, colour);
        format!("{name} {bar} {} of {}", odds(log_e), odds(threshold))
    };
    vec![
        gate.gate.clone(),
        gate.verdict.to_string(),
        thousands(gate.requests),
        told("pass", gate.log_e, gate.log_threshold, 32),
        told("brake", gate.brake_log_e, gate.brake_log_threshold, 31),
    ]
}

/// Colours a text; an empty one too, so that columns stand below each other.
fn painted(text: &str, code: u8, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Takes out what could steer the terminal, but for the colours of this file.
fn clean(line: &str, colour: bool) -> String {
    if !colour {
        return harmless(line);
    }
    let mut out = String::new();
    for (index, part) in line.split('\u{1b}').enumerate() {
        let ours = ["[0m", "[31m", "[32m", "[33m", "[90m"].iter().any(|code| part.starts_with(code));
        if index > 0 {
            out.push(if ours { '\u{1b}' } else { '\u{fffd}' });
        }
        out.push_str(&harmless(part));
    }
    out
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
