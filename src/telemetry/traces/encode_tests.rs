//! Holds the encoder to OTLP's JSON mapping and to the conventions for HTTP spans.

use std::time::Duration;

use serde_json::{Value, json};

use super::encode::{Instance, request};
use crate::domain::outcome::{Failure, Role};
use crate::domain::trace::{SpanId, TraceContext, TraceId};
use crate::seam::access::Line;
use crate::seam::trace::{Attempt, Finished, Origin};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn origin() -> Origin {
    let context = TraceContext::from_traceparent(format!("00-{TRACE}-00f067aa0ba902b7-01").as_bytes()).unwrap();
    Origin {
        trace: context.trace,
        span: SpanId::drawn(0x0a),
        parent: Some(context.parent),
        random: false,
        state: "a=b".to_owned(),
        scheme: "https",
        began_ns: 1_700_000_000_000_000_000,
    }
}

fn line() -> Box<Line> {
    Box::new(Line {
        client: Some("::ffff:192.0.2.7".parse().unwrap()),
        method: "GET".to_owned(),
        path: "/carts/\"1".to_owned(),
        protocol: http::Version::HTTP_2,
        host: "carts.test".to_owned(),
        service: Some("carts".parse().unwrap()),
        version: Some("v1".parse().unwrap()),
        role: Some(Role::Stable),
        generation: 7,
        rollout: 3,
        status: 200,
        response_time: Some(Duration::from_millis(5)),
        duration: Duration::from_millis(6),
        bytes: 4,
        rescued: Some(Failure::ConnectionRefused),
        ..Line::default()
    })
}

fn attempt(span: u64, endpoint: &str) -> Attempt {
    Attempt {
        span: SpanId::drawn(span),
        version: Some("v2".parse().unwrap()),
        role: Some(Role::Canary),
        endpoint: endpoint.parse().unwrap(),
        encrypted: false,
        began: Duration::from_millis(1),
        ended: Some(Duration::from_millis(2)),
        failure: Some(Failure::ConnectionRefused),
        rescue: false,
    }
}

fn rescued() -> Finished {
    let second = Attempt {
        version: Some("v1".parse().unwrap()),
        role: Some(Role::Stable),
        encrypted: true,
        began: Duration::from_millis(3),
        ended: None,
        failure: None,
        rescue: true,
        ..attempt(0x0c, "[::1]:8443")
    };
    Finished { origin: origin(), line: line(), ended: Duration::from_millis(9), attempts: vec![attempt(0x0b, "192.0.2.1:80"), second] }
}

fn written(finished: Finished) -> (Value, u64) {
    let (text, count) = request(&Instance { name: "portcullis-1".to_owned(), service: None }, &[finished]);
    (serde_json::from_str(&text).unwrap(), count)
}

fn spans(finished: Finished) -> Vec<Value> {
    written(finished).0["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

/// Returns an attribute's value, of which there is one.
fn attribute<'v>(span: &'v Value, key: &str) -> Option<&'v Value> {
    let mut found = span["attributes"].as_array().unwrap().iter().filter(|attribute| attribute["key"] == key);
    let first = found.next();
    assert!(found.next().is_none(), "{key} is there twice");
    first.map(|attribute| &attribute["value"])
}

