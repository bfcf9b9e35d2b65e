//! Claims about commands on condition, and about requests that come again.

use super::*;
use crate::admin::access::{Peer, Way};
use crate::admin::condition::TAGS;
use crate::domain::rank::Rank;

const PAUSE: &str = "/v1/rollouts/carts/pause";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn sent(desk: &Desk, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let method = if path.ends_with("/weight") { "PUT" } else { "POST" };
    desk.send(request(method, path, &[&[JSON], headers].concat(), body)).await
}

#[tokio::test]
async fn a_command_is_about_the_rollout_that_was_seen() {
    let desk = Desk::new();
    let shown = desk.get("/v1/rollouts/carts").await;
    let tag = shown.header("etag").to_owned();
    assert_eq!(tag, "\"1.2.progressing\"");
    let most = format!("{tag}{}", ",\t\"0\"".repeat(TAGS - 1));
    let too_many = format!("{most}, \"0\"");
    for verb in ["pause", "resume", "promote", "retry", "weight"] {
        let (path, body) = (format!("/v1/rollouts/carts/{verb}"), if verb == "weight" { r#"{"weight": "10%"}"# } else { "{}" });
        let missing = sent(&desk, &path, &[], body).await.problem();
        assert!(missing.0 == 428 && missing.1.contains("ETag of GET /v1/rollouts/carts"), "{verb}: {}", missing.1);
        let stale = sent(&desk, &path, &[("if-match", "\"1.1.progressing\"")], body).await.problem();
        assert!(stale.0 == 412 && stale.1.contains("1.2.progressing"), "{verb}: {}", stale.1);
        for wrong in ["1.2.progressing", "W/\"1.2.progressing\"", "\"", "\"a\"b\"", "*, *", &format!("*, {tag}"), &too_many] {
            assert_eq!(sent(&desk, &path, &[("if-match", wrong)], body).await.problem().0, 400, "{verb} {wrong}");
        }
        for good in ["*", &*tag, &format!("\"0\", {tag}"), &most] {
            assert!(sent(&desk, &path, &[("if-match", good)], body).await.status.is_success(), "{verb} {good}");
        }
    }
    assert_eq!(desk.commands().len(), 20, "what was refused never reached the rollout");
    let wrong = desk.send(request("PUT", PAUSE, &[("if-match", "x"), ("idempotency-key", "")], "")).await;
    assert_eq!(wrong.problem().0, 405, "the method goes before everything else");
    let aborted = sent(&desk, "/v1/rollouts/carts/abort", &[("if-match", "\"1.1.progressing\"")], "").await;
    assert_eq!(aborted.status, StatusCode::OK, "an abort needs no condition and heeds none");
    desk.show(None);
    assert_eq!(desk.get("/v1/rollouts/carts").await.header("etag"), "\"0\"");
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_carried_out_once() {
    let desk = Desk::new();
    let key = ("idempotency-key", "k-1");
    let start = r#"{"service": "carts", "canary": {"name": "0.8.3", "endpoints": ["127.0.0.1:1"]}}"#;
    let first = sent(&desk, "/v1/rollouts", &[key], start).await;
    let again = sent(&desk, "/v1/rollouts", &[key], start).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::ACCEPTED, ""));
    assert_eq!((again.status, again.header("idempotent-replayed"), &again.text), (StatusCode::ACCEPTED, "true", &first.text));
    for field in ["location", "content-type", "cache-control"] {
        assert_eq!(again.header(field), first.header(field), "{field}");
    }
    assert_eq!(desk.commands().len(), 1);
    for (path, body) in [("/v1/rollouts", &*start.replace("0.8.3", "0.8.4")), ("/v1/rollouts/carts/verdict", ""), ("/v1/rollouts?x", start)]
    {
        let other = sent(&desk, path, &[key], body).await.problem();
        assert!(other.0 == 422 && other.1.contains("another request"), "{path}: {}", other.1);
    }
    // What was refused is not carried out later either, unless it was for its condition.
    let busy = "/v1/rollouts/busy/pause";
    for _ in 0..2 {
        assert_eq!(sent(&desk, busy, &[("idempotency-key", "k-2"), ("if-match", "*")], "{}").await.problem().0, 409);
    }
    assert_eq!(sent(&desk, PAUSE, &[("idempotency-key", "k-3"), ("if-match", "\"0\"")], "{}").await.problem().0, 412);
    assert_eq!(sent(&desk, PAUSE, &[("idempotency-key", "k-3"), ("if-match", "*")], "{}").await.status, StatusCode::OK);
    assert_eq!(desk.commands().len(), 3);
    for wrong in ["", "a b", &"x".repeat(129)] {
        assert_eq!(sent(&desk, PAUSE, &[("idempotency-key", wrong), ("if-match", "*")], "{}").await.problem().0, 400, "{wrong:?}");
    }
    assert_eq!(sent(&desk, PAUSE, &[key, ("idempotency-key", "k-4"), ("if-match", "*")], "{}").await.problem().0, 400);
}

#[tokio::test]
async fn who_is_gone_before_the_answer_is_told_when_they_come_again() {
    let desk = Desk::new();
    let headers = [JSON, ("idempotency-key", "k"), ("if-match", "*")];
    let gone = router(desk.state.clone()).oneshot(request("POST", PAUSE, &headers, "{}"));
    // Asked once and dropped: as hyper does when a client closes its connection.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, gone).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let answer = loop {
        let answer = desk.send(request("POST", PAUSE, &headers, "{}")).await;
        if answer.status != StatusCode::CONFLICT {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "it never ended: {}", answer.text);
        tokio::task::yield_now().await;
    };
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(desk.commands().len(), 1, "it was carried out once");
}

