//! E-01 to E-24, R-42 to R-44: interim answers, Upgrade, HEAD, pipelines, early answers and closing.

use std::time::Duration;

use portcullis::proxy::settings::Settings;

use crate::oracle::{Bench, Expect, ONE, case, get, head, post};
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::message::{Message, read_answers};
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};

const SECOND: &str = "GET /smug HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What a client gets whose GET was answered with these bytes.
fn answered(bytes: impl AsRef<[u8]>) -> Message {
    let upstream = Upstream::answering(bytes.as_ref());
    let proxy = proxy::to([upstream.address]).start();
    Client::connect(proxy.address).ask(get(""))
}

fn quick(settings: &mut Settings) {
    settings.timeouts.body_idle = Duration::from_millis(300);
}

#[test]
fn e01_continue_is_sent_when_the_body_is_wanted_and_expect_stays_here() {
    let bench = Bench::new();
    let mut client = Client::connect(bench.proxy.address);
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    client.read_until(|bytes| bytes.ends_with(b"\r\n\r\n"));
    assert!(client.received.starts_with(b"HTTP/1.1 100 "), "{:?}", String::from_utf8_lossy(&client.received));
    client.send("hello");
    let answers = client.answers(1, &[]);
    assert_eq!((answers[0].status(), answers[1].status()), (100, 200));
    // The reader flags Expect.
    let request = bench.upstream.requests().remove(0);
    assert_eq!((request.body.as_slice(), request.violations.len()), (&b"hello"[..], 0));
}

#[test]
fn e02_e03_other_expectations_fail_and_one_without_a_body_hangs_nothing() {
    Bench::new().judge(&[
        case("E-02", post("Expect: 200-ok\r\nContent-Length: 5\r\n", "hello"), Expect::Refused(&[417])),
        case("E-02 two", post("Expect: y 100-continue\r\nContent-Length: 5\r\n", "hello"), Expect::Refused(&[417])),
        case("E-02 list", post("Expect: 100-continue, x\r\nContent-Length: 5\r\n", "hello"), Expect::Refused(&[417])),
        case("E-03", get("Expect: 100-continue\r\n"), ONE),
    ]);
}

#[test]
fn e04_a_body_that_never_comes_is_a_408() {
    let bench = Bench::with(|setup| setup.with(quick));
    let (bytes, end) = exchange(bench.proxy.address, &post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""), PATIENCE);
    let statuses: Vec<u16> = read_answers(&bytes, &[], true).iter().map(Message::status).collect();
    assert_eq!((statuses, end), (vec![100, 408], End::Closed));
    let window = bench.proxy.ended(1);
    assert_eq!((window.failed, window.classes[4]), (1, 0));
}

#[test]
fn e05_a_final_answer_without_the_body_is_not_preceded_by_100() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let proxy = proxy::to([nobody]).start();
    let (bytes, end) = exchange(proxy.address, &post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""), PATIENCE);
    let statuses: Vec<u16> = read_answers(&bytes, &[], true).iter().map(Message::status).collect();
    assert_eq!((statuses, end), (vec![502], End::Closed));
}

#[test]
fn e06_e07_interim_answers_are_swallowed_up_to_sixteen() {
    let interim = |count: usize| "HTTP/1.1 100 Continue\r\n\r\n".repeat(count);
    let good = String::from_utf8_lossy(GOOD);
    for few in [interim(1), interim(16), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned(), "HTTP/1.1 199 X\r\n\r\n".to_owned()] {
        let answer = answered(format!("{few}{good}"));
        assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"good"[..]), "{few}");
    }
    for many in [17, 50, 20_000] {
        let answer = answered(interim(many) + &good);
        assert_eq!(answer.status(), 502, "{many}");
        assert_eq!(answer.one("proxy-status"), "gate-1; error=http_protocol_error");
    }
}

#[test]
fn e07_what_follows_a_final_answer_is_nobodys() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.send(&[GOOD, b"HTTP/1.1 100 Continue\r\n\r\n"].concat());
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).start();
    for _ in 0..3 {
        let mut client = Client::connect(proxy.address);
        assert_eq!(client.ask(get("")).body, b"good");
    }
    upstream.wait("every connection is closed", |seen| seen.len() == 3 && seen.iter().all(|s| s.closed));
}

