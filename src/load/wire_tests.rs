//! Claims about HTTP/1.1, HTTP/2, TLS and connections, and that no request is lost whatever happens.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION, SET_COOKIE};
use http::{Method, Request as Message, Response, Version};
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use crate::domain::transport::Protocol;
use crate::formats::tls::{CertificateFiles, TlsFiles, server};
use crate::load::tls::{Trust, client};
use crate::load::wire_server::{CUT, LATE, answer, carry_out, certificate, follow, get, group, localhost, ok, post, serve};
use crate::load::{Failure, Group, Run, Step, Target};

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
    let mut config = server(&TlsFiles { certificates: vec![pair], ..TlsFiles::default() }).unwrap();
    config.alpn_protocols = Vec::new();
    let server = serve(Some(TlsAcceptor::from(Arc::new(config))), false, ok).await;
    let tls = client(Trust::Anybody, Protocol::Http2).unwrap();
    let target = localhost("https", server.address).with_protocol(Protocol::Http2).with_tls(tls);
    let (end, failures) = carry_out(target, group(1, 1, &[get("/")])).await;
    assert_eq!(end.failed_by(Failure::Tls), 1);
    assert!(failures[0].1.contains("does not offer HTTP/2"), "{failures:?}");
}

#[tokio::test]
async fn a_connection_that_is_not_kept_is_closed_and_said_to_be() {
    for http2 in [false, true] {
        let server = serve(None, http2, ok).await;
        let step = Step { keep_alive: false, ..get("/") };
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
        carry_out(Target::from(server.address).with_protocol(protocol), group(2, 5, &[step])).await;
        assert_eq!(server.connections.load(Ordering::SeqCst), 10);
        let said = server.seen.lock().unwrap().iter().filter(|request| request.headers().contains_key(CONNECTION)).count();
        assert_eq!(said, if http2 { 0 } else { 10 }, "HTTP/2 has no such header");
    }
}
