//! Bytes of a client that speaks HTTP/1.

use std::cell::Cell;

use http::Response;
use http_body_util::Full;
use portcullis::proxy::sanitise::{self, WireNotes};
use portcullis::proxy::scan::HeadScan;

use super::memory::{self, Received};
use super::passed::{self, World, text};
use super::pieces;

/// Requests of a client: what is accepted goes on as exactly one clean request with the same method, path, query and body, and
/// what is noted of heads does not depend on how the bytes arrive.
pub fn head(bytes: &[u8]) {
    let whole = noted(bytes, usize::MAX);
    for piece in pieces(bytes) {
        assert_eq!(noted(bytes, piece), whole, "noted in pieces of {piece}");
        for world in passed::worlds() {
            let first = Cell::new(true);
            memory::serve(bytes, piece, |received| {
                let line = first.replace(false).then(|| first_line(bytes));
                let passed_on = pass_on(received, &world, line);
                let answer = Response::builder().header("connection", if passed_on { "keep-alive" } else { "close" });
                answer.body(Full::default()).unwrap()
            });
        }
    }
}

/// What a scan says of bytes: where they are malformed, the notes on heads, and whether a message has begun and not ended.
fn noted(bytes: &[u8], piece: usize) -> (Option<usize>, Vec<WireNotes>, bool) {
    let (mut scan, mut fed, mut malformed) = (HeadScan::default(), 0, None);
    for now in bytes.chunks(piece) {
        if let Err(good) = scan.feed(now) {
            malformed = Some(fed + good);
            break;
        }
        fed += now.len();
    }
    // No head is shorter than a line.
    let heads = bytes.iter().filter(|byte| **byte == b'\n').count();
    let notes = (0..heads).map(|_| scan.take()).collect();
    (malformed, notes, scan.is_mid_message())
}

/// Returns the first line that is not empty, as words.
fn first_line(bytes: &[u8]) -> Vec<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    text(lines.find(|line| !line.is_empty()).unwrap_or_default()).split(' ').map(str::to_owned).collect()
}

/// Cleans a request and claims what holds of it if it is accepted; says whether it is. `line` is what its request line must be.
fn pass_on(received: Received, world: &World, line: Option<Vec<String>>) -> bool {
    let Received { head: came, notes, body } = received;
    let mut head = came.clone();
    let Ok(clean) = sanitise::request(&mut head, notes, &world.peer, &world.policy) else { return false };
    assert!(!notes.fragment && !notes.malformed && !(world.policy.strict && (notes.bare_lf || notes.two_framings)), "{notes:?}");
    let message = passed::claim(&came, &head, clean.framing, body.as_ref(), world);
    if let Some(line) = line {
        let [method, target] = [0, 1].map(|word| line.get(word).map_or("", String::as_str));
        let behind = target.split_once("://").map_or(target, |(_, rest)| rest.find(['/', '?']).map_or("", |at| &rest[at..]));
        let behind = if behind.is_empty() || behind.starts_with('?') { format!("/{behind}") } else { behind.to_owned() };
        assert_eq!((message.line[0].as_str(), message.target()), (method, behind.as_str()), "of {line:?}");
    }
    true
}