#[test]
fn e10_e13_an_upgrade_to_anything_but_websocket_is_not_offered_upstream_and_what_follows_is_a_request() {
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
    ] {
        // The reader flags Connection, Upgrade and HTTP2-Settings.
        Bench::new().judge(&[case(fields, [get(fields), SECOND.into()].concat(), Expect::Forwarded(2))]);
    }
}

#[test]
fn e11_e12_an_upgrade_with_a_body_or_on_http_1_0_is_an_ordinary_request() {
    let bench = Bench::new();
    let body = post("Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n", "hello");
    let old = head(b"GET /t HTTP/1.0", b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    bench.judge(&[case("E-11", body, ONE)]);
    assert_eq!(bench.upstream.requests()[0].body, b"hello");
    bench.judge(&[case("E-12", old, ONE)]);
}

#[test]
fn e09_an_unasked_101_is_a_502_and_its_bytes_reach_nobody() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nEVIL";
    let upstream = Upstream::answering(switch.as_slice());
    let proxy = proxy::to([upstream.address]).start();
    for fields in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let mut client = Client::connect(proxy.address);
        let answer = client.ask(get(fields));
        assert_eq!((answer.status(), answer.one("proxy-status")), (502, "gate-1; error=http_protocol_error"));
        assert!(!client.received.windows(4).any(|w| w == b"EVIL"));
    }
    upstream.wait("the switched connections are closed", |seen| seen.len() == 2 && seen.iter().all(|s| s.closed));
    assert_eq!(proxy.ended(2).failed, 2);
}