#[test]
fn a_request_is_written_as_the_mapping_of_the_protocol_wants_it() {
    let (body, count) = written(rescued());
    assert_eq!(count, 3);
    let resource = &body["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), Some(&json!({"stringValue": "portcullis"})));
    assert_eq!(attribute(resource, "service.instance.id"), Some(&json!({"stringValue": "portcullis-1"})));
    let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    let mut bare = span.clone();
    bare["attributes"].take();
    assert_eq!(
        bare,
        json!({
            "traceId": TRACE,
            "spanId": "000000000000000a",
            "parentSpanId": "00f067aa0ba902b7",
            "traceState": "a=b",
            "flags": 0x301,
            "name": "GET",
            "kind": 2,
            "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": "1700000000009000000",
            "attributes": null,
            "status": {},
        })
    );
    for (key, text) in [
        ("http.request.method", "GET"),
        ("url.scheme", "https"),
        ("url.path", "/carts/\"1"),
        ("network.protocol.version", "2"),
        ("server.address", "carts.test"),
        ("client.address", "192.0.2.7"),
        ("portcullis.service", "carts"),
        ("portcullis.version", "v1"),
        ("portcullis.role", "stable"),
        ("portcullis.rescue.reason", "connection_refused"),
    ] {
        assert_eq!(attribute(span, key), Some(&json!({"stringValue": text})), "{key}");
    }
    for (key, number) in [
        ("http.response.status_code", "200"),
        ("http.response.body.size", "4"),
        ("portcullis.generation", "7"),
        ("portcullis.rollout", "3"),
        ("portcullis.attempts", "2"),
    ] {
        assert_eq!(attribute(span, key), Some(&json!({"intValue": number})), "{key}");
    }
    assert_eq!(attribute(span, "error.type"), None);
}

#[test]
fn each_attempt_is_a_child_with_its_own_end() {
    let spans = spans(rescued());
    let [server, failed, answered] = spans.as_slice() else { panic!("{spans:?}") };
    for child in [failed, answered] {
        assert_eq!((&child["parentSpanId"], &child["traceId"], &child["kind"]), (&server["spanId"], &json!(TRACE), &json!(3)));
        assert_eq!((&child["flags"], &child["traceState"]), (&json!(0x101), &json!("a=b")));
    }
    let times = |span: &Value| [&span["startTimeUnixNano"], &span["endTimeUnixNano"]].map(|time| time.as_str().unwrap()[10..13].to_owned());
    assert_eq!((times(failed), times(answered)), (["001", "002"].map(str::to_owned), ["003", "009"].map(str::to_owned)));
    assert_eq!((&failed["spanId"], &failed["status"]), (&json!("000000000000000b"), &json!({"code": 2})));
    assert_eq!((&answered["spanId"], &answered["status"]), (&json!("000000000000000c"), &json!({})));
    let text = |span, key| attribute(span, key).map(|value| value["stringValue"].as_str().unwrap().to_owned());
    let number = |span, key| attribute(span, key).map(|value| value["intValue"].as_str().unwrap().to_owned());
    assert_eq!(text(failed, "url.full").unwrap(), "http://192.0.2.1:80/carts/\"1");
    assert_eq!(text(answered, "url.full").unwrap(), "https://[::1]:8443/carts/\"1");
    assert_eq!((text(answered, "server.address").unwrap(), number(answered, "server.port").unwrap()), ("::1".into(), "8443".into()));
    assert_eq!((number(failed, "http.request.resend_count"), number(answered, "http.request.resend_count").unwrap()), (None, "1".into()));
    assert_eq!((number(failed, "http.response.status_code"), number(answered, "http.response.status_code").unwrap()), (None, "200".into()));
    assert_eq!((text(failed, "error.type").unwrap(), text(answered, "error.type")), ("connection_refused".into(), None));
    assert_eq!((text(failed, "portcullis.version").unwrap(), text(answered, "portcullis.version").unwrap()), ("v2".into(), "v1".into()));
    assert_eq!(attribute(failed, "portcullis.rescue"), None);
    assert_eq!(attribute(answered, "portcullis.rescue"), Some(&json!({"boolValue": true})));
}

#[test]
fn an_error_is_one_only_where_the_conventions_say_so() {
    let told = |status: u16, failure: Option<Failure>| {
        let mut line = line();
        (line.status, line.failure) = (status, failure);
        let last = Attempt { ended: None, failure, ..attempt(0x0b, "192.0.2.1:80") };
        let spans = spans(Finished { origin: origin(), line, ended: Duration::ZERO, attempts: vec![last] });
        let of = |span: &Value| (span["status"] == json!({"code": 2}), attribute(span, "error.type").map(|v| v["stringValue"].clone()));
        [of(&spans[0]), of(&spans[1])]
    };
    let (fine, bad) = ((false, None), |kind: &str| (true, Some(json!(kind))));
    assert_eq!(told(302, None), [fine.clone(), fine.clone()]);
    assert_eq!(told(404, None), [fine, bad("404")], "it is the caller's error, and the proxy is one");
    assert_eq!(told(503, None), [bad("503"), bad("503")]);
    assert_eq!(told(200, Some(Failure::ResponseBodyCut)), [bad("response_body_cut"), bad("response_body_cut")]);
    let left = (false, Some(json!("client_gone")));
    assert_eq!(told(200, Some(Failure::ClientGone)), [left.clone(), left]);
}

#[test]
fn a_refused_request_and_an_odd_method_have_a_span_of_few_words() {
    let line = Line { method: "BREW".to_owned(), path: "/".to_owned(), status: 400, refusal: Some("no host"), ..Line::default() };
    let origin = Origin { parent: None, state: String::new(), trace: TraceId::drawn(5), ..origin() };
    let spans = spans(Finished { origin, line: Box::new(line), ended: Duration::ZERO, attempts: Vec::new() });
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((&span["name"], &span["flags"], &span["status"]), (&json!("HTTP"), &json!(0x101), &json!({})));
    assert!(span.get("parentSpanId").is_none() && span.get("traceState").is_none(), "{span}");
    assert_eq!(attribute(span, "http.request.method"), Some(&json!({"stringValue": "_OTHER"})));
    assert_eq!(attribute(span, "http.request.method_original"), Some(&json!({"stringValue": "BREW"})));
    assert_eq!(attribute(span, "portcullis.refusal"), Some(&json!({"stringValue": "no host"})));
    for absent in ["server.address", "client.address", "portcullis.service", "portcullis.generation", "portcullis.attempts"] {
        assert_eq!(attribute(span, absent), None, "{absent}");
    }
}

#[test]
fn a_version_behind_a_socket_has_its_path_as_address() {
    let finished = Finished { attempts: vec![attempt(0x0b, "unix:/run/v2.sock")], ..rescued() };
    let span = &spans(finished)[1];
    assert_eq!(attribute(span, "server.address"), Some(&json!({"stringValue": "/run/v2.sock"})));
    assert_eq!(attribute(span, "network.transport"), Some(&json!({"stringValue": "unix"})));
    assert_eq!((attribute(span, "server.port"), attribute(span, "url.full")), (None, None));
}
