//! What one request is answered, without a socket.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;

use super::*;
use crate::kube::review::MOST_BYTES;
use crate::kube::webhook::routes::BODY;

/// A body of some frames, and then an end, an error or nothing ever again.
struct Sent(VecDeque<Bytes>, Then);

#[derive(Clone, Copy, PartialEq)]
enum Then {
    End,
    Breaks,
    Stays,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match (self.0.pop_front(), self.1) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Breaks) => Poll::Ready(Some(Err(io::Error::other("gone")))),
            (None, Then::Stays) => Poll::Pending,
        }
    }
}

async fn ask(hook: &Arc<Hook>, method: &str, path: &str, kind: &str, body: Sent) -> (Response<()>, Bytes) {
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    let (head, body) = Arc::clone(hook).answer(request).await.into_parts();
    (Response::from_parts(head, ()), Full::collect(body).await.unwrap().to_bytes())
}

fn whole(bytes: impl Into<Bytes>) -> Sent {
    Sent(VecDeque::from([bytes.into()]), Then::End)
}

async fn post(hook: &Arc<Hook>, body: Sent) -> (StatusCode, String) {
    let (head, body) = ask(hook, "POST", "/mutate?timeout=5s", "application/json", body).await;
    (head.status(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_review_is_answered_as_json_with_the_time_it_took() {
    let (hook, _ready) = hook();
    let pieces = review(0).chunks(7).map(Bytes::copy_from_slice).collect();
    let (head, body) = ask(&hook, "POST", "/mutate", "Application/JSON; charset=utf-8", Sent(pieces, Then::End)).await;
    assert_eq!((head.status(), &head.headers()["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    assert!(head.headers()["server-timing"].to_str().unwrap().starts_with("review;dur="), "{head:?}");
    assert!(is_injected(&body));
}

#[tokio::test]
async fn a_large_review_is_answered_too() {
    let (hook, _ready) = hook();
    let (status, body) = post(&hook, whole(review(3 << 20))).await;
    assert!(status == StatusCode::OK && is_injected(body.as_bytes()), "{status}");
}

#[tokio::test]
async fn what_is_no_review_is_told_why() {
    let (hook, _ready) = hook();
    for (method, path, kind, status, told) in [
        ("GET", "/mutate", "", 405, "POST"),
        ("PUT", "/mutate", "application/json", 405, "POST"),
        ("POST", "/livez", "application/json", 405, "GET"),
        ("POST", "/", "application/json", 404, "/mutate"),
        ("POST", "/mutate", "application/yaml", 415, "application/json"),
        ("POST", "/mutate", "", 415, "application/json"),
        ("POST", "/mutate", "application/json", 400, "cannot be read as JSON"),
    ] {
        let (head, body) = ask(&hook, method, path, kind, whole("nonsense")).await;
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(head.status() == status && body.contains(told) && body.ends_with('\n'), "{method} {path} {kind}: {head:?} {body}");
        assert_eq!(head.headers().get("connection"), None, "the body was read, so the connection can go on");
        assert_eq!(head.headers().contains_key("allow"), status == 405);
    }
}

#[tokio::test]
async fn a_question_for_the_head_gets_no_body() {
    let (hook, _ready) = hook();
    for path in ["/livez", "/metrics", "/mutate", "/"] {
        let (_, body) = ask(&hook, "HEAD", path, "", Sent(VecDeque::new(), Then::End)).await;
        assert_eq!(body, Bytes::new(), "{path}");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_no_further() {
    let (hook, _ready) = hook();
    let exactly = Bytes::from(vec![b' '; MOST_BYTES]);
    let (status, told) = post(&hook, whole(exactly.clone())).await;
    assert!(status == StatusCode::BAD_REQUEST, "{told}");
    let (status, told) = post(&hook, Sent(VecDeque::from([exactly, Bytes::from_static(b"{")]), Then::End)).await;
    assert!(status == StatusCode::PAYLOAD_TOO_LARGE && told.contains("4 MiB"), "{told}");
    let announced = Request::post("/mutate").header("content-type", "application/json").header("content-length", MOST_BYTES + 1);
    let answer = Arc::clone(&hook).answer(announced.body(Sent(VecDeque::new(), Then::Breaks)).unwrap()).await;
    assert_eq!((answer.status(), &answer.headers()["connection"]), (StatusCode::PAYLOAD_TOO_LARGE, &"close".parse().unwrap()));
    let endless = Sent((0..100).map(|_| Bytes::from(vec![b' '; 1 << 20])).collect(), Then::Stays);
    let (head, _) = ask(&hook, "POST", "/mutate", "application/json", endless).await;
    assert_eq!((head.status(), &head.headers()["connection"]), (StatusCode::PAYLOAD_TOO_LARGE, &"close".parse().unwrap()));
}

#[tokio::test]
async fn a_connection_of_http2_is_never_told_to_close() {
    let (hook, _ready) = hook();
    let request = Request::post("/mutate").version(Version::HTTP_2).header("content-type", "application/json");
    let answer = hook.answer(request.body(Sent(VecDeque::new(), Then::Breaks)).unwrap()).await;
    assert_eq!((answer.status(), answer.headers().get("connection")), (StatusCode::BAD_REQUEST, None));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stays_away_is_not_waited_for_for_long() {
    let (hook, _ready) = hook();
    let begun = Instant::now();
    let (status, told) = post(&hook, Sent(VecDeque::from([Bytes::from_static(b"{")]), Then::Stays)).await;
    assert!(status == StatusCode::REQUEST_TIMEOUT && told.contains("5 s"), "{told}");
    assert_eq!(begun.elapsed().as_secs(), BODY.as_secs());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_of_all_bodies_is_bounded_and_given_back() {
    let (hook, _ready) = hook();
    let slow = |bytes: usize| {
        let hook = Arc::clone(&hook);
        tokio::spawn(async move { post(&hook, Sent(VecDeque::from([Bytes::from(vec![b' '; bytes])]), Then::Stays)).await.0 })
    };
    let large: Vec<_> = (0..8).map(|_| slow(MOST_BYTES)).collect();
    tokio::task::yield_now().await;
    let (status, told) = post(&hook, whole(review(1 << 20))).await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && told.contains("ask again"), "{status} {told}");
    let grown = review(200_000).chunks(50_000).map(Bytes::copy_from_slice).collect();
    assert_eq!(post(&hook, Sent(grown, Then::End)).await.0, StatusCode::SERVICE_UNAVAILABLE, "it grew beyond what is small");
    for _ in 0..100 {
        let (status, body) = post(&hook, whole(review(100_000))).await;
        assert!(status == StatusCode::OK && is_injected(body.as_bytes()), "small ones have their own place: {status}");
    }
    let mut small = Vec::new();
    for _ in 0..64 {
        small.push(slow(128 << 10));
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&hook, whole(review(0))).await.0, StatusCode::SERVICE_UNAVAILABLE);
    for one in large.into_iter().chain(small) {
        assert_eq!(one.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
    }
    for more in [0, 100_000, 3 << 20] {
        let (status, body) = post(&hook, whole(review(more))).await;
        assert!(status == StatusCode::OK && is_injected(body.as_bytes()), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_request_is_let_go_before_its_body_is_waited_for() {
    let (hook, _ready) = hook();
    let head = Arc::new(());
    let request = Request::post("/mutate").header("content-type", "application/json").extension(Arc::clone(&head));
    let request = request.body(Sent(VecDeque::new(), Then::Stays)).unwrap();
    let answered = tokio::spawn(hook.answer(request));
    tokio::task::yield_now().await;
    assert!(Arc::strong_count(&head) == 1 && !answered.is_finished());
    assert_eq!(answered.await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_without_an_end_has_no_series_and_missed_clients_are_counted() {
    let (hook, _ready) = hook_until(u64::MAX);
    let text = String::from_utf8(hook.figures().text()).unwrap();
    assert!(!text.contains("expiry") && text.contains("\nportcullis_webhook_handshakes_failed_total 0\n"), "{text}");
    let told = [0, 1, 58, 2, 0].map(|seconds| (seconds, hook.figures()));
    let mut heard = Vec::new();
    for (seconds, figures) in told {
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        heard.push(figures.missed());
    }
    assert_eq!(heard, [Some(0), None, None, Some(2), None], "one a minute");
    assert!(String::from_utf8(hook.figures().text()).unwrap().contains("\nportcullis_webhook_handshakes_failed_total 5\n"));
}

#[tokio::test]
async fn it_lives_and_is_ready_and_counts() {
    let (hook, ready) = hook();
    let get = |path: &'static str| {
        let hook = Arc::clone(&hook);
        async move { ask(&hook, "GET", path, "", Sent(VecDeque::new(), Then::End)).await }
    };
    assert_eq!((get("/livez").await.0.status(), get("/readyz").await.0.status()), (StatusCode::OK, StatusCode::OK));
    ready.send_replace(false);
    assert_eq!((get("/livez").await.0.status(), get("/readyz").await.0.status()), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
    post(&hook, whole(review(0))).await;
    post(&hook, whole("nonsense")).await;
    let (head, text) = get("/metrics").await;
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(head.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"), "{head:?}");
    for line in [
        "portcullis_webhook_reviews_total{outcome=\"injected\"} 1\n",
        "portcullis_webhook_reviews_total{outcome=\"denied\"} 0\n",
        "portcullis_webhook_refused_total{code=\"400\"} 1\n",
        "portcullis_webhook_review_seconds_count 1\n",
        "portcullis_webhook_certificate_expiry_timestamp_seconds 1900000000\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