#[test]
fn e15_head_has_no_body_and_one_the_upstream_sends_poisons_nothing() {
    let upstream = Upstream::start(|peer| {
        while let Some(request) = peer.request() {
            let sneaky = request.target() == "/sneaky";
            let body = if request.line[0] != "HEAD" || sneaky { "good" } else { "" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Of: {}\r\n\r\n{body}", request.target()).as_bytes());
        }
    });
    let proxy = proxy::to([upstream.address]).start();
    for target in ["/plain", "/sneaky"] {
        let mut client = Client::connect(proxy.address);
        client.send(head(format!("HEAD {target} HTTP/1.1").as_bytes(), b""));
        let answer = client.answers(1, &["HEAD"]).remove(0);
        assert_eq!((answer.one("content-length"), answer.one("x-of")), ("4", target));
        let next = client.ask(get(""));
        assert_eq!((next.one("x-of"), next.body.as_slice()), ("/t", &b"good"[..]), "after {target}");
    }
    assert_eq!(upstream.seen().len(), 2, "the connection with the body nobody wanted is not used again");
}

#[test]
fn e16_e17_answers_without_content_have_no_body() {
    for (status, fields, body) in [
        ("204 No Content", "Content-Length: 5\r\n", "hello"),
        ("204 No Content", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("204 No Content", "", ""),
        ("304 Not Modified", "Content-Length: 5\r\nETag: \"x\"\r\n", ""),
        ("304 Not Modified", "Content-Length: 4\r\n", "EVIL"),
    ] {
        let upstream = Upstream::answering(format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}"));
        let proxy = proxy::to([upstream.address]).start();
        let mut client = Client::connect(proxy.address);
        for _ in 0..2 {
            let answer = client.ask(get(""));
            assert_eq!((answer.line[1].as_str(), client.received.ends_with(b"\r\n\r\n")), (&status[..3], true), "{status} {fields}");
            assert!(answer.all("transfer-encoding").is_empty(), "{status} {fields}");
            assert!(!status.starts_with("204") || answer.all("content-length").is_empty(), "{status} {fields}");
        }
    }
    let reset = answered("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((reset.status(), reset.one("content-length")), (205, "0"));
}

#[test]
fn e18_a_pipeline_is_answered_in_order_with_one_request_upstream_at_a_time() {
    let bench = Bench::new();
    let all: String = (0..100).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n")).collect();
    let mut client = Client::connect(bench.proxy.address);
    client.send(&all);
    for (i, answer) in client.answers(100, &[]).iter().enumerate() {
        assert_eq!(answer.body, format!("GET /{i}").as_bytes());
    }
    // One connection, and a strict reader found 100 requests on it: each began when the one before was answered.
    let seen = bench.upstream.seen();
    assert_eq!((seen.len(), seen[0].requests().len()), (1, 100), "the upstream connection is used again and again");
    let mixed = [post("Content-Length: 5\r\n", "hello"), SECOND.into(), post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), get("")];
    bench.judge(&[case("E-18 bodies", mixed.concat(), Expect::Forwarded(4))]);
}

#[test]
fn e19_a_bad_request_behind_a_good_one_is_refused_after_its_answer() {
    Bench::new().judge(&[
        case("E-19", [get(""), b"BAD\r\n\r\n".to_vec()].concat(), Expect::ThenRefused(1)),
        case("E-19 ours", [get(""), head(b"GET a.test:80 HTTP/1.1", b""), get("")].concat(), Expect::ThenRefused(1)),
        case("E-19 body", [post("Content-Length: 5\r\n", "hello"), get(": x\r\n")].concat(), Expect::ThenRefused(1)),
    ]);
}

#[test]
fn e20_a_client_that_closes_its_side_is_taken_to_have_left() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    upstream.wait("the request", |seen| seen.iter().any(|s| !s.bytes.is_empty()));
    client.half_close();
    assert_eq!((client.read_to_end(PATIENCE), client.received.len()), (End::Closed, 0));
    upstream.wait("its request is cancelled", |seen| seen.len() == 1 && seen[0].closed);
    assert_eq!(proxy.ended(1).aborted, 1);
    let line = proxy.line();
    assert_eq!((line.status, line.failure), (499, Some(portcullis::domain::outcome::Failure::ClientGone)));
}

#[test]
fn e22_closing_and_http_1_0_are_honoured() {
    let bench = Bench::new();
    let closed = |bytes: &[u8]| exchange(bench.proxy.address, bytes, PATIENCE);
    for request in [get("Connection: close\r\n"), head(b"GET /t HTTP/1.0", b"")] {
        let (bytes, end) = closed(&request);
        assert_eq!((read_answers(&bytes, &[], true).len(), end), (1, End::Closed));
    }
    let mut client = Client::connect(bench.proxy.address);
    for _ in 0..2 {
        let answer = client.ask(head(b"GET /t HTTP/1.0", b"Connection: keep-alive\r\n"));
        assert_eq!((answer.body.as_slice(), answer.one("connection")), (&b"GET /t"[..], "keep-alive"));
    }
    let chunked = Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let proxy = proxy::to([chunked.address]).start();
    let (bytes, _) = exchange(proxy.address, &head(b"GET /t HTTP/1.0", b"Connection: keep-alive\r\n"), PATIENCE);
    let answer = read_answers(&bytes, &[], true).remove(0);
    assert_eq!((answer.body.as_slice(), answer.all("transfer-encoding").len()), (&b"hello"[..], 0), "never chunked to HTTP/1.0");
}

#[test]
fn e24_fields_of_an_answer_keep_their_values_and_order() {
    let cookies: String = (0..20).map(|i| format!("Set-Cookie: c{i}=1\r\n")).collect();
    let answer = answered(format!(
        "HTTP/1.1 206 Partial Content\r\n{cookies}ETag: W/\"x\"\r\nVary: a\r\nVary: b\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\
         Content-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\ngood"
    ));
    let expected: Vec<String> = (0..20).map(|i| format!("c{i}=1")).collect();
    assert_eq!(answer.all("set-cookie"), expected);
    assert_eq!((answer.all("vary"), answer.all("content-type")), (vec!["a", "b"], vec!["a/b", "c/d"]));
    assert_eq!((answer.status(), answer.one("content-range"), answer.one("etag")), (206, "bytes 0-3/9", "W/\"x\""));
}

/// Answers as soon as it has a head and never reads the body.
fn impatient(answer: &'static str) -> Upstream {
    Upstream::start(move |peer| {
        if peer.index > 0 {
            while peer.request().is_some_and(|_| peer.send(GOOD)) {}
            return;
        }
        peer.head();
        peer.send(answer.as_bytes());
        peer.until_closed();
    })
}

#[test]
fn r42_r43_an_early_answer_is_delivered_and_neither_connection_is_used_again() {
    for answer in ["HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlarge"] {
        let upstream = impatient(answer);
        let proxy = proxy::to([upstream.address]).start();
        let mut client = Client::connect(proxy.address);
        client.send(post("Content-Length: 1000\r\n", SECOND));
        let end = client.read_to_end(PATIENCE);
        let answers = read_answers(&client.received, &[], end == End::Closed);
        assert_eq!((answers.len(), answers[0].body.as_slice(), end), (1, &b"large"[..], End::Closed));
        upstream.wait("the upstream connection is closed", |seen| seen[0].closed);
        assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
        assert_eq!(upstream.seen().len(), 2);
        assert_eq!(proxy.ended(2).answered, 2);
    }
}

#[test]
fn r42_an_early_answer_survives_an_upload_that_goes_on() {
    let upstream = impatient("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send(post("Content-Length: 100000000\r\n", ""));
    // More than one read takes in: the proxy must throw it away, or a reset would take the answer along.
    client.send(vec![b'x'; 200_000]);
    client.read_until(|bytes| bytes.ends_with(b"large"));
    assert!(client.received.ends_with(b"large"), "{:?}", String::from_utf8_lossy(&client.received));
    assert_eq!(client.half_close().read_to_end(PATIENCE), End::Closed, "closed and not reset");
}

/// An upstream whose first connection answers a head when told to, and reads nothing more until it is told so too.
fn deaf() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = Upstream::start(move |peer| {
        if peer.index > 0 {
            while peer.request().is_some_and(|_| peer.send(GOOD)) {}
            return;
        }
        peer.head();
        let _ = held.lock().unwrap().recv_timeout(PATIENCE * 6);
        peer.send(GOOD);
        let _ = held.lock().unwrap().recv_timeout(PATIENCE * 6);
        peer.until_closed();
    });
    (upstream, release)
}

#[test]
fn r43_an_upload_that_nobody_reads_ends_with_its_answer() {
    let (upstream, release) = deaf();
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.keep_alive = PATIENCE * 6).start();
    let mut client = Client::connect(proxy.address);
    client.send(post("Content-Length: 100000000\r\n", ""));
    client.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    client.send(vec![b'x'; 64 << 20]);
    release.send(()).unwrap();
    assert_ne!(client.read_to_end(PATIENCE), End::Open, "the client's connection is closed");
    drop(client);
    crate::support::eventually("no connection is left behind", || {
        (proxy.counters.open.load(std::sync::atomic::Ordering::Relaxed) == 0).then_some(())
    });
    release.send(()).unwrap();
    upstream.wait("the upstream connection is closed", |seen| seen[0].closed);
}

