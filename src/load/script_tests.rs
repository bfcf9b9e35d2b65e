//! Claims about redirects, cookies, errors, pauses and the ends of groups.
#![cfg(test)]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{Request as Message, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::formats::jmx::{Cookies, OnError};
use crate::load::wire_server::{answer, carry_out, follow, get, group, ok, paths, post, serve};
use crate::load::{Failure, Group, Origin, Pace, Run, Script, Step, Target};

#[tokio::test]
async fn redirects_are_followed_as_part_of_their_request_and_cookies_go_along() {
    fn answers(_: usize, request: &Message<Bytes>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/login" => answer(302).header(LOCATION, "home/?x").header(SET_COOKIE, "id=7; Path=/").body(Full::default()).unwrap(),
            "/home/" => answer(307).header(LOCATION, "/last").body(Full::default()).unwrap(),
            _ => ok(0, request),
        }
    }
    let server = serve(None, false, answers).await;
    let (end, failures) = carry_out(server.address, group(1, 2, &[follow(post("/login"))])).await;
    assert_eq!((end.sent, end.answered, end.redirects, failures), (2, [0, 2, 0, 0, 0], 4, vec![]));
    assert_eq!(paths(&server), ["POST /login", "GET /home/", "GET /last"].repeat(2));
    let cookies: Vec<bool> = server.seen.lock().unwrap().iter().map(|request| request.headers().contains_key(COOKIE)).collect();
    assert_eq!(cookies, [false, true, true, true, true, true]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let (end, _) = carry_out(server.address, group(1, 1, &[post("/login")])).await;
    assert_eq!((end.answered, end.bad, end.redirects), ([0, 0, 1, 0, 0], 0, 0), "without being asked to, nobody follows");
}

#[tokio::test]
async fn a_circle_of_redirects_and_one_that_leads_elsewhere_are_failures() {
    fn answers(_: usize, request: &Message<Bytes>) -> Response<Full<Bytes>> {
        let to = if request.uri().path() == "/away" { "http://other.test/" } else { "/round" };
        answer(301).header(LOCATION, to).body(Full::default()).unwrap()
    }
    let server = serve(None, false, answers).await;
    let (end, failures) = carry_out(server.address, group(1, 1, &[follow(get("/round")), follow(get("/away"))])).await;
    assert_eq!((end.sent, end.failed_by(Failure::Redirect), end.failed_by(Failure::Connect), end.redirects), (2, 1, 1, 6));
    assert_eq!(server.seen.lock().unwrap().len(), 7, "the first request, five redirects, and one that leads away");
    assert!(failures[0].1.contains("http://other.test:80") && failures[1].1.contains("more than 5"), "{failures:?}");
}

#[tokio::test]
async fn a_redirect_to_another_server_is_followed_where_the_target_allows_it() {
    static PORT: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    fn away(_: usize, _: &Message<Bytes>) -> Response<Full<Bytes>> {
        let to = format!("http://localhost:{}/there", PORT.get().unwrap());
        answer(308).header(LOCATION, to).header(SET_COOKIE, "id=7").body(Full::default()).unwrap()
    }
    let (first, second) = (serve(None, false, away).await, serve(None, false, ok).await);
    PORT.set(second.address.port()).unwrap();
    let target = Target::from(first.address).and_elsewhere();
    let (end, failures) = carry_out(target, group(1, 3, &[follow(post("/"))])).await;
    assert_eq!((end.answered(), failures, end.redirects), (3, vec![], 3));
    assert_eq!(paths(&second), ["POST /there"; 3]);
    assert!(second.seen.lock().unwrap().iter().all(|request| !request.headers().contains_key(COOKIE) && request.body().len() == 100_000));
    let connections = [&first, &second].map(|server| server.connections.load(Ordering::SeqCst));
    assert_eq!(connections, [1, 1], "each server has a connection of its own that is kept");
}

#[tokio::test]
async fn cookies_are_forgotten_with_each_loop_where_the_plan_says_so() {
    fn answers(n: usize, _: &Message<Bytes>) -> Response<Full<Bytes>> {
        answer(200).header(SET_COOKIE, format!("n={n}")).body(Full::default()).unwrap()
    }
    for (clear_each_iteration, wanted) in [(true, ["", "n=0", "", "n=2"]), (false, ["", "n=0", "n=1", "n=2"])] {
        let server = serve(None, false, answers).await;
        let step = Step { cookies: Some(Cookies { clear_each_iteration }), ..get("/") };
        carry_out(server.address, group(1, 2, &[step.clone(), step])).await;
        let seen = server.seen.lock().unwrap();
        let cookies: Vec<&str> = seen.iter().map(|request| request.headers().get(COOKIE).map_or("", |c| c.to_str().unwrap())).collect();
        assert_eq!(cookies, wanted);
    }
}

