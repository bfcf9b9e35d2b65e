//! The life of workers and connections: draining, the access log, the books at the end, and the service without a socket.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::{Failure, Role};
use portcullis::domain::time::Timestamp;
use portcullis::domain::version::Version;
use portcullis::proxy::pressure::Level;
use portcullis::proxy::sanitise::Peer;
use portcullis::proxy::serve::Serve;
use portcullis::proxy::settings::Settings;
use portcullis::proxy::spread::Spread;
use portcullis::proxy::upload::Source;
use portcullis::proxy::worker::{Parts, Worker};
use portcullis::seam::access::AccessSender;
use portcullis::seam::clock::Clock;
use portcullis::seam::report::ReportSender;
use portcullis::seam::routes::Routes;
use portcullis::seam::table::{Epoch, Route, Table, Watch};
use portcullis::seam::{access, report};
use tower::{Service, ServiceExt};

use crate::oracle::{get, head, post, telling};
use crate::support::client::{Client, End};
use crate::support::proxy::{self, GENERATION};
use crate::support::upstream::{GOOD, Upstream};
use crate::support::{PATIENCE, eventually};

/// An upstream that answers when it is told to.
pub fn patient() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (go, may_answer) = std::sync::mpsc::channel::<()>();
    let may_answer = std::sync::Mutex::new(may_answer);
    let upstream = Upstream::start(move |peer| {
        while peer.request().is_some() {
            let _ = may_answer.lock().unwrap().recv_timeout(PATIENCE);
            peer.send(GOOD);
        }
    });
    (upstream, go)
}

#[test]
fn e23_draining_finishes_what_is_in_flight_closes_what_is_idle_and_lets_nobody_in() {
    let (upstream, go) = patient();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = PATIENCE).start();
    let mut idle = Client::connect(proxy.address);
    go.send(()).unwrap();
    assert_eq!(idle.ask(get("")).one("x-good"), "1");
    idle.received.clear();
    let mut busy = Client::connect(proxy.address);
    busy.send(get(""));
    upstream.wait("the request in flight", |seen| seen.iter().map(|s| s.requests().len()).sum::<usize>() == 2);
    proxy.drain();
    assert_eq!((idle.read_to_end(PATIENCE), idle.received.len()), (End::Closed, 0), "the idle connection closes");
    eventually("new connections are refused", || std::net::TcpStream::connect(proxy.address).is_err().then_some(()));
    assert!(!proxy.is_finished(), "the worker waits for the request in flight");
    go.send(()).unwrap();
    assert_eq!(busy.read_to_end(PATIENCE), End::Closed);
    let answer = crate::support::message::read_answers(&busy.received, &[], true).remove(0);
    assert_eq!((answer.body.as_slice(), answer.one("connection")), (&b"good"[..], "close"));
    proxy.join();
    let window = proxy.window(Role::Stable);
    assert_eq!((window.decided, window.answered), (2, 2), "what was seen is handed over at the end");
}

#[test]
fn with_a_successor_an_idle_connection_may_ask_once_more_and_is_told_that_it_ends() {
    let upstream = telling();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = PATIENCE).start();
    let (mut idle, mut fresh) = (Client::connect(proxy.address), Client::connect(proxy.address));
    assert_eq!(idle.ask(get("")).all("connection"), Vec::<&str>::new());
    idle.received.clear();
    eventually("both connections are there", || (proxy.counters.open.load(std::sync::atomic::Ordering::Relaxed) == 2).then_some(()));
    proxy.succeeded.store(true, std::sync::atomic::Ordering::Relaxed);
    proxy.drain();
    eventually("new connections are refused", || std::net::TcpStream::connect(proxy.address).is_err().then_some(()));
    for client in [&mut idle, &mut fresh] {
        client.send(get(""));
        assert_eq!(client.read_to_end(PATIENCE), End::Closed);
        let answer = crate::support::message::read_answers(&client.received, &[], true).remove(0);
        assert_eq!((answer.status(), answer.one("connection")), (200, "close"));
    }
    proxy.join();
}

#[test]
fn new_settings_are_taken_over_by_connections_that_are_open() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    let lenient = b"GET /t HTTP/1.1\nHost: a.test\r\n\r\n".to_vec();
    assert_eq!(client.ask(lenient.clone()).status(), 200);
    client.received.clear();
    let mut settings = (**proxy.settings.load()).clone();
    settings.strict = true;
    proxy.settings.store(Arc::new(settings));
    eventually("a new connection works by the new settings", || {
        (Client::connect(proxy.address).ask(lenient.clone()).status() == 400).then_some(())
    });
    assert_eq!(client.ask(get("")).one("connection"), "close", "a connection of before ends after one more request");
}

