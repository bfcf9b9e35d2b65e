//! Looks at HTTP/1 request heads as they pass, for what a parsed head no longer shows.

use std::collections::VecDeque;

use crate::proxy::sanitise::WireNotes;

/// Looks at the bytes of request heads as they pass, without changing them.
///
/// Its notes are a matter of policy, not of safety: what goes upstream is always written anew. Bytes of a body in the same
/// read as the head they follow are not taken for a head; a head pipelined behind such a body goes unnoticed.
#[derive(Debug, Default)]
pub struct HeadScan {
    state: State,
    line: LineSoFar,
    notes: WireNotes,
    length: bool,
    coding: bool,
    done: VecDeque<WireNotes>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before or in a request line; empty lines are skipped.
    #[default]
    RequestLine,
    /// In the fields.
    Fields,
    /// In a body, until the service says that it is over.
    Body,
}

/// What is kept of a line that may arrive in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct LineSoFar {
    /// Its first bytes, enough to hold the longest name of interest and its colon.
    prefix: [u8; 18],
    length: usize,
    last: u8,
    hash: bool,
}

impl LineSoFar {
    fn add(&mut self, piece: &[u8]) {
        if let Some(room) = self.prefix.get_mut(self.length..) {
            for (to, from) in room.iter_mut().zip(piece) {
                *to = *from;
            }
        }
        self.length += piece.len();
        self.last = piece.last().copied().unwrap_or(self.last);
        self.hash |= memchr::memchr(b'#', piece).is_some();
    }
}

/// A line that has ended, without its LF.
struct EndedLine<'a> {
    /// Its first bytes; all of it, or as much as was kept.
    start: &'a [u8],
    length: usize,
    last: u8,
    hash: bool,
}

impl EndedLine<'_> {
    const fn is_empty(&self) -> bool {
        self.length == 0 || (self.length == 1 && self.last == b'\r')
    }

    fn names(&self, field: &[u8]) -> bool {
        self.start.get(field.len()) == Some(&b':') && self.start.get(..field.len()).is_some_and(|p| p.eq_ignore_ascii_case(field))
    }
}

impl HeadScan {
    /// Takes in bytes as they were read.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while self.state != State::Body && !bytes.is_empty() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.add(bytes);
                return;
            };
            let (piece, rest) = bytes.split_at(end);
            if self.line.length == 0 {
                // By far the most common case: the whole line is here.
                let hash = self.state == State::RequestLine && memchr::memchr(b'#', piece).is_some();
                self.line_ends(&EndedLine { start: piece, length: piece.len(), last: piece.last().copied().unwrap_or(0), hash });
            } else {
                self.line.add(piece);
                let LineSoFar { prefix, length, last, hash } = std::mem::take(&mut self.line);
                self.line_ends(&EndedLine { start: &prefix, length, last, hash });
            }
            bytes = rest.get(1..).unwrap_or(&[]);
        }
    }

    fn line_ends(&mut self, line: &EndedLine<'_>) {
        self.notes.bare_lf |= line.last != b'\r';
        match (self.state, line.is_empty()) {
            (State::RequestLine, true) | (State::Body, _) => {}
            (State::RequestLine, false) => {
                self.notes.fragment = line.hash;
                self.state = State::Fields;
            }
            (State::Fields, false) => {
                self.length |= line.names(b"content-length");
                self.coding |= line.names(b"transfer-encoding");
            }
            (State::Fields, true) => {
                self.notes.two_framings = self.length && self.coding;
                self.state = if self.length || self.coding { State::Body } else { State::RequestLine };
                self.done.push_back(std::mem::take(&mut self.notes));
                (self.length, self.coding) = (false, false);
            }
        }
    }

    /// Returns the notes on the next head that was read in full.
    pub fn take(&mut self) -> WireNotes {
        self.done.pop_front().unwrap_or_default()
    }

    /// Says whether the client may still be sending something that nobody will read.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.state != State::RequestLine || self.line.length > 0 || !self.done.is_empty()
    }

    /// Notes that the body of the current request is over.
    pub fn body_ends(&mut self) {
        if self.state == State::Body {
            self.state = State::RequestLine;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(bytes: &[u8], pieces: usize) -> Vec<WireNotes> {
        let mut scan = HeadScan::default();
        for piece in bytes.chunks(pieces) {
            scan.feed(piece);
        }
        scan.done.into_iter().collect()
    }

    #[test]
    fn notes_do_not_depend_on_how_the_bytes_arrive() {
        let heads: &[u8] = b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\nHost: x\n\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nGET /#";
        let expected = [
            WireNotes { fragment: true, ..WireNotes::default() },
            WireNotes { bare_lf: true, ..WireNotes::default() },
            WireNotes { two_framings: true, ..WireNotes::default() },
        ];
        for pieces in 1..=heads.len() {
            assert_eq!(notes(heads, pieces), expected, "in pieces of {pieces}");
        }
    }

    #[test]
    fn names_that_only_begin_or_end_like_framing_fields_are_not_taken_for_them() {
        let head: &[u8] =
            b"GET / HTTP/1.1\r\nContent-Lengthy: 3\r\nX-Transfer-Encoding: chunked\r\nTransfer-Encodin: c\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(notes(head, head.len()), [WireNotes::default(), WireNotes::default()]);
    }

    #[test]
    fn a_body_is_not_taken_for_a_head() {
        let mut scan = HeadScan::default();
        scan.feed(b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nGET /#\n\n");
        assert_eq!(scan.take(), WireNotes::default());
        scan.body_ends();
        scan.feed(b"GET /#x HTTP/1.1\r\n\r\n");
        assert!(scan.take().fragment);
    }
}
