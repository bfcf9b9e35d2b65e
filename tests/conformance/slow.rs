//! S-01 to S-05: clients that are slow with everything, against shortened time-outs.

use std::time::{Duration, Instant};

use crate::oracle::{Bench, get, post};
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::message::read_answers;
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};

const LIMIT: Duration = Duration::from_millis(400);
/// A round of the patrol late, at most, and a busy machine.
const AT_MOST: Duration = Duration::from_secs(4);

fn took(since: Instant) -> bool {
    (LIMIT - Duration::from_millis(110)..AT_MOST).contains(&since.elapsed())
}

#[test]
fn s01_a_head_that_drips_ends_by_its_total_time() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.header = LIMIT));
    let start = Instant::now();
    let mut client = Client::connect(bench.proxy.address);
    // A byte whenever 50 ms brought no answer: every byte comes well within the limit, all of them together do not.
    for byte in b"GET /a-long-way-to-go HTTP/1.1\r\nHost: a.test\r\nX-Drip: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        client.send([*byte]);
        if client.read_to_end(Duration::from_millis(50)) != End::Open {
            break;
        }
    }
    let answers = read_answers(&client.received, &[], true);
    assert_eq!(answers.first().map(|a| a.status()), Some(408));
    assert!(took(start), "{:?}", start.elapsed());
    assert!(bench.upstream.seen().is_empty());
}

#[test]
fn s02_a_connection_that_says_nothing_closes_after_the_time_of_a_head() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.header = LIMIT));
    let start = Instant::now();
    let (bytes, end) = exchange(bench.proxy.address, b"", PATIENCE);
    assert_eq!((bytes.len(), end), (0, End::Closed));
    assert!(took(start), "{:?}", start.elapsed());
}

#[test]
fn s03_a_body_that_stalls_is_a_408_and_charged_to_the_client() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.body_idle = LIMIT));
    let start = Instant::now();
    let (bytes, end) = exchange(bench.proxy.address, &post("Content-Length: 5\r\n", "he"), PATIENCE);
    assert_eq!((read_answers(&bytes, &[], true)[0].status(), end), (408, End::Closed));
    assert!(took(start), "{:?}", start.elapsed());
    bench.upstream.wait("the request is cut", |seen| seen.iter().all(|s| s.closed));
    let window = bench.proxy.ended(1);
    assert_eq!((window.failed, window.response_time.len()), (1, 0));
}

/// Sends a byte of the body whenever 50 ms brought no answer, at most so many.
fn drip(client: &mut Client, most: usize) -> usize {
    (0..most)
        .find(|_| {
            client.send("x");
            client.read_to_end(Duration::from_millis(50)) != End::Open
        })
        .unwrap_or(most)
}

#[test]
fn s03_a_body_that_drips_is_a_408_too() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.body_idle = LIMIT));
    let start = Instant::now();
    let mut client = Client::connect(bench.proxy.address);
    client.send(post("Content-Length: 1000\r\n", ""));
    drip(&mut client, 1_000);
    assert_eq!(read_answers(&client.received, &[], true)[0].status(), 408);
    assert!(took(start), "{:?}", start.elapsed());
    let window = bench.proxy.ended(1);
    assert_eq!((window.failed, window.response_time.len()), (1, 0));
}

#[test]
fn s03_a_stream_of_grpc_messages_may_drip() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.body_idle = LIMIT));
    let mut client = Client::connect(bench.proxy.address);
    client.send(post("Content-Length: 20\r\nContent-Type: application/grpc\r\n", ""));
    assert_eq!(drip(&mut client, 19), 19, "{:?}", String::from_utf8_lossy(&client.received));
    client.send("x");
    assert_eq!(client.answers(1, &[])[0].status(), 200);
}

#[test]
fn s03_a_body_that_stalls_after_an_early_head_is_charged_to_the_client_too() {
    let upstream = Upstream::start(|peer| {
        peer.head();
        // An echo: its head comes at once, its body as the upload does.
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.body_idle = LIMIT).start();
    let (bytes, end) = exchange(proxy.address, &post("Content-Length: 5\r\n", "he"), PATIENCE);
    assert_ne!(end, End::Open);
    assert!(!read_answers(&bytes, &[], true)[0].complete);
    let line = proxy.line();
    assert_eq!(line.failure, Some(portcullis::domain::outcome::Failure::RequestBodyTimeout));
    upstream.wait("the request is cut", |seen| seen.iter().all(|s| s.closed));
}

#[test]
fn s04_a_client_that_takes_nothing_is_cut_and_the_upstream_paused() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        let sent = (0..256).take_while(|_| peer.send(&piece)).count();
        assert!(sent < 128, "the upstream was never paused");
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.write_stall = LIMIT).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    upstream.wait("the upstream's connection is closed", |seen| seen.iter().all(|s| s.closed) && !seen.is_empty());
    let window = proxy.ended(1);
    assert_eq!((window.aborted, window.failed), (1, 0), "a client that does not read has left; no version failed");
    assert_eq!(client.read_to_end(PATIENCE), End::Reset, "the system keeps nothing of the answer for it");
}

#[test]
fn s05_an_idle_connection_lives_for_the_keep_alive_time() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.keep_alive = LIMIT));
    let mut client = Client::connect(bench.proxy.address);
    client.ask(get(""));
    let start = Instant::now();
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    assert!(took(start), "{:?}", start.elapsed());
}

#[test]
fn s05_a_408_is_never_written_into_an_answer_that_is_not_taken() {
    let length = 32 << 20;
    let upstream = Upstream::start(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        peer.send(&vec![b'x'; length]);
        while peer.request().is_some_and(|_| peer.send(GOOD)) {}
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.header = LIMIT).start();
    let mut client = Client::connect(proxy.address);
    // The first request, and the beginning of a second one that is never finished.
    client.send([get(""), b"GET / HT".to_vec()].concat());
    client.read_until(|bytes| bytes.len() > 1024);
    client.read_to_end(PATIENCE);
    let received = &client.received;
    let body = received.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let taken = &received[body..(body + length).min(received.len())];
    assert!(taken.iter().all(|b| *b == b'x'), "something else was written into the body");
}