#[test]
fn when_the_drain_time_is_over_the_rest_is_cut_and_still_counted() {
    let (upstream, _go) = patient();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = Duration::from_millis(300)).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    upstream.wait("the request in flight", |seen| seen.len() == 1 && !seen[0].requests().is_empty());
    proxy.drain();
    assert_ne!(client.read_to_end(PATIENCE), End::Open);
    proxy.join();
    let window = proxy.window(Role::Stable);
    assert_eq!((window.decided, window.aborted), (1, 1), "a request that was cut is in the books");
    assert_eq!(proxy.counters.open.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn whoever_was_let_in_before_the_drain_is_served() {
    for _ in 0..20 {
        let upstream = telling();
        let mut proxy = proxy::to([upstream.address]).start();
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(proxy.address)).collect();
        for client in &mut clients {
            client.send(get(""));
        }
        proxy.drain();
        for client in &mut clients {
            assert_eq!((client.read_to_end(PATIENCE), client.received.starts_with(b"HTTP/1.1 200 ")), (End::Closed, true));
        }
        proxy.join();
    }
}

#[test]
fn connections_above_the_limit_are_turned_away() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).with(|s| s.connections = 3).start();
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(proxy.address)).collect();
    let served = clients
        .iter_mut()
        .map(|client| {
            client.send(get(""));
            client.read_until(|bytes| !bytes.is_empty());
            !client.received.is_empty()
        })
        .filter(|served| *served)
        .count();
    assert_eq!(served, 3);
    assert_eq!(proxy.counters.rejected.load(std::sync::atomic::Ordering::Relaxed), 9);
}

#[test]
fn s12_a_source_has_so_many_connections_and_a_trusted_proxy_as_many_as_it_likes() {
    let upstream = telling();
    let served = |proxy: &proxy::Proxy| {
        let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(proxy.address)).collect();
        let mut served = 0;
        for client in &mut clients {
            client.send(get(""));
            client.read_until(|bytes| !bytes.is_empty());
            served += usize::from(!client.received.is_empty());
        }
        served
    };
    let proxy = proxy::to([upstream.address]).with(|s| s.per_source = 5).start();
    assert_eq!(served(&proxy), 5);
    assert_eq!((proxy.pressure.turned_away()[1], proxy.counters.rejected.load(std::sync::atomic::Ordering::Relaxed)), (7, 7));
    eventually("room again", || (served(&proxy) == 5).then_some(()));
    let trusting = proxy::to([upstream.address]).trusting().with(|s| s.per_source = 5).start();
    assert_eq!(served(&trusting), 12);
}

#[test]
fn s15_short_of_memory_connections_end_then_requests_are_refused_and_then_all_is_well_again() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.ask(get("")).all("connection"), Vec::<&str>::new());
    client.received.clear();
    proxy.pressure.set_level(Level::Tight);
    assert_eq!(client.ask(get("")).one("connection"), "close");
    let mut open = Client::connect(proxy.address);
    eventually("it is accepted", || (proxy.counters.accepted.load(std::sync::atomic::Ordering::Relaxed) == 2).then_some(()));
    proxy.pressure.set_level(Level::Full);
    let refused = open.ask(get(""));
    assert_eq!((refused.status(), refused.one("retry-after"), refused.one("connection")), (503, "1", "close"));
    // One connection was being waited for already; the next ones wait.
    assert_eq!(Client::connect(proxy.address).ask(get("")).status(), 503);
    let mut waiting = Client::connect(proxy.address);
    waiting.send(get(""));
    assert_eq!(proxy.pressure.turned_away()[0], 2);
    proxy.pressure.set_level(Level::Normal);
    waiting.read_until(|bytes| !bytes.is_empty());
    assert!(waiting.received.starts_with(b"HTTP/1.1 200 "), "whoever waited is served");
    assert_eq!(upstream.seen().iter().map(|seen| seen.requests().len()).sum::<usize>(), 3, "the refused request went nowhere");
}

#[test]
fn every_access_line_carries_the_generation_that_decided() {
    let upstream = telling();
    let canary = proxy::to([]).canary([upstream.address], &[Watch::Errors(ErrorKinds::DEFAULT)], &[0]).start();
    Client::connect(canary.address).ask(get(""));
    let line = canary.line();
    assert_eq!((line.generation, line.role, line.status, line.bytes), (GENERATION, Some(Role::Canary), 200, 6));
    assert_eq!(
        (line.version.unwrap().as_str().to_owned(), line.service.unwrap().as_str().to_owned()),
        ("v2".to_owned(), "carts".to_owned())
    );
    assert_eq!((line.method.as_str(), line.path.as_str(), line.host.as_str()), ("GET", "/t", "a.test"));
    assert!(line.response_time.is_some_and(|time| time <= line.duration));

    let proxy = proxy::to([upstream.address]).for_hosts(&["a.test"]).start();
    let ask = |bytes: Vec<u8>| Client::connect(proxy.address).ask(bytes).status();
    assert_eq!(ask(post("Content-Length: 2\r\n", "ab")), 200);
    assert_eq!((proxy.line().generation, ask(get("Expect: x\r\n"))), (GENERATION, 417));
    let refused = proxy.line();
    assert_eq!((refused.status, refused.refusal.is_some(), refused.version), (417, true, None));
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n".into()), 404);
    assert_eq!(proxy.line().status, 404);
}

