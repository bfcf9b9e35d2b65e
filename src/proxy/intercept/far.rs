//! A connection to where a redirected one was going, for what is no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::intercept::aim::{Interception, Noted, Refused};
use crate::proxy::plain::{GiveUp, Remote};

/// A connection to where a redirected one was going. Dropping it closes it.
pub struct Far {
    socket: TcpStream,
    _noted: Noted,
}

/// Connects to where the connection from `remote` was going.
///
/// # Errors
///
/// Says why there is none: nobody is there, or `remote` is this process itself, which must not answer itself again and again.
pub async fn dial(interception: Interception, aim: SocketAddr, remote: Remote, limit: Duration) -> Result<Far, Refused> {
    let connected = tokio::time::timeout(limit, TcpStream::connect(aim)).await;
    let socket = connected.ok().and_then(Result::ok).ok_or(Refused::Unreachable)?;
    let near = socket.local_addr().map_err(|_| Refused::Unreachable)?;
    // Without it small writes may wait for an acknowledgement; failing to set it costs only that.
    let _ = socket.set_nodelay(true);
    let far = Far { socket, _noted: interception.note(near, aim) };
    // Nothing passes before this: whoever has made the connection from `remote` has noted it before it sent a byte.
    if interception.is_ours(remote, aim) { Err(Refused::Loop) } else { Ok(far) }
}

impl Far {
    /// Waits until it has something to say, or ends.
    pub fn poll_speaks(&self, cx: &mut Context<'_>) -> Poll<()> {
        // What the runtime thinks may be from before the connection was made; the kernel knows.
        self.socket.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(drop)
    }
}

impl GiveUp for Far {
    fn give_up(&self) {
        // Where that fails, it is closed as ever.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for Far {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Far {
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
