//! Tells by its content which kind of gate file a text is, and refuses one that could be two.

use crate::formats::json;
use crate::formats::problem::Problem;
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `perfspec.json`.
    Perfspec,
    /// `slo.yaml`.
    Slo,
    /// `sli.yaml`: queries, no gate.
    Sli,
    /// `service-objectives.yaml` of keptn 0.5.
    ServiceObjectives,
    /// `service-indicators.yaml` of keptn 0.5: queries, no gate.
    ServiceIndicators,
    /// An `AnalysisDefinition`, perhaps with other documents.
    Analysis,
    /// A Flagger `Canary`.
    Canary,
    /// An Argo `AnalysisTemplate` or `ClusterAnalysisTemplate`.
    AnalysisTemplate,
    /// A `shipyard.yaml`: stages, no gate.
    Shipyard,
    /// A configuration of this program.
    Configuration,
}

impl Kind {
    /// Returns what to call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perfspec => "a perfspec",
            Self::Slo => "an slo.yaml",
            Self::Sli => "an sli.yaml",
            Self::ServiceObjectives => "a service-objectives.yaml",
            Self::ServiceIndicators => "a service-indicators.yaml",
            Self::Analysis => "an AnalysisDefinition",
            Self::Canary => "a Canary",
            Self::AnalysisTemplate => "an AnalysisTemplate",
            Self::Shipyard => "a shipyard",
            Self::Configuration => "a configuration",
        }
    }
}

/// What a file is told by.
const HINT: &str = "a perfspec has \"indicators\" and an object \"objectives\"; an slo.yaml has objectives with \"sli\" and a \"total_score\"; \
                    an AnalysisDefinition, a Canary and an AnalysisTemplate have that \"kind\"; a shipyard has a list \"stages\"";

/// Why the kind of a file cannot be told.
#[derive(Debug)]
pub struct NotRecognised {
    /// What to tell the user.
    pub problem: Box<Problem>,
    /// It has the signs of more than one kind; otherwise it has none, or cannot be read.
    pub ambiguous: bool,
}

/// Tells the kind of a file by its content.
///
/// # Errors
///
/// Returns a problem when the text is neither YAML nor JSON, when nothing in it tells its kind, or when it has the signs
/// of more than one kind.
pub fn recognise(file: &str, text: &str) -> Result<Kind, NotRecognised> {
    let wrong = |problem: Problem, ambiguous| NotRecognised { problem: Box::new(problem), ambiguous };
    let first = first_document(text);
    let root = match tree::parse(file, first, Limits::GATES) {
        Ok(root) => root,
        // JSON has its own reader with better messages, and may hold what YAML does not.
        Err(_) if text.trim_start().starts_with('{') => {
            return json::parse(file, text).map(|_| Kind::Perfspec).map_err(|problem| wrong(*problem, false));
        }
        Err(problem) => return Err(wrong(*problem, false)),
    };
    let signs = signs(&root);
    match signs.as_slice() {
        [(kind, _)] => Ok(*kind),
        [] => Err(wrong(Problem::error(file, "", "this is no file of a known kind").with_hint(HINT), false)),
        [(one, one_sign), (other, other_sign), ..] => {
            let message = format!("this could be {} (it has {one_sign}) or {} (it has {other_sign})", one.name(), other.name());
            Err(wrong(Problem::error(file, "", message).with_hint("keep one kind of gate in a file"), true))
        }
    }
}

/// Returns the text up to the first document that follows another.
fn first_document(text: &str) -> &str {
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") && begun {
            return text.get(..at).unwrap_or(text);
        }
        begun |= !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("---");
        at += line.len();
    }
    text
}

fn signs(root: &Node) -> Vec<(Kind, &'static str)> {
    let Value::Map(entries) = &root.value else { return Vec::new() };
    let get = |key: &str| entries.iter().find(|(found, _)| named(found, key)).map(|(_, node)| node);
    let has_in_list = |list: Option<&Node>, keys: &[&str]| match list.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().any(|item| match &item.value {
            Value::Map(entries) => entries.iter().any(|(key, _)| keys.iter().any(|wanted| named(key, wanted))),
            _ => false,
        }),
        _ => false,
    };
    let is_list = |key: &str| get(key).is_some_and(|node| matches!(node.value, Value::List(_)));
    let is_map = |key: &str| get(key).is_some_and(|node| matches!(node.value, Value::Map(_)));
    let mut found = Vec::new();
    if get("kind").is_some() || get("apiVersion").is_some() {
        let kind = match get("kind").map(|node| &node.value) {
            Some(Value::Text(kind)) if kind == "Canary" => Kind::Canary,
            Some(Value::Text(kind)) if kind == "Shipyard" => Kind::Shipyard,
            Some(Value::Text(kind)) if kind == "AnalysisTemplate" || kind == "ClusterAnalysisTemplate" => Kind::AnalysisTemplate,
            _ => Kind::Analysis,
        };
        found.push((kind, "\"kind\""));
    }
    if get("total_score").is_some() || get("comparison").is_some() || has_in_list(get("objectives"), &["sli"]) {
        found.push((Kind::Slo, "\"total_score\", \"comparison\" or objectives with \"sli\""));
    }
    if has_in_list(get("objectives"), &["metric", "threshold"]) {
        found.push((Kind::ServiceObjectives, "objectives with \"metric\""));
    }
    if is_map("objectives") || has_in_list(get("indicators"), &["grading"]) {
        found.push((Kind::Perfspec, "an object \"objectives\" or indicators with \"grading\""));
    }
    if is_map("indicators") {
        found.push((Kind::Sli, "a mapping \"indicators\""));
    }
    if has_in_list(get("indicators"), &["metric", "queryObject"]) {
        found.push((Kind::ServiceIndicators, "indicators with \"metric\""));
    }
    let analysis = get("analysis").is_some_and(|node| match &node.value {
        Value::Map(entries) => entries.iter().any(|(key, node)| named(key, "metrics") && matches!(node.value, Value::List(_))),
        _ => false,
    });
    // A Canary's analysis may stand alone, under its key or without it.
    if get("kind").is_none() && (analysis || has_in_list(get("metrics"), &["thresholdRange", "threshold"])) {
        found.push((Kind::Canary, "an \"analysis\" with metrics, or metrics with \"thresholdRange\""));
    }
    if is_list("stages") {
        found.push((Kind::Shipyard, "a list \"stages\""));
    }
    if get("services").is_some() || get("listen").is_some() {
        found.push((Kind::Configuration, "\"services\" or \"listen\""));
    }
    if found.is_empty() && is_list("objectives") {
        found.push((Kind::Slo, "a list \"objectives\""));
    }
    if found.is_empty() && is_list("indicators") {
        found.push((Kind::Perfspec, "a list \"indicators\""));
    }
    found
}

fn named(node: &Node, key: &str) -> bool {
    matches!(&node.value, Value::Text(found) if found == key)
}
