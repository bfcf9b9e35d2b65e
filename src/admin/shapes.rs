//! The shapes of what the admin API takes and gives, as JSON Schema.

use serde_json::{Map, Value, json};

use crate::admin::body::{ENDPOINTS, LONGEST_ACTOR, LONGEST_REASON};
use crate::admin::condition::TAGS;
use crate::admin::journal::MOST;
use crate::domain::actor::RESERVED;

/// Refers to a shape.
pub(super) fn reference(shape: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{shape}")})
}

/// Returns every shape by its name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for (name, shape) in simple().into_iter().chain(taken()).chain(given()) {
        all.insert(name.to_owned(), shape);
    }
    all
}

/// An object that holds these keys and no others; those whose name ends with `?` may be left out.
fn strict(keys: &[(&str, Value)]) -> Value {
    let mut object = open(keys);
    if let Some(object) = object.as_object_mut() {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    object
}

/// An object that holds at least these keys.
fn open(keys: &[(&str, Value)]) -> Value {
    let name = |key: &str| key.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> = keys.iter().map(|(key, shape)| (name(key), shape.clone())).collect();
    let required: Vec<String> = keys.iter().filter(|(key, _)| !key.ends_with('?')).map(|(key, _)| name(key)).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn maybe(shape: Value) -> Value {
    json!({"anyOf": [shape, {"type": "null"}]})
}

/// Returns the shape of each event of `GET /v1/events`, by its name.
pub(super) fn events() -> Value {
    let told = [("snapshot", "Snapshot"), ("notices", "Notices"), ("projects", "Projects"), ("transition", "Transition")];
    told.into_iter().map(|(event, shape)| (event.to_owned(), reference(shape))).collect::<Map<_, _>>().into()
}

/// What no line for the journal holds, as a class of characters of ECMA 262. Of what hides or reorders what stands beside it the tags of
/// U+E0000 are left out, for which a pattern would need the flag `u`.
const HIDDEN: &str = r"\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff";

/// A line for the journal: visible characters, at most so many, and not blank.
fn line(longest: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": format!(r"^[^{HIDDEN}]*[^\s{HIDDEN}][^{HIDDEN}]*$")})
}

fn simple() -> Vec<(&'static str, Value)> {
    // What is described is what is taken, or a little more where no pattern says it shortly; never less.
    let weight = r"^\s*0*(100(\.00?)?|[0-9]{1,2}(\.[0-9]{1,2})?)\s*%\s*$";
    let tag = r#""[ !#-+.-~\t-]*""#;
    let tag = format!(r"^[ \t]*(\*|{tag}([ \t]*,[ \t]*{tag}){{0,{}}})[ \t]*$", TAGS - 1);
    let uri = r"^[^/\\\u0000-\u001f]([^\\\u0000-\u001f]*[^/\\\u0000-\u001f])?$";
    let endpoint = r"^(unix:[^\u0000]+|kubernetes:.+|[A-Za-z0-9._-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.%]+\]:[0-9]{1,5})$";
    vec![
        ("Name", json!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"})),
        ("Stage", json!({"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$"})),
        ("Segment", json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"})),
        ("Weight", json!({"type": "string", "pattern": weight, "examples": ["10%"]})),
        ("Tag", json!({"type": "string", "pattern": tag, "examples": ["*"]})),
        ("Key", json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"})),
        ("Last", json!({"type": "integer", "minimum": 1, "maximum": MOST})),
        ("After", json!({"type": "string", "pattern": "^[0-9]{1,19}$"})),
        ("Uri", json!({"type": "string", "minLength": 1, "maxLength": 200, "pattern": uri})),
        ("Object", json!({"type": "object"})),
        ("File", json!({"type": "string", "format": "binary"})),
        (
            "Endpoint",
            json!({"type": "string", "pattern": endpoint, "examples": ["10.0.0.11:8080"],
            "description": "An address with a port, a host name with a port, unix:PATH, or kubernetes: and a Service"}),
        ),
    ]
}

fn taken() -> Vec<(&'static str, Value)> {
    let actor = || json!({"allOf": [line(LONGEST_ACTOR), {"not": {"enum": RESERVED}}]});
    let endpoints = json!({"type": "array", "items": reference("Endpoint"), "minItems": 1, "maxItems": ENDPOINTS, "uniqueItems": true});
    let version = strict(&[("name", reference("Name")), ("endpoints", endpoints)]);
    vec![
        ("Start", strict(&[("service", reference("Name")), ("canary", version), ("retry?", flag()), ("actor?", actor())])),
        ("Ask", strict(&[("actor?", actor()), ("reason?", line(LONGEST_REASON))])),
        ("End", strict(&[("actor?", actor()), ("reason?", line(LONGEST_REASON)), ("ramp?", flag())])),
        ("Share", strict(&[("weight", reference("Weight")), ("actor?", actor()), ("reason?", line(LONGEST_REASON))])),
        ("Project", strict(&[("name", text()), ("shipyard", text()), ("compat?", json!({"enum": ["strict", "keptn"]}))])),
        ("Named", strict(&[("name", text())])),
        (
            "Artifact",
            strict(&[
                ("image", text()),
                ("tag?", maybe(text())),
                ("stage?", maybe(reference("Stage"))),
                ("retry?", flag()),
                ("unchecked?", flag()),
                ("actor?", maybe(actor())),
            ]),
        ),
        ("Decision", strict(&[("context?", maybe(text())), ("actor?", maybe(actor())), ("reason?", maybe(line(LONGEST_REASON)))])),
        (
            "Window",
            strict(&[("timeframe?", maybe(text())), ("start?", maybe(text())), ("end?", maybe(text())), ("context?", maybe(text()))]),
        ),
        ("Source", strict(&[("service?", maybe(reference("Name"))), ("monitor", json!({"type": "object"}))])),
        ("Event", open(&[("specversion", text()), ("id", text()), ("source", text()), ("type", text())])),
    ]
}

fn given() -> Vec<(&'static str, Value)> {
    let phase = json!({"enum": ["progressing", "braked", "paused", "awaiting_approval", "watching", "receding", "promoted", "rolled_back", "aborted"]});
    let version = open(&[("name", reference("Name")), ("endpoints", list(text()))]);
    let rollout = open(&[
        ("id", number()),
        ("stable", version.clone()),
        ("canary", version.clone()),
        ("phase", phase),
        ("step", number()),
        ("steps", number()),
        ("weight", json!({"type": "integer", "minimum": 0, "maximum": 10_000})),
        ("generation", number()),
        ("reason", text()),
        ("actor", maybe(text())),
        ("warned", flag()),
        ("gates", list(open(&[("gate", text()), ("verdict", text()), ("requests", number())]))),
        ("rate", json!({"type": "number"})),
        ("durable", flag()),
    ]);
    let service = open(&[
        ("name", reference("Name")),
        ("owner", version),
        ("rollout", maybe(rollout)),
        ("waits", maybe(text())),
        ("rejected", list(reference("Name"))),
        ("endpoints", list(json!({"type": "object"}))),
        ("way_back?", json!({"type": "object"})),
    ]);
    let sealed = open(&[("sequence", number()), ("sha256", text())]);
    let broken = open(&[("sequence", number()), ("reason", text())]);
    let error = open(&[("pointer", text()), ("detail", text())]);
    vec![
        ("Service", service),
        ("Services", open(&[("rollouts", list(reference("Service")))])),
        ("Told", open(&[("service", reference("Name")), ("changed", flag()), ("message", text())])),
        ("Notices", open(&[("notices", list(open(&[("at", text()), ("service", text()), ("sentence", text()), ("alarm", flag())])))])),
        (
            "History",
            open(&[("window_seconds", number()), ("points", list(json!({"type": "object"}))), ("spectra", json!({"type": "object"}))]),
        ),
        ("Journal", open(&[("entries", list(reference("Transition"))), ("complete", flag())])),
        ("Transition", open(&[("sequence", number()), ("entry?", json!({"type": "object"})), ("unreadable?", text())])),
        (
            "Snapshot",
            open(&[
                ("at", text()),
                ("at_ms", number()),
                ("version", text()),
                ("changes", flag()),
                ("draining", flag()),
                ("judged_ms", number()),
                ("rollouts", list(reference("Service"))),
                ("figures", json!({"type": "object"})),
                ("spectra", json!({"type": "object"})),
            ]),
        ),
        ("Projects", open(&[("projects", list(open(&[("project", text()), ("services", list(json!({"type": "object"})))])))])),
        (
            "Verdict",
            open(&[("service", text()), ("verdict", json!({"enum": ["pass", "warning", "fail", "inconclusive"]})), ("pass", flag())]),
        ),
        (
            "Chain",
            open(&[
                ("entries", number()),
                ("oldest", maybe(number())),
                ("newest", maybe(sealed)),
                ("unlinked", number()),
                ("lost?", maybe(text())),
                ("broken", maybe(broken)),
            ]),
        ),
        (
            "Caller",
            open(&[("name", maybe(text())), ("role", maybe(json!({"enum": ["viewer", "operator", "admin"]}))), ("socket", maybe(text()))]),
        ),
        ("Problem", open(&[("type", text()), ("title", text()), ("status", number()), ("detail", text()), ("errors?", list(error))])),
    ]
}
