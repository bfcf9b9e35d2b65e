//! The connections, over loopback, with a client that trusts nothing but the webhook's own authority.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::kube::webhook::authority::Own;
use crate::kube::webhook::server::{CONNECTIONS, serve};

const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    address: SocketAddr,
    own: Own,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Serves with a certificate of its own; valid today, so that a real client verifies it.
fn served() -> Served {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, own) = (socket.local_addr().unwrap(), Own::make(&service(), "a", Timestamp::now()).unwrap());
    let slot = Arc::new(arc_swap::ArcSwap::new(Arc::clone(&own.server)));
    let (stop, stopping) = watch::channel(false);
    let (hook, ready) = hook();
    let task = tokio::spawn(async move {
        let _ready = ready;
        serve(socket, slot, hook, stopping).await
    });
    Served { address, own, stop, task }
}

async fn connect(served: &Served, name: &str, authority: &str, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(served.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

async fn ours(served: &Served, protocol: &[u8]) -> TlsStream<TcpStream> {
    connect(served, "injector.portcullis.svc", &served.own.authority, protocol).await.unwrap()
}

fn request(body: Vec<u8>) -> http::Request<Full<Bytes>> {
    let request = http::Request::post("https://injector.portcullis.svc/mutate").header("content-type", "application/json");
    request.header("host", "injector.portcullis.svc").body(Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn reviews_are_answered_over_both_protocols() {
    let served = served();
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(ours(&served, b"h2").await)).await.unwrap();
    let driven = tokio::spawn(connection);
    for more in [0, 1 << 20] {
        let answer = send.send_request(request(review(more))).await.unwrap();
        assert!(answer.status() == 200 && is_injected(&answer.into_body().collect().await.unwrap().to_bytes()));
    }
    drop(send);
    driven.await.unwrap().unwrap();
    let (mut send, connection) = http1::handshake(TokioIo::new(ours(&served, b"http/1.1").await)).await.unwrap();
    let driven = tokio::spawn(connection);
    for more in [0, 1 << 20, 0] {
        send.ready().await.unwrap();
        let answer = send.send_request(request(review(more))).await.unwrap();
        assert!(answer.status() == 200 && is_injected(&answer.into_body().collect().await.unwrap().to_bytes()));
    }
    drop(send);
    driven.await.unwrap().unwrap();
    served.stop.send_replace(true);
    timeout(PATIENCE, served.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn only_its_own_authority_and_names_are_trusted() {
    let served = served();
    for name in service().hosts() {
        connect(&served, &name, &served.own.authority, b"h2").await.unwrap();
    }
    let stranger = Own::make(&service(), "a", Timestamp::now()).unwrap();
    let told = connect(&served, "injector.portcullis.svc", &stranger.authority, b"h2").await.unwrap_err().to_string();
    assert!(told.contains("UnknownIssuer") || told.contains("BadSignature"), "{told}");
    let told = connect(&served, "other.portcullis.svc", &served.own.authority, b"h2").await.unwrap_err().to_string();
    assert!(told.contains("not valid for name"), "{told}");
}

#[tokio::test]
async fn what_is_at_hand_is_answered_before_the_end() {
    let served = served();
    let mut stream = ours(&served, b"http/1.1").await;
    let body = review(0);
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n", "the body is waited for");
    served.stop.send_replace(true);
    // Nobody else comes in.
    let closed = async { while TcpStream::connect(served.address).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("JSONPatch"), "{answer}");
    timeout(PATIENCE, served.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_keep_the_end() {
    let served = served();
    let (mut first, connection) = http1::handshake(TokioIo::new(ours(&served, b"http/1.1").await)).await.unwrap();
    tokio::spawn(connection);
    let (mut second, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(ours(&served, b"h2").await)).await.unwrap();
    tokio::spawn(connection);
    let answer = first.send_request(request(review(0))).await.unwrap();
    assert!(is_injected(&answer.into_body().collect().await.unwrap().to_bytes()));
    assert_eq!(second.send_request(request(review(0))).await.unwrap().status(), 200);
    let begun = std::time::Instant::now();
    served.stop.send_replace(true);
    timeout(PATIENCE, served.task).await.unwrap().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(9), "nothing was at hand");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_takes_the_seat_of_the_one_idle_longest() {
    let served = served();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(ours(&served, b"http/1.1").await);
    }
    let (mut last, connection) =
        http1::handshake(TokioIo::new(timeout(PATIENCE / 2, ours(&served, b"http/1.1")).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(timeout(PATIENCE, last.send_request(request(review(0)))).await.unwrap().unwrap().status(), 200);
    let mut end = Vec::new();
    assert_eq!(timeout(PATIENCE, silent[0].read_to_end(&mut end)).await.unwrap().unwrap_or_default(), 0, "the first is to go");
    let second = &mut silent[1];
    second.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, second.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "the others stay");
}
