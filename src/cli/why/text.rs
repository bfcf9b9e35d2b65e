//! Writes the story of a rollout, for people and as JSON.

use serde_json::{Value, json};

use crate::cli::figures::{bounds, odds, quantity};
use crate::cli::why::check::{self, Check};
use crate::cli::why::story::Story;
use crate::domain::gate::Evidence;
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::evidence::{Rule, Test, Tipping, thousands};
use crate::domain::rollout::Entry;
use crate::domain::time::human;
use std::time::Duration;

/// Writes a story for people.
pub fn told(story: &Story) -> String {
    let versions = match story.versions() {
        (Some(stable), Some(canary)) => format!(" of {canary} against {stable}"),
        _ => String::new(),
    };
    let mut text = format!("{}, rollout {}{versions}: {}\n", story.service, story.rollout, story.phase().replace('_', " "));
    for (sequence, entry) in &story.entries {
        text.push_str(&change(*sequence, entry));
    }
    text
}

fn change(sequence: u64, entry: &Entry) -> String {
    let at = entry.at.as_ref().map_or_else(String::new, |at| format!("  {at}"));
    let share = if entry.from == entry.to { format!("at {}", entry.to) } else { format!("{} → {}", entry.from, entry.to) };
    let phase = entry.phase.as_str().replace('_', " ");
    let mut text =
        format!("\n#{sequence}{at}  generation {}  {phase}  {share}  by {}\n    {}\n", entry.generation, entry.actor, entry.reason);
    for (evidence, check) in check::all(entry) {
        text.push_str(&shown(evidence, &check, &entry.reason));
    }
    text
}

fn shown(evidence: &Evidence, check: &Check, reason: &str) -> String {
    let mut lines = vec![format!("    {}: {}, by {}", evidence.gate, evidence.verdict, rule(evidence.rule))];
    let mut line = |text: String| lines.push(format!("      {text}"));
    if ![evidence.sentence.clone(), evidence.braked()].iter().any(|said| reason.starts_with(said)) {
        line(evidence.sentence.clone());
    }
    line(counts(evidence));
    if let Some(estimate) = evidence.estimate {
        let bounds = bounds(evidence.unit, estimate.lower, estimate.upper);
        line(format!("estimate {}{bounds}", quantity(evidence.unit, estimate.value)));
    }
    if let (Some(log_e), Some(threshold)) = (evidence.log_e, evidence.log_threshold) {
        line(format!("ln E = {log_e:.2} ({}), decides at {threshold:.2} ({})", odds(log_e), odds(threshold)));
    }
    if !evidence.tipped_by.is_empty() {
        line(format!("tipped by {}", evidence.tipped_by.iter().map(tipping).collect::<Vec<_>>().join("; ")));
    }
    line(match check {
        Check::Verified { log_e } => format!("verified: recomputed ln E = {log_e:.2}"),
        Check::Arithmetic { why } => format!("not to be verified: {why}"),
        Check::Broken { why } => format!("does NOT verify: {why}"),
    });
    lines.join("\n") + "\n"
}

fn counts(evidence: &Evidence) -> String {
    // Of a mean no single request is in breach.
    let mut text = match evidence.unit {
        Unit::Nanoseconds => format!("{} requests", thousands(evidence.requests)),
        Unit::Share | Unit::Score => format!("{} of {} requests in breach", thousands(evidence.breaches), thousands(evidence.requests)),
    };
    if evidence.unanswered > 0 {
        text.push_str(&format!(", {} of them unanswered", thousands(evidence.unanswered)));
    }
    if evidence.stable_requests > 0 {
        let (breaches, requests) = (thousands(evidence.stable_breaches), thousands(evidence.stable_requests));
        text.push_str(&format!("; of the stable version {breaches} of {requests}"));
    }
    match evidence.generation {
        Some(generation) => format!("{text}; generation {generation}"),
        None => text,
    }
}

fn tipping(request: &Tipping) -> String {
    let latency = human(Duration::from_nanos(request.latency_ns));
    format!("request {} after {latency}", thousands(request.seq))
}

const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Tripwire { test: Test::Cumulative } => "the tripwire over the trial",
        Rule::Tripwire { test: Test::Step } => "the tripwire over the step",
        Rule::StartOrder { test: Test::Cumulative } => "failures in start order over the trial",
        Rule::StartOrder { test: Test::Step } => "failures in start order over the step",
        Rule::Chained => "chained blocks",
        Rule::TwoArm => "comparison with the stable version",
        Rule::Mean => "the mean",
        Rule::Bounded => "the mean loss",
        Rule::ChangePoint => "a change point",
        Rule::Pass => "pass evidence of the step",
        Rule::File => "the gate file's arithmetic",
        Rule::Unrecorded => "a rule that was not recorded",
    }
}

/// Writes stories as JSON, with what became of computing each piece of evidence again.
pub fn json(stories: &[Story], complete: bool, verified: bool) -> Value {
    let entry = |(sequence, entry): &(u64, Entry)| {
        let checks: Vec<Value> = check::all(entry)
            .map(|(evidence, check)| {
                let mut value = json!(check);
                if let Some(object) = value.as_object_mut() {
                    object.insert("gate".to_owned(), json!(evidence.gate));
                }
                value
            })
            .collect();
        json!({"sequence": sequence, "entry": entry, "checks": checks})
    };
    let story = |story: &Story| {
        let (stable, canary) = story.versions();
        let entries: Vec<Value> = story.entries.iter().map(entry).collect();
        json!({
            "service": story.service, "rollout": story.rollout, "stable": stable, "canary": canary,
            "phase": story.phase(), "entries": entries,
        })
    };
    json!({"verified": verified, "complete": complete, "rollouts": stories.iter().map(story).collect::<Vec<_>>()})
}
