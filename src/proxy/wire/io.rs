//! Reads and writes for hyper: tells the patrol what happens, shows the bytes to the scan, and says farewell.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::patrol::Awaits;
use crate::proxy::scan::Offence;
use crate::proxy::wire::line::Line;
use crate::proxy::wire::preface::Protocol;
use crate::proxy::wire::socket::Socket;

/// The answer to a head that did not arrive in time, sent by hand because no request exists yet.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// GOAWAY with a code, sent by hand because the parser knows of no offence. It names the last stream as 2^31-1: which ones were
/// looked at is not known here.
const fn goaway(code: u8) -> [u8; 17] {
    [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, code]
}

/// How many bytes of an unwanted upload are thrown away before its connection is reset.
const MAX_DISCARDED: usize = 256 * 1024;

/// The client's socket.
pub struct Wire {
    socket: Socket,
    line: Rc<Line>,
    /// What was read before somebody asked for it, and how much of it was taken.
    ahead: Vec<u8>,
    taken: usize,
    /// The last write was not taken whole: what follows it stands in the middle of something.
    mid_write: bool,
    /// How much was thrown away since we ended sending; `None` before that.
    discarded: Option<usize>,
    /// What comes next is no chunked body, though it should be.
    malformed: bool,
    /// The client has been told that it offends.
    told: bool,
}

impl Wire {
    /// Wraps a socket.
    #[must_use]
    pub const fn new(socket: Socket, line: Rc<Line>) -> Self {
        Self { socket, line, ahead: Vec::new(), taken: 0, mid_write: false, discarded: None, malformed: false, told: false }
    }

    /// Reads as much as tells which protocol the client speaks unless that was agreed on, and keeps it to be read again; `None`
    /// when it leaves before.
    ///
    /// # Errors
    ///
    /// Fails when the socket does, or when the client takes too long.
    pub fn poll_protocol(&mut self, agreed: Option<Protocol>, cx: &mut Context<'_>) -> Poll<io::Result<Option<Protocol>>> {
        loop {
            if let Some(protocol) = agreed.or_else(|| Protocol::of(&self.ahead)) {
                self.line.speaks(protocol);
                return Poll::Ready(Ok(Some(protocol)));
            }
            if !ready!(self.poll_ahead(cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Waits until the client begins another request, whose first bytes are kept to be read again; says whether it does.
    ///
    /// # Errors
    ///
    /// Fails when the socket does, or when the client takes too long.
    pub fn poll_begins(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ahead.is_empty() { self.poll_ahead(cx) } else { Poll::Ready(Ok(true)) }
    }

    /// Lets the patrol wait for nothing while it is not known what the client speaks; whoever finds that out has an eye on the time.
    pub fn stays_unknown(&self) {
        self.line.guard.awaits(Awaits::Answer);
    }

    /// Lets the client take what is sent to it when it likes to, as it could if nobody stood in between.
    pub fn never_hurries(&self) {
        self.line.guard.never_hurries();
    }

    /// Ends that: the client speaks this, and has begun to.
    pub fn begins(&self, protocol: Protocol) {
        self.line.speaks(protocol);
        self.line.guard.awaits(Awaits::Head);
    }

    /// Returns what was read ahead.
    #[must_use]
    pub fn heard(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads something ahead, however long that takes; says whether there was more to read. Who waits is woken by a drain too.
    ///
    /// # Errors
    ///
    /// Fails when the socket does.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [std::mem::MaybeUninit::uninit(); 4096];
        let mut buf = ReadBuf::uninit(&mut room);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut buf);
        if read.is_pending() {
            // Whether it has waited for too long is for the caller to ask.
            let _ = self.line.guard.poll_expired(cx);
        }
        ready!(read)?;
        self.ahead.extend_from_slice(buf.filled());
        Poll::Ready(Ok(!buf.filled().is_empty()))
    }

    /// Closes the connection by a reset.
    pub fn reset(self) {
        self.socket.give_up();
    }

    /// Reads something ahead; says whether there was more to read.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self.poll_heard(cx) {
            Poll::Ready(Ok(more)) => {
                if more {
                    self.line.guard.awaits(Awaits::Head);
                }
                Poll::Ready(Ok(more))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.line.guard.poll_expired(cx) {
                Some(awaited) => Poll::Ready(Err(self.late(cx, awaited))),
                None => Poll::Pending,
            },
        }
    }

    /// Begins to pass bytes that are no HTTP; says whether it may: not in the middle of a write.
    #[must_use]
    pub fn begin_tunnel(&self) -> bool {
        self.line.tunnels(false);
        !self.mid_write
    }

    /// Ends that: [`AsyncWrite::poll_shutdown`] now throws away what the client still sends.
    pub fn end_tunnel(&self) {
        self.line.tunnels(true);
    }

    fn late(&mut self, cx: &mut Context<'_>, awaited: Awaits) -> io::Error {
        // Never into the middle of an earlier answer that the client is slow to take.
        if awaited == Awaits::Head && !self.mid_write && !self.line.is_multiplexed() {
            // Best effort: the client was too slow, and the connection closes in any case.
            let _ = Pin::new(&mut self.socket).poll_write(cx, TOO_LATE);
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        } else if awaited == Awaits::Answer {
            self.socket.give_up();
        }
        io::Error::new(io::ErrorKind::TimedOut, "the client took too long")
    }

    /// Takes what was read ahead, or reads.
    fn poll_take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let left = self.ahead.get(self.taken..).unwrap_or_default();
        let taken = left.len().min(buf.remaining());
        buf.put_slice(left.get(..taken).unwrap_or_default());
        self.taken += taken;
        if self.taken >= self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, asked: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.mid_write = !matches!(result, Poll::Ready(Ok(count)) if count == asked);
        self.line.guard.write_blocked(result.is_pending());
        if result.is_pending()
            && let Some(awaited) = self.line.guard.poll_expired(cx)
        {
            return Poll::Ready(Err(self.late(cx, awaited)));
        }
        result
    }

    /// Tells a client that it offends and closes, once it has had a chance to read that.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, offence: Offence) -> Poll<io::Error> {
        if !self.told && !self.mid_write {
            let _ = Pin::new(&mut self.socket).poll_write(cx, &goaway(offence.code()));
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        }
        self.told = true;
        // Whatever becomes of it, the connection ends.
        let _ = ready!(self.poll_farewell(cx));
        Poll::Ready(io::Error::other("the client sends what no client may"))
    }

