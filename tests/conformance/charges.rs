//! The gate column of F-01 to F-30: which faults are charged to the version on trial, and which are not.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::upkeep::Rules;
use portcullis::proxy::settings::Settings;
use portcullis::seam::table::Watch;

use crate::faults::{Then, closed_port, dying, full_backlog, once, unreachable, with};
use crate::oracle::{get, post};
use crate::support::PATIENCE;
use crate::support::client::{Client, End, exchange};
use crate::support::proxy;
use crate::support::upstream::{GOOD, Upstream};

/// A wire for what is an error where a gate says no more; it never trips here.
const ERRORS: [Watch; 1] = [Watch::Errors(ErrorKinds::DEFAULT)];
const NEVER: [u64; 1] = [0];

fn quick(settings: &mut Settings) {
    let limit = Duration::from_secs(1);
    (settings.timeouts.connect, settings.timeouts.response, settings.timeouts.body_idle) = (limit, limit, limit);
}

/// Sends a request to the version on trial, and claims how many errors it is charged with.
fn charged(id: &str, canary: &[SocketAddr], request: &[u8], errors: u64) {
    let proxy = proxy::to([]).with(quick).canary(canary, &ERRORS, &NEVER).start();
    exchange(proxy.address, request, PATIENCE);
    proxy.canary_ended(1);
    assert_eq!(proxy.breaches(), [errors], "{id}");
}

fn closing() -> Vec<u8> {
    get("Connection: close\r\n")
}

/// Claims the same of an answer.
fn answer(id: &str, bytes: impl Into<Vec<u8>>, then: Then, errors: u64) {
    let upstream = once(bytes, then);
    charged(id, &[upstream.address], &closing(), errors);
}

#[test]
fn f01_to_f04_a_version_that_cannot_be_reached_or_says_nothing_is_charged() {
    charged("F-01", &[closed_port()], &closing(), 1);
    let upstream = Upstream::good();
    charged("F-01 another endpoint", &[closed_port(), upstream.address], &closing(), 0);
    let (full, _held) = full_backlog();
    charged("F-02", &[full], &closing(), 1);
    charged("F-03", &[unreachable()], &closing(), 1);
    charged("F-03 another endpoint", &[unreachable(), upstream.address], &closing(), 0);
    let hung = Upstream::start(|peer| peer.until_closed());
    charged("F-04", &[hung.address], &closing(), 1);
}

#[test]
fn f05_f06_f07_f09_a_repeated_request_is_charged_only_when_the_repetition_fails_and_never_leaves_its_version() {
    for (id, request, errors) in [
        ("F-05 repeated", get(""), 0),
        ("F-06 not repeated", post("Content-Length: 5\r\n", "hello"), 1),
        ("F-06 an Idempotency-Key changes nothing", post("Idempotency-Key: 1\r\nContent-Length: 5\r\n", "hello"), 1),
    ] {
        let (canary, stable) = (dying(), Upstream::good());
        let proxy = proxy::to([stable.address]).canary([canary.address], &ERRORS, &NEVER).start();
        let mut client = Client::connect(proxy.address);
        assert_eq!(client.ask(get("")).body, b"good");
        client.ask(request);
        let window = proxy.canary_ended(2);
        assert_eq!((window.decided, proxy.breaches()), (2, vec![errors]), "{id}");
        assert!(stable.seen().is_empty(), "{id}: the other version got it");
    }
    // It answers one request of its first connection, and none of any other.
    let canary = Upstream::start(|peer| {
        peer.request();
        if peer.index == 0 {
            peer.send(GOOD);
            peer.request();
        }
    });
    let stable = Upstream::good();
    let alone = Rules { rescue: false, ..Rules::default() };
    let proxy = proxy::to([stable.address]).canary([canary.address], &ERRORS, &NEVER).mutual(alone).start();
    let mut client = Client::connect(proxy.address);
    client.ask(get(""));
    assert_eq!(client.ask(get("")).status(), 502);
    assert_eq!((proxy.canary_ended(2).failed, proxy.breaches()), (1, vec![1]), "F-05 the repetition fails too: one request, one error");
    assert_eq!((canary.requests().len(), stable.seen().len()), (3, 0), "both tries reached the version");
    // F-07: nothing was written on the connection that had ended.
    let canary = Upstream::start(|peer| {
        peer.request();
        peer.send(GOOD);
        peer.half_close();
        peer.until_closed();
    });
    let proxy = proxy::to([]).canary([canary.address], &ERRORS, &NEVER).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        assert_eq!(client.ask(post("Content-Length: 5\r\n", "hello")).status(), 200);
        canary.wait("it is closed", |seen| seen.iter().all(|s| s.closed));
    }
    assert_eq!((proxy.canary_ended(3).answered, proxy.breaches()), (3, vec![0]), "F-07");
}

