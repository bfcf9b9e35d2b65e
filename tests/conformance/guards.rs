//! G01 to G26 as far as they concern HTTP/1.1: the rules that the HTTP library does not give; each by name, on the wire.

use std::time::Duration;

use crate::oracle::{BAD, Bench, Case, Expect, ONE, case, get, head, post};
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::message::read_answers;
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

fn status_of(answer: impl Into<Vec<u8>>) -> u16 {
    let upstream = Upstream::answering(answer);
    let proxy = proxy::to([upstream.address]).start();
    Client::connect(proxy.address).ask(get("")).status()
}

#[test]
fn g01_of_two_framings_one_goes_upstream_and_the_connection_closes() {
    let both = post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", HELLO);
    let bench = Bench::new();
    let (bytes, end) = exchange(bench.proxy.address, &[both.clone(), get("")].concat(), PATIENCE);
    assert_eq!((read_answers(&bytes, &[], true).len(), end), (1, End::Closed));
    let requests = bench.upstream.requests();
    assert_eq!((requests.len(), requests[0].body.as_slice(), requests[0].violations.len()), (1, &b"hello"[..], 0));
    Bench::with(|setup| setup.strict()).judge(&[case("G01", both, BAD)]);
}

#[test]
fn g02_transfer_encoding_is_exactly_one_chunked() {
    let coded = |lines: &str| post(lines, HELLO);
    let bench = Bench::new();
    bench.judge(&[
        case("G02 gzip", coded("Transfer-Encoding: gzip, chunked\r\n"), Expect::Refused(&[501])),
        case("G02 twice", coded("Transfer-Encoding: chunked, chunked\r\n"), BAD),
        case("G02 comma", coded("Transfer-Encoding: ,chunked\r\n"), BAD),
        case("G02 lines", coded("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), Expect::Refused(&[400, 501])),
        case("G02 case", coded("Transfer-Encoding:  CHUNKED \r\n"), ONE),
    ]);
    assert_eq!(bench.upstream.requests()[0].one("transfer-encoding"), "chunked", "written anew");
}

#[test]
fn g03_host_is_exactly_one_and_valid() {
    let with = |line: &str| format!("GET /t HTTP/1.1\r\n{line}\r\n");
    let cases: Vec<Case> =
        ["", "Host: a\r\nHost: a\r\n", "Host: a, b\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: u@a\r\n", "Host: a:x\r\n"]
            .iter()
            .map(|line| case(*line, with(line), BAD))
            .collect();
    Bench::new().judge(&cases);
}

#[test]
fn g04_the_targets_authority_replaces_host() {
    let bench = Bench::new();
    bench.judge(&[
        case("G04 userinfo", head(b"GET http://u@b.test/t HTTP/1.1", b""), BAD),
        case("G04", head(b"GET http://b.test:81/t HTTP/1.1", b""), ONE),
    ]);
    assert_eq!(bench.upstream.requests()[0].one("host"), "b.test:81");
}

#[test]
fn g05_g06_g07_targets_and_methods_that_do_not_belong_here_are_refused() {
    Bench::new().judge(&[
        case("G05 authority", head(b"GET a.test:80 HTTP/1.1", b""), BAD),
        case("G05 slash", head(b"GET t HTTP/1.1", b""), BAD),
        case("G05 fragment", head(b"GET /t#f HTTP/1.1", b""), BAD),
        case("G06", head(b"CONNECT a.test:443 HTTP/1.1", b""), Expect::Refused(&[405])),
        case("G07 trace", head(b"TRACE /t HTTP/1.1", b""), Expect::Refused(&[405])),
        case("G07 track", head(b"TRACK /t HTTP/1.1", b""), Expect::Refused(&[405])),
    ]);
}

#[test]
fn g08_options_asterisk_is_forwarded() {
    let bench = Bench::new();
    bench.judge(&[case("G08", head(b"OPTIONS * HTTP/1.1", b""), ONE)]);
    assert_eq!(bench.upstream.requests()[0].target(), "*");
}

#[test]
fn g09_hop_by_hop_fields_and_nominated_ones_go_and_protected_ones_stay() {
    let bench = Bench::new();
    let fields = "Connection: keep-alive, X-Hop, Cookie\r\nX-Hop: 1\r\nCookie: a=b\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n";
    bench.judge(&[case("G09", get(fields), ONE)]);
    let request = bench.upstream.requests().remove(0);
    assert_eq!((request.all("x-hop").len(), request.one("cookie")), (0, "a=b"));
}

#[test]
fn g10_expect_stays_here_and_unknown_expectations_fail() {
    let with = |value: &str| post(format!("Expect: {value}\r\nContent-Length: 5\r\n"), "hello");
    Bench::new().judge(&[case("G10", with("100-Continue"), ONE), case("G10 other", with("x"), Expect::Refused(&[417]))]);
}

#[test]
fn g11_a_malformed_chunk_is_a_400_and_never_charged_to_the_version() {
    let bench = Bench::new();
    let mut client = Client::connect(bench.proxy.address);
    client.send(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"));
    bench.upstream.wait("the first chunk", |seen| seen.iter().any(|s| s.bytes.ends_with(b"hello\r\n")));
    client.send("ZZ\r\n");
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    let answer = read_answers(&client.received, &[], true).remove(0);
    assert_eq!((answer.status(), answer.one("proxy-status")), (400, "gate-1; error=http_request_error"));
    bench.upstream.wait("the upstream connection is closed", |seen| seen[0].closed);
    let window = bench.proxy.ended(1);
    assert_eq!((window.failed, window.classes[4], window.response_time.len()), (1, 0, 0), "no latency and no 5xx of the version");
    assert_eq!(Client::connect(bench.proxy.address).ask(get("")).body, b"GET /t");
}

#[test]
fn g12_an_endless_chunk_ends_by_the_body_timer() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.body_idle = Duration::from_millis(300)));
    let endless = post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFF\r\nx");
    bench.judge(&[case("G12", endless, Expect::Refused(&[408, 400]))]);
}

