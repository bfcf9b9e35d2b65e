//! The request side: one target form, one Host, one framing, no hop-by-hop field, an honest identity.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::proxy::sanitise::fields::{self, FORCE, OURS, Present};
use crate::proxy::sanitise::forward;
use crate::proxy::sanitise::host::host_and_port;
use crate::proxy::sanitise::http2;
use crate::proxy::sanitise::policy::{Peer, Policy, Refusal, WireNotes, refuse};
use crate::proxy::sanitise::upgrade;
use crate::proxy::settings::MAX_TARGET;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body and no framing field.
    None,
    /// Content-Length was given, this many bytes.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
}

/// What is known of a request after it was cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    /// The host for routing: lower case, no port, no trailing dot.
    pub host: String,
    /// How its body is delimited; the head has no field for it any more.
    pub framing: Framing,
    /// What the client wants to force a version with, in the field of this proxy for it. It is not passed on.
    pub token: Option<HeaderValue>,
    /// It asks to go on as a WebSocket; the only request whose answer may be 101.
    pub upgrade: bool,
    /// The client understands trailers.
    pub trailers: bool,
    /// Its answer has no body, whatever it says: it is HEAD.
    pub bodyless: bool,
}

/// Refuses a request or cleans its head in place, so that [`Outgoing`](super::Outgoing) can write what stands.
///
/// # Errors
///
/// Returns the status and the reason of a refusal. The connection must then be closed, because what follows on it cannot be
/// trusted to be a request.
pub fn request(head: &mut Parts, notes: WireNotes, peer: &Peer, policy: &Policy) -> Result<Clean, Refusal> {
    line(head, notes, policy)?;
    if head.version == Version::HTTP_2 {
        http2::to_http1(head)?;
    }
    let mut present = Present::in_head(&head.headers);
    present.odd |= head.headers.keys().any(|name| name.as_str().contains('_'));
    let framing = framing(head, present)?;
    let host = target_and_host(head, peer.scheme)?;
    if peer.asked_for.as_ref().is_some_and(|name| **name != *host) {
        return refuse(421, "the request is for another host than its TLS connection");
    }
    if present.expect {
        expectation(&head.headers)?;
    }
    if present.via
        && fields::elements(&head.headers, &header::VIA).any(|entry| entry.split_whitespace().nth(1) == Some(policy.pseudonym.as_str()))
    {
        return refuse(508, "this proxy is already in the request's Via: a routing loop");
    }
    max_forwards(head)?;
    let token = if present.odd { single(&head.headers, FORCE) } else { None };
    let upgrade = present.odd && matches!(framing, Framing::None | Framing::Length(0)) && upgrade::is_asked(head);
    let trailers = strip(&mut head.headers, present, peer.trusted)?;
    if upgrade {
        upgrade::announce(&mut head.headers);
    }
    if peer.trusted {
        let host = head.headers.get(header::HOST).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        forward::complete(&mut head.headers, peer, &host);
    }
    Ok(Clean { host, framing, token, upgrade, trailers, bodyless: head.method == Method::HEAD })
}

/// Checks the method, the version and what only the bytes showed.
fn line(head: &Parts, notes: WireNotes, policy: &Policy) -> Result<(), Refusal> {
    if !matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return refuse(505, "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here");
    }
    if head.method == Method::CONNECT || head.method == Method::TRACE || head.method.as_str() == "TRACK" {
        return refuse(405, "CONNECT, TRACE and TRACK are not allowed");
    }
    if head.method.as_str().len() > 32 {
        return refuse(400, "the method is longer than 32 bytes");
    }
    if notes.malformed {
        return refuse(400, "the body is malformed: its chunks, or a length that cannot be read");
    }
    if notes.fragment {
        return refuse(400, "the request target has a fragment");
    }
    if policy.strict && notes.bare_lf {
        return refuse(400, "a line of the head ends in LF without CR");
    }
    if policy.strict && notes.two_framings {
        return refuse(400, "Content-Length and Transfer-Encoding are both given");
    }
    Ok(())
}

/// Reads how the body is delimited: no field, one length, or exactly one `chunked`.
fn framing(head: &Parts, present: Present) -> Result<Framing, Refusal> {
    if present.coding {
        if fields::is_exactly_chunked(&head.headers) {
            return Ok(Framing::Chunked);
        }
        let elements: Vec<&str> = fields::elements(&head.headers, &header::TRANSFER_ENCODING).collect();
        let last = elements.last().is_some_and(|e| e.eq_ignore_ascii_case("chunked"));
        let count = elements.iter().filter(|e| e.eq_ignore_ascii_case("chunked")).count();
        let other = elements.iter().any(|e| !e.eq_ignore_ascii_case("chunked") && fields::is_token(e));
        return if last && count == 1 && other {
            refuse(501, "a transfer coding other than chunked is not supported")
        } else {
            refuse(400, "Transfer-Encoding must be exactly one 'chunked'")
        };
    }
    if !present.length {
        return Ok(Framing::None);
    }
    match fields::length(&head.headers) {
        Ok(None) => Ok(Framing::None),
        Ok(Some(bytes)) => Ok(Framing::Length(bytes)),
        Err(fields::InvalidLength) => refuse(400, "Content-Length must be one number of bytes"),
    }
}

