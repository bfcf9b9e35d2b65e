//! Reads the bodies of commands: bounded, strict, and with every problem at once.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::LengthLimitError;

use crate::admin::access;
use crate::admin::problem::{FieldError, Problem};
use crate::domain::actor;
use crate::domain::endpoint::{Endpoint, InvalidEndpoint};
use crate::domain::version::{Name, Version};
use crate::domain::weight::{InvalidWeight, Weight};
use crate::formats::json::{self, Member, Node, Value};

/// The largest body, in bytes.
pub const LARGEST: usize = 64 * 1024;
/// How long a body may take to arrive.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The most endpoints of a version.
pub const ENDPOINTS: usize = 64;
/// The longest name of an operator, in characters.
pub const LONGEST_ACTOR: usize = 100;
/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 500;

/// Who acts where nobody is named.
pub(super) const ANYBODY: &str = "operator";

/// A request for a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The service.
    pub service: Name,
    /// The version to try.
    pub canary: Version,
    /// Whether a version that was rolled back may be tried again.
    pub retry: bool,
    /// Who asks.
    pub actor: String,
}

/// Who asks for something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Reads a body as JSON; `None` when it is empty and says no other type.
///
/// # Errors
///
/// Returns 415 for another type, 413 and 408 for what is too large or too slow, 400 for what is not JSON.
pub async fn read(request: Request) -> Result<Option<Node>, Problem> {
    let typed = is_json(request.headers())?;
    let body = tokio::time::timeout(PATIENCE, to_bytes(request.into_body(), LARGEST)).await;
    let bytes = match body {
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
        Ok(Err(error)) if std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>()) => {
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} KiB", LARGEST / 1024)));
        }
        Ok(Err(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete or malformed")),
        Ok(Ok(bytes)) => bytes,
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    if !typed {
        return Err(wrong_type());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))?;
    json::parse("body", text).map(Some).map_err(|problem| {
        let place = problem.line.zip(problem.column).map_or_else(String::new, |(line, column)| format!(" (line {line}, column {column})"));
        Problem::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {}{place}", problem.message))
    })
}

/// Says whether a body is declared as JSON; false when nothing is declared.
fn is_json(headers: &HeaderMap) -> Result<bool, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body must not be encoded; send no Content-Encoding"));
    }
    let mut declared = false;
    for kind in headers.get_all(header::CONTENT_TYPE) {
        let kind = kind.to_str().map_err(|_| wrong_type())?;
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(wrong_type());
        }
        declared = true;
    }
    Ok(declared)
}

fn wrong_type() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON; send Content-Type: application/json")
}

/// Reads a request for a rollout.
///
/// # Errors
///
/// Returns 422 with every problem.
pub fn start(body: Option<&Node>) -> Result<Start, Problem> {
    let mut reader = Reader::default();
    let root = body.and_then(|body| reader.object(body, "", &["service", "canary", "retry", "actor"]));
    if body.is_none() {
        reader.error("", "the body is empty; write {\"service\": …, \"canary\": {\"name\": …, \"endpoints\": […]}}");
    }
    let parts = root.map(|root| {
        let service = root.required("service", &mut reader).and_then(|field| reader.name(&field));
        let canary = root.required("canary", &mut reader).and_then(|field| reader.version(&field));
        let retry = root.optional("retry").is_some_and(|field| reader.flag(&field));
        let actor = reader.actor(&root);
        (service, canary, retry, actor)
    });
    match parts {
        Some((Some(service), Some(canary), retry, actor)) if reader.errors.is_empty() => Ok(Start { service, canary, retry, actor }),
        _ => Err(reader.into_problem()),
    }
}

/// Reads who asks for something, and why; both may be missing.
///
/// # Errors
///
/// Returns 422 with every problem.
pub fn ask(body: Option<&Node>) -> Result<Ask, Problem> {
    let mut reader = Reader::default();
    let root = body.and_then(|body| reader.object(body, "", &["actor", "reason"]));
    let ask = reader.ask(root.as_ref());
    if reader.errors.is_empty() { Ok(ask) } else { Err(reader.into_problem()) }
}

