//! F-01 to F-29: what upstreams do wrong, what the client gets, and what the version is charged with.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use portcullis::domain::outcome::Failure;

use crate::oracle::{get, head, post, telling};
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::message::{Message, read_answers};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::{GOOD, Upstream};

/// How the upstream ends after its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    Wait,
    /// It closes.
    Close,
    /// It resets the connection.
    Reset,
}

/// What the client must get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Want {
    /// A complete answer with this status and body.
    Pass(u16, &'static str),
    /// An answer of the proxy's own.
    Own(u16),
    /// An answer that visibly ends early.
    Cut,
}

/// An upstream whose first connection answers with these bytes and all later ones well.
pub fn once(answer: impl Into<Vec<u8>>, then: Then) -> Upstream {
    let answer = answer.into();
    Upstream::start(move |peer| {
        if peer.index == 0 {
            peer.request();
            peer.send(&answer);
            match then {
                Then::Wait => {}
                Then::Close => return peer.half_close(),
                Then::Reset => return peer.reset(),
            }
        }
        while peer.request().is_some_and(|_| peer.send(GOOD)) {}
    })
}

/// Asks through a proxy for one such answer, checks it and that the next request gets its own; returns how it was counted.
fn check(id: &str, answer: impl Into<Vec<u8>>, then: Then, want: Want) {
    let upstream = once(answer, then);
    let proxy = proxy::to([upstream.address]).start();
    let (bytes, end) = exchange(proxy.address, &get("Connection: close\r\n"), PATIENCE);
    let answers = read_answers(&bytes, &[], end == End::Closed);
    let got = answers.first().cloned().unwrap_or_default();
    assert!(got.violations.is_empty(), "{id}: {:?}", got.violations);
    match want {
        Want::Pass(status, body) => {
            assert_eq!((got.status(), got.body.as_slice(), got.complete), (status, body.as_bytes(), true), "{id}");
        }
        Want::Own(status) => assert_eq!((got.status(), got.all("proxy-status").len()), (status, 1), "{id}"),
        Want::Cut => assert!(!got.complete || got.status() == 502, "{id}: {got:?}"),
    }
    assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good", "{id}: the next request gets its own answer");
    let window = proxy.ended(2);
    assert_eq!(window.failed, u64::from(!matches!(want, Want::Pass(..))), "{id}: only a failure of the version is charged");
}

/// An answer of 200 with these fields and this body.
pub fn with(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

/// An address on which nothing listens.
pub fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits for a line of the access log that tells of a failure.
fn failure(proxy: &Proxy) -> Failure {
    loop {
        if let Some(failure) = proxy.line().failure {
            return failure;
        }
    }
}

#[test]
fn f01_a_refused_connection_goes_to_the_next_endpoint_or_is_a_502() {
    let upstream = telling();
    let proxy = proxy::to([closed_port(), upstream.address]).start();
    for _ in 0..4 {
        assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"GET /t");
    }
    assert_eq!(proxy.ended(4).answered, 4);
    let nobody = proxy::to([closed_port(), closed_port()]).start();
    let answer: Message = Client::connect(nobody.address).ask(get(""));
    assert_eq!((answer.status(), answer.one("proxy-status")), (502, "gate-1; error=connection_refused"));
    assert_eq!((nobody.ended(1).failed, failure(&nobody)), (1, Failure::ConnectionRefused));
}

/// A listener with a full backlog: the kernel drops further attempts, so that they hang. It is full as long as what is returned
/// is kept.
pub fn full_backlog() -> (SocketAddr, Box<dyn std::any::Any>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(one) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(one);
        assert!(held.len() < 100, "the backlog is never full");
    }
    (address, Box::new((socket, held)))
}

#[test]
fn f02_a_connection_that_is_not_accepted_in_time_is_a_504() {
    let (address, _held) = full_backlog();
    let proxy = proxy::to([address]).with(|s| s.timeouts.connect = Duration::from_millis(300)).start();
    let answer = Client::connect(proxy.address).ask(get(""));
    assert_eq!((answer.status(), answer.one("proxy-status")), (504, "gate-1; error=connection_timeout"));
    assert_eq!((proxy.ended(1).failed, failure(&proxy)), (1, Failure::ConnectionTimeout));
}

#[test]
fn f03_an_unreachable_network_goes_to_the_next_endpoint_or_is_a_502() {
    let upstream = telling();
    let proxy = proxy::to([unreachable(), upstream.address]).start();
    for _ in 0..4 {
        assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"GET /t");
    }
    let nobody = proxy::to([unreachable()]).start();
    let answer = Client::connect(nobody.address).ask(get(""));
    assert_eq!((answer.status(), answer.one("proxy-status")), (502, "gate-1; error=connection_refused"));
    assert_eq!((nobody.ended(1).failed, failure(&nobody)), (1, Failure::ConnectionRefused));
}