/// Brings the target into origin form (or `*`), makes Host agree with it and returns the host for routing.
fn target_and_host(head: &mut Parts, scheme: &str) -> Result<String, Refusal> {
    if head.uri.path_and_query().map_or(0, |p| p.as_str().len()) > MAX_TARGET {
        return refuse(414, "the request target is longer than 8 KiB");
    }
    let mut hosts = head.headers.get_all(header::HOST).into_iter();
    let (given, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return refuse(400, "there is more than one Host field");
    }
    let Some(given) = given else {
        return refuse(400, "there is no Host field");
    };
    let text = given.to_str().map_err(|_| Refusal { status: 400, reason: "Host is not a host with an optional port" })?;
    let Some(parsed) = host_and_port(text) else {
        return refuse(400, "Host is not a host with an optional port");
    };
    let mut host = parsed.canonical();
    match (head.uri.scheme_str(), head.uri.authority()) {
        (Some(given), Some(named)) if given == "http" || given == scheme => {
            let Some(of_target) = host_and_port(named.as_str()) else {
                return refuse(400, "the target's authority is not a host with an optional port");
            };
            host = of_target.canonical();
            let value = HeaderValue::from_str(named.as_str());
            let value = value.map_err(|_| Refusal { status: 400, reason: "the target's authority is not a host with an optional port" })?;
            head.headers.insert(header::HOST, value);
            head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
        (None, None) => {}
        (Some("https"), _) => return refuse(421, "an https target on a plain-text port"),
        _ => return refuse(400, "the request target is neither a path nor an http URL"),
    }
    let path = head.uri.path();
    if path == "*" && head.method != Method::OPTIONS {
        return refuse(400, "'*' is a target of OPTIONS only");
    }
    if path != "*" && !path.starts_with('/') {
        return refuse(400, "the request target is neither a path nor an http URL");
    }
    Ok(host)
}

/// Refuses every expectation but `100-continue`.
fn expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(header::EXPECT) {
        if !fields::trim(value.as_bytes()).eq_ignore_ascii_case(b"100-continue") {
            return refuse(417, "the only expectation met here is 100-continue");
        }
    }
    Ok(())
}

/// Counts down how often OPTIONS may still be forwarded; at 0 this proxy is who answers (RFC 9110 section 7.6.2).
fn max_forwards(head: &mut Parts) -> Result<(), Refusal> {
    if head.method != Method::OPTIONS {
        return Ok(());
    }
    let hops = head.headers.get(header::MAX_FORWARDS).and_then(|v| v.to_str().ok()?.parse::<u32>().ok());
    match hops {
        None => Ok(()),
        Some(0) => refuse(200, "Max-Forwards is 0, so this proxy answers by itself"),
        Some(hops) => {
            head.headers.insert(header::MAX_FORWARDS, HeaderValue::from(hops - 1));
            Ok(())
        }
    }
}

/// Returns the value of a field that occurs once.
fn single(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none()).cloned()
}

/// Removes hop-by-hop fields, those `Connection` names, the framing, ours, names with underscores, and what an untrusted peer
/// says of itself.
fn strip(headers: &mut HeaderMap, present: Present, trusted: bool) -> Result<bool, Refusal> {
    if present.long {
        return refuse(431, "a field is longer than 16 KiB");
    }
    fields::remove_usual(headers, present);
    if !present.odd {
        return Ok(false);
    }
    let trailers = present.te && fields::elements(headers, &header::TE).any(|e| e.eq_ignore_ascii_case("trailers"));
    let mut gone: Vec<HeaderName> = fields::nominated(headers);
    for name in headers.keys() {
        let text = name.as_str();
        let claim = *name == header::FORWARDED || text == "x-real-ip" || text.starts_with("x-forwarded-");
        if fields::is_hop_by_hop(name)
            || matches!(*name, header::EXPECT | header::CONTENT_LENGTH)
            || text.starts_with(OURS)
            || text.contains('_')
            || (!trusted && claim)
        {
            gone.push(name.clone());
        }
    }
    for name in gone {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(trailers)
}
