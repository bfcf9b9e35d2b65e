//! Collects what a connection writes in one turn, and writes it at once.
//!
//! HTTP/2 flushes after each frame of data that it does not copy, which makes a system call of each answer. Here a flush is taken at
//! its word at the end of the turn: whoever polls the connection calls [`Cork::release`] afterwards, and everything that was ready
//! in this turn goes out together. An answer waits for no other: what is collected leaves before the task gives way.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are collected; more is written as it comes.
const MOST_COLLECTED: usize = 32 * 1024;

/// The longest piece that is copied: a system call costs less than copying a longer one.
const LONGEST_COPIED: usize = 8 * 1024;

/// A worker's buffer for the connection whose turn it is: one that has nothing to write holds none.
#[derive(Clone, Debug, Default)]
pub struct Spare(Rc<RefCell<Vec<u8>>>);

/// What is shared by the socket that a protocol writes to and by whoever polls that protocol.
#[derive(Debug)]
pub struct Cork<W>(RefCell<Collected<W>>);

#[derive(Debug)]
struct Collected<W> {
    socket: W,
    /// What is to be written from `written` on.
    bytes: Vec<u8>,
    written: usize,
    /// Something was written that may wait below, as TLS does.
    unflushed: bool,
    /// Why a write failed that nobody was told of yet.
    failed: Option<io::Error>,
    spare: Spare,
}

impl<W: AsyncWrite + Unpin> Cork<W> {
    /// Puts a cork on a socket.
    #[must_use]
    pub fn new(socket: W, spare: Spare) -> Rc<Self> {
        let collected = Collected { socket, bytes: Vec::new(), written: 0, unflushed: false, failed: None, spare };
        Rc::new(Self(RefCell::new(collected)))
    }

    /// Writes what was collected. What the socket does not take yet is written once the caller, who is woken then, calls again.
    pub fn release(&self, cx: &mut Context<'_>) {
        let mut collected = self.0.borrow_mut();
        if let Poll::Ready(Err(error)) = collected.poll_release(cx) {
            collected.failed = Some(error);
            // The protocol is told when it next reads or writes.
            cx.waker().wake_by_ref();
        }
    }
}

impl<W: AsyncWrite + Unpin> Collected<W> {
    fn failure(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.written += count,
                Err(error) => {
                    self.put_back();
                    return Poll::Ready(Err(error));
                }
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        self.put_back();
        Poll::Ready(Ok(()))
    }

