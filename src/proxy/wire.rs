//! The client's socket: reads and writes for hyper, tells the patrol what happens, and notes what a parsed head no longer shows.

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::patrol::{Awaits, ConnectionGuard};
use crate::proxy::sanitise::WireNotes;

/// The answer to a head that did not arrive in time, sent by hand because no request exists yet.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How many bytes of an unwanted upload are thrown away before its connection is reset.
const MAX_DISCARDED: usize = 256 * 1024;

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

/// A worker's buffer in which small pieces become one: copying them costs less than the kernel takes to collect them.
#[derive(Clone, Debug, Default)]
pub struct Gathered(Rc<RefCell<Vec<u8>>>);

/// The most bytes that are gathered.
const MOST_GATHERED: usize = 8 * 1024;

impl Gathered {
    /// Puts small pieces one behind the other; `None` when they are not small.
    fn gather(&self, pieces: &[io::IoSlice<'_>]) -> Option<Ref<'_, Vec<u8>>> {
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() > MOST_GATHERED {
            return None;
        }
        let mut whole = self.0.borrow_mut();
        whole.clear();
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        drop(whole);
        Some(self.0.borrow())
    }
}

/// What the socket and the service of one connection share.
#[derive(Debug)]
pub struct Line {
    /// Where small writes are gathered; the worker's.
    pub gathered: Gathered,
    /// The connection under patrol.
    pub guard: Rc<ConnectionGuard>,
    /// The heads as they pass.
    pub scan: RefCell<HeadScan>,
}

/// The client's socket.
pub struct Wire {
    socket: TcpStream,
    line: Rc<Line>,
    /// How much was thrown away since we ended sending; `None` before that.
    discarded: Option<usize>,
}

impl Wire {
    /// Wraps a socket.
    #[must_use]
    pub const fn new(socket: TcpStream, line: Rc<Line>) -> Self {
        Self { socket, line, discarded: None }
    }

    fn late(&self, awaited: Awaits) -> io::Error {
        // Never into the middle of an earlier answer that the client is slow to take.
        if awaited == Awaits::Head && !self.line.guard.is_write_blocked() {
            // Best effort: the client was too slow, and the connection closes in any case.
            let _ = self.socket.try_write(TOO_LATE);
        }
        io::Error::new(io::ErrorKind::TimedOut, "the client took too long")
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => {
                let fresh = buf.filled().get(before..).unwrap_or(&[]);
                if !fresh.is_empty() && self.line.guard.awaited() != Awaits::Answer {
                    self.line.guard.awaits(Awaits::Head);
                }
                self.line.scan.borrow_mut().feed(fresh);
            }
            Poll::Pending => {
                if let Some(awaited) = self.line.guard.poll_expired(cx) {
                    return Poll::Ready(Err(self.late(awaited)));
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl Wire {
    fn wrote(&self, cx: &Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.line.guard.write_blocked(result.is_pending());
        if result.is_pending()
            && let Some(awaited) = self.line.guard.poll_expired(cx)
        {
            return Poll::Ready(Err(self.late(awaited)));
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { socket, line, .. } = &mut *self;
        let result = match line.gathered.gather(bufs) {
            Some(whole) => Pin::new(socket).poll_write(cx, &whole),
            None => Pin::new(socket).poll_write_vectored(cx, bufs),
        };
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.discarded.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            if !this.line.scan.borrow().is_mid_message() {
                return Poll::Ready(Ok(()));
            }
            this.line.guard.awaits(Awaits::Farewell);
        }
        // Closing with bytes unread would reset the connection, and the client might lose the answer (RFC 9112 section 9.6).
        let discarded = this.discarded.get_or_insert(0);
        let mut scrap = [std::mem::MaybeUninit::uninit(); 4096];
        while *discarded < MAX_DISCARDED {
            let mut buf = ReadBuf::uninit(&mut scrap);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => *discarded += buf.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending if this.line.guard.poll_expired(cx).is_none() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_anew_each_time_and_large_ones_are_left_alone() {
        let gathered = Gathered::default();
        let large = vec![b'x'; MOST_GATHERED];
        for (pieces, whole) in [
            ([&b"head"[..], b"body"], Some(&b"headbody"[..])),
            ([&large, b"x"], None),
            ([b"", &large], Some(&large)),
            ([b"", b"end"], Some(b"end")),
        ] {
            assert_eq!(gathered.gather(&pieces.map(io::IoSlice::new)).as_deref().map(Vec::as_slice), whole);
        }
    }

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
