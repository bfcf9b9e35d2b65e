//! Reads an event from a request, in structured or binary mode, within limits of size and depth.
//!
//! Formats: CloudEvents 0.2 and 1.0, their JSON formats and their HTTP bindings.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::formats::cloudevent::event::{Event, SpecVersion};
use crate::formats::cloudevent::fields::{Problems, kind};
use crate::formats::problem::Problem;

/// The longest attribute.
const LONGEST: usize = 4096;

/// The most attributes that are kept beside the known ones.
const MOST_EXTENSIONS: usize = 64;

/// How headers of an event begin in binary mode.
const PREFIX: &str = "ce-";

/// How large an event may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a body.
    pub bytes: usize,
    /// The deepest nesting, at most 120.
    pub depth: usize,
}

impl Limits {
    /// Enough for every event of keptn: 1 MiB, 64 deep.
    pub const DEFAULT: Self = Self { bytes: 1 << 20, depth: 64 };
}

/// Why a request is no event that is accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is too large.
    #[error("the event has more than {limit} bytes; leave reports and logs out of its data")]
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// It is written in a manner that is not read.
    #[error("the content type {0:?} is not read; send application/cloudevents+json, or application/json with ce- headers")]
    ContentType(String),
    /// Something in it is missing or wrong.
    #[error("{}", problems(.0))]
    Invalid(Vec<Problem>),
}

fn problems(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads an event from the headers and the body of a request.
///
/// Binary mode is what has a `ce-specversion` header and another content type than that of CloudEvents. Plain
/// `application/json` without such headers is structured mode, as keptn's tools send it.
///
/// # Errors
///
/// Refuses what is too large, written otherwise than in JSON, or lacks what an event must have.
pub fn read(headers: &HeaderMap, body: &[u8], limits: Limits) -> Result<Event, Refusal> {
    let written = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let media = media_type(written.as_deref().unwrap_or_default());
    let other = || Err(Refusal::ContentType(written.clone().unwrap_or_default().chars().take(100).collect()));
    if media.starts_with("application/cloudevents") {
        // A batch, or another format than JSON.
        return if ["application/cloudevents", "application/cloudevents+json"].contains(&media.as_str()) {
            read_structured("event", body, limits)
        } else {
            other()
        };
    }
    if !media.is_empty() && !is_json(&media) {
        return other();
    }
    if headers.contains_key("ce-specversion") { read_binary(headers, body, limits) } else { read_structured("event", body, limits) }
}

/// Reads an event in its structured form; `file` is what it is called in problems.
///
/// # Errors
///
/// Refuses what is too large, no JSON, or lacks what an event must have.
pub fn read_structured(file: &str, body: &[u8], limits: Limits) -> Result<Event, Refusal> {
    let value = parse(file, body, limits)?;
    let text = std::str::from_utf8(body).ok();
    let problems = Problems::new(file, text);
    let Value::Object(mut attributes) = value else {
        problems.error("", format!("an event is an object, not {}", kind(&value)), "write { \"specversion\": \"1.0\", … }");
        return problems.close(None).map_err(Refusal::Invalid);
    };
    let data = attributes.remove("data").unwrap_or_default();
    for encoded in ["data_base64", "datacontentencoding"] {
        if attributes.get(encoded).is_some_and(|value| !value.is_null() && value != "") {
            problems.error(encoded, "data that are encoded are not read", "send the data as JSON under \"data\"");
        }
    }
    let event = assemble(attributes, data, &problems);
    finish(problems, event)
}

fn read_binary(headers: &HeaderMap, body: &[u8], limits: Limits) -> Result<Event, Refusal> {
    let data = if body.is_empty() { Value::Null } else { parse("event", body, limits)? };
    let problems = Problems::new("event", None);
    let mut attributes = Map::new();
    let decode = headers.get("ce-specversion").is_some_and(|version| version == "1.0");
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        let value =
            std::str::from_utf8(value.as_bytes()).ok().and_then(|text| if decode { percent_decoded(text) } else { Some(text.to_owned()) });
        match value {
            Some(_) if name == "data" => problems.error(name, "the header ce-data is no attribute", "send the data as the body"),
            Some(value) if !attributes.contains_key(name) => {
                attributes.insert(name.to_owned(), Value::String(value));
            }
            Some(_) => problems.error(name, format!("the header {header} occurs twice"), "send it once"),
            None => problems.error(name, format!("the header {header} is no text in UTF-8"), "encode it with per cent signs"),
        }
    }
    let event = assemble(attributes, data, &problems);
    finish(problems, event)
}