/// Reads who ends a rollout, why, and whether its share may go back in steps.
///
/// # Errors
///
/// Returns 422 with every problem.
pub fn end(body: Option<&Node>) -> Result<(bool, Ask), Problem> {
    let mut reader = Reader::default();
    let root = body.and_then(|body| reader.object(body, "", &["actor", "reason", "ramp"]));
    let ramp = root.as_ref().and_then(|root| root.optional("ramp")).is_some_and(|field| reader.flag(&field));
    let ask = reader.ask(root.as_ref());
    if reader.errors.is_empty() { Ok((ramp, ask)) } else { Err(reader.into_problem()) }
}

/// Reads a share for the canary, who asks for it, and why.
///
/// # Errors
///
/// Returns 422 with every problem.
pub fn share(body: Option<&Node>) -> Result<(Weight, Ask), Problem> {
    let mut reader = Reader::default();
    let root = body.and_then(|body| reader.object(body, "", &["weight", "actor", "reason"]));
    if body.is_none() {
        reader.error("", "the body is empty; write {\"weight\": \"10%\"}");
    }
    let weight = root.as_ref().and_then(|root| root.required("weight", &mut reader)).and_then(|field| reader.weight(&field));
    let ask = reader.ask(root.as_ref());
    match weight {
        Some(weight) if reader.errors.is_empty() => Ok((weight, ask)),
        _ => Err(reader.into_problem()),
    }
}

/// Looks whether a text is one line that hides nothing.
///
/// # Errors
///
/// Returns what to write instead.
pub(super) fn line(text: &str, longest: usize) -> Result<(), String> {
    if text.trim().is_empty() || text.chars().count() > longest || text.chars().any(is_invisible) {
        return Err(format!("write 1 to {longest} characters in one line, without control or direction characters"));
    }
    Ok(())
}

/// Looks whether a name may be that of somebody who asks.
///
/// # Errors
///
/// Returns what to write instead.
pub(super) fn person(name: &str) -> Result<(), String> {
    line(name, LONGEST_ACTOR)?;
    if actor::is_reserved(name) {
        return Err(format!("{name:?} is the program itself; write who asks"));
    }
    Ok(())
}

/// A value and where it stands.
struct Field<'a> {
    node: &'a Node,
    pointer: String,
}

/// An object whose keys are known.
struct Object<'a> {
    members: &'a [Member],
    pointer: String,
}

impl<'a> Object<'a> {
    fn optional(&self, key: &str) -> Option<Field<'a>> {
        let member = self.members.iter().find(|member| member.key == key)?;
        Some(Field { node: &member.node, pointer: format!("{}/{key}", self.pointer) })
    }

    fn required(&self, key: &str, reader: &mut Reader) -> Option<Field<'a>> {
        let field = self.optional(key);
        if field.is_none() {
            reader.error(&self.pointer, format!("{key:?} is missing"));
        }
        field
    }
}

/// Collects problems while values are read.
#[derive(Default)]
struct Reader {
    errors: Vec<FieldError>,
}

