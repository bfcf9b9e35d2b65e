//! Writes spans in OTLP's JSON (opentelemetry-proto 1.x, "JSON Protobuf Encoding"): ids in hexadecimal, 64-bit numbers as texts, enums as
//! numbers, keys in lower camel case. Names and attributes follow OpenTelemetry's semantic conventions for HTTP spans 1.23 and later.

use serde_json::{Map, Value, json};

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::{Blame, Failure};
use crate::seam::trace::{Attempt, Finished};

/// The conventions that the attributes follow.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.30.0";
/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;
/// Span flags: the trace flag of a recorded span, and that it is known whether the parent is of another process, and is.
const RECORDED: u32 = 0x001;
const KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;
/// The methods that may stand in a span as they are; all others are `_OTHER`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Which process the spans are of.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What it calls itself in `Via`.
    pub name: String,
    /// What it calls its service; `None` for the name of the program.
    pub service: Option<String>,
}

/// Writes an `ExportTraceServiceRequest` with the spans of these requests; returns how many they are too.
pub fn request(instance: &Instance, finished: &[Finished]) -> (String, u64) {
    let spans: Vec<Value> = finished.iter().flat_map(spans).collect();
    let count = spans.len() as u64;
    let mut resource = Attributes::default();
    resource.text("service.name", instance.service.as_deref().unwrap_or(env!("CARGO_PKG_NAME")));
    resource.text("service.version", env!("CARGO_PKG_VERSION"));
    resource.text("service.instance.id", &instance.name);
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": resource.0},
        "scopeSpans": [{
            "scope": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
            "schemaUrl": CONVENTIONS,
        }],
        "schemaUrl": CONVENTIONS,
    }]});
    (body.to_string(), count)
}

/// Makes the span of a request, and one for each attempt.
fn spans(finished: &Finished) -> Vec<Value> {
    let attempts = finished.attempts.iter().enumerate().map(|(index, attempt)| client(finished, index, attempt));
    std::iter::once(server(finished)).chain(attempts).collect()
}

fn server(finished: &Finished) -> Value {
    let (origin, line) = (&finished.origin, &finished.line);
    let mut attributes = Attributes::default();
    attributes.method(&line.method);
    attributes.text("url.scheme", origin.scheme);
    attributes.text("url.path", &line.path);
    attributes.text("network.protocol.version", protocol(line.protocol));
    if !line.host.is_empty() {
        attributes.text("server.address", &line.host);
    }
    if let Some(client) = line.client {
        attributes.text("client.address", &client.to_canonical().to_string());
    }
    if line.status != 0 {
        attributes.number("http.response.status_code", line.status.into());
    }
    attributes.number("http.response.body.size", i64::try_from(line.bytes).unwrap_or(i64::MAX));
    if let Some(service) = &line.service {
        attributes.text("portcullis.service", service.as_str());
        attributes.number("portcullis.generation", i64::try_from(line.generation).unwrap_or(i64::MAX));
        if line.rollout != 0 {
            attributes.number("portcullis.rollout", i64::try_from(line.rollout).unwrap_or(i64::MAX));
        }
        attributes.number("portcullis.attempts", i64::try_from(finished.attempts.len()).unwrap_or(i64::MAX));
    }
    if let Some(version) = &line.version {
        attributes.text("portcullis.version", version.as_str());
    }
    if let Some(role) = line.role {
        attributes.text("portcullis.role", role.as_str());
    }
    if let Some(failure) = line.rescued {
        attributes.text("portcullis.rescue.reason", &word(failure));
    }
    if let Some(refusal) = line.refusal {
        attributes.text("portcullis.refusal", refusal);
    }
    let status = status(line.status, line.failure, &mut attributes, 500);
    let mut span = span(finished, SERVER, &origin.span.to_string(), (0, finished.ended.as_nanos()), attributes, status);
    if let Some(parent) = origin.parent {
        span.insert("parentSpanId".to_owned(), json!(parent.to_string()));
        span.insert("flags".to_owned(), json!(RECORDED | KNOWN | REMOTE));
    }
    Value::Object(span)
}

