//! Bodies in both directions: back-pressure, memory, and who is blamed when one of them breaks.

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::{Failure, Role};
use portcullis::seam::table::Watch;

use crate::oracle::{get, head, post, telling};
use crate::support::client::{Client, End};
use crate::support::message::read_answers;
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};
use crate::support::{PATIENCE, eventually};

const MIB: usize = 1 << 20;
const LARGE: usize = 256 * MIB;
/// The most this process may grow while 256 MiB pass through it.
const GROWTH: usize = 32 * MIB;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Writes until the other side takes no more for a while, or `most` bytes are written; returns how many were.
fn fill(socket: &mut impl Write, most: usize) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    while written < most {
        match socket.write(&piece[..piece.len().min(most - written)]) {
            Ok(more) => written += more,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("after {written} bytes: {error}"),
        }
    }
    written
}

#[test]
fn a_large_upload_to_a_slow_reader_is_held_back_and_takes_little_memory() {
    let (go, may_read) = mpsc::channel::<()>();
    let may_read = Mutex::new(may_read);
    let upstream = Upstream::start(move |peer| {
        peer.head();
        let already = peer.buffered();
        let _ = may_read.lock().unwrap().recv();
        let read = already + peer.swallow(LARGE - already);
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{read:09}").as_bytes());
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.response = PATIENCE * 6).start();
    let mut client = Client::connect(proxy.address);
    client.send(post(format!("Content-Length: {LARGE}\r\n"), ""));
    let before = resident();
    client.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let held = fill(&mut client.socket, LARGE);
    assert!(held < LARGE / 2, "{held} bytes were taken although nobody reads");
    let stuck = resident().saturating_sub(before);
    go.send(()).unwrap();
    client.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut peak = stuck;
    let mut left = LARGE - held;
    while left > 0 {
        left -= fill(&mut client.socket, left.min(8 * MIB));
        peak = peak.max(resident().saturating_sub(before));
    }
    let answer = client.answers(1, &[]).remove(0);
    let read: usize = std::str::from_utf8(&answer.body).unwrap().parse().unwrap();
    assert_eq!(read, LARGE);
    assert!(peak < GROWTH, "the process grew by {} KiB", peak / 1024);
}

#[test]
fn a_large_download_to_a_slow_reader_is_held_back_and_takes_little_memory() {
    let (report, held) = mpsc::channel::<usize>();
    let report = Mutex::new(report);
    let upstream = Upstream::start(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes());
        let mut socket = peer.socket();
        socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let held = fill(&mut socket, LARGE);
        report.lock().unwrap().send(held).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        fill(&mut socket, LARGE - held);
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.write_stall = PATIENCE * 6).start();
    let mut client = Client::connect(proxy.address);
    let before = resident();
    client.send(get("Connection: close\r\n"));
    let held = held.recv_timeout(PATIENCE * 3).unwrap();
    assert!(held < LARGE / 2, "{held} bytes were taken although nobody reads");
    let (mut peak, mut received) = (resident().saturating_sub(before), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match client.socket.read(&mut buffer).unwrap() {
            0 => break,
            more => received += more,
        }
        if received % (8 * MIB) < buffer.len() {
            peak = peak.max(resident().saturating_sub(before));
        }
    }
    assert!((LARGE..LARGE + 1024).contains(&received), "{received} of {LARGE} bytes and a head");
    assert!(peak < GROWTH, "the process grew by {} KiB", peak / 1024);
    assert_eq!(proxy.ended(1).answered, 1);
}

/// Wires for a short latency limit and for errors, that trip at the first breach.
const WIRES: [Watch; 2] = [Watch::Latency(Duration::from_millis(200)), Watch::Errors(ErrorKinds::DEFAULT)];
const EVERY: [u64; 1] = [u64::MAX];

#[test]
fn a_broken_upload_is_charged_to_the_client_and_to_no_version() {
    let upstream = telling();
    let proxy = proxy::to([]).canary([upstream.address], &WIRES, &EVERY).start();
    let mut client = Client::connect(proxy.address);
    client.send(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"));
    upstream.wait("the first chunk", |seen| seen.iter().any(|s| s.bytes.ends_with(b"hello\r\n")));
    client.send("ZZ\r\n");
    assert_eq!((client.read_to_end(PATIENCE), read_answers(&client.received, &[], true)[0].status()), (End::Closed, 400));
    let window = proxy.canary_ended(1);
    assert_eq!((window.decided, window.answered, window.failed, window.response_time.len()), (1, 0, 1, 0));
    assert_eq!(proxy.line().failure, Some(Failure::RequestBodyInvalid));
    assert_silent(&proxy);
}

/// Waits until the deadline of the latency wire has passed and claims that no wire counted anything.
fn assert_silent(proxy: &proxy::Proxy) {
    // A second canary request, one that hangs, is counted by the same queue after the first one's turn.
    let hung = Upstream::start(|peer| peer.until_closed());
    let witness = proxy::to([]).canary([hung.address], &WIRES, &EVERY).start();
    let mut client = Client::connect(witness.address);
    client.send(get(""));
    eventually("a hung request breaches", || (witness.breaches()[0] == 1).then_some(()));
    assert_eq!(proxy.breaches(), [0, 0], "a request that ended through the client's fault was charged to the version");
}

#[test]
fn a_client_that_leaves_before_the_limit_is_not_charged_to_the_version_later() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.until_closed();
    });
    let proxy = proxy::to([]).canary([upstream.address], &WIRES, &EVERY).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    upstream.wait("the request", |seen| seen.iter().any(|s| !s.bytes.is_empty()));
    client.reset();
    upstream.wait("the request is cancelled", |seen| seen[0].closed);
    assert_eq!(proxy.canary_ended(1).aborted, 1);
    assert_silent(&proxy);
}