fn finish(problems: Problems<'_>, event: Option<Event>) -> Result<Event, Refusal> {
    problems.close(event).map_err(Refusal::Invalid)
}

/// Parses JSON within the limits.
fn parse(file: &str, body: &[u8], limits: Limits) -> Result<Value, Refusal> {
    if body.len() > limits.bytes {
        return Err(Refusal::TooLarge { limit: limits.bytes });
    }
    let invalid = |problem: Problem, hint: &str| Refusal::Invalid(vec![problem.with_hint(hint)]);
    if depth(body) > limits.depth {
        let problem = Problem::error(file, "", format!("the event is nested more than {} levels deep", limits.depth));
        return Err(invalid(problem, "flatten its data"));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let problem = Problem::error(file, "", format!("the event is not UTF-8 from byte {} on", error.valid_up_to()));
        invalid(problem, "send it in UTF-8")
    })?;
    serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        let problem = Problem::error(file, "", format!("the event is not JSON: {message}"));
        let hint = if text.trim().is_empty() { "the body is empty; send an event" } else { "mend the JSON first" };
        invalid(problem.at(text, error.line().max(1), error.column().max(1)), hint)
    })
}

/// Returns how deep the brackets of a text are nested.
fn depth(body: &[u8]) -> usize {
    let (mut open, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Puts an event together from its attributes; whatever is no known one is kept.
fn assemble(mut attributes: Map<String, Value>, data: Value, problems: &Problems<'_>) -> Option<Event> {
    let mut text = |name: &str| match attributes.remove(name).unwrap_or_default() {
        Value::Null => None,
        Value::String(text) if text.len() > LONGEST || text.chars().any(char::is_control) => {
            problems.error(name, format!("{name} has control characters or more than {LONGEST} bytes"), "shorten it");
            None
        }
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        other => {
            problems.error(name, format!("{name} must be a text, not {}", kind(&other)), "write it in quotes");
            None
        }
    };
    let version = text("specversion");
    let (id, source, event_kind, time) = (text("id"), text("source"), text("type"), text("time"));
    let content_types = [text("contenttype"), text("datacontenttype")];
    let (context, triggered_id) = (text("shkeptncontext"), text("triggeredid"));
    let (keptn_version, git_commit) = (text("shkeptnspecversion"), text("gitcommitid"));
    let required = |name: &str, value: Option<String>, hint: &str| {
        if value.is_none() {
            problems.error(name, format!("{name} is missing, empty or no text"), hint);
        }
        value
    };
    let version = match required("specversion", version, "write \"1.0\"")?.as_str() {
        "0.2" => SpecVersion::V0_2,
        "1.0" => SpecVersion::V1_0,
        other => {
            let shown: String = other.chars().take(20).collect();
            problems.error("specversion", format!("CloudEvents {shown:?} are not read"), "send version 1.0 or 0.2");
            return None;
        }
    };
    let id = required("id", id, "give each event an id of its own, such as a UUID");
    let source = required("source", source, "say who sends it");
    let event_kind = required("type", event_kind, "write the type, such as sh.keptn.events.new-artifact");
    for written in content_types.into_iter().flatten().filter(|written| !is_json(&media_type(written))) {
        problems.error(version.content_type(), format!("the data are {written:?}, not JSON"), "send application/json");
    }
    let time = time.and_then(|text| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            problems.error("time", format!("time is {text:?}"), "write it as in 2026-01-31T12:00:00.000Z");
        }
        parsed
    });
    attributes.retain(|name, value| !value.is_null() && !["data_base64", "datacontentencoding"].contains(&name.as_str()));
    if attributes.len() > MOST_EXTENSIONS {
        problems.error("", format!("the event has more than {MOST_EXTENSIONS} attributes of its own"), "move them into its data");
    }
    Some(Event {
        version,
        id: id?,
        source: source?,
        kind: event_kind?,
        time,
        context,
        triggered_id,
        keptn_version,
        git_commit,
        extensions: attributes,
        data,
    })
}

/// Returns a content type in small letters, without its parameters.
fn media_type(written: &str) -> String {
    written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media: &str) -> bool {
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

/// Decodes per cent signs, `None` where that is no UTF-8; a sign without two digits stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|digits| *byte == b'%' && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}
