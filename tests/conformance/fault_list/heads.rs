//! F-14 to F-23 and F-27: answers whose head is no HTTP, is HTTP that must not be passed on, or comes too late.

use std::time::Duration;

use super::fault::{Culprit, EACH, Fault, GOOD_ANSWER, Want, always, answering};
use crate::faults::{Then, with};
use crate::support::upstream::GOOD;

/// All faults of this kind.
pub fn faults() -> Vec<Fault> {
    [framing(), nonsense(), fields(), late(), interim()].into_iter().flatten().collect()
}

/// A version whose every answer is a 502 for which it is charged.
fn invalid(line: &'static str, what: impl Into<String>, answer: impl Into<Vec<u8>>, then: Then) -> Fault {
    Fault::new(line, what, Culprit::of(answering(answer, then))).charged(EACH)
}

/// A version whose odd answers are good.
fn odd(line: &'static str, what: &str, answer: impl Into<Vec<u8>>, want: Want) -> Fault {
    Fault::new(line, what, Culprit::of(always(answer))).each(want)
}

fn framing() -> Vec<Fault> {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    let whole = Want::Answer(200, "hello");
    let chunked = |fields: &str| with(&format!("{fields}Transfer-Encoding: chunked\r\n"), hello);
    let mut faults = vec![
        odd("F-14", "sends a length and chunks", chunked("Content-Length: 3\r\n"), whole),
        odd("F-14", "sends chunks and a length", with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", hello), whole),
        invalid("F-16", "sends Transfer-Encoding: gzip", with("Transfer-Encoding: gzip\r\n", "hello"), Then::Close),
        invalid("F-16", "sends Transfer-Encoding: gzip, chunked", with("Transfer-Encoding: gzip, chunked\r\n", hello), Then::Wait),
        invalid("F-16", "sends Transfer-Encoding twice", chunked("Transfer-Encoding: chunked\r\n"), Then::Wait),
        invalid("F-17", "sends chunks in HTTP/1.0", chunked("").replace("HTTP/1.1", "HTTP/1.0"), Then::Close),
        invalid("F-15", "sends two different lengths", with("Content-Length: 5\r\nContent-Length: 3\r\n", "hello"), Then::Wait),
    ];
    for length in ["abc", "+5", "-5", "5, 3", "", "99999999999999999999"] {
        let answer = with(&format!("Content-Length: {length}\r\n"), "hello");
        faults.push(invalid("F-15", format!("sends Content-Length: {length:?}"), answer, Then::Close));
    }
    faults
}

fn nonsense() -> Vec<Fault> {
    let mut faults: Vec<Fault> = [
        ("no HTTP", &b"HELLO WORLD\r\n\r\n"[..]),
        ("a body without a head (HTTP/0.9)", b"hello world"),
        ("nothing", b""),
        ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
        ("HTTP/2 SETTINGS", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x00\x00"),
        ("HTTP/2.0 in text", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]
    .into_iter()
    .map(|(what, bytes)| invalid("F-18", format!("sends {what}"), bytes, Then::Close))
    .collect();
    for status in ["99", "1000", "600"] {
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        faults.push(invalid("F-19", format!("sends status {status}"), answer, Then::Close));
    }
    faults.push(odd("F-19", "sends no reason phrase", "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood", GOOD_ANSWER));
    faults
}

fn fields() -> Vec<Fault> {
    let mut faults: Vec<Fault> = ["X: a\0b", "X: a\rb", "X: a\r\n b", "XYZ", "X Y: 1", "X : 1", ": a"]
        .into_iter()
        .map(|field| {
            let answer = with(&format!("{field}\r\nContent-Length: 4\r\n"), "good");
            invalid("F-20", format!("sends the field {field:?}"), answer, Then::Wait)
        })
        .collect();
    let many: String = (0..101).map(|number| format!("X-{number}: y\r\n")).collect();
    let large = format!("X: {}\r\nContent-Length: 4\r\n", "a".repeat(64 * 1024));
    faults.push(odd("F-21", "ends lines with LF", "HTTP/1.1 200 OK\nContent-Length: 4\n\ngood", GOOD_ANSWER));
    faults.push(invalid("F-22", "sends more than 100 fields", with(&(many + "Content-Length: 4\r\n"), "good"), Then::Wait));
    faults.push(invalid("F-22", "sends a field of 64 KiB", with(&large, "good"), Then::Wait));
    faults
}

fn late() -> Vec<Fault> {
    let drips = Culprit::of(Box::new(|peer| {
        peer.request();
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(b"x".iter().cycle()).take(2_000) {
            // Waits a little for the proxy to close, and drips on.
            let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(20)));
            if !peer.send(&[*byte]) || peer.swallow(1) > 0 {
                break;
            }
        }
        peer.until_closed();
    }));
    vec![Fault::new("F-23", "drips its head", drips).each(Want::Own(504)).charged(EACH)]
}

fn interim() -> Vec<Fault> {
    let some = "HTTP/1.1 100 Continue\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    vec![
        invalid("F-27", "sends 100 without end", some.repeat(20_000), Then::Wait),
        odd("F-27", "sends 100 sixteen times", [some.repeat(16).as_bytes(), GOOD].concat(), GOOD_ANSWER),
        odd("F-27", "sends 103", [hints.as_bytes(), GOOD].concat(), GOOD_ANSWER),
        invalid("F-27", "sends 101 unasked", switch, Then::Wait),
    ]
}
