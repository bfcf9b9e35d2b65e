//! Traces on their way to collectors that take them, refuse them, are away, or say when to come again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Exporter, Instance, Pace};
use crate::domain::trace::{SpanId, TraceId};
use crate::seam::access::Line;
use crate::seam::trace::{self, Origin, Sampling, SpanCounts, Trace, TraceReceiver, Tracer};
use crate::sources::mailbox::Mailbox;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Pace =
    Pace { gather: Duration::from_millis(20), most: 3, within: Duration::from_secs(5), first: Duration::from_millis(5), attempts: 3 };

/// A collector that answers each request with the next of these, and the last of them for ever; returns what it was sent.
fn collector(answers: &'static [&'static str]) -> (SocketAddr, Receiver<(String, Instant)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    thread::spawn(move || {
        for (index, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let request = read(&socket);
            let answer = answers.get(index).or(answers.last()).unwrap();
            let _ = (&socket).write_all(answer.as_bytes());
            if sender.send((request, Instant::now())).is_err() {
                return;
            }
        }
    });
    (address, received)
}

fn read(mut socket: &TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return text,
        }
    }
}

fn start(to: SocketAddr, pace: Pace) -> (Tracer, Exporter, Arc<SpanCounts>) {
    let (tracer, receiver) = trace::channel(Sampling { share: "100%".parse().unwrap(), follow: true });
    let (exporter, counts) = begin(to, receiver, pace);
    (tracer, exporter, counts)
}

fn begin(to: SocketAddr, receiver: TraceReceiver, pace: Pace) -> (Exporter, Arc<SpanCounts>) {
    let mailbox = Mailbox::new(&format!("http://{to}/v1/traces"), None).unwrap();
    let exporter = Exporter::start(receiver, mailbox, Instance { name: "x".to_owned(), service: None }, pace).unwrap();
    let counts = exporter.counts();
    (exporter, counts)
}

/// Sends traces of one span each.
fn send(tracer: &Tracer, ids: impl IntoIterator<Item = u128>) {
    for id in ids {
        let (trace, span) = (TraceId::drawn(id), SpanId::drawn(1));
        let origin = Origin { trace, span, parent: None, random: true, state: String::new(), scheme: "http", began_ns: 0 };
        let started = crate::domain::time::Timestamp::ZERO;
        tracer.send(Trace::begin(origin, started).end(Box::new(Line { method: "GET".to_owned(), ..Line::default() })));
    }
}

/// Returns sent, full, refused, undelivered.
fn told(counts: &SpanCounts) -> [u64; 4] {
    [&counts.sent, &counts.full, &counts.refused, &counts.undelivered].map(|count| count.load(Ordering::Relaxed))
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

#[test]
fn traces_go_together_and_the_last_ones_go_before_the_end() {
    let (address, received) = collector(&[TAKEN]);
    let (tracer, exporter, counts) = start(address, Pace { gather: PATIENCE, ..PACE });
    send(&tracer, 1..=4);
    let (first, _) = received.recv_timeout(PATIENCE).unwrap();
    assert!(first.starts_with("POST /v1/traces HTTP/1.1\r\n") && first.contains("content-type: application/json\r\n"), "{first}");
    let traces = |request: &str| request.matches("\"traceId\"").count();
    assert_eq!(traces(&first), 3, "a full batch waits for nobody");
    drop(tracer);
    assert!(exporter.finish(PATIENCE));
    assert_eq!((traces(&received.recv_timeout(PATIENCE).unwrap().0), told(&counts)), (1, [4, 0, 0, 0]));
}

#[test]
fn what_is_busy_is_asked_again_when_it_says_and_then_given_up() {
    let later = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let (address, received) = collector(Box::leak(Box::new([later, TAKEN, BUSY])));
    let (tracer, exporter, counts) = start(address, PACE);
    send(&tracer, [1]);
    let [(first, asked), (again, came)] = [(); 2].map(|()| received.recv_timeout(PATIENCE).unwrap());
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&first), body(&again));
    assert!(came - asked >= Duration::from_secs(1), "it came after {:?}", came - asked);
    send(&tracer, [2, 3]);
    drop(tracer);
    assert!(exporter.finish(PATIENCE));
    assert_eq!(received.try_iter().count(), 3, "a batch is tried three times");
    assert_eq!(told(&counts), [1, 0, 0, 2]);
}

#[test]
fn what_is_refused_is_not_tried_again_and_no_redirection_is_followed() {
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let partly =
        "HTTP/1.1 200 OK\r\nContent-Length: 66\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too long\"}}";
    let (address, received) = collector(Box::leak(Box::new([refused, elsewhere, partly])));
    let (tracer, exporter, counts) = start(address, PACE);
    for (ids, expected) in [(1..=1, [0, 0, 1, 0]), (2..=2, [0, 0, 2, 0]), (3..=5, [1, 0, 4, 0])] {
        send(&tracer, ids);
        received.recv_timeout(PATIENCE).unwrap();
        let begun = Instant::now();
        while told(&counts) != expected && begun.elapsed() < PATIENCE {
            thread::yield_now();
        }
        assert_eq!(told(&counts), expected);
    }
    drop(tracer);
    assert!(exporter.finish(PATIENCE) && received.try_recv().is_err(), "each was sent once");
}

#[test]
fn a_collector_that_is_away_or_hangs_costs_no_more_than_the_queue() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (tracer, exporter, counts) = start(closed, PACE);
    send(&tracer, 1..=3);
    drop(tracer);
    assert!(exporter.finish(PATIENCE));
    assert_eq!(told(&counts), [0, 0, 0, 3]);

    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracer, exporter, counts) = start(hangs.local_addr().unwrap(), Pace { within: PATIENCE, ..PACE });
    send(&tracer, 1..=3);
    // The batch was taken out of the queue once it is on its way.
    let _held = hangs.accept().unwrap();
    let begun = Instant::now();
    send(&tracer, 1..=3_000);
    assert!(begun.elapsed() < PATIENCE / 2, "sending waits for nobody");
    assert_eq!(told(&counts), [0, 3_000 - 2_048, 0, 0]);
    drop(tracer);
    assert!(!exporter.finish(Duration::from_millis(1)), "the end waits no longer than it is told to");
}

#[test]
fn a_hung_collector_is_given_up_in_time() {
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracer, exporter, counts) = start(hangs.local_addr().unwrap(), Pace { within: Duration::from_millis(30), ..PACE });
    send(&tracer, [1]);
    drop(tracer);
    assert!(exporter.finish(PATIENCE));
    assert_eq!(told(&counts), [0, 0, 0, 1]);
}