    /// Notes that something may wait below. Of a write that was not taken nothing does: a flush would say that the socket takes more.
    const fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.unflushed |= matches!(written, Poll::Ready(Ok(_)));
        written
    }

    fn put_back(&mut self) {
        self.written = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 0 {
            self.spare.0.replace(std::mem::take(&mut self.bytes));
        }
    }

    /// Makes room for so many bytes by writing what stands before them.
    fn poll_room(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<()>> {
        self.failure()?;
        if length > LONGEST_COPIED || self.bytes.len() + length > MOST_COLLECTED {
            return self.poll_release(cx);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = self.spare.0.take();
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket as a protocol sees it.
#[derive(Debug)]
pub struct Corked<W>(pub Rc<Cork<W>>);

impl<W: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut collected = self.0.0.borrow_mut();
        collected.failure()?;
        Pin::new(&mut collected.socket).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Corked<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut collected = self.0.0.borrow_mut();
        ready!(collected.poll_room(cx, bytes.len()))?;
        if bytes.len() > LONGEST_COPIED {
            let written = Pin::new(&mut collected.socket).poll_write(cx, bytes);
            return collected.wrote(written);
        }
        collected.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut collected = self.0.0.borrow_mut();
        let length = pieces.iter().map(|piece| piece.len()).sum();
        ready!(collected.poll_room(cx, length))?;
        if length > LONGEST_COPIED {
            let written = Pin::new(&mut collected.socket).poll_write_vectored(cx, pieces);
            return collected.wrote(written);
        }
        pieces.iter().for_each(|piece| collected.bytes.extend_from_slice(piece));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Takes note: [`Cork::release`] does it at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.0.borrow_mut().failure())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut collected = self.0.0.borrow_mut();
        collected.failure()?;
        ready!(collected.poll_release(cx))?;
        Pin::new(&mut collected.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A socket that takes as much as it is told to, and notes what each write brought.
    #[derive(Default)]
    struct Scripted {
        room: usize,
        writes: Vec<Vec<u8>>,
        flushes: usize,
        broken: bool,
        ended: bool,
    }

    impl AsyncWrite for Scripted {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.ended = true;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Scripted {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn corked(room: usize) -> (Corked<Scripted>, Rc<Cork<Scripted>>, Spare) {
        let spare = Spare::default();
        let cork = Cork::new(Scripted { room, ..Scripted::default() }, spare.clone());
        (Corked(Rc::clone(&cork)), cork, spare)
    }

    fn write(socket: &mut Corked<Scripted>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut *socket).poll_write(&mut cx, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            assert!(matches!(Pin::new(socket).poll_flush(&mut cx), Poll::Ready(Ok(()))));
        }
        written
    }

    fn written(cork: &Cork<Scripted>) -> Vec<u8> {
        cork.0.borrow().socket.writes.concat()
    }

    #[test]
    fn what_is_written_and_flushed_in_a_turn_leaves_in_one_write() {
        let (mut socket, cork, spare) = corked(usize::MAX);
        for piece in [&b"one"[..], b"two", b"three"] {
            assert!(matches!(write(&mut socket, piece), Poll::Ready(Ok(count)) if count == piece.len()));
        }
        let pieces = [b"four".as_slice(), b"five"].map(io::IoSlice::new);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut socket).poll_write_vectored(&mut cx, &pieces), Poll::Ready(Ok(8))));
        assert_eq!(cork.0.borrow().socket.writes.len(), 0);
        cork.release(&mut cx);
        assert_eq!((cork.0.borrow().socket.writes.as_slice(), cork.0.borrow().socket.flushes), (&[b"onetwothreefourfive".to_vec()][..], 1));
        assert_eq!(cork.0.borrow().bytes.capacity(), 0, "the buffer is the worker's again");
        assert!(spare.0.borrow().is_empty() && spare.0.borrow().capacity() > 0);
        cork.release(&mut cx);
        assert_eq!(cork.0.borrow().socket.flushes, 1, "nothing to write is nothing to flush");
    }

    #[test]
    fn order_is_kept_whatever_the_socket_takes() {
        let (mut socket, cork, _) = corked(0);
        let mut cx = Context::from_waker(Waker::noop());
        let mut sent = Vec::new();
        for (turn, length) in [10, 9_000, 1, 8_192, 20_000, 40_000, 3, 8_193, 100].into_iter().cycle().take(200).enumerate() {
            let piece: Vec<u8> = (0..length).map(|at| ((at * 7 + turn) % 251) as u8).collect();
            let mut left = piece.as_slice();
            while !left.is_empty() {
                match write(&mut socket, left) {
                    Poll::Ready(Ok(count)) => left = &left[count..],
                    Poll::Ready(Err(error)) => panic!("{error}"),
                    Poll::Pending => cork.0.borrow_mut().socket.room += 777 * (1 + turn % 13),
                }
            }
            sent.extend_from_slice(&piece);
            assert!(cork.0.borrow().bytes.len() <= MOST_COLLECTED);
            if turn % 3 == 0 {
                cork.0.borrow_mut().socket.room += turn * 100;
                cork.release(&mut cx);
            }
        }
        cork.release(&mut cx);
        cork.0.borrow_mut().socket.room = 0;
        assert!(write(&mut socket, b"the last").is_ready());
        sent.extend_from_slice(b"the last");
        assert!(Pin::new(&mut socket).poll_shutdown(&mut cx).is_pending(), "what was collected comes before the end");
        assert!(!cork.0.borrow().socket.ended);
        cork.0.borrow_mut().socket.room = usize::MAX;
        assert!(matches!(Pin::new(&mut socket).poll_shutdown(&mut cx), Poll::Ready(Ok(()))));
        assert!(cork.0.borrow().socket.ended && written(&cork) == sent);
    }

    #[test]
    fn a_piece_that_the_socket_does_not_take_is_not_followed_by_a_flush() {
        let (mut socket, cork, _) = corked(0);
        let mut cx = Context::from_waker(Waker::noop());
        let large = vec![b'x'; LONGEST_COPIED + 1];
        assert!(write(&mut socket, &large).is_pending());
        cork.release(&mut cx);
        assert_eq!(cork.0.borrow().socket.flushes, 0);
        cork.0.borrow_mut().socket.room = 100;
        assert!(matches!(write(&mut socket, &large), Poll::Ready(Ok(100))));
        cork.release(&mut cx);
        assert_eq!(cork.0.borrow().socket.flushes, 1);
    }

    #[test]
    fn a_write_that_fails_later_is_told_once_and_nothing_is_written_after_it() {
        let (mut socket, cork, _) = corked(0);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(write(&mut socket, b"lost").is_ready());
        cork.0.borrow_mut().socket.broken = true;
        cork.release(&mut cx);
        let mut room = [0; 8];
        let read = Pin::new(&mut socket).poll_read(&mut cx, &mut ReadBuf::new(&mut room));
        assert!(matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
        assert!(Pin::new(&mut socket).poll_read(&mut cx, &mut ReadBuf::new(&mut room)).is_pending());
        assert_eq!(written(&cork), b"");
    }
}