    /// Ends sending, and throws away what the client still sends for a moment: closing with bytes unread would reset the
    /// connection, and the client might lose the answer (RFC 9112 section 9.6).
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.discarded.is_none() {
            if Pin::new(&mut self.socket).poll_shutdown(cx)?.is_pending() {
                // TLS has a last word to say, which the client may not take.
                if !self.line.is_tunnel() {
                    self.line.guard.awaits(Awaits::Farewell);
                }
                let expired = self.line.guard.poll_expired(cx).is_some();
                return if expired { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending };
            }
            if !self.line.is_mid_message() {
                return Poll::Ready(Ok(()));
            }
            self.line.guard.awaits(Awaits::Farewell);
        }
        let discarded = self.discarded.get_or_insert(0);
        let mut scrap = [std::mem::MaybeUninit::uninit(); 4096];
        while *discarded < MAX_DISCARDED {
            let mut buf = ReadBuf::uninit(&mut scrap);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => *discarded += buf.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending if self.line.guard.poll_expired(cx).is_none() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunked body is malformed")
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(offence) = this.line.offence() {
            return this.poll_goodbye(cx, offence).map(Err);
        }
        if this.malformed {
            return Poll::Ready(Err(malformed()));
        }
        let before = buf.filled().len();
        let read = this.poll_take(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => {
                if let Err(good) = this.line.saw(buf.filled().get(before..).unwrap_or(&[])) {
                    // What comes before it, such as a whole request, has its turn first. No byte at all would be taken for the end.
                    this.malformed = true;
                    buf.set_filled(before + good);
                    return if good == 0 { Poll::Ready(Err(malformed())) } else { read };
                }
                if this.line.offence().is_some() {
                    buf.set_filled(before);
                    // What was answered before it goes out first, at the end of this turn; the goodbye has the next one.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // A head that never ends is late however many bytes still come.
                if this.line.is_multiplexed()
                    && let Some(awaited) = this.line.guard.poll_expired(cx)
                {
                    return Poll::Ready(Err(this.late(cx, awaited)));
                }
            }
            Poll::Pending => {
                if let Some(awaited) = this.line.guard.poll_expired(cx) {
                    return Poll::Ready(Err(this.late(cx, awaited)));
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(cx, buf.len(), result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { socket, line, .. } = &mut *self;
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        let result = match line.gathered.gather(bufs) {
            Some(whole) => Pin::new(socket).poll_write(cx, &whole),
            None => Pin::new(socket).poll_write_vectored(cx, bufs),
        };
        self.wrote(cx, asked, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        // What TLS has encrypted waits here and not in a write. Whoever flushes has written all there is.
        match &flushed {
            Poll::Pending => ready!(self.wrote(cx, 0, Poll::Pending)).map(drop)?,
            Poll::Ready(Ok(())) => {
                self.mid_write = false;
                self.line.guard.write_blocked(false);
            }
            Poll::Ready(Err(_)) => {}
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_farewell(cx)
    }
}