#[test]
fn f10_f11_f24_cut_and_stalled_bodies_are_charged_and_slow_ones_are_not() {
    answer("F-10 length", with("Content-Length: 50\r\n", "hello"), Then::Close, 1);
    answer("F-10 length, reset", with("Content-Length: 50\r\n", "hello"), Then::Reset, 1);
    answer("F-10 chunks", with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), Then::Close, 1);
    answer("F-10 bad chunk", with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\nZZ\r\n"), Then::Wait, 1);
    answer("F-10 until the end", with("", "hello"), Then::Close, 0);
    answer("F-11", with("Content-Length: 50\r\n", "hello"), Then::Wait, 1);
    let drips = Upstream::start(|peer| {
        peer.request();
        peer.send(with("Content-Length: 8\r\n", "").as_bytes());
        let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(200)));
        for byte in b"dripping" {
            peer.swallow(1);
            peer.send(&[*byte]);
        }
        peer.until_closed();
    });
    let proxy = proxy::to([]).with(quick).canary([drips.address], &ERRORS, &NEVER).start();
    let dripped = Client::connect(proxy.address).ask(get(""));
    assert_eq!((dripped.body.as_slice(), dripped.complete), (&b"dripping"[..], true), "F-24: every piece came in time");
    let window = proxy.canary_ended(1);
    assert_eq!(proxy.breaches(), [0], "F-24");
    assert!(window.duration.max() >= 8 * 180_000, "F-24: its duration ends with the last byte, {} us", window.duration.max());
    assert!(window.response_time.max() < window.duration.max() / 2, "F-24: {} us", window.response_time.max());
}