#[test]
fn g13_chunk_extensions_never_go_upstream() {
    // The reader flags extensions.
    let body = "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n";
    Bench::new().judge(&[case("G13", post("Transfer-Encoding: chunked\r\n", body), ONE)]);
}

#[test]
fn g14_bare_line_feeds_become_crlf_or_are_refused() {
    // The reader flags bare line feeds.
    let bytes = b"GET /t HTTP/1.1\nHost: a.test\nX: y\n\n".as_slice();
    Bench::new().judge(&[case("G14", bytes, ONE)]);
    Bench::with(|setup| setup.strict()).judge(&[case("G14", bytes, BAD)]);
}

#[test]
fn g20_an_answer_with_two_framings_keeps_one() {
    let upstream = Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{HELLO}"));
    let proxy = proxy::to([upstream.address]).start();
    let answer = Client::connect(proxy.address).ask(get(""));
    assert_eq!((answer.status(), answer.body.as_slice(), answer.violations.len()), (200, &b"hello"[..], 0));
}

#[test]
fn g21_an_unasked_101_is_a_502() {
    assert_eq!(status_of("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 502);
}

#[test]
fn g22_more_than_sixteen_interim_answers_are_a_502() {
    let good = String::from_utf8_lossy(GOOD);
    assert_eq!(status_of("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(16) + &good), 200);
    assert_eq!(status_of("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17) + &good), 502);
}

#[test]
fn g23_too_many_or_too_large_answer_fields_are_a_502() {
    let with = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\ngood");
    assert_eq!(status_of(with((0..99).map(|i| format!("X-{i}: y\r\n")).collect())), 200);
    assert_eq!(status_of(with((0..200).map(|i| format!("X-{i}: y\r\n")).collect())), 502);
    assert_eq!(status_of(with(format!("X: {}\r\n", "a".repeat(1 << 20)))), 502);
}

#[test]
fn g24_a_status_outside_100_to_599_is_a_502() {
    for status in ["600", "999", "099", "1000"] {
        assert_eq!(status_of(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")), 502, "{status}");
    }
    assert_eq!(status_of("HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n"), 599);
}

#[test]
fn g26_a_late_head_is_a_408_and_an_idle_connection_just_closes() {
    let bench = Bench::with(|setup| {
        setup.with(|s| (s.timeouts.header, s.timeouts.keep_alive) = (Duration::from_millis(300), Duration::from_millis(900)))
    });
    let (bytes, end) = exchange(bench.proxy.address, b"GET / HT", PATIENCE);
    assert_eq!((read_answers(&bytes, &[], true)[0].status(), end), (408, End::Closed));
    let mut client = Client::connect(bench.proxy.address);
    client.ask(get(""));
    client.received.clear();
    let idle = std::time::Instant::now();
    assert_eq!((client.read_to_end(PATIENCE), client.received.len()), (End::Closed, 0));
    assert!(idle.elapsed() >= Duration::from_millis(700), "the limit of heads is not the limit of idle connections");
}