/// The broadcast address of the loopback network, where the kernel lets no connection go: the same error as a router's ICMP.
pub fn unreachable() -> SocketAddr {
    SocketAddr::from(([127, 255, 255, 255], 80))
}

#[test]
fn f04_a_version_that_never_answers_is_a_504_with_the_time_waited_as_its_latency() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.response = Duration::from_millis(400)).start();
    let start = Instant::now();
    let answer = Client::connect(proxy.address).ask(get(""));
    assert_eq!((answer.status(), answer.one("proxy-status")), (504, "gate-1; error=connection_read_timeout"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    upstream.wait("the hung connection is closed", |seen| seen.len() == 1 && seen[0].closed);
    let window = proxy.ended(1);
    assert_eq!((window.failed, window.response_time.len()), (1, 1));
    assert!(window.response_time.max() >= 300_000, "{} us", window.response_time.max());
}

/// An upstream whose first connection answers one request and closes when it has read the second.
pub fn dying() -> Upstream {
    Upstream::start(|peer| {
        peer.request();
        peer.send(GOOD);
        if peer.index == 0 {
            peer.request();
            return;
        }
        while peer.request().is_some_and(|_| peer.send(GOOD)) {}
    })
}

#[test]
fn f05_f06_a_request_that_dies_on_a_used_connection_is_repeated_once_and_only_if_it_may_be() {
    for (request, status, times) in [
        (get(""), 200, 2),
        (head(b"DELETE /t HTTP/1.1", b""), 200, 2),
        (post("", ""), 502, 1),
        (post("Content-Length: 5\r\n", "hello"), 502, 1),
        ([&head(b"PUT /t HTTP/1.1", b"Content-Length: 5\r\n")[..], b"hello"].concat(), 502, 1),
    ] {
        let upstream = dying();
        let proxy = proxy::to([upstream.address]).start();
        let mut client = Client::connect(proxy.address);
        assert_eq!(client.ask(head(b"GET /first HTTP/1.1", b"")).body, b"good");
        assert_eq!(client.ask(&request).status(), status, "{}", String::from_utf8_lossy(&request));
        let sent = upstream.requests().iter().filter(|r| r.target() == "/t").count();
        assert_eq!(sent, times, "{}", String::from_utf8_lossy(&request));
        let window = proxy.ended(2);
        assert_eq!((window.decided, window.failed), (2, u64::from(status == 502)), "a repetition is the same request");
    }
    // A version that closes every connection is tried once more and no oftener.
    let upstream = Upstream::start(|peer| {
        peer.request();
    });
    let proxy = proxy::to([upstream.address]).start();
    assert_eq!(Client::connect(proxy.address).ask(get("")).status(), 502);
    assert_eq!(upstream.requests().len(), 1, "a fresh connection is no reason to try again");
}

#[test]
fn f07_a_pooled_connection_that_the_upstream_closed_is_replaced_even_for_a_post() {
    for end in [Then::Close, Then::Reset] {
        let (closed, was_closed) = std::sync::mpsc::channel();
        let closed = std::sync::Mutex::new(closed);
        let upstream = Upstream::start(move |peer| {
            peer.request();
            peer.send(GOOD);
            peer.end(end == Then::Reset);
            closed.lock().unwrap().send(()).unwrap();
        });
        let proxy = proxy::to([upstream.address]).start();
        let mut client = Client::connect(proxy.address);
        for turn in 0..50 {
            let answer = client.ask(post("Content-Length: 5\r\n", "hello"));
            assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"good"[..]), "turn {turn}");
            // The kernel has the end of the connection now, whether or not the proxy has looked.
            was_closed.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!((upstream.seen().len(), proxy.ended(50).answered), (50, 50));
    }
}

#[test]
fn f10_f11_a_cut_answer_never_ends_cleanly() {
    check("short-cl", with("Content-Length: 50\r\n", "hello"), Then::Close, Want::Cut);
    check("short-cl-rst", with("Content-Length: 50\r\n", "hello"), Then::Reset, Want::Cut);
    check("chunk-trunc", with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), Then::Close, Want::Cut);
    check("chunk-trunc-rst", with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), Then::Reset, Want::Cut);
    check("chunk-bad", with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\nZZ\r\n"), Then::Wait, Want::Cut);
    check("close-delim", with("", "hello"), Then::Close, Want::Pass(200, "hello"));
}

#[test]
fn f11_f24_an_answer_that_stalls_is_cut_by_the_body_timer_and_charged_to_the_version() {
    let upstream = once(with("Content-Length: 50\r\n", "hello"), Then::Wait);
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.body_idle = Duration::from_millis(300)).start();
    let (bytes, end) = exchange(proxy.address, &get(""), PATIENCE);
    assert!(!read_answers(&bytes, &[], end == End::Closed)[0].complete);
    assert_ne!(end, End::Open);
    assert_eq!((proxy.ended(1).failed, failure(&proxy)), (1, Failure::ResponseBodyTimeout));
    upstream.wait("the stalled connection is closed", |seen| seen[0].closed);
}

