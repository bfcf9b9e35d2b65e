//! A connection to an endpoint that carries bytes of a protocol nobody here looks at: after a 101, or from its beginning.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::domain::outcome::Failure;
use crate::proxy::plain::GiveUp;
use crate::proxy::upstream::connect::Link;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::slot::Seat;
use crate::proxy::upstream::socket::Socket;
use crate::seam::reach::Again;

/// The version's end of a tunnel. Dropping it closes the connection.
pub struct Tunnel {
    socket: Socket,
    /// What came right behind the head of the answer.
    unread: Bytes,
    /// It counts as a request of its endpoint for as long as it is open.
    _seat: Seat,
}

impl Tunnel {
    pub(super) fn new(link: Link, seat: Seat) -> Self {
        // A copy, so that the buffer all connections read into is not held for as long as the tunnel is open.
        Self { unread: Bytes::copy_from_slice(&link.unread), socket: link.socket, _seat: seat }
    }
}

/// Connects to an endpoint of a version, and to another one where the first cannot be connected to and the version's budget of
/// retries allows it.
///
/// # Errors
///
/// Returns who failed and how.
pub async fn open(pool: &Rc<Pool>, limit: Duration) -> Result<Tunnel, Failure> {
    pool.request();
    let (mut seat, mut began) = pool.choose(None)?;
    let mut got = connect(pool, &seat, limit).await;
    if let Err(Failure::ConnectionRefused | Failure::ConnectionTimeout) = got
        && pool.has_other(seat.slot())
        && pool.may_retry()
        && let Ok((other, now)) = pool.choose(Some(seat.slot()))
    {
        pool.tried_again(Again::Connect);
        (seat, began) = (other, now);
        got = connect(pool, &seat, limit).await;
    }
    let link = got?;
    seat.answered(pool.reach(), 101, began, || pool.now());
    Ok(Tunnel::new(link, seat))
}

async fn connect(pool: &Pool, seat: &Seat, limit: Duration) -> Result<Link, Failure> {
    let got = pool.connect_alone(seat, limit).await;
    if let Err(failure) = got {
        seat.failed(pool.reach(), failure, pool.now());
    }
    got
}

impl GiveUp for Tunnel {
    fn give_up(&self) {
        self.socket.give_up();
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(self.unread.get(..length).unwrap_or_default());
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