#[test]
fn f12_to_f22_answers_that_are_no_http_are_charged_and_odd_but_clear_ones_are_not() {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    answer("F-12", with("Content-Length: 5\r\n", &format!("hello{evil}")), Then::Wait, 0);
    answer("F-14", with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", hello), Then::Wait, 0);
    for length in ["abc", "+5", "99999999999999999999", "5\r\nContent-Length: 3"] {
        answer(&format!("F-15 {length}"), with(&format!("Content-Length: {length}\r\n"), "hello"), Then::Close, 1);
    }
    answer("F-16 gzip", with("Transfer-Encoding: gzip\r\n", "hello"), Then::Close, 1);
    answer("F-16 twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hello), Then::Wait, 1);
    answer("F-17", format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{hello}"), Then::Close, 1);
    for junk in ["HELLO WORLD\r\n\r\n", "hello", "", "\x15\x03\x01\x00\x02\x02\x46", "HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 1000 x\r\n\r\n"] {
        answer(&format!("F-18, F-19 {junk:?}"), junk, Then::Close, 1);
    }
    answer("F-19 no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Then::Wait, 0);
    for field in ["X: a\0b", "X: a\rb", "X Y: 1", "X: a\r\n b", "XYZ"] {
        answer(&format!("F-20 {field:?}"), with(&format!("{field}\r\nContent-Length: 0\r\n"), ""), Then::Wait, 1);
    }
    answer("F-21", "HTTP/1.1 200 OK\nContent-Length: 4\n\ngood", Then::Wait, 0);
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    answer("F-22", with(&many, ""), Then::Wait, 1);
}

#[test]
fn f23_f27_f28_f29_late_heads_and_floods_are_charged_and_early_answers_and_closing_are_not() {
    let drips = Upstream::start(|peer| {
        peer.request();
        let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(20)));
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(b"x".iter().cycle()).take(600) {
            if !peer.send(&[*byte]) || peer.swallow(1) > 0 {
                return;
            }
        }
    });
    charged("F-23", &[drips.address], &closing(), 1);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    answer("F-27 a flood", interim.repeat(20_000), Then::Wait, 1);
    answer("F-27 some", [interim.repeat(16).as_bytes(), GOOD].concat(), Then::Wait, 0);
    answer("F-27 103", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", GOOD].concat(), Then::Wait, 0);
    answer("F-27 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Then::Wait, 1);
    let early = Upstream::start(|peer| {
        peer.head();
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        peer.until_closed();
    });
    charged("F-28", &[early.address], &post("Content-Length: 1000\r\n", "x"), 0);
    answer("F-29", with("Connection: close\r\nContent-Length: 0\r\n", ""), Then::Close, 0);
    answer("5xx", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Then::Wait, 1);
    answer("4xx", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Then::Wait, 0);
}

#[test]
fn g03_what_clients_and_rules_do_is_charged_to_nobody() {
    let upstream = Upstream::start(|peer| {
        peer.head();
        peer.until_closed();
    });
    let chunked = post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n");
    for (id, begun, rest) in [
        ("a malformed body", &chunked, "ZZ\r\n"),
        ("a body that stops in a chunk", &chunked, "5\r\nhe"),
        ("a body that stops", &post("Content-Length: 10\r\n", "hello"), ""),
    ] {
        let quick = |s: &mut Settings| s.timeouts.body_idle = Duration::from_millis(300);
        let proxy = proxy::to([]).with(quick).canary([upstream.address], &ERRORS, &NEVER).start();
        let mut client = Client::connect(proxy.address);
        upstream.forget();
        client.send(begun);
        // The version has it, and could be blamed.
        upstream.wait(id, |seen| seen.iter().any(|s| s.bytes.windows(5).any(|w| w == b"hello")));
        client.send(rest);
        assert_ne!(client.read_to_end(PATIENCE), End::Open, "{id}");
        assert_eq!((proxy.canary_ended(1).failed, proxy.breaches()), (1, vec![0]), "{id}");
    }
    let proxy = proxy::to([]).canary([upstream.address], &ERRORS, &NEVER).start();
    let mut client = Client::connect(proxy.address);
    upstream.forget();
    client.send(get(""));
    upstream.wait("the request", |seen| seen.iter().any(|s| !s.bytes.is_empty()));
    drop(client);
    assert_eq!((proxy.canary_ended(1).aborted, proxy.breaches()), (1, vec![0]), "a client that leaves");
}

#[test]
fn f38_redirects_are_charged_where_a_gate_names_them_and_nowhere_else() {
    for (status, breaches) in [("302 Found", [1, 0]), ("304 Not Modified", [0, 0]), ("200 OK", [0, 0])] {
        let upstream = Upstream::answering(format!("HTTP/1.1 {status}\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"));
        let watches = ["3xx".parse().unwrap(), ErrorKinds::DEFAULT].map(Watch::Errors);
        let proxy = proxy::to([]).canary([upstream.address], &watches, &[0]).start();
        assert_eq!(Client::connect(proxy.address).ask(get("")).line[1], status[..3]);
        assert_eq!(proxy.canary_ended(1).answered, 1);
        assert_eq!(proxy.breaches(), breaches, "{status}");
    }
}

#[test]
fn f36_good_answers_without_a_body_are_charged_where_a_gate_names_them() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (line, answer, breaches) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), [1, 0]),
        ("POST", format!("{chunked}0\r\n\r\n"), [1, 0]),
        ("GET", format!("{chunked}1\r\nx\r\n0\r\n\r\n"), [0, 0]),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), [0, 0]),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), [0, 0]),
        ("GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), [0, 0]),
        ("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".to_owned(), [0, 0]),
        ("GET", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_owned(), [0, 0]),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx".to_owned(), [0, 1]),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned(), [0, 0]),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), [0, 0]),
    ] {
        let upstream = Upstream::answering(&*answer);
        let watches = [ErrorKinds::EMPTY, ErrorKinds::DEFAULT].map(Watch::Errors);
        let proxy = proxy::to([]).canary([upstream.address], &watches, &[0]).start();
        exchange(proxy.address, format!("{line} /t HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").as_bytes(), PATIENCE);
        proxy.canary_ended(1);
        assert_eq!(proxy.breaches(), breaches, "{line}: {answer}");
    }
}

#[test]
fn f36_answers_that_are_too_small_are_charged_where_a_gate_names_them() {
    let sized = |status: &str, bytes: usize| format!("HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "2\r\nxx\r\n".repeat(4));
    for (answer, breaches) in [
        (sized("200 OK", 0), [1, 1]),
        (sized("200 OK", 7), [1, 0]),
        (sized("200 OK", 8), [0, 0]),
        (chunked, [0, 0]),
        (sized("206 Partial Content", 7), [0, 0]),
        (sized("206 Partial Content", 0), [0, 1]),
        (sized("404 Not Found", 7), [0, 0]),
    ] {
        let upstream = Upstream::answering(&*answer);
        let watches = [ErrorKinds::SMALL, ErrorKinds::EMPTY].map(Watch::Errors);
        let least = Rules { min_body: 8, ..Rules::default() };
        let proxy = proxy::to([]).canary([upstream.address], &watches, &[0]).mutual(least).start();
        exchange(proxy.address, &closing(), PATIENCE);
        proxy.canary_ended(1);
        assert_eq!(proxy.breaches(), breaches, "{answer}");
    }
}