#[test]
fn f12_f13_bytes_nobody_asked_for_end_their_connection_and_answer_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    check("extra-bytes", with("Content-Length: 5\r\n", &format!("hello{evil}")), Then::Wait, Want::Pass(200, "hello"));
    check("extra-bytes-204", format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"), Then::Wait, Want::Pass(204, ""));
    let upstream = Upstream::start(move |peer| {
        peer.request();
        peer.send(GOOD);
        if peer.index == 0 {
            // An answer to nothing, on a connection that rests in the pool.
            peer.send(evil.as_bytes());
        }
        while peer.request().is_some_and(|_| peer.send(GOOD)) {}
    });
    let proxy = proxy::to([upstream.address]).start();
    assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
    upstream.wait("the connection is closed", |seen| seen[0].closed);
    assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
}

#[test]
fn f14_to_f17_answers_with_bad_framing_are_502_and_two_framings_become_one() {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    check("cl-te", with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", hello), Then::Wait, Want::Pass(200, "hello"));
    check("te-cl", with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", hello), Then::Wait, Want::Pass(200, "hello"));
    check("dup-cl-same", with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), Then::Wait, Want::Pass(200, "hello"));
    check("cl-zeros", with("Content-Length: 005\r\n", "hello"), Then::Wait, Want::Pass(200, "hello"));
    for length in ["abc", "+5", "-5", "99999999999999999999", "5, 3", ""] {
        check(length, with(&format!("Content-Length: {length}\r\n"), "hello"), Then::Close, Want::Own(502));
    }
    check("dup-cl-diff", with("Content-Length: 5\r\nContent-Length: 3\r\n", "hello"), Then::Wait, Want::Own(502));
    check("te-gzip", with("Transfer-Encoding: gzip\r\n", "hello"), Then::Close, Want::Own(502));
    check("te-gzip-chunked", with("Transfer-Encoding: gzip, chunked\r\n", hello), Then::Wait, Want::Own(502));
    check("te-dup", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hello), Then::Wait, Want::Own(502));
    let old = format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{hello}");
    check("te-http10", old, Then::Close, Want::Own(502));
}

#[test]
fn f18_f19_what_is_no_http_answer_is_a_502() {
    for junk in [
        &b"HELLO WORLD\r\n\r\n"[..],
        b"hello world no headers",
        b"",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x00\x00",
        b"HTTP/1.1 99 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        check(&format!("{:?}", String::from_utf8_lossy(junk)), junk, Then::Close, Want::Own(502));
    }
    check("reset", "", Then::Reset, Want::Own(502));
    check("no reason", "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood", Then::Wait, Want::Pass(200, "good"));
}

#[test]
fn f20_to_f22_malformed_or_oversized_answer_fields_are_502_and_bare_line_feeds_are_normalised() {
    for fields in ["X: a\0b\r\n", "X: a\rb\r\n", "X: a\r\n b\r\n", "XYZ\r\n", "X Y: 1\r\n", "X : 1\r\n", ": a\r\n"] {
        check(&format!("{fields:?}"), with(&format!("{fields}Content-Length: 4\r\n"), "good"), Then::Wait, Want::Own(502));
    }
    check("lf", "HTTP/1.1 200 OK\nContent-Length: 4\n\ngood", Then::Wait, Want::Pass(200, "good"));
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    check("200 fields", with(&(many + "Content-Length: 4\r\n"), "good"), Then::Wait, Want::Own(502));
    check("1 MiB", with(&format!("X: {}\r\nContent-Length: 4\r\n", "a".repeat(1 << 20)), "good"), Then::Wait, Want::Own(502));
}

#[test]
fn f23_a_head_that_drips_is_a_504() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(b"x".iter().cycle()).take(600) {
            // Waits for the proxy to close, a little, and then drips on.
            let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(20)));
            if !peer.send(&[*byte]) || peer.swallow(1) > 0 {
                break;
            }
        }
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.response = Duration::from_millis(400)).start();
    let answer = Client::connect(proxy.address).ask(get(""));
    assert_eq!((answer.status(), proxy.ended(1).failed), (504, 1));
}

#[test]
fn f29_an_upstream_that_closes_after_its_answer_is_not_pooled() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood");
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        let answer = client.ask(get(""));
        assert_eq!((answer.body.as_slice(), answer.all("connection").len()), (&b"good"[..], 0), "closing there is not closing here");
    }
    upstream.wait("every connection is closed by the proxy", |seen| seen.len() == 3 && seen.iter().all(|s| s.closed));
}
