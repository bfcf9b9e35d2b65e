//! Looks at HTTP/1 requests as they pass: what a parsed head no longer shows, and chunked bodies that the parser would take but
//! that are none.

use std::collections::VecDeque;

use crate::proxy::chunks::Chunks;
use crate::proxy::sanitise::WireNotes;

/// Looks at the bytes of requests as they pass, without changing them.
///
/// A chunked body that turns out to be malformed while its head still waits for the service is noted with the head, so that
/// nothing of the request goes upstream.
///
/// What it notes of heads is a matter of policy, not of safety: what goes upstream is always written anew. Of chunked bodies
/// the parser takes some that others read differently, such as a trailer that ends in LF alone: where they end is then a matter
/// of opinion, and so is what the next request is.
#[derive(Debug, Default)]
pub struct HeadScan {
    state: State,
    line: LineSoFar,
    notes: WireNotes,
    length: Option<Length>,
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
    /// In a body of which so many bytes are still to come.
    Length(u64),
    /// In a chunked body.
    Chunks(Chunks),
    /// In a body of unknown length, until the service says that it is over.
    Unknown,
}

/// What Content-Length says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    /// Nothing that can be read here; the parser refuses it, or has more patience with leading zeros.
    Unknown,
}

/// The name of the field, with its colon.
const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

/// How many of a line's bytes are kept: enough to hold the longest name of interest, and Content-Length with its value.
const KEPT: usize = 48;

/// What is kept of a line that may arrive in pieces.
#[derive(Clone, Copy, Debug)]
struct LineSoFar {
    /// Its first bytes.
    prefix: [u8; KEPT],
    length: usize,
    last: u8,
    hash: bool,
}

impl Default for LineSoFar {
    fn default() -> Self {
        Self { prefix: [0; KEPT], length: 0, last: 0, hash: false }
    }
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

    /// Returns the value when this is the field of that name; as much of it as was kept.
    fn value_of(&self, name: &[u8]) -> Option<&[u8]> {
        let (start, value) = self.start.split_at_checked(name.len())?;
        // By far most lines end the comparison here.
        (start.last() == Some(&b':') && start.eq_ignore_ascii_case(name)).then_some(value)
    }

    fn content_length(&self) -> Option<Length> {
        let value = self.value_of(CONTENT_LENGTH)?;
        let value = value.get(..self.length - CONTENT_LENGTH.len());
        let digits = value.map(<[u8]>::trim_ascii).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Some(number.map_or(Length::Unknown, Length::Known))
    }
}

