//! The client's socket: reads and writes for hyper, tells the patrol what happens, and notes what a parsed head no longer shows.

use std::cell::{Ref, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::patrol::{Awaits, ConnectionGuard};
use crate::proxy::scan::HeadScan;

/// The answer to a head that did not arrive in time, sent by hand because no request exists yet.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How many bytes of an unwanted upload are thrown away before its connection is reset.
const MAX_DISCARDED: usize = 256 * 1024;

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
    /// What comes next is no chunked body, though it should be.
    malformed: bool,
    /// How much was thrown away since we ended sending; `None` before that.
    discarded: Option<usize>,
}

impl Wire {
    /// Wraps a socket.
    #[must_use]
    pub const fn new(socket: TcpStream, line: Rc<Line>) -> Self {
        Self { socket, line, malformed: false, discarded: None }
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

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunked body is malformed")
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.malformed {
            return Poll::Ready(Err(malformed()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => {
                let fresh = buf.filled().get(before..).unwrap_or(&[]);
                if !fresh.is_empty() && self.line.guard.awaited() != Awaits::Answer {
                    self.line.guard.awaits(Awaits::Head);
                }
                let fed = self.line.scan.borrow_mut().feed(fresh);
                if let Err(good) = fed {
                    // What comes before it, such as a whole request, has its turn first. No byte at all would be taken for the end.
                    self.malformed = true;
                    buf.set_filled(before + good);
                    return if good == 0 { Poll::Ready(Err(malformed())) } else { read };
                }
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
}
