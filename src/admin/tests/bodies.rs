//! Claims about bodies: what is refused, where it stands, and that everything is told at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::admin::body;
use crate::formats::json;

const START: &str = "/v1/rollouts";
const ABORT: &str = "/v1/rollouts/carts/abort";

/// Returns the pointers of the errors of a body that is refused with 422.
async fn pointers(desk: &Desk, path: &str, body: &str) -> Vec<String> {
    let answer = desk.post(path, body).await;
    assert_eq!(answer.problem().0, 422, "{body}: {}", answer.text);
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|detail| !detail.is_empty())), "{errors:?}");
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_problem_is_told_at_once_with_its_place() {
    let body = r#"{"service": "../etc", "canary": {"name": 3, "endpoints": ["127.0.0.1", "local host:80", "127.0.0.1:0", "127.0.0.1:1"], "x/y~z": 1},
        "retry": "yes", "actor": "", "weight": 101}"#;
    let mut found = pointers(&Desk::new(), START, body).await;
    found.sort();
    let expected = [
        "/actor",
        "/canary/endpoints/0",
        "/canary/endpoints/1",
        "/canary/endpoints/2",
        "/canary/name",
        "/canary/x~1y~0z",
        "/retry",
        "/service",
        "/weight",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_missing_twice_or_of_another_kind_is_refused() {
    let desk = Desk::new();
    let canary = r#"{"name": "v2", "endpoints": ["127.0.0.1:1"]}"#;
    let endpoints = |count: usize| (1..=count).map(|port| format!("\"127.0.0.1:{port}\"")).collect::<Vec<_>>().join(",");
    let with = |list: &str| format!(r#"{{"service": "carts", "canary": {{"name": "v2", "endpoints": [{list}]}}}}"#);
    let cases: Vec<(String, &[&str])> = vec![
        ("{}".to_owned(), &["", ""]),
        ("[]".to_owned(), &[""]),
        ("null".to_owned(), &[""]),
        ("NaN".to_owned(), &[]),
        (format!(r#"{{"service": "carts", "service": "carts", "canary": {canary}}}"#), &["/service"]),
        (format!(r#"{{"service": "carts", "canary": {canary}, "Retry": true}}"#), &["/Retry"]),
        (r#"{"service": "carts", "canary": "v2"}"#.to_owned(), &["/canary"]),
        (r#"{"service": "carts", "canary": {}}"#.to_owned(), &["/canary", "/canary"]),
        (format!(r#"{{"service": null, "canary": {canary}}}"#), &["/service"]),
        (with(""), &["/canary/endpoints"]),
        (with(&endpoints(65)), &["/canary/endpoints"]),
        (with("\"127.0.0.1:1\", \"127.0.0.1:1\""), &["/canary/endpoints/1"]),
        (with("1e400, -1"), &["/canary/endpoints/0", "/canary/endpoints/1"]),
        (with("\"127.0.0.1:99999\", \"[::1\""), &["/canary/endpoints/0", "/canary/endpoints/1"]),
    ];
    for (body, expected) in cases {
        if expected.is_empty() {
            assert_eq!(desk.post(START, &body).await.problem().0, 400, "{body}");
        } else {
            assert_eq!(pointers(&desk, START, &body).await, expected, "{body}");
        }
    }
    assert_eq!(pointers(&desk, START, "").await, [""]);
    assert_eq!(desk.commands(), [""; 0]);
    assert_eq!(desk.post(START, &with(&endpoints(64))).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn who_and_why_are_one_line_of_visible_text_and_not_the_program_itself() {
    let desk = Desk::new();
    let program =
        ["gate", "plan", "restart", "webhook", "endpoints", "hand-over", "reload", "delivery", "delivery-watch", "sources", "tests"];
    for actor in program {
        for actor in [actor.to_owned(), format!(" {} ", actor.to_uppercase())] {
            assert_eq!(pointers(&desk, ABORT, &json!({ "actor": actor }).to_string()).await, ["/actor"], "{actor:?}");
        }
    }
    for actor in ["", "  ", "a\nb", "\u{202e}nna", "a\u{200b}", "a\u{1b}[31m", &"x".repeat(101)] {
        let body = json!({ "actor": actor }).to_string();
        assert_eq!(pointers(&desk, ABORT, &body).await, ["/actor"], "{actor:?}");
    }
    for reason in [json!(""), json!(7), json!("a\u{2028}b"), json!("x".repeat(501))] {
        let body = json!({ "reason": reason }).to_string();
        assert_eq!(pointers(&desk, ABORT, &body).await, ["/reason"], "{reason}");
    }
    assert_eq!(pointers(&desk, ABORT, r#"{"force": true}"#).await, ["/force"]);
    assert_eq!(desk.commands(), [""; 0]);
    let fine = json!({"actor": "Ännchen <ann@example>", "reason": "x".repeat(500)}).to_string();
    assert_eq!(desk.post(ABORT, &fine).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_and_why_are_the_same_for_the_delivery() {
    let desk = Desk::new();
    let stage = "/v1/projects/p/services/s/stages/dev";
    for actor in ["hand-over", "Delivery", "tests", "", "  ", "a\nb", "\u{202e}nna", "a\u{200b}", &"x".repeat(101)] {
        for (path, body) in [
            ("/v1/projects/p/services/s/artifacts", json!({"image": "i", "tag": "1", "actor": actor})),
            (&*format!("{stage}/approve"), json!({ "actor": actor })),
            (&*format!("{stage}/deny"), json!({ "actor": actor })),
            (&*format!("{stage}/abort"), json!({ "actor": actor })),
        ] {
            assert_eq!(pointers(&desk, path, &body.to_string()).await, ["/actor"], "{path} {actor:?}");
        }
    }
    for reason in ["", "a\u{2028}b", "\u{202e}", &"x".repeat(501)] {
        assert_eq!(pointers(&desk, &format!("{stage}/abort"), &json!({ "reason": reason }).to_string()).await, ["/reason"], "{reason:?}");
    }
    let fine = json!({"actor": "Ännchen <ann@example>", "reason": "x".repeat(500)}).to_string();
    assert_eq!(desk.post(&format!("{stage}/abort"), &fine).await.problem().0, 404, "nothing is delivered here");
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_line_and_column() {
    let desk = Desk::new();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies = ["{", "{'actor': 'ann'}", "{\"actor\": \"ann\",}", "\u{feff}{}", "{} {}", "{\"a\": NaN}", "\"\\ud800\"x", &deep];
    for body in bodies {
        let (status, detail) = desk.post(ABORT, body).await.problem();
        assert!(status == 400 && detail.contains("line 1, column "), "{body:.20}: {status} {detail}");
    }
    let mut binary = request("POST", ABORT, &[("content-type", "application/json")], "");
    *binary.body_mut() = Body::from(vec![b'"', 0xff, b'"']);
    assert_eq!(desk.send(binary).await.problem(), (400, "the body is not UTF-8".to_owned()));
    assert_eq!(desk.commands(), [""; 0]);
}

#[tokio::test]
async fn a_body_needs_its_type_and_no_encoding() {
    let desk = Desk::new();
    let body = r#"{"actor": "ann"}"#;
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(desk.send(request("POST", ABORT, &[("content-type", kind)], body)).await.status, StatusCode::OK, "{kind}");
    }
    for headers in [&[][..], &[("content-type", "text/json")], &[("content-type", "application/json"), ("content-encoding", "gzip")]] {
        assert_eq!(desk.send(request("POST", ABORT, headers, body)).await.problem().0, 415, "{headers:?}");
    }
    let two = [("content-type", "application/json"), ("content-type", "text/plain")];
    assert_eq!(desk.send(request("POST", ABORT, &two, body)).await.problem().0, 415);
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_not_one_byte_more() {
    let desk = Desk::new();
    let padded = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    assert_eq!(desk.post(ABORT, &padded(body::LARGEST)).await.status, StatusCode::OK);
    let (status, detail) = desk.post(ABORT, &padded(body::LARGEST + 1)).await.problem();
    assert!(status == 413 && detail.contains("64 KiB"), "{status} {detail}");
    assert_eq!(desk.post(ABORT, &" ".repeat(10_000_000)).await.problem().0, 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up_after_10_s() {
    let desk = Desk::new();
    let mut asked = request("POST", ABORT, &[("content-type", "application/json")], "");
    *asked.body_mut() = Body::new(Never);
    let begun = tokio::time::Instant::now();
    assert_eq!(desk.send(asked).await.problem().0, 408);
    assert_eq!(begun.elapsed().as_secs(), body::PATIENCE.as_secs());
    assert_eq!(desk.commands(), [""; 0]);
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

proptest! {
    #[test]
    fn no_body_is_too_strange(text in any::<String>(), bytes in "[\\[\\]{}\":,a-z0-9 \\\\]{0,60}") {
        for text in [text, bytes] {
            if let Ok(node) = json::parse("body", &text) {
                let (start, ask) = (body::start(Some(&node)), body::ask(Some(&node)));
                prop_assert!(start.is_err(), "{}", text);
                if let Ok(ask) = ask {
                    prop_assert!(!ask.actor.is_empty() && !ask.reason.is_empty());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_the_delivery_says_where_it_is_wrong() {
    let desk = Desk::new();
    let artifacts = "/v1/projects/p/services/s/artifacts";
    for (path, body, pointer) in [
        ("/v1/projects", r#"{"name": 1, "shipyard": ""}"#, "/name"),
        ("/v1/projects", r#"{"name": "p", "shipyard": "", "compat": "x"}"#, "/compat"),
        (artifacts, r#"{"image": "i", "stage": "a b"}"#, "/stage"),
        (artifacts, r#"{"image": "i", "a/b": 1}"#, "/a~1b"),
        (artifacts, r#"{"image": "i"} {}"#, ""),
        (artifacts, "{", ""),
    ] {
        let answer = desk.post(path, body).await;
        assert_eq!((answer.problem().0, answer.json()["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_told_as_every_other_problem() {
    let desk = Desk::new();
    let (status, detail) = desk.post("/v1/projects/%FF/services", "{}").await.problem();
    assert!(status == 400 && detail.contains("UTF-8"), "{detail}");
}