impl HeadScan {
    /// Takes in bytes as they were read.
    ///
    /// # Errors
    ///
    /// Returns how many of the bytes come before one that a chunked body cannot have; nothing after it is looked at.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::Unknown => return Ok(()),
                State::RequestLine | State::Fields => self.lines(rest),
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::RequestLine;
                    }
                    taken
                }
                State::Chunks(chunks) => {
                    let passed = chunks.pass(rest);
                    if passed.is_err()
                        && let Some(head) = self.done.back_mut()
                    {
                        head.malformed = true;
                    }
                    let taken = passed.map_err(|good| bytes.len() - rest.len() + good)?;
                    if chunks.is_over() {
                        self.state = State::RequestLine;
                    }
                    taken
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes in lines of a head to its end, or to that of the bytes; returns how many bytes these are.
    fn lines(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while matches!(self.state, State::RequestLine | State::Fields) {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.line.add(rest);
                return bytes.len();
            };
            let (piece, after) = rest.split_at(end);
            if self.line.length == 0 {
                // By far the most common case: the whole line is here. No more of it is looked at than of one in pieces.
                let start = piece.get(..KEPT).unwrap_or(piece);
                let hash = self.state == State::RequestLine && memchr::memchr(b'#', piece).is_some();
                self.line_ends(&EndedLine { start, length: piece.len(), last: piece.last().copied().unwrap_or(0), hash });
            } else {
                self.line.add(piece);
                let LineSoFar { prefix, length, last, hash } = std::mem::take(&mut self.line);
                let start = prefix.get(..length).unwrap_or(&prefix);
                self.line_ends(&EndedLine { start, length, last, hash });
            }
            rest = after.get(1..).unwrap_or_default();
        }
        bytes.len() - rest.len()
    }

    fn line_ends(&mut self, line: &EndedLine<'_>) {
        self.notes.bare_lf |= line.last != b'\r';
        match (self.state, line.is_empty()) {
            (State::RequestLine, true) | (State::Length(_) | State::Chunks(_) | State::Unknown, _) => {}
            (State::RequestLine, false) => {
                self.notes.fragment = line.hash;
                self.state = State::Fields;
            }
            (State::Fields, false) => {
                self.length = line.content_length().or(self.length);
                self.coding |= line.value_of(TRANSFER_ENCODING).is_some();
            }
            (State::Fields, true) => {
                self.notes.two_framings = self.length.is_some() && self.coding;
                // Where such a body ends cannot be said here, and so not where the next head begins.
                self.notes.malformed |= matches!(self.length, Some(Length::Unknown)) && !self.coding;
                self.state = match self.length {
                    // A coding other than chunked is refused, whatever follows.
                    _ if self.coding => State::Chunks(Chunks::new()),
                    None | Some(Length::Known(0)) => State::RequestLine,
                    Some(Length::Known(bytes)) => State::Length(bytes),
                    Some(Length::Unknown) => State::Unknown,
                };
                self.done.push_back(std::mem::take(&mut self.notes));
                (self.length, self.coding) = (None, false);
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
        if self.state == State::Unknown {
            self.state = State::RequestLine;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The notes on all heads, and how many bytes come before one that is malformed.
    fn scan(bytes: &[u8], pieces: usize) -> (Vec<WireNotes>, Option<usize>) {
        let (mut scan, mut fed) = (HeadScan::default(), 0);
        for piece in bytes.chunks(pieces) {
            if let Err(good) = scan.feed(piece) {
                return (scan.done.into_iter().collect(), Some(fed + good));
            }
            fed += piece.len();
        }
        (scan.done.into_iter().collect(), None)
    }

    #[test]
    fn notes_do_not_depend_on_how_the_bytes_arrive() {
        let requests: &[u8] = b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\nHost: x\n\n\r\n\
            POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n0\r\nX: #\r\n\r\n\
            POST / HTTP/1.1\r\ncontent-LENGTH:  007 \t\r\n\r\nGET /#\nGET /# HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /#";
        let expected = [
            WireNotes { fragment: true, ..WireNotes::default() },
            WireNotes { bare_lf: true, ..WireNotes::default() },
            WireNotes { two_framings: true, ..WireNotes::default() },
            WireNotes::default(),
            WireNotes { fragment: true, ..WireNotes::default() },
        ];
        for pieces in 1..=requests.len() {
            assert_eq!(scan(requests, pieces), (expected.to_vec(), None), "in pieces of {pieces}");
        }
    }

    #[test]
    fn names_that_only_begin_or_end_like_framing_fields_are_not_taken_for_them() {
        let head: &[u8] =
            b"GET / HTTP/1.1\r\nContent-Lengthy: 3\r\nX-Transfer-Encoding: chunked\r\nTransfer-Encodin: c\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(scan(head, head.len()), (vec![WireNotes::default(), WireNotes::default()], None));
    }

    #[test]
    fn a_malformed_chunked_body_is_told_with_its_place_however_it_arrives() {
        for (sound, rest) in [
            ("5;", "\0\r\nhello\r\n0\r\n\r\n"),
            ("5\r\nhello\r\n0\r\nX: y", "\n\r\nGET / HTTP/1.1\r\n\r\n"),
            ("5\r\nhello", "\n0\r\n\r\n"),
            ("5\r\nhello\r\n0", "\n\n"),
            ("", "\r\n"),
        ] {
            let head = "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let bytes = [head, sound, rest].concat();
            for pieces in 1..=bytes.len() {
                let noted = vec![WireNotes::default(), WireNotes { malformed: true, ..WireNotes::default() }];
                assert_eq!(scan(bytes.as_bytes(), pieces), (noted, Some(head.len() + sound.len())), "{rest:?} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn after_a_length_that_cannot_be_read_nothing_is_taken_for_a_head_until_the_body_is_over() {
        let long = format!("POST / HTTP/1.1\r\nContent-Length: {}8\r\n\r\n", "0".repeat(60));
        for length in [long.as_str(), "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
            for pieces in [1, 7, 1000] {
                let mut scan = HeadScan::default();
                length.as_bytes().chunks(pieces).for_each(|piece| scan.feed(piece).unwrap());
                scan.feed(b"GET /#\n\n").unwrap();
                // Such a request is refused; what follows it on the connection is nobody's.
                assert_eq!(scan.take(), WireNotes { malformed: true, ..WireNotes::default() });
                assert!(scan.is_mid_message());
                scan.body_ends();
                scan.feed(b"GET /#x HTTP/1.1\r\n\r\n").unwrap();
                assert!(scan.take().fragment);
                assert!(!scan.is_mid_message());
            }
        }
    }
}