#[test]
fn r43_a_pooled_connection_with_an_unread_request_is_never_waited_for() {
    // At some of these lengths the proxy has taken all of the body from the client but the upstream's socket has not: the
    // request looks finished, its connection is not, and waiting for that would have no end. Where the socket took all of it
    // nobody can tell, the connection is used again, and the time-out of answers holds.
    for length in (1..=24).map(|i| i * 256 * 1024) {
        let (upstream, release) = deaf();
        let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.response = Duration::from_millis(300)).start();
        let mut client = Client::connect(proxy.address);
        client.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        client.send(post(format!("Content-Length: {length}\r\n"), vec![b'x'; length]));
        release.send(()).unwrap();
        client.read_until(|bytes| bytes.ends_with(b"good"));
        let mut next = Client::connect(proxy.address);
        next.send(get(""));
        let status = next.answers(1, &[])[0].status();
        assert!(matches!(status, 200 | 504), "{status} after a body of {length} bytes");
        let _ = release.send(());
    }
}

#[test]
fn r44_a_refused_request_with_a_body_gets_its_answer_and_a_closed_connection() {
    let bench = Bench::with(|setup| setup.for_hosts(&["b.test"]));
    let mut client = Client::connect(bench.proxy.address);
    client.send(head(b"POST /t HTTP/1.1", b"Expect: x\r\nContent-Length: 100000\r\n")).send(vec![b'x'; 100_000]);
    assert_eq!((client.read_to_end(PATIENCE), read_answers(&client.received, &[], true)[0].status()), (End::Closed, 417));
    // No route: whatever follows the head is not a request.
    let mut client = Client::connect(bench.proxy.address);
    client.send(post(format!("Content-Length: {}\r\n", SECOND.len() + 1), SECOND));
    client.read_until(|bytes| !read_answers(bytes, &[], false).is_empty());
    client.half_close();
    let end = client.read_to_end(PATIENCE);
    let answers = read_answers(&client.received, &[], true);
    assert_eq!((answers.len(), answers[0].status(), end), (1, 404, End::Closed));
    assert!(bench.upstream.seen().is_empty());
}
