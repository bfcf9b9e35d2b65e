//! C-01 to C-16: chunked request bodies.

use std::time::Duration;

use crate::oracle::{BAD, Bench, Case, Expect, ONE, case, post};
use crate::support::client::Client;

fn chunked(id: &str, body: impl AsRef<[u8]>, expect: Expect) -> Case {
    case(id, post("Transfer-Encoding: chunked\r\n", body), expect)
}

#[test]
fn c01_to_c03_extensions_are_dropped_or_refused() {
    let bench = Bench::new();
    let expected = ["5;a=b", "5;a=\"b;c\""];
    for size in expected {
        bench.judge(&[chunked(&format!("C-01 {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"), ONE)]);
        assert_eq!(bench.upstream.requests()[0].body, b"hello", "{size}");
    }
    bench.judge(&[
        chunked("C-02 nul", "5;\0\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-02 lf", "5;a\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-02 cr", "5;a\rX\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-03", format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000)), BAD),
    ]);
}

#[test]
fn c04_to_c11_malformed_chunks_are_refused_and_never_completed_upstream() {
    let sizes = ["0x5", "+5", "-5", "0_5", " 5", "", "5G", "FFFFFFFFFFFFFFFF0", "5\n", "5\rX"];
    let mut cases: Vec<Case> =
        sizes.iter().map(|size| chunked(&format!("C-04 {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"), BAD)).collect();
    cases.extend([
        chunked("C-08 size", "5\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-08 size cr", "5\rhello\r\n0\r\n\r\n", BAD),
        chunked("C-08 data", "5\r\nhello\n0\r\n\r\n", BAD),
        chunked("C-08 last", "5\r\nhello\r\n0\n\n", BAD),
        chunked("C-09 long", "3\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-09 spill", "5\r\nhelloXX0\r\n\r\n", BAD),
        chunked("C-10", "5\r\nhello\r\n\r\n0\r\n\r\n", BAD),
        chunked("C-11", "5\r\nhello\r\n0\r\nXX\r\n\r\n", BAD),
        chunked("C-12 lf", "5\r\nhello\r\n0\r\nX: y\n\r\nGET /after HTTP/1.1\r\nHost: a.test\r\n\r\n", BAD),
        chunked("C-12 colon", "5\r\nhello\r\n0\r\nXYZ\r\n\r\n", BAD),
        chunked("C-13 many", format!("0\r\n{}\r\n", "X-T: v\r\n".repeat(5_000)), BAD),
        chunked("C-13 large", format!("0\r\nX-T: {}\r\n\r\n", "v".repeat(1 << 20)), BAD),
    ]);
    Bench::new().judge(&cases);
}

#[test]
fn c05_c07_c14_blanks_after_a_size_leading_zeros_and_tiny_chunks_arrive_whole() {
    let bench = Bench::new();
    let bodies = [
        ("C-05", "5 \r\nhello\r\n0\r\n\r\n".to_owned(), "hello".to_owned()),
        ("C-07", "0000000000000005\r\nhello\r\n0\r\n\r\n".to_owned(), "hello".to_owned()),
        ("C-14", "1\r\nx\r\n".repeat(20_000) + "0\r\n\r\n", "x".repeat(20_000)),
    ];
    for (id, body, expected) in bodies {
        bench.judge(&[chunked(id, body, ONE)]);
        assert!(bench.upstream.requests()[0].body == expected.as_bytes(), "{id}");
    }
}

#[test]
fn c06_c11_an_endless_chunk_or_trailer_ends_by_the_body_timer_and_is_the_clients_fault() {
    for (id, body) in [("C-06", "FFFFFFFFFFFFFFFF\r\nhello"), ("C-11", "5\r\nhello\r\n0\r\nX"), ("C-12", "5\r\nhello\r\n0\r\nX: y\r\n")] {
        let bench = Bench::with(|setup| setup.with(|s| s.timeouts.body_idle = Duration::from_millis(300)));
        bench.judge(&[chunked(id, body, Expect::Refused(&[400, 408]))]);
        let window = bench.proxy.ended(1);
        // The upstream has answered nothing: what failed here is the client's, which is why no 5xx class is counted.
        assert_eq!((window.failed, window.classes[4]), (1, 0), "{id}");
    }
}

#[test]
fn c12_trailers_are_read_and_not_passed_on() {
    let bench = Bench::new();
    for name in ["X-T", "Content-Length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "X-Forwarded-For", "Trailer"] {
        bench.judge(&[chunked(name, format!("5\r\nhello\r\n0\r\n{name}: 9\r\n\r\n"), ONE)]);
        let request = bench.upstream.requests().remove(0);
        assert_eq!((request.body.as_slice(), request.trailers.len()), (&b"hello"[..], 0), "{name}");
    }
    let connections = bench.upstream.seen().len();
    assert_eq!(connections, 1, "a request with trailers leaves its upstream connection in good order");
}

#[test]
fn c16_a_client_that_leaves_in_mid_chunk_ends_the_upstream_request_and_charges_no_version() {
    let bench = Bench::new();
    for leave in [Leave::Close, Leave::Reset] {
        bench.upstream.forget();
        let mut client = Client::connect(bench.proxy.address);
        client.send(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n5\r\nhe"));
        bench.upstream.wait("the first chunk", |seen| seen.iter().any(|s| s.bytes.windows(5).any(|w| w == b"hello")));
        match leave {
            Leave::Close => drop(client),
            Leave::Reset => client.reset(),
        }
        bench.upstream.wait("the connection is closed", |seen| seen.iter().filter(|s| !s.bytes.is_empty()).all(|s| s.closed));
        assert!(bench.upstream.requests().iter().all(|r| !r.complete), "{:?}", bench.upstream.requests());
    }
    let window = bench.proxy.ended(2);
    assert_eq!((window.decided, window.answered, window.failed + window.aborted), (2, 0, 2));
}

enum Leave {
    Close,
    Reset,
}
