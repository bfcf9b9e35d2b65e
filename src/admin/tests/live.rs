//! Claims about what followers are told, and about the dashboard as a browser gets it.

use http_body_util::BodyExt;

use super::journal::{entry, put};
use super::*;
use crate::admin::beat;
use crate::admin::live::FOLLOWERS;
use crate::domain::rank::Rank;

/// Reads an answer without an end until it has said as much; returns what it said.
async fn told(body: &mut Body, until: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !until(&text) {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(20), body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("nothing more came after {text}")).expect("the answer has no end").unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    text
}

async fn follow(desk: &Desk, headers: &[(&str, &str)]) -> Response<Body> {
    router(desk.state.clone()).oneshot(request("GET", "/v1/events", headers, "")).await.unwrap()
}

#[tokio::test]
async fn a_follower_is_told_where_things_stand_and_then_each_transition() {
    let desk = Desk::new();
    put(&desk, &entry("carts", 1, "from before"));
    let beat = tokio::spawn(beat::run(desk.state.clone()));
    let answer = follow(&desk, &[]).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let first = told(&mut body, |text| text.contains("event: snapshot") && text.ends_with("\n\n")).await;
    assert!(first.contains("it begins") && first.contains("\"changes\":true") && first.contains("0.8.1"), "{first}");
    // Three of them, so that the beat has read the entry from before.
    told(&mut body, |text| text.matches("event: snapshot").count() == 3).await;
    put(&desk, &entry("carts", 7, "the third <b>breach</b>\nof three"));
    desk.show(Some(rollout(Phase::RolledBack)));
    let next = told(&mut body, |text| text.contains("event: transition")).await;
    let transition = next.split("event: transition\n").nth(1).unwrap();
    assert!(transition.starts_with("id: 2\ndata: {\"sequence\":2,"), "{transition}");
    assert!(transition.contains("the third <b>breach</b>\\nof three") && !next.contains("from before"), "{next}");
    beat.abort();
}

#[tokio::test]
async fn who_comes_again_is_told_what_was_missed() {
    let desk = Desk::new();
    for generation in 1..=3 {
        put(&desk, &entry("carts", generation, "because"));
    }
    for (path, headers) in [("/v1/events", vec![("last-event-id", "1")]), ("/v1/events?after=1", vec![])] {
        let answer = router(desk.state.clone()).oneshot(request("GET", path, &headers, "")).await.unwrap();
        let text = told(&mut answer.into_body(), |text| text.contains("event: snapshot")).await;
        let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, ["2", "3"], "{text}");
    }
    for (path, id) in [("/v1/events", "x"), ("/v1/events?after=-1", "1"), ("/v1/events?before=1", "1")] {
        assert_eq!(desk.send(request("GET", path, &[("last-event-id", id)], "")).await.problem().0, 400, "{path} {id}");
    }
}

#[tokio::test]
async fn followers_are_bounded_and_leave_room_when_they_go() {
    let desk = Desk::new();
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        followers.push(follow(&desk, &[]).await);
    }
    let refused = desk.get("/v1/events").await;
    assert_eq!((refused.problem().0, refused.header("retry-after")), (503, "1"));
    followers.pop();
    assert_eq!(follow(&desk, &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_follows_nothing() {
    let mut desk = Desk::new();
    for open in [Rank::Admin, Rank::Viewer] {
        desk.state.access = Access::default().open_to(open);
        let asked = request("GET", "/v1/events", &[("host", "evil.example")], "");
        assert_eq!(desk.send(asked).await.problem().0, 403);
    }
}

#[tokio::test]
async fn the_history_is_that_of_a_known_service() {
    let desk = Desk::new();
    let chart = desk.get("/v1/rollouts/carts/history").await.json();
    assert_eq!((&chart["window_seconds"], chart["points"].as_array().map(Vec::len)), (&Value::from(10), Some(0)));
    assert_eq!(desk.get("/v1/rollouts/nobody/history").await.problem().0, 404);
}

#[tokio::test]
async fn the_page_may_run_what_comes_from_here_alone_and_is_sent_once() {
    let desk = Desk::new();
    let page = desk.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), ("no-cache", "nosniff"));
    for known in [page.header("etag").to_owned(), format!("\"other\", W/{}", page.header("etag"))] {
        let again = desk.send(request("GET", "/", &[("if-none-match", &known)], "")).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
    }
    let assets: Vec<&str> = page.text.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 3, "{}", page.text);
    for path in assets {
        let asset = desk.get(path).await;
        assert_eq!((asset.status, asset.text.is_empty()), (StatusCode::OK, false), "{path}");
        assert!(asset.header("cache-control").contains("immutable") && asset.header("content-type").contains('/'), "{path}");
    }
    for path in ["/assets/0/app.js", "/assets/x/app.css", "/assets/%ff/app.js", "/assets/../app.js", "/index.html"] {
        assert_eq!(desk.get(path).await.problem().0, 404, "{path}");
    }
}