#[tokio::test]
async fn an_error_ends_what_the_plan_says() {
    fn answers(_: usize, request: &Message<Bytes>) -> Response<Full<Bytes>> {
        answer(if request.uri().path() == "/bad" { 500 } else { 200 }).body(Full::default()).unwrap()
    }
    let steps = [get("/a"), get("/bad"), get("/b")];
    for (on_error, wanted) in [
        (OnError::Continue, ["GET /a", "GET /bad", "GET /b"].repeat(2)),
        (OnError::StartNextLoop, ["GET /a", "GET /bad"].repeat(2)),
        (OnError::StopThread, vec!["GET /a", "GET /bad"]),
        (OnError::StopTest, vec!["GET /a", "GET /bad"]),
        (OnError::StopTestNow, vec!["GET /a", "GET /bad"]),
    ] {
        let server = serve(None, false, answers).await;
        let (end, _) = carry_out(server.address, Group { on_error, ..group(1, 2, &steps) }).await;
        assert_eq!((paths(&server), end.bad), (wanted.iter().map(ToString::to_string).collect(), end.answered[4]), "{on_error:?}");
    }
}

#[tokio::test]
async fn a_stopped_test_ends_every_group_and_only_now_cuts_what_is_in_flight() {
    for (on_error, ends) in [(OnError::StopTest, (1, 0)), (OnError::StopTestNow, (0, 1))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow = listener.local_addr().unwrap();
        // The first request of the one connection is answered only once the test is to stop, or never.
        let stopping = Arc::new(tokio::sync::Notify::new());
        let (told, arrived) = (Arc::clone(&stopping), Arc::new(tokio::sync::Notify::new()));
        let here = Arc::clone(&arrived);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |_: Message<Incoming>| {
                let (told, here) = (Arc::clone(&told), Arc::clone(&here));
                async move {
                    here.notify_one();
                    told.notified().await;
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
        let bad = serve(None, false, |_, _| answer(500).body(Full::default()).unwrap()).await;
        let url = format!("http://{}/", bad.address).parse().unwrap();
        let elsewhere = Step { origin: Some(Arc::new(Origin::of(&url).unwrap())), ..get("/") };
        let failing = Group { on_error, delay: Duration::from_millis(100), ..group(1, 100, &[elsewhere]) };
        let script = Script { groups: vec![group(1, 100, &[get("/")]), failing], one_after_another: false };
        let run = Run::start(&Handle::current(), Target::from(slow).and_elsewhere(), script, None);
        arrived.notified().await;
        let counters = Arc::clone(run.counters());
        super::tests::eventually("the error", || counters.snapshot().bad == 1).await;
        if on_error == OnError::StopTest {
            stopping.notify_one();
        }
        let mut run = run;
        tokio::time::timeout(Duration::from_secs(10), run.wait()).await.expect("the test is stopped");
        let end = counters.snapshot();
        assert_eq!(((end.answered[1], end.abandoned), end.bad, end.sent), (ends, 1, 2), "{on_error:?}");
    }
}

#[tokio::test]
async fn groups_run_one_after_another_and_end_by_time_or_number() {
    let server = serve(None, false, ok).await;
    let pace = Pace::Closed { loops: None, think: Duration::from_millis(2), ramp: Duration::ZERO };
    let timed = Group { pace, duration: Some(Duration::from_millis(150)), ..group(1, 1, &[get("/timed")]) };
    let counted = Group { pace, requests: Some(7), ..group(3, 1, &[get("/counted")]) };
    let script = Script { groups: vec![timed, counted], one_after_another: true };
    assert_eq!((script.users(), script.requests()), (4, None));
    let (end, _) = carry_out(server.address, script).await;
    let paths = paths(&server);
    let first = paths.iter().position(|path| path == "GET /counted").unwrap();
    assert!(first >= 2 && paths[first..].iter().all(|path| path == "GET /counted"), "{paths:?}");
    assert_eq!((paths.len() - first, end.sent), (7, u64::try_from(paths.len()).unwrap()));
}

#[tokio::test]
async fn a_pause_of_a_step_is_kept_and_a_step_has_a_time_limit_of_its_own() {
    let server = serve(None, false, ok).await;
    let begun = std::time::Instant::now();
    let step = Step { pause: Duration::from_millis(40), ..get("/") };
    carry_out(server.address, group(1, 3, &[step])).await;
    assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let step = Step { timeout: Some(Duration::from_millis(30)), ..get("/") };
    let (end, failures) = carry_out(silent.local_addr().unwrap(), group(1, 1, &[step])).await;
    assert_eq!((end.failed_by(Failure::Timeout), failures[0].1.as_str()), (1, "no complete answer within 30 ms"));
}