#[tokio::test]
async fn an_abort_and_a_denial_are_carried_out_whatever_their_key_was_used_for() {
    let desk = Desk::new();
    assert_eq!(sent(&desk, PAUSE, &[("idempotency-key", "k"), ("if-match", "*")], "{}").await.status, StatusCode::OK);
    let mut count = desk.commands().len();
    for path in ["/v1/rollouts/carts/abort", "/v1/rollouts/carts/deny"] {
        for key in ["k", "k-1", "k-1", "", "a b"] {
            let answer = sent(&desk, path, &[("idempotency-key", key)], "").await;
            assert_eq!(answer.header("idempotent-replayed"), "", "{path} {key:?}");
            assert_eq!(answer.status, StatusCode::OK, "{path} {key:?}: {}", answer.text);
            count += 1;
        }
    }
    assert_eq!(desk.commands().len(), count);
    // There is no delivery here; what matters is that the answer is a new one.
    for _ in 0..2 {
        let stage = "/v1/projects/p/services/s/stages/dev/abort";
        let answer = sent(&desk, stage, &[("idempotency-key", "k-2")], "{}").await;
        assert_eq!((answer.problem().0, answer.header("idempotent-replayed")), (404, ""));
    }
}

#[tokio::test]
async fn the_answers_of_those_who_command_nothing_are_not_kept() {
    let mut desk = Desk::new();
    desk.state.access = desk.state.access.clone().open_to(Rank::Viewer);
    let key = ("idempotency-key", "k");
    let unknown = Peer { way: Way::Network, ..Peer::default() };
    for _ in 0..2 {
        let verdict = sent(&desk, "/v1/rollouts/carts/verdict", &[key], "{}").await;
        assert_eq!((verdict.status, verdict.header("idempotent-replayed")), (StatusCode::OK, ""));
        let mut event = request("POST", "/v1/events", &[JSON, key], "{}");
        event.extensions_mut().insert(unknown.clone());
        let event = desk.send(event).await;
        assert_eq!((event.problem().0, event.header("idempotent-replayed")), (404, ""));
    }
}
