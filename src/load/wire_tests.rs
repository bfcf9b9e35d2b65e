//! Claims about HTTP/2, TLS, redirects, cookies and errors, against a small server on loopback that speaks both and notes all.
#![cfg(test)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{Method, Request as Message, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use crate::domain::transport::Protocol;
use crate::formats::jmx::{Cookies, OnError};
use crate::formats::tls::{CertificateFiles, TlsFiles, server};
use crate::load::tls::{Trust, client};
use crate::load::{Accept, Failure, Group, Origin, Pace, Request, Run, Script, Snapshot, Step, Target};

/// Answers a request that was noted as number `n`.
type Answers = fn(n: usize, &Message<Bytes>) -> Response<Full<Bytes>>;

/// The status of an answer in whose place the connection or stream is cut.
const CUT: u16 = 599;
/// The status of an answer that comes 30 ms late.
const LATE: u16 = 598;

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Every request as it arrived.
    seen: Arc<Mutex<Vec<Message<Bytes>>>>,
}

/// Serves HTTP/2 with prior knowledge in clear where `http2` says so, and what ALPN chose over TLS.
async fn serve(tls: Option<TlsAcceptor>, http2: bool, answers: Answers) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), connections: Arc::default(), seen: Arc::default() };
    let (connections, seen) = (Arc::clone(&server.connections), Arc::clone(&server.seen));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            let (tls, seen) = (tls.clone(), Arc::clone(&seen));
            let service = service_fn(move |request: Message<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map_err(|_| "the body was cut")?.to_bytes();
                    let request = Message::from_parts(head, body);
                    let answer = {
                        let mut seen = seen.lock().unwrap();
                        let answer = answers(seen.len(), &request);
                        seen.push(request);
                        answer
                    };
                    match answer.status().as_u16() {
                        CUT => return Err("cut"),
                        LATE => tokio::time::sleep(Duration::from_millis(30)).await,
                        _ => {}
                    }
                    Ok(answer)
                }
            });
            tokio::spawn(async move {
                match tls {
                    None if http2 => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await),
                    None => drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                            let io = TokioIo::new(stream);
                            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
                        } else {
                            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    server
}

/// A certificate for `localhost`, made anew, and what a server accepts TLS with by it.
fn certificate() -> (TempDir, TlsAcceptor) {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pair = CertificateFiles { chain: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    std::fs::write(&pair.chain, certificate.pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    let config = server(&TlsFiles { certificates: vec![pair], client_ca: None }).unwrap();
    (folder, TlsAcceptor::from(Arc::new(config)))
}

fn ok(_: usize, _: &Message<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

fn answer(status: u16) -> http::response::Builder {
    Response::builder().status(status)
}

fn post(path: &str) -> Step {
    Request { method: Method::POST, body: Bytes::from(vec![b'x'; 100_000]), ..Request::get(path).unwrap() }.into()
}

fn get(path: &str) -> Step {
    Request::get(path).unwrap().into()
}

fn follow(step: Step) -> Step {
    Step { follow_redirects: true, cookies: Some(Cookies { clear_each_iteration: false }), ..step }
}

fn group(users: usize, loops: u64, steps: &[Step]) -> Group {
    let pace = Pace::Closed { loops: Some(loops), think: Duration::ZERO, ramp: Duration::ZERO };
    let (requests, delay, duration, timeout) = (None, Duration::ZERO, None, Some(Duration::from_secs(10)));
    let scripts = vec![steps.to_vec().into(); users];
    Group { scripts, pace, requests, delay, duration, accept: Accept::BelowError, timeout, on_error: OnError::Continue }
}

/// Carries out a script to its end, checks that nothing was lost, and returns the counts and the words for failures.
async fn carry_out(target: impl Into<Target>, script: impl Into<Script>) -> (Snapshot, Vec<(Failure, String)>) {
    let mut run = Run::start(&Handle::current(), target, script, None);
    tokio::time::timeout(Duration::from_secs(20), run.wait()).await.expect("the script has an end");
    let counters = Arc::clone(run.counters());
    let end = run.stop(Duration::ZERO).await;
    assert_eq!((end.sent, end.in_flight()), (end.answered() + end.failed() + end.abandoned, 0), "{end:?}");
    (end, counters.first_failures())
}

fn localhost(scheme: &str, address: SocketAddr) -> Target {
    let url = format!("{scheme}://localhost:{}/", address.port()).parse().unwrap();
    Target::new(Origin::of(&url).unwrap(), address)
}

fn paths(server: &Server) -> Vec<String> {
    server.seen.lock().unwrap().iter().map(|request| format!("{} {}", request.method(), request.uri().path())).collect()
}

#[tokio::test]
async fn whatever_happens_and_whenever_it_is_stopped_every_request_ends_once() {
    fn answers(n: usize, _: &Message<Bytes>) -> Response<Full<Bytes>> {
        let status = [200, 302, 200, 500, LATE, 200, CUT, 302, 200, 404, 200][n % 11];
        answer(status).header(LOCATION, "/on").header(SET_COOKIE, "n=1").body(Full::from("hello")).unwrap()
    }
    for (http2, after) in [false, true].into_iter().flat_map(|http2| [0, 1, 7, 60, 200].map(|after| (http2, after))) {
        let server = serve(None, http2, answers).await;
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
        let target = Target::from(server.address).with_protocol(protocol);
        let steps = [follow(get("/a")), Step { keep_alive: false, ..post("/b") }, get("/c")];
        let group = Group { timeout: Some(Duration::from_millis(15)), ..group(6, 1_000_000, &steps) };
        let run = Run::start(&Handle::current(), target, group, None);
        let counters = Arc::clone(run.counters());
        let until = tokio::time::Instant::now() + Duration::from_millis(after);
        while tokio::time::Instant::now() < until {
            let now = counters.snapshot();
            assert!(now.answered() + now.failed() + now.abandoned + now.in_flight() == now.sent && now.in_flight() <= 6, "{now:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let end = run.stop(Duration::from_millis(after / 20)).await;
        assert_eq!((end.sent, end.in_flight()), (end.answered() + end.failed() + end.abandoned, 0), "{http2} {after}: {end:?}");
        assert_eq!(counters.latency().map_or(0, |latency| latency.count), end.answered());
        let kinds = [Failure::Broken, Failure::Timeout].map(|kind| end.failed_by(kind) > 0);
        assert!(after < 200 || (end.redirects > 0 && end.bad > 0 && kinds == [true; 2]), "{http2}: {end:?}");
    }
}

#[tokio::test]
async fn http2_in_clear_keeps_one_connection_for_each_user() {
    let server = serve(None, true, ok).await;
    let target = localhost("http", server.address).with_protocol(Protocol::Http2);
    let (end, failures) = carry_out(target, group(3, 20, &[post("/a?b=c"), get("/d")])).await;
    assert_eq!((end.answered, failures, server.connections.load(Ordering::SeqCst)), ([0, 120, 0, 0, 0], vec![], 3));
    let seen = server.seen.lock().unwrap();
    let big = seen.iter().find(|request| request.method() == Method::POST).unwrap();
    assert_eq!(
        (big.version(), big.body().len(), big.uri().to_string()),
        (Version::HTTP_2, 100_000, format!("http://localhost:{}/a?b=c", server.address.port()))
    );
    assert!(!big.headers().contains_key(HOST), "the authority says it");
}

#[tokio::test]
async fn a_host_of_the_requests_own_is_what_the_server_is_asked_for() {
    for http2 in [false, true] {
        let server = serve(None, http2, ok).await;
        let mut step = get("/");
        step.request.headers.insert(HOST, "carts.test".parse().unwrap());
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
        carry_out(Target::from(server.address).with_protocol(protocol), group(1, 1, &[step])).await;
        let seen = server.seen.lock().unwrap();
        let named = seen[0].uri().authority().map(|authority| authority.as_str().to_owned());
        assert_eq!(named.or_else(|| Some(seen[0].headers()[HOST].to_str().unwrap().to_owned())).as_deref(), Some("carts.test"));
    }
}

#[tokio::test]
async fn tls_verifies_by_the_given_authority_and_agrees_on_the_wanted_http() {
    let (folder, acceptor) = certificate();
    let server = serve(Some(acceptor), false, ok).await;
    let ca = folder.path().join("a.pem");
    for (trust, protocol, version) in [
        (Trust::File(&ca), Protocol::Http1, Version::HTTP_11),
        (Trust::File(&ca), Protocol::Http2, Version::HTTP_2),
        (Trust::File(&ca), Protocol::Auto, Version::HTTP_2),
        (Trust::Anybody, Protocol::Http1, Version::HTTP_11),
        (Trust::Anybody, Protocol::Http2, Version::HTTP_2),
    ] {
        server.seen.lock().unwrap().clear();
        let target = localhost("https", server.address).with_protocol(protocol).with_tls(client(trust, protocol).unwrap());
        let (end, failures) = carry_out(target, group(2, 3, &[post("/")])).await;
        assert_eq!((end.answered(), failures), (6, vec![]), "{trust:?} {protocol:?}");
        assert!(server.seen.lock().unwrap().iter().all(|request| request.version() == version), "{trust:?} {protocol:?}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_fails_each_request_and_says_so() {
    let (_folder, acceptor) = certificate();
    let (other, _) = certificate();
    let server = serve(Some(acceptor), false, ok).await;
    let trusted = |trust| client(trust, Protocol::Http1).unwrap();
    let target = localhost("https", server.address).with_tls(trusted(Trust::File(&other.path().join("a.pem"))));
    let (end, failures) = carry_out(target, group(1, 2, &[get("/")])).await;
    assert_eq!((end.failed_by(Failure::Tls), end.sent), (2, 2));
    assert!(failures[0].1.contains("certificate") && failures[0].1.contains("https://localhost"), "{failures:?}");
    let (_, failures) = carry_out(localhost("https", server.address), group(1, 1, &[get("/")])).await;
    assert!(failures[0].1.contains("wants TLS"), "{failures:?}");
    let problem = client(Trust::File(Path::new("/nowhere/ca.pem")), Protocol::Http1).unwrap_err();
    assert!(problem.to_string().contains("/nowhere/ca.pem"), "{problem}");
}

#[tokio::test]
async fn a_server_without_http2_over_tls_is_named() {
    let (folder, _) = certificate();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("b.pem"), own.pem()).unwrap();
    std::fs::write(folder.path().join("b.key"), key.serialize_pem()).unwrap();
    let pair = CertificateFiles { chain: folder.path().join("b.pem"), key: folder.path().join("b.key") };
    let mut config = server(&TlsFiles { certificates: vec![pair], client_ca: None }).unwrap();
    config.alpn_protocols = Vec::new();
    let server = serve(Some(TlsAcceptor::from(Arc::new(config))), false, ok).await;
    let tls = client(Trust::Anybody, Protocol::Http2).unwrap();
    let target = localhost("https", server.address).with_protocol(Protocol::Http2).with_tls(tls);
    let (end, failures) = carry_out(target, group(1, 1, &[get("/")])).await;
    assert_eq!(end.failed_by(Failure::Tls), 1);
    assert!(failures[0].1.contains("does not offer HTTP/2"), "{failures:?}");
}

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
async fn a_connection_that_is_not_kept_is_closed_and_said_to_be() {
    let server = serve(None, false, ok).await;
    let step = Step { keep_alive: false, ..get("/") };
    carry_out(server.address, group(2, 5, &[step])).await;
    assert_eq!(server.connections.load(Ordering::SeqCst), 10);
    assert!(server.seen.lock().unwrap().iter().all(|request| request.headers()[CONNECTION] == "close"));
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