impl Reader {
    fn error(&mut self, pointer: &str, detail: impl Into<String>) {
        self.errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.into() });
    }

    fn into_problem(self) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body has values that cannot be used; see errors").with_errors(self.errors)
    }

    fn object<'a>(&mut self, node: &'a Node, pointer: &str, known: &[&str]) -> Option<Object<'a>> {
        let Some(members) = node.members() else {
            self.error(pointer, format!("this is {}, not an object", node.kind()));
            return None;
        };
        for (index, member) in members.iter().enumerate() {
            let at = format!("{pointer}/{}", escape(&member.key));
            if !known.contains(&member.key.as_str()) {
                self.error(&at, format!("this key is unknown; the keys are {}", known.join(", ")));
            } else if members.iter().take(index).any(|earlier| earlier.key == member.key) {
                self.error(&at, "this key is written twice");
            }
        }
        Some(Object { members, pointer: pointer.to_owned() })
    }

    fn text(&mut self, field: &Field<'_>, longest: usize) -> Option<String> {
        let Some(text) = field.node.text() else {
            self.error(&field.pointer, format!("this is {}, not a text", field.node.kind()));
            return None;
        };
        line(text, longest).map_err(|detail| self.error(&field.pointer, detail)).ok()?;
        Some(text.to_owned())
    }

    fn actor(&mut self, root: &Object<'_>) -> String {
        let said = root.optional("actor").and_then(|field| {
            let Some(actor) = field.node.text() else { return self.text(&field, LONGEST_ACTOR) };
            person(actor).map_err(|detail| self.error(&field.pointer, detail)).ok()?;
            Some(actor.to_owned())
        });
        access::signed(said, ANYBODY)
    }

    fn ask(&mut self, root: Option<&Object<'_>>) -> Ask {
        let mut ask = Ask { actor: access::signed(None, ANYBODY), reason: "no reason given".to_owned() };
        if let Some(root) = root {
            ask.actor = self.actor(root);
            if let Some(reason) = root.optional("reason").and_then(|field| self.text(&field, LONGEST_REASON)) {
                ask.reason = reason;
            }
        }
        ask
    }

    fn weight(&mut self, field: &Field<'_>) -> Option<Weight> {
        let weight = field.node.text().ok_or_else(|| format!("this is {}, not a text such as \"10%\"", field.node.kind()));
        let weight = weight.and_then(|text| text.parse().map_err(|error: InvalidWeight| error.to_string()));
        weight.map_err(|detail| self.error(&field.pointer, detail)).ok()
    }

    fn flag(&mut self, field: &Field<'_>) -> bool {
        match field.node.value {
            Value::Bool(flag) => flag,
            _ => {
                self.error(&field.pointer, format!("this is {}, not true or false", field.node.kind()));
                false
            }
        }
    }

    fn name(&mut self, field: &Field<'_>) -> Option<Name> {
        let name = match field.node.text() {
            Some(text) => text.parse().map_err(|error: crate::domain::version::InvalidName| error.to_string()),
            None => Err(format!("this is {}, not a text", field.node.kind())),
        };
        name.map_err(|detail| self.error(&field.pointer, detail)).ok()
    }

    fn version(&mut self, field: &Field<'_>) -> Option<Version> {
        let object = self.object(field.node, &field.pointer, &["name", "endpoints"])?;
        let name = object.required("name", self).and_then(|field| self.name(&field));
        let endpoints = object.required("endpoints", self).and_then(|field| self.endpoints(&field));
        Some(Version::new(name?, endpoints?))
    }

    fn endpoints(&mut self, field: &Field<'_>) -> Option<Vec<Endpoint>> {
        let Some(items) = field.node.items() else {
            self.error(&field.pointer, format!("this is {}, not a list of endpoints", field.node.kind()));
            return None;
        };
        if items.is_empty() || items.len() > ENDPOINTS {
            self.error(&field.pointer, format!("write 1 to {ENDPOINTS} endpoints"));
            return None;
        }
        let mut endpoints = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let endpoint = match item.text() {
                Some(text) => text.parse::<Endpoint>().map_err(|InvalidEndpoint(hint)| hint),
                None => Err(format!("this is {}; write an address with a port, such as \"127.0.0.1:8080\"", item.kind())),
            };
            match endpoint {
                Ok(endpoint) if !endpoints.contains(&endpoint) => endpoints.push(endpoint),
                Ok(_) => self.error(&format!("{}/{index}", field.pointer), "this endpoint is written twice"),
                Err(hint) => self.error(&format!("{}/{index}", field.pointer), hint),
            }
        }
        (endpoints.len() == items.len()).then_some(endpoints)
    }
}

/// Escapes a key for a JSON pointer (RFC 6901 section 3).
pub(super) fn escape(key: &str) -> String {
    key.chars().take(80).collect::<String>().replace('~', "~0").replace('/', "~1")
}

/// Says whether a character hides or reorders what stands beside it.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