#[test]
fn several_workers_share_one_port_and_all_their_books_arrive() {
    let upstream = telling();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.workers = 2).start();
    for _ in 0..40 {
        assert_eq!(Client::connect(proxy.address).ask(get("")).status(), 200);
    }
    proxy.drain();
    proxy.join();
    let window = proxy.window(Role::Stable);
    assert_eq!((window.decided, window.answered), (40, 40));
}

#[test]
fn a_weightless_connection_pool_is_used_again_for_every_kind_of_answer() {
    let upstream = Upstream::start(|peer| {
        while let Some(request) = peer.request() {
            peer.send(match request.target() {
                "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                "/trailers" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
                "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/zero" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => GOOD,
            });
        }
    });
    let proxy = proxy::to([upstream.address]).start();
    for target in ["/chunked", "/trailers", "/empty", "/zero", "/good", "/chunked"] {
        for request in [
            head(format!("GET {target} HTTP/1.1").as_bytes(), b""),
            [head(format!("POST {target} HTTP/1.1").as_bytes(), b"Content-Length: 5\r\n"), b"hello".to_vec()].concat(),
            [head(format!("POST {target} HTTP/1.1").as_bytes(), b"Transfer-Encoding: chunked\r\n"), b"5\r\nhello\r\n0\r\n\r\n".to_vec()]
                .concat(),
        ] {
            let answer = Client::connect(proxy.address).ask(request);
            assert!(answer.status() < 300 && answer.trailers.is_empty(), "{target}");
        }
    }
    assert_eq!(upstream.seen().len(), 1, "18 requests over one connection");
}

/// What a worker without a listener is made from.
pub fn parts(routes: Routes, reports: ReportSender, access: Option<AccessSender>, drain: tokio::sync::watch::Receiver<bool>) -> Parts {
    let settings = Settings {
        workers: 1,
        timeouts: proxy::timeouts(),
        trusted: Vec::new(),
        strict: true,
        connections: 10,
        pseudonym: "gate-1".to_owned(),
        ..Settings::default()
    };
    Parts {
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        routes,
        reports,
        access,
        tracer: None,
        clock: Clock::start(),
        counters: Arc::default(),
        drain,
        pressure: Arc::default(),
        spread: Spread::new(1),
        succeeded: Arc::default(),
        doors: Vec::new(),
    }
}

/// The runtime of a worker.
pub fn runtime() -> tokio::runtime::LocalRuntime {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap()
}

/// The service of one connection.
pub fn serving(worker: &Rc<Worker>) -> Serve {
    let peer = Peer::new((Ipv4Addr::new(192, 0, 2, 7), 4711).into(), 80, &[]);
    Serve::new(Rc::clone(worker), peer.into(), None)
}

#[test]
fn serve_is_a_tower_service_that_needs_no_client_socket() {
    let upstream = telling();
    let (reports, received) = report::channel();
    let (lines, log) = access::channel();
    let (drain, draining) = tokio::sync::watch::channel(false);
    let routes = Routes::default();
    let stable = Arc::new(Version::at("v1".parse().unwrap(), vec![upstream.address]));
    let epoch = Epoch::new("carts".parse().unwrap(), 0, 3, stable, None, Timestamp::NEVER);
    routes.publish(Table::new(1, vec![Route::new([], Arc::new(epoch))]));
    let parts = parts(routes, reports, Some(lines), draining);
    runtime().block_on(async {
        let worker = Worker::new(0, &parts);
        let mut serve = serving(&worker);
        let body = Source::Whole(Full::new(Bytes::from_static(b"hello")));
        let request = Request::post("/t").header("host", "a.test").header("content-length", 5).body(body).unwrap();
        let response = serve.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, "POST /t");
        let refused = serve.ready().await.unwrap().call(Request::get("/").body(Source::Whole(Full::default())).unwrap()).await.unwrap();
        assert_eq!(refused.status(), 400);
        worker.flush();
    });
    let request = upstream.requests().remove(0);
    assert_eq!((request.body.as_slice(), request.one("x-forwarded-for")), (&b"hello"[..], "192.0.2.7"));
    assert!(matches!(received.try_recv(), Ok(report::Report::Observed { generation: 3, .. })));
    assert_eq!(log.lines.recv().unwrap().failure, None::<Failure>);
    drop(drain);
}
