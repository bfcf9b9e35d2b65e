//! Claims about the load generator against a small programmable server on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::load::{Accept, Background, Failure, Hook, Pace, Plan, Rate, Request, ResponseHead, Run, Snapshot, seed};

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Reply {
    Status(u16),
    After(Duration),
    /// Answers and closes the connection without having said so.
    CloseAfter,
    /// Closes the connection instead of answering.
    Cut,
    Never,
}

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// The last request as it arrived.
    last: Arc<Mutex<Option<http::Request<Bytes>>>>,
}

/// Decrements a count when dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves on `listener`; `reply` is given the number of the request, counted from 0.
fn serve(listener: TcpListener, reply: fn(u64) -> Reply) -> Server {
    let server =
        Server { address: listener.local_addr().unwrap(), connections: Arc::default(), open: Arc::default(), last: Arc::default() };
    let (connections, open, last) = (Arc::clone(&server.connections), Arc::clone(&server.open), Arc::clone(&server.last));
    let served = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            open.fetch_add(1, Ordering::SeqCst);
            let guard = Open(Arc::clone(&open));
            let (served, last) = (Arc::clone(&served), Arc::clone(&last));
            tokio::spawn(async move {
                let _guard = guard;
                let closing = Arc::new(tokio::sync::Notify::new());
                let answering = Arc::clone(&closing);
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let reply = reply(served.fetch_add(1, Ordering::SeqCst));
                    answer(request, reply, Arc::clone(&last), Arc::clone(&answering))
                });
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = async { closing.notified().await; tokio::time::sleep(Duration::from_millis(5)).await } => {}
                }
            });
        }
    });
    server
}

async fn answer(
    request: http::Request<Incoming>,
    reply: Reply,
    last: Arc<Mutex<Option<http::Request<Bytes>>>>,
    closing: Arc<tokio::sync::Notify>,
) -> Result<http::Response<Full<Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "the body was cut")?.to_bytes();
    *last.lock().unwrap() = Some(http::Request::from_parts(head, body));
    let status = match reply {
        Reply::Status(status) => status,
        Reply::After(time) => {
            tokio::time::sleep(time).await;
            200
        }
        Reply::CloseAfter => {
            closing.notify_one();
            200
        }
        Reply::Cut => return Err("cut"),
        Reply::Never => match std::future::pending::<Infallible>().await {},
    };
    Ok(http::Response::builder().status(status).header("version", "v1").body(Full::from("hello")).unwrap())
}

async fn server(reply: fn(u64) -> Reply) -> Server {
    serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), reply)
}

/// A closed plan of users that GET `/` as fast as they can.
fn closed(users: usize, loops: Option<u64>) -> Plan {
    Plan {
        scripts: vec![vec![Request::get("/").unwrap()]; users],
        pace: Pace::Closed { loops, think: Duration::ZERO, ramp: Duration::ZERO },
        accept: Accept::Success,
        timeout: None,
        host: None,
    }
}

fn start(target: SocketAddr, plan: Plan) -> Run {
    Run::start(&Handle::current(), target, plan, None)
}

async fn finish(mut run: Run) -> Snapshot {
    tokio::time::timeout(Duration::from_secs(20), run.wait()).await.expect("the plan has an end");
    run.stop(Duration::ZERO).await
}

pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), met).await.unwrap_or_else(|_| panic!("not met within 10 s: {what}"));
}

#[tokio::test]
async fn every_request_ends_once_and_a_broken_connection_is_replaced() {
    let server = server(|n| match n % 10 {
        3 => Reply::Status(500),
        5 => Reply::Status(302),
        7 => Reply::Cut,
        _ => Reply::Status(200),
    })
    .await;
    let end = finish(start(server.address, closed(4, Some(40)))).await;
    assert_eq!((end.sent, end.answered, end.bad), (160, [0, 112, 16, 0, 16], 32));
    assert_eq!((end.failed_by(Failure::Broken), end.failed(), end.abandoned, end.in_flight()), (16, 16, 0, 0));
    // One per user, and one more for each that broke, but for a user whose last request broke.
    let connections = server.connections.load(Ordering::SeqCst);
    assert!((16..=20).contains(&connections), "{connections} connections");
}