fn client(finished: &Finished, index: usize, attempt: &Attempt) -> Value {
    let (origin, line) = (&finished.origin, &finished.line);
    let mut attributes = Attributes::default();
    attributes.method(&line.method);
    let scheme = if attempt.encrypted { "https" } else { "http" };
    attributes.text("url.scheme", scheme);
    match &attempt.endpoint {
        Endpoint::Address(address) => {
            attributes.text("server.address", &address.ip().to_canonical().to_string());
            attributes.number("server.port", address.port().into());
            attributes.text("url.full", &format!("{scheme}://{address}{}", line.path));
        }
        Endpoint::Name { host, port } => {
            attributes.text("server.address", host);
            attributes.number("server.port", (*port).into());
            attributes.text("url.full", &format!("{scheme}://{host}:{port}{}", line.path));
        }
        Endpoint::Socket(path) => {
            attributes.text("server.address", &path.display().to_string());
            attributes.text("network.transport", "unix");
        }
        // What is connected to is one of its addresses.
        Endpoint::Slices(slices) => attributes.text("server.address", &slices.service),
    }
    if index > 0 {
        attributes.number("http.request.resend_count", i64::try_from(index).unwrap_or(i64::MAX));
    }
    if let Some(version) = &attempt.version {
        attributes.text("portcullis.version", version.as_str());
    }
    if let Some(role) = attempt.role {
        attributes.text("portcullis.role", role.as_str());
    }
    if attempt.rescue {
        attributes.0.push(json!({"key": "portcullis.rescue", "value": {"boolValue": true}}));
    }
    // The one that was answered is the last, and only where a head came.
    let answered = attempt.ended.is_none() && line.response_time.is_some();
    let code = if answered { line.status } else { 0 };
    if code != 0 {
        attributes.number("http.response.status_code", code.into());
    }
    let status = status(code, attempt.failure, &mut attributes, 400);
    let times = (attempt.began.as_nanos(), attempt.ended.unwrap_or(finished.ended).as_nanos());
    let mut span = span(finished, CLIENT, &attempt.span.to_string(), times, attributes, status);
    span.insert("parentSpanId".to_owned(), json!(origin.span.to_string()));
    Value::Object(span)
}

/// Puts a span together; times are nanoseconds since the head was read.
fn span(finished: &Finished, kind: u8, id: &str, times: (u128, u128), attributes: Attributes, status: Value) -> Map<String, Value> {
    let origin = &finished.origin;
    let method = known(&finished.line.method);
    let at = |since: u128| u128::from(origin.began_ns).saturating_add(since).to_string();
    let mut span = Map::new();
    let mut put = |key: &str, value: Value| span.insert(key.to_owned(), value);
    put("traceId", json!(origin.trace.to_string()));
    put("spanId", json!(id));
    if !origin.state.is_empty() {
        put("traceState", json!(origin.state));
    }
    put("flags", json!(RECORDED | KNOWN));
    put("name", json!(if method == "_OTHER" { "HTTP" } else { method }));
    put("kind", json!(kind));
    put("startTimeUnixNano", json!(at(times.0)));
    put("endTimeUnixNano", json!(at(times.1)));
    put("attributes", Value::Array(attributes.0));
    put("status", status);
    span
}

/// Says how a span ended: a status from `worst` on is an error, and so is a failure for which its client is not to blame.
fn status(code: u16, failure: Option<Failure>, attributes: &mut Attributes, worst: u16) -> Value {
    match failure {
        Some(failure) => attributes.text("error.type", &word(failure)),
        None if code >= worst => attributes.text("error.type", &code.to_string()),
        None => {}
    }
    let failed = failure.is_some_and(|failure| failure.blame() != Blame::Client) || code >= worst;
    if failed { json!({"code": ERROR}) } else { json!({}) }
}

/// Returns the word that stands for a failure everywhere.
fn word(failure: Failure) -> String {
    // The name of a variant is always a JSON text.
    serde_json::to_value(failure).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn known(method: &str) -> &str {
    if METHODS.contains(&method) { method } else { "_OTHER" }
}

const fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Attributes while they are gathered.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, key: &str, text: &str) {
        self.0.push(json!({"key": key, "value": {"stringValue": text}}));
    }

    fn number(&mut self, key: &str, number: i64) {
        self.0.push(json!({"key": key, "value": {"intValue": number.to_string()}}));
    }

    fn method(&mut self, method: &str) {
        let known = known(method);
        self.text("http.request.method", known);
        if known == "_OTHER" {
            self.text("http.request.method_original", method);
        }
    }
}
