//! A small server on loopback that speaks HTTP/1.1 and HTTP/2, in clear and over TLS, and notes all; and what is sent to it.
#![cfg(test)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request as Message, Response};
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

use crate::formats::jmx::{Cookies, OnError};
use crate::formats::tls::{CertificateFiles, TlsFiles, server};
use crate::load::{Accept, Failure, Group, Origin, Pace, Request, Run, Script, Snapshot, Step, Target};

/// Answers a request that was noted as number `n`.
pub(super) type Answers = fn(n: usize, &Message<Bytes>) -> Response<Full<Bytes>>;

/// The status of an answer in whose place the connection or stream is cut.
pub(super) const CUT: u16 = 599;
/// The status of an answer that comes 30 ms late.
pub(super) const LATE: u16 = 598;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    /// Every request as it arrived.
    pub(super) seen: Arc<Mutex<Vec<Message<Bytes>>>>,
}

/// Serves HTTP/2 with prior knowledge in clear where `http2` says so, and what ALPN chose over TLS.
pub(super) async fn serve(tls: Option<TlsAcceptor>, http2: bool, answers: Answers) -> Server {
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
pub(super) fn certificate() -> (TempDir, TlsAcceptor) {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pair = CertificateFiles { chain: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    std::fs::write(&pair.chain, certificate.pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    let config = server(&TlsFiles { certificates: vec![pair], ..TlsFiles::default() }).unwrap();
    (folder, TlsAcceptor::from(Arc::new(config)))
}

pub(super) fn ok(_: usize, _: &Message<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

pub(super) fn answer(status: u16) -> http::response::Builder {
    Response::builder().status(status)
}

pub(super) fn post(path: &str) -> Step {
    Request { method: Method::POST, body: Bytes::from(vec![b'x'; 100_000]), ..Request::get(path).unwrap() }.into()
}

pub(super) fn get(path: &str) -> Step {
    Request::get(path).unwrap().into()
}

pub(super) fn follow(step: Step) -> Step {
    Step { follow_redirects: true, cookies: Some(Cookies { clear_each_iteration: false }), ..step }
}

pub(super) fn group(users: usize, loops: u64, steps: &[Step]) -> Group {
    let pace = Pace::Closed { loops: Some(loops), think: Duration::ZERO, ramp: Duration::ZERO };
    let (requests, delay, duration, timeout) = (None, Duration::ZERO, None, Some(Duration::from_secs(10)));
    let scripts = vec![steps.to_vec().into(); users];
    Group { scripts, pace, requests, delay, duration, accept: Accept::BelowError, timeout, on_error: OnError::Continue }
}

/// Carries out a script to its end, checks that nothing was lost, and returns the counts and the words for failures.
pub(super) async fn carry_out(target: impl Into<Target>, script: impl Into<Script>) -> (Snapshot, Vec<(Failure, String)>) {
    let mut run = Run::start(&Handle::current(), target, script, None);
    tokio::time::timeout(Duration::from_secs(20), run.wait()).await.expect("the script has an end");
    let counters = Arc::clone(run.counters());
    let end = run.stop(Duration::ZERO).await;
    assert_eq!((end.sent, end.in_flight()), (end.answered() + end.failed() + end.abandoned, 0), "{end:?}");
    (end, counters.first_failures())
}

pub(super) fn localhost(scheme: &str, address: SocketAddr) -> Target {
    let url = format!("{scheme}://localhost:{}/", address.port()).parse().unwrap();
    Target::new(Origin::of(&url).unwrap(), address)
}

pub(super) fn paths(server: &Server) -> Vec<String> {
    server.seen.lock().unwrap().iter().map(|request| format!("{} {}", request.method(), request.uri().path())).collect()
}
