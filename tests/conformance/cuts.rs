//! F-05, F-10, F-24, F-26, F-30: answers that end at any byte, come in any pieces, or tell how long their connection lasts.

use std::time::{Duration, Instant};

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::seam::table::Watch;

use crate::faults::with;
use crate::oracle::get;
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::message::read_answers;
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};

/// Gives the answer up to the byte that the path names, then closes or resets; any other path gets a good answer.
fn cutting(answer: &'static [u8], reset: bool) -> Upstream {
    Upstream::start(move |peer| {
        while let Some(request) = peer.request() {
            let Some(at) = request.target().strip_prefix("/cut/").map(|at| at.parse::<usize>().unwrap()) else {
                peer.send(GOOD);
                continue;
            };
            peer.send(&answer[..at]);
            return peer.end(reset);
        }
    })
}

#[test]
fn f05_f10_an_answer_cut_at_any_byte_is_a_502_or_visibly_cut_and_charged_once() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-A: b\r\n\r\nhello, world";
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
    for (answer, reset) in [(&length[..], false), (&length[..], true), (&chunks[..], false), (&chunks[..], true)] {
        let upstream = cutting(answer, reset);
        let errors = [Watch::Errors(ErrorKinds::DEFAULT)];
        let proxy = proxy::to([]).canary([upstream.address], &errors, &[0]).start();
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        for at in 0..answer.len() {
            let what = format!("cut at {at} of {}, reset: {reset}", answer.len());
            let request = format!("GET /cut/{at} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            let (bytes, end) = exchange(proxy.address, request.as_bytes(), PATIENCE);
            assert_ne!(end, End::Open, "{what}");
            let got = read_answers(&bytes, &[], end == End::Closed).pop().unwrap_or_default();
            assert!(got.violations.is_empty(), "{what}: {:?}", got.violations);
            let own = got.complete && got.status() == 502 && !got.all("proxy-status").is_empty();
            assert!(if at < head { own } else { own || !got.complete }, "{what}: {got:?}");
            assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good", "{what}: the next request");
        }
        let cuts = answer.len() as u64;
        let window = proxy.canary_ended(2 * cuts);
        assert_eq!((window.failed, window.answered, proxy.breaches()), (cuts, cuts, vec![cuts]), "reset: {reset}");
        // Whole it is whole.
        let request = format!("GET /cut/{} HTTP/1.1\r\nHost: a.test\r\n\r\n", answer.len());
        assert_eq!(Client::connect(proxy.address).ask(request).body, b"hello, world");
        assert_eq!((proxy.canary_ended(2 * cuts + 1).failed, proxy.breaches()), (cuts, vec![cuts]));
    }
}

#[test]
fn f26_an_encoded_body_passes_byte_for_byte_and_is_never_decoded() {
    // The beginning of a gzip stream, and what no decoder would take.
    let body: Vec<u8> = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].into_iter().chain((0..=255).cycle().take(100_000)).collect();
    let head = with(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len()), "");
    let upstream = Upstream::answering([head.as_bytes(), &body].concat());
    let proxy = proxy::to([upstream.address]).start();
    let answer = Client::connect(proxy.address).ask(get("Accept-Encoding: gzip\r\n"));
    assert_eq!((answer.one("content-encoding"), answer.body == body), ("gzip", true));
}

#[test]
fn f30_a_connection_is_given_up_a_second_before_the_upstream_would_close_it() {
    // Without a hint, or with a longer one, it is kept for three seconds.
    let hints = [
        "",
        "Keep-Alive: timeout=60\r\n",
        "Keep-Alive: timeout=soon, max\r\n",
        "Keep-Alive: timeout=2, max=100\r\n",
        "Keep-Alive: max=5,TimeOut = \"1\"\r\n",
    ];
    let kept = |hint: &str| {
        let upstream = Upstream::answering(with(&format!("{hint}Content-Length: 4\r\n"), "good"));
        let proxy = proxy::to([upstream.address]).start();
        let answer = Client::connect(proxy.address).ask(get(""));
        assert_eq!((answer.body.as_slice(), answer.all("keep-alive").len()), (&b"good"[..], 0), "{hint}");
        let start = Instant::now();
        upstream.wait("the pooled connection is closed", |seen| seen.len() == 1 && seen[0].closed);
        start.elapsed()
    };
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let waiting: Vec<_> = hints.iter().map(|hint| scope.spawn(|| kept(hint))).collect();
        waiting.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let [none, long, odd, two, one] = times[..] else { panic!("{times:?}") };
    assert!(one < two, "no time is left: {times:?}");
    assert!((Duration::from_millis(800)..Duration::from_secs(2)).contains(&two), "{times:?}");
    assert!([none, long, odd].iter().all(|kept| *kept > Duration::from_millis(2500)), "{times:?}");
}