#[test]
fn a_hung_version_is_charged_at_its_limit_once_and_its_late_answer_not_again() {
    let (go, may_answer) = mpsc::channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let upstream = Upstream::start(move |peer| {
        peer.request();
        let _ = may_answer.lock().unwrap().recv_timeout(PATIENCE);
        peer.send(GOOD);
        peer.until_closed();
    });
    let proxy = proxy::to([]).canary([upstream.address], &WIRES, &EVERY).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    eventually("the deadline counts", || (proxy.breaches()[0] == 1).then_some(()));
    go.send(()).unwrap();
    assert_eq!(client.answers(1, &[])[0].status(), 200);
    assert_eq!(proxy.canary_ended(1).answered, 1);
    assert_eq!(proxy.breaches(), [1, 0]);
}

/// A version that ends no answer, and begins one only for a stream.
fn dawdling() -> Upstream {
    Upstream::start(|peer| {
        if peer.head().is_some_and(|request| request.target() == "/stream") {
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        }
        peer.until_closed();
    })
}

#[test]
fn a_hung_request_is_a_time_out_at_its_outcome_deadline_but_a_stream_is_not_and_a_slow_upload_neither() {
    let wires = [Watch::Errors(ErrorKinds::DEFAULT), Watch::Errors(ErrorKinds::SERVER), Watch::Duration(Duration::from_millis(300))];
    let upstream = dawdling();
    let proxy = proxy::to([]).canary([upstream.address], &wires, &[0]).outcome_deadline(Duration::from_millis(200)).start();
    let ask = |request: Vec<u8>| {
        let mut client = Client::connect(proxy.address);
        client.send(request);
        client
    };
    let streaming = ask(head(b"GET /stream HTTP/1.1", b""));
    eventually("a stream that goes on breaches its duration alone", || (proxy.breaches()[2] == 1).then_some(()));
    assert_eq!(proxy.breaches(), [0, 0, 1]);
    let uploading = ask([head(b"POST /upload HTTP/1.1", b"Content-Length: 9\r\n"), b"half".to_vec()].concat());
    upstream.wait("half of a request", |seen| seen.iter().any(|s| s.bytes.ends_with(b"half")));
    eventually("so does an upload that goes on", || (proxy.breaches()[2] == 2).then_some(()));
    assert_eq!(proxy.breaches(), [0, 0, 2], "its client is what it waits for");
    let hanging = ask(head(b"GET /hang HTTP/1.1", b""));
    eventually("a hung request is a time-out", || (proxy.breaches()[0] == 1).then_some(()));
    eventually("and breaches its duration later", || (proxy.breaches()[2] == 3).then_some(()));
    drop((streaming, uploading, hanging));
    proxy.canary_ended(3);
    assert_eq!(proxy.breaches(), [1, 0, 3]);
}

#[test]
fn a_client_that_leaves_in_mid_answer_is_an_abort_and_cancels_the_upstream() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
        peer.until_closed();
    });
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    client.read_until(|bytes| bytes.ends_with(b"hello"));
    client.reset();
    upstream.wait("the upstream's connection is closed", |seen| seen[0].closed);
    let window = proxy.ended(1);
    assert_eq!((window.aborted, window.failed, window.answered, window.response_time.len()), (1, 0, 0, 1));
    let line = proxy.line();
    assert_eq!((line.status, line.bytes, line.failure), (200, 5, Some(Failure::ClientGone)));
}

#[test]
fn an_answer_the_upstream_cuts_is_a_failure_and_visibly_incomplete() {
    let upstream = Upstream::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let proxy = proxy::to([]).canary([upstream.address], &WIRES, &EVERY).start();
    let mut client = Client::connect(proxy.address);
    client.send(get(""));
    assert_ne!(client.read_to_end(PATIENCE), End::Open);
    let answer = read_answers(&client.received, &[], true).remove(0);
    assert_eq!((answer.complete, answer.body.as_slice()), (false, &b"hello"[..]));
    let window = proxy.canary_ended(1);
    assert_eq!((window.failed, window.answered, proxy.breaches()), (1, 0, vec![0, 1]));
    assert_eq!(proxy.line().failure, Some(Failure::ResponseBodyCut));
}

#[test]
fn the_books_balance_after_every_kind_of_end() {
    let upstream = Upstream::start(|peer| {
        while let Some(request) = peer.head() {
            match request.target() {
                "/hang" => return peer.until_closed(),
                "/cut" => {
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
                    return;
                }
                "/junk" => {
                    peer.send(b"JUNK\r\n\r\n");
                    return;
                }
                _ => peer.send(GOOD),
            };
        }
    });
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.response = Duration::from_millis(300)).start();
    for target in ["/", "/hang", "/cut", "/junk", "/"] {
        let mut client = Client::connect(proxy.address);
        client.send(head(format!("GET {target} HTTP/1.1").as_bytes(), b"Connection: close\r\n"));
        assert_ne!(client.read_to_end(PATIENCE), End::Open, "{target}");
    }
    let mut left = Client::connect(proxy.address);
    left.send(head(b"GET /hang HTTP/1.1", b""));
    upstream.wait("the last request", |seen| seen.iter().flat_map(|s| s.requests()).filter(|r| r.target() == "/hang").count() == 2);
    left.reset();
    let window = proxy.ended(6);
    assert_eq!((window.decided, window.answered, window.failed, window.aborted), (6, 2, 3, 1));
    assert_eq!(proxy.window(Role::Canary).decided, 0);
}
