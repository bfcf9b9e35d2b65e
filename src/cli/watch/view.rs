//! Writes one moment of a rollout: for a terminal as a picture, else as one line.

use crate::cli::figures::{UNKNOWN, columns, harmless, latency, odds};
use crate::cli::status::waits;
use crate::cli::watch::lines::wrapped;
use crate::control::status::{RolloutStatus, ServiceStatus};
use crate::domain::gate::evidence::thousands;
use crate::domain::judge::GateStatus;
use crate::domain::weight::Weight;
use crate::telemetry::history::Point;
use crate::telemetry::reading::Reading;
use crate::telemetry::stretch::{Bounded, Figures};

/// The width of the bar of the shares, in characters.
const SHARES: usize = 40;
/// The width of a bar of evidence.
const EVIDENCE: usize = 20;
/// The least width of either.
const LEAST: usize = 6;
/// What stands before a bar of evidence on a line of its own, and the blank behind it.
const BEFORE: usize = 15;
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

    /// Writes the picture, line by line, for a terminal of so many columns: what does not fit goes on in the next line, and the least
    /// telling is left out.
    pub fn picture(&self, colour: bool, width: usize) -> Vec<String> {
        let name = &self.service.name;
        let Some(rollout) = &self.service.rollout else {
            let waits = self.service.waits.as_deref().unwrap_or("waiting for a rollout to begin");
            return vec![format!("{name}: owned by {}; {waits}", self.service.owner.name)];
        };
        let head = format!("{name}: rollout {} of {} against {}, {}", rollout.id, rollout.canary.name, rollout.stable.name, place(rollout));
        let mut lines = wrapped(&head, width, 2);
        lines.push(shares(rollout, colour, width));
        lines.extend(self.latencies(rollout, width));
        lines.extend(gates(&rollout.gates, colour, width));
        if let Some(next) = waits(rollout) {
            lines.extend(wrapped(&format!("next: {next}"), width, 6));
        }
        lines.extend(wrapped(&format!("because: {}", rollout.reason), width, 9));
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

    /// Both latency distributions, each percentile with its 95 % bounds where there is room for them.
    fn latencies(&self, rollout: &RolloutStatus, width: usize) -> Vec<String> {
        let bounded = table(&self.rows(rollout, bounded));
        if bounded.iter().all(|line| fits(line, width)) { bounded } else { table(&self.rows(rollout, bare)) }
    }

    fn rows(&self, rollout: &RolloutStatus, percentile: fn(Option<Bounded>) -> String) -> Vec<Vec<String>> {
        let mut rows = vec![["last 10 s", "requests", "wrong", "p50", "p95", "p99"].map(str::to_owned).to_vec()];
        let [stable, canary] = self.arms();
        for (version, arm) in [(&rollout.stable, stable), (&rollout.canary, canary)] {
            let unknown = || vec![UNKNOWN.to_owned(); 5];
            let told = |arm: &Figures| {
                let wrong = if arm.requests == 0 { 0.0 } else { arm.errors as f64 / arm.requests as f64 };
                let mut cells = vec![thousands(arm.requests), format!("{:.1}%", wrong * 100.0)];
                cells.extend([arm.p50_us, arm.p95_us, arm.p99_us].map(percentile));
                cells
            };
            rows.push(std::iter::once(version.name.to_string()).chain(arm.map_or_else(unknown, told)).collect());
        }
        rows
    }
}

fn bare(percentile: Option<Bounded>) -> String {
    percentile.map_or_else(|| UNKNOWN.to_owned(), |[_, value, _]| latency(value))
}

fn bounded(percentile: Option<Bounded>) -> String {
    percentile.map_or_else(
        || UNKNOWN.to_owned(),
        |[lower, value, upper]| format!("{} ({} to {})", latency(value), latency(lower), latency(upper)),
    )
}

/// Says whether a line without colours has room.
fn fits(line: &str, width: usize) -> bool {
    line.chars().count() <= width
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

fn shares(rollout: &RolloutStatus, colour: bool, width: usize) -> String {
    let weight = rollout.weight;
    let (stable, rest) = (&rollout.stable.name, format!("{}  {} | {weight}", rollout.canary.name, weight.complement()));
    let beside = stable.as_str().chars().count() + rest.chars().count() + 4;
    let whole = width.saturating_sub(beside).clamp(LEAST, SHARES);
    let share = usize::from(weight.basis_points()) * whole / 10_000;
    let share = if weight > Weight::ZERO { share.max(1) } else { 0 };
    let bar = painted(&"█".repeat(whole.saturating_sub(share)), 32, colour) + &painted(&"░".repeat(share), 33, colour);
    format!("  {stable} {bar} {rest}")
}

/// Evidence of a gate: what it is for, ln E, the ln E that decides, and its colour.
type Evidence = (&'static str, f64, f64, u8);

/// What the evidence of a gate is for, as far as there is any: a breach is confirmed only once it has braked.
fn evidence(gate: &GateStatus) -> Vec<Evidence> {
    let mut all = vec![("pass", gate.log_e, gate.log_threshold, 32), ("brake", gate.brake_log_e, gate.brake_log_threshold, 33)];
    if let Some(threshold) = gate.confirm_log_threshold.filter(|_| gate.confirm_log_e > 0.0) {
        all.push(("roll back", gate.confirm_log_e, threshold, 31));
    }
    all
}

/// Writes the gates, each in one line where all of them fit, else in a line for each piece of evidence.
fn gates(gates: &[GateStatus], colour: bool, width: usize) -> Vec<String> {
    let rows = |colour| {
        let row = |gate: &GateStatus| {
            let told = evidence(gate).into_iter().map(|one| format!("{} {}", one.0, bar(one, EVIDENCE, colour)));
            [gate.gate.clone(), gate.verdict.to_string(), thousands(gate.requests)].into_iter().chain(told).collect()
        };
        table(&gates.iter().map(row).collect::<Vec<Vec<String>>>())
    };
    if rows(false).iter().all(|line| fits(line, width)) {
        return rows(colour);
    }
    // The bars are of one length, and give way to what is written behind them.
    let behind = gates.iter().flat_map(evidence).map(|one| strength(one).chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(BEFORE + behind).clamp(LEAST, EVIDENCE);
    let mut lines = Vec::new();
    for gate in gates {
        lines.extend(wrapped(&format!("  {}: {}, {} requests", gate.gate, gate.verdict, thousands(gate.requests)), width, 4));
        lines.extend(evidence(gate).into_iter().map(|one| format!("    {:<9} {}", one.0, bar(one, room, colour))));
    }
    lines
}

/// Draws how far evidence has come towards its threshold.
fn bar(evidence: Evidence, whole: usize, colour: bool) -> String {
    let (_, log_e, threshold, paint) = evidence;
    let full = (Reading::part([log_e, threshold]) * whole as f64) as usize;
    let bar = painted(&"━".repeat(full), paint, colour) + &painted(&"─".repeat(whole.saturating_sub(full)), 90, colour);
    format!("{bar} {}", strength(evidence))
}

fn strength((_, log_e, threshold, _): Evidence) -> String {
    format!("{} of {}", odds(log_e), odds(threshold))
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
