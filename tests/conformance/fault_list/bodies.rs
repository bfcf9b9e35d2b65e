//! F-10 to F-13, F-24, F-25 and F-28: answers that are cut, stall, drip, are large, come too early, or are more than was asked for.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use portcullis::domain::transport::{Protocol, Transport};

use super::fault::{Culprit, EACH, Fault, GOOD_ANSWER, Want, always, answering};
use crate::faults::{Then, with};
use crate::oracle::{get, post};
use crate::support::multiplexed::Multiplexed;
use crate::support::upstream::{GOOD, Upstream};

/// The large body.
const LARGE: usize = 8 << 20;
/// An answer to nothing.
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";

/// All faults of this kind.
pub fn faults() -> Vec<Fault> {
    [cut(), slow(), unasked(), early()].into_iter().flatten().collect()
}

/// A version that speaks HTTP/2 and resets every stream in the middle of its answer.
fn resetting() -> Culprit {
    let upstream = Multiplexed::start(|_, _, mut respond| async move {
        let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
        let _ = stream.send_data(Bytes::from_static(b"half"), false);
        // Once it has gone out; a reset overtakes what waits.
        tokio::task::yield_now().await;
        std::future::poll_fn(|context| {
            stream.reserve_capacity(1);
            stream.poll_capacity(context)
        })
        .await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    Culprit::none().at(upstream.address, upstream).speaking(Transport { protocol: Protocol::Http2, tls: None })
}

fn cut() -> Vec<Fault> {
    let length = with("Content-Length: 50\r\n", "hello");
    let chunks = |more: &str| with("Transfer-Encoding: chunked\r\n", &format!("5\r\nhello\r\n{more}"));
    let cut = |what: &str, answer: &str, then| Fault::new("F-10", what, Culprit::of(answering(answer, then))).each(Want::Cut).charged(EACH);
    vec![
        cut("closes within a body with a length", &length, Then::Close),
        cut("resets within a body with a length", &length, Then::Reset),
        cut("closes within a chunked body", &chunks(""), Then::Close),
        cut("resets within a chunked body", &chunks(""), Then::Reset),
        cut("sends a chunk that is none", &chunks("ZZ\r\n"), Then::Wait),
        Fault::new("F-10", "resets HTTP/2 streams within bodies", resetting()).each(Want::Cut).charged(EACH),
        Fault::new("F-11", "stalls within a body", Culprit::of(always(length.as_str()))).each(Want::Cut).charged(EACH),
    ]
}

fn slow() -> Vec<Fault> {
    let drips = Culprit::of(Box::new(|peer| {
        peer.request();
        peer.send(with("Content-Length: 8\r\n", "").as_bytes());
        let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(100)));
        for byte in b"dripping" {
            peer.swallow(1);
            peer.send(&[*byte]);
        }
        peer.until_closed();
    }));
    let large = Culprit::of(Box::new(|peer| {
        peer.request();
        peer.send(with(&format!("Content-Length: {LARGE}\r\n"), "").as_bytes());
        let piece = vec![b'x'; 1 << 20];
        (0..LARGE / piece.len()).all(|_| peer.send(&piece));
        peer.until_closed();
    }));
    vec![
        Fault::new("F-24", "drips its body", drips).each(Want::Answer(200, "dripping")),
        Fault::new("F-25", "sends 8 MiB", large).each(Want::Long(LARGE)),
    ]
}

/// Every connection but the one that carries the next request is closed by the proxy.
fn wait_closed(upstream: &Upstream) {
    upstream.wait("the connection is closed", |seen| seen.iter().all(|connection| connection.closed));
}

fn unasked() -> Vec<Fault> {
    let two = |body: &'static str| [(get(""), Want::Answer(200, body)), (get(""), Want::Answer(200, body))];
    let more = with("Content-Length: 5\r\n", &format!("hello{EVIL}"));
    let idle = Culprit::of(Box::new(|peer| while peer.request().is_some_and(|_| peer.send(GOOD) && peer.send(EVIL.as_bytes())) {}));
    let nothing = (get(""), Want::Answer(204, ""));
    vec![
        Fault::new("F-12", "sends more than its answer", Culprit::of(always(more))).in_turn(two("hello")),
        Fault::new("F-12", "sends more than no content", Culprit::of(always(format!("HTTP/1.1 204 x\r\n\r\n{EVIL}"))))
            .in_turn([nothing.clone(), nothing]),
        Fault::new("F-13", "answers again when it was not asked", idle)
            .in_turn((0..3).map(|_| (get(""), GOOD_ANSWER)))
            .waiting(wait_closed),
    ]
}

fn early() -> Vec<Fault> {
    let early = Culprit::of(Box::new(|peer| {
        peer.head();
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        peer.until_closed();
    }));
    let upload = || (post("Connection: close\r\nContent-Length: 1000\r\n", "begun"), Want::Answer(413, ""));
    vec![Fault::new("F-28", "answers before it has the request", early).in_turn((0..3).map(|_| upload()))]
}
