//! Draws how the evidence of each gate grew towards its threshold, and writes the same as a table.
//!
//! What was measured in between comes from the proxy's history; what each decision rested on is in the journal, and lasts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::figures::{UNKNOWN, odds};
use crate::cli::report::html::{escaped, table};
use crate::cli::report::past::{at_ms, thinned};
use crate::cli::report::plot::{Dot, Frame, GAP, Scale, Series, clock, plot};
use crate::cli::why::story::Story;
use crate::domain::gate::Evidence;
use crate::domain::gate::evidence::Rule;
use crate::domain::rollout::{Entry, Phase};
use crate::telemetry::history::Point;
use crate::telemetry::reading::{GATES, Reading};

/// The most rows of a table beside those of the decisions.
const ROWS: usize = 40;
/// The most values of a line.
const DOTS: usize = 700;
/// The heads of the table.
const HEADS: [&str; 5] = ["when (UTC)", "what", "to pass", "to brake", "to roll back"];
/// What evidence is for, and how its line is called and drawn.
const AIMS: [(Aim, &str, &str); 3] =
    [(Aim::Pass, "to pass", "pass"), (Aim::Brake, "to brake", "brake"), (Aim::Confirm, "to roll back", "confirm")];

/// What a piece of evidence is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aim {
    Pass,
    Brake,
    Confirm,
}

/// Evidence of a gate at one moment.
struct Moment {
    at: u64,
    /// Which decision rested on it; `None` for what was measured in between.
    decision: Option<String>,
    /// Pairs of ln E and the ln E that decides, by what they are for.
    pairs: BTreeMap<Aim, [f64; 2]>,
}

/// Draws a plot with its table for each gate; empty where nothing is known of any.
pub fn growth(story: &Story, points: &[&Point], frame: &Frame) -> String {
    let own: Vec<&Point> = points.iter().copied().filter(|point| frame.rollout.contains(&point.at_ms)).collect();
    let names = names(story, &own);
    let mut text = String::new();
    for name in &names {
        let measured = measured(&own, name);
        let decided = decided(story, name);
        let lines = thinned(&measured.iter().collect::<Vec<_>>(), DOTS);
        let series = AIMS.map(|(aim, name, class)| {
            let dots = |moments: &[&Moment]| moments.iter().filter_map(|moment| moment.dot(aim)).collect::<Vec<Dot>>();
            Series { name, class, dots: dots(&lines), gap: GAP, spots: dots(&decided.iter().collect::<Vec<_>>()) }
        });
        let shown: Vec<Series<'_>> = series.into_iter().filter(|one| !one.dots.is_empty() || !one.spots.is_empty()).collect();
        if shown.is_empty() {
            continue;
        }
        let scale = Scale { top: Some(100.0), written: &|percent| format!("{percent}%") };
        text.push_str(&plot(&format!("Evidence of {name}, 100% decides"), frame, &shown, &scale));
        // Writing to a text cannot fail.
        let summary = format!("The evidence of {name} as a table");
        let _ =
            writeln!(text, "<details><summary>{}</summary>\n{}</details>", escaped(&summary), table(&HEADS, &rows(&measured, &decided)));
    }
    text
}

/// Returns the gates in the order in which they were judged.
fn names(story: &Story, points: &[&Point]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let read = points.iter().flat_map(|point| point.gates.iter().map(|reading| reading.gate.as_ref()));
    let told = story.entries.iter().flat_map(|(_, entry)| entry.evidence.iter().chain(&entry.gates).map(|one| one.gate.as_str()));
    for name in read.chain(told) {
        if names.len() < GATES && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn measured(points: &[&Point], name: &str) -> Vec<Moment> {
    let wide = |[log_e, threshold]: [f32; 2]| [f64::from(log_e), f64::from(threshold)];
    let moment = |point: &&Point| {
        let Reading { pass, brake, confirm, .. } = point.gates.iter().find(|reading| *reading.gate == *name)?;
        let pairs = [(Aim::Pass, Some(*pass)), (Aim::Brake, Some(*brake)), (Aim::Confirm, *confirm)];
        let pairs = pairs.into_iter().filter_map(|(aim, pair)| Some((aim, wide(pair?)))).collect();
        Some(Moment { at: point.at_ms, decision: None, pairs })
    };
    points.iter().filter_map(moment).collect()
}

fn decided(story: &Story, name: &str) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    for (_, entry) in &story.entries {
        let Some(at) = at_ms(entry) else { continue };
        let mut pairs = BTreeMap::new();
        for evidence in entry.evidence.iter().chain(&entry.gates).filter(|evidence| evidence.gate == name) {
            if let (Some(log_e), Some(threshold)) = (evidence.log_e, evidence.log_threshold) {
                // What the decision rests on as a whole comes first, and stays.
                pairs.entry(aim(entry, evidence)).or_insert([log_e, threshold]);
            }
        }
        if !pairs.is_empty() {
            moments.push(Moment { at, decision: Some(entry.phase.as_str().replace('_', " ")), pairs });
        }
    }
    moments
}

fn aim(entry: &Entry, evidence: &Evidence) -> Aim {
    match (evidence.rule, entry.phase) {
        (Rule::Pass, _) => Aim::Pass,
        (_, Phase::RolledBack) => Aim::Confirm,
        _ => Aim::Brake,
    }
}

fn rows(measured: &[Moment], decided: &[Moment]) -> Vec<Vec<String>> {
    let mut all: Vec<&Moment> = thinned(&measured.iter().collect::<Vec<_>>(), ROWS).into_iter().chain(decided).collect();
    all.sort_by_key(|moment| moment.at);
    let told = |pair: Option<&[f64; 2]>| {
        pair.map_or_else(|| UNKNOWN.to_owned(), |[log_e, threshold]| format!("{} of {}", odds(*log_e), odds(*threshold)))
    };
    let row = |moment: &&Moment| {
        let what = moment.decision.as_deref().unwrap_or("measured").to_owned();
        [clock(moment.at), what].into_iter().chain(AIMS.map(|(aim, ..)| told(moment.pairs.get(&aim)))).collect()
    };
    all.iter().map(row).collect()
}

impl Moment {
    fn dot(&self, aim: Aim) -> Option<Dot> {
        let percent = Reading::part(*self.pairs.get(&aim)?) * 100.0;
        Some((self.at, [percent; 3]))
    }
}