#[tokio::test]
async fn each_user_keeps_one_connection() {
    let server = server(|_| Reply::Status(200)).await;
    let end = finish(start(server.address, closed(3, Some(50)))).await;
    assert_eq!((end.sent, end.answered(), server.connections.load(Ordering::SeqCst)), (150, 150, 3));
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_request() {
    let server = server(|_| Reply::CloseAfter).await;
    let mut plan = closed(2, Some(5));
    plan.pace = Pace::Closed { loops: Some(5), think: Duration::from_millis(40), ramp: Duration::ZERO };
    let end = finish(start(server.address, plan)).await;
    assert_eq!((end.sent, end.answered(), end.failed()), (10, 10, 0));
    assert_eq!(server.connections.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn a_refused_connection_fails_the_request_and_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let run = start(address, closed(1, None));
    let counters = Arc::clone(run.counters());
    eventually("two refusals", || counters.snapshot().failed_by(Failure::Connect) >= 2).await;
    let _server = serve(TcpListener::bind(address).await.unwrap(), |_| Reply::Status(200));
    eventually("an answer", || counters.snapshot().answered() > 0).await;
    let end = run.stop(Duration::from_secs(5)).await;
    assert!(end.failed() < 10, "the pauses between attempts grow: {end:?}");
    assert_eq!((end.abandoned, end.in_flight(), end.sent), (0, 0, end.runs()));
}

#[tokio::test]
async fn a_late_answer_is_a_timeout() {
    let server = server(|n| if n == 1 { Reply::Never } else { Reply::Status(200) }).await;
    let plan = Plan { timeout: Some(Duration::from_millis(100)), ..closed(1, Some(3)) };
    let end = finish(start(server.address, plan)).await;
    assert_eq!((end.answered(), end.failed_by(Failure::Timeout), end.sent), (2, 1, 3));
}

#[tokio::test]
async fn a_stop_waits_for_the_answers_in_flight() {
    let server = server(|_| Reply::After(Duration::from_millis(60))).await;
    let run = start(server.address, closed(5, None));
    let counters = Arc::clone(run.counters());
    eventually("ten answers and five in flight", || counters.snapshot().answered() >= 10 && counters.snapshot().in_flight() == 5).await;
    let sent = counters.snapshot().sent;
    let end = run.stop(Duration::from_secs(10)).await;
    assert_eq!((end.sent, end.answered(), end.failed(), end.abandoned), (sent, sent, 0, 0));
}

#[tokio::test]
async fn what_does_not_answer_within_the_grace_is_abandoned_and_not_failed() {
    let server = server(|n| if n < 3 { Reply::Status(200) } else { Reply::Never }).await;
    let run = start(server.address, closed(5, None));
    let counters = Arc::clone(run.counters());
    eventually("all users wait", || counters.snapshot().sent == 8 && counters.snapshot().answered() == 3).await;
    let end = run.stop(Duration::from_millis(50)).await;
    assert_eq!((end.sent, end.answered(), end.failed(), end.abandoned, end.in_flight()), (8, 3, 0, 5, 0));
    eventually("the server sees every connection closed", || server.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_dropped_run_sends_nothing_more_and_closes_its_connections() {
    let server = server(|_| Reply::Never).await;
    let run = start(server.address, closed(2, None));
    let counters = Arc::clone(run.counters());
    eventually("two connections", || server.open.load(Ordering::SeqCst) == 2).await;
    drop(run);
    eventually("no connection", || server.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!((counters.snapshot().sent, counters.snapshot().abandoned), (2, 2));
}

#[tokio::test]
async fn a_constant_rate_measures_from_the_intended_start() {
    const STALL: Duration = Duration::from_millis(300);
    let server = server(|n| if n == 10 { Reply::After(STALL) } else { Reply::Status(200) }).await;
    let pace = Pace::Constant { rate: Rate::per_second(100.0).unwrap(), requests: Some(60) };
    let service_times = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&service_times);
    let hook: Hook = Arc::new(move |head: &ResponseHead| times.lock().unwrap().push(head.finished - head.started));
    let run = Run::start(&Handle::current(), server.address, Plan { pace, ..closed(1, None) }, Some(hook));
    let counters = Arc::clone(run.counters());
    let end = finish(run).await;
    assert_eq!((end.sent, end.answered()), (60, 60));
    // Request 10 stalls; 11 to 30 were intended in the first 200 ms of the stall and waited 100 ms or more.
    let queued = counters.slower_than(Duration::from_millis(100));
    assert!((20..=30).contains(&queued), "{queued} requests show the stall");
    let served_slowly = service_times.lock().unwrap().iter().filter(|time| **time >= STALL).count();
    assert_eq!(served_slowly, 1, "only one was slow by its own sending");
    assert!(counters.latency().unwrap().max >= STALL);
}

#[tokio::test]
async fn a_constant_rate_is_kept_by_several_connections_while_one_stalls() {
    let server = server(|n| if n == 0 { Reply::After(Duration::from_millis(400)) } else { Reply::Status(200) }).await;
    let pace = Pace::Constant { rate: Rate::per_second(100.0).unwrap(), requests: Some(30) };
    let run = start(server.address, Plan { pace, ..closed(4, None) });
    let counters = Arc::clone(run.counters());
    finish(run).await;
    assert_eq!(counters.slower_than(Duration::from_millis(200)), 1, "the others had a free connection");
}

#[tokio::test]
async fn the_hook_sees_each_complete_answer() {
    let server = server(|n| if n % 2 == 0 { Reply::Status(200) } else { Reply::Cut }).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let hook: Hook = Arc::new(move |head: &ResponseHead| heads.lock().unwrap().push(head.clone()));
    let end = finish(Run::start(&Handle::current(), server.address, closed(1, Some(6)), Some(hook))).await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.len(), end.failed()), (3, 3));
    assert!(seen.iter().all(|head| head.headers["version"] == "v1" && head.intended == head.started && head.finished > head.started));
}

#[tokio::test]
async fn the_performance_test_arrives_as_written() {
    let server = server(|_| Reply::Status(201)).await;
    let end = finish(start(server.address, seed::performance(1, 2, "PerfCheck_1"))).await;
    assert_eq!((end.sent, end.answered, end.bad), (2, [0, 2, 0, 0, 0], 0));
    let last = server.last.lock().unwrap().take().unwrap();
    assert_eq!((last.method().as_str(), last.uri().path(), last.body().as_ref()), ("POST", "/carts/1/items", seed::ITEM.as_bytes()));
    assert_eq!(last.headers()["host"], server.address.to_string());
    assert_eq!(last.headers()["content-length"], "85");
    assert_eq!(last.headers()["x-dynatrace-test"], "LSN=Test Scenario;TSN=Add Item to Cart;LTN=PerfCheck_1;VU=Thread Group0;");
}

#[tokio::test]
async fn background_runs_are_read_and_stopped_from_another_thread() {
    let server = server(|_| Reply::Status(200)).await;
    let plans = vec![(closed(2, Some(7)), None), (seed::ordinary_users(4), None)];
    let background = Background::start(server.address, plans).unwrap();
    let (test, users) = (Arc::clone(&background.counters()[0]), Arc::clone(&background.counters()[1]));
    eventually("both have answers", || test.snapshot().answered() == 14 && users.snapshot().answered() > 8).await;
    let ends = tokio::task::spawn_blocking(move || background.stop(Duration::from_secs(5))).await.unwrap();
    assert_eq!((ends[0].sent, ends[0].answered(), ends[1].failed(), ends[1].abandoned), (14, 14, 0, 0));
    assert_eq!((ends[1].sent, ends[1]), (ends[1].answered(), users.snapshot()));
}
