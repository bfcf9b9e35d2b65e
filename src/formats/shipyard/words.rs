//! Understands the single words of a shipyard: strategies, gates, approvals; each refusal names the nearest known one.

use crate::domain::delivery::shipyard::{Approval, Entrance, Mode, StageName, Strategy, TestStrategy, default_schedule};
use crate::domain::rollout::Schedule;
use crate::formats::perfspec::reader::nearest;
use crate::formats::yaml::fields::{Fields, text_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Value;

/// How a shipyard is read.
pub(super) struct Manner<'m> {
    pub(super) mode: Mode,
    /// The workloads there are, where that is known.
    pub(super) workloads: Option<&'m [&'m str]>,
}

impl Manner<'_> {
    /// Says whether it is read as the original did.
    pub(super) const fn lenient(&self) -> bool {
        matches!(self.mode, Mode::Keptn)
    }

    /// Returns the text of a key; the original takes a key without a value for one that is not there.
    pub(super) fn text(&self, fields: &mut Fields<'_>, key: &'static str, report: &Report<'_>) -> Option<At<String>> {
        if !self.lenient() {
            return fields.text(key);
        }
        let (node, path) = fields.peek(key)?;
        if node.value == Value::Nothing { None } else { text_of(node, path, report) }
    }
}

/// Reads one of a few words.
pub(super) fn one_of<T: Copy>(found: &At<String>, key: &str, words: &[(&str, T)], report: &Report<'_>) -> Option<T> {
    let known = words.iter().find(|(word, _)| *word == found.value).map(|(_, value)| *value);
    if known.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        report.error(&found.place, format!("unknown {key} {:?}", found.value), nearest(&found.value, &names));
    }
    known
}

/// Reads the name of a stage.
pub(super) fn stage_name(found: &At<String>, report: &Report<'_>) -> Option<StageName> {
    let hint = "write for example dev, staging or production; the name is part of host names";
    found
        .value
        .parse()
        .map_err(|error: crate::domain::delivery::shipyard::InvalidStageName| {
            report.error(&found.place, error.to_string(), hint);
        })
        .ok()
}

/// Reads a deployment strategy; the plan is that of a canary.
pub(super) fn strategy(
    found: &At<String>,
    plan: Option<(Place, Option<Schedule>)>,
    manner: &Manner<'_>,
    report: &Report<'_>,
) -> Option<Strategy> {
    let known: &[&str] = if manner.lenient() { &["direct", "blue_green_service"] } else { &["direct", "blue_green_service", "canary"] };
    let word = if manner.lenient() { found.value.to_ascii_lowercase() } else { found.value.clone() };
    if let (Some((place, _)), true) = (&plan, word != "canary") {
        report.error(place, format!("a plan has no effect with {word}"), "write 'deployment_strategy: canary', or leave the plan out");
    }
    match word.as_str() {
        "direct" => Some(Strategy::Direct),
        "blue_green_service" => Some(Strategy::BlueGreen),
        "duplicate" => {
            report.note(&found.place, "\"duplicate\" is read as blue_green_service", "that is what later releases called it");
            Some(Strategy::BlueGreen)
        }
        "canary" if !manner.lenient() => plan.map_or(Some(Strategy::Canary(default_schedule())), |(_, plan)| plan.map(Strategy::Canary)),
        "user_managed" => {
            let hint = "write direct, blue_green_service or canary";
            report.error(&found.place, "user_managed deployments are not supported: nothing here would deploy them", hint);
            None
        }
        _ => {
            report.error(&found.place, format!("unknown deployment strategy {:?}", found.value), nearest(&found.value, known));
            None
        }
    }
}

/// How alike a word must be to a known test strategy, from 0 to 1, to be a slip and not a workload.
const SLIP: f64 = 0.75;

/// Reads a test strategy: `Some(None)` where none is meant.
pub(super) fn test(found: &At<String>, manner: &Manner<'_>, report: &Report<'_>) -> Option<Option<TestStrategy>> {
    let word = found.value.as_str();
    match word {
        "functional" => return Some(Some(TestStrategy::Functional)),
        "performance" => return Some(Some(TestStrategy::Performance)),
        "" if manner.lenient() => return Some(None),
        _ => {}
    }
    let known = ["functional", "performance"];
    let missing = manner.workloads.is_some_and(|workloads| !workloads.contains(&word));
    let slip = known.iter().any(|known| strsim::normalized_damerau_levenshtein(&word.to_lowercase(), known) >= SLIP);
    let there = manner.workloads.is_some_and(|workloads| workloads.contains(&word));
    if !manner.lenient() && (missing || (slip && !there)) {
        let all: Vec<&str> = known.into_iter().chain(manner.workloads.unwrap_or_default().iter().copied()).collect();
        report.error(&found.place, format!("unknown test strategy {word:?}"), nearest(word, &all));
        return None;
    }
    let Ok(name) = word.parse() else {
        report.error(&found.place, format!("{word:?} is not a test strategy"), "write functional, performance, or the name of a workload");
        return None;
    };
    if !manner.lenient() && !there {
        report.note(
            &found.place,
            format!("{word:?} is a workload that jmeter.conf.yaml must have"),
            "write functional or performance else",
        );
    }
    Some(Some(TestStrategy::Workload(name)))
}

/// Reads who lets an artifact in.
pub(super) fn approval(fields: &mut Fields<'_>, manner: &Manner<'_>, report: &Report<'_>) -> Option<Approval> {
    let words = [("automatic", Entrance::Automatic), ("manual", Entrance::Manual)];
    let mut read = |key: &'static str| {
        let found = manner.text(fields, key, report);
        found.map_or(Some(Entrance::Automatic), |found| one_of(&found, key, &words, report))
    };
    let (pass, warning) = (read("pass"), read("warning"));
    Some(Approval { pass: pass?, warning: warning? })
}
