//! A connection to where a redirected one was going, for what is no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::intercept::aim::{Interception, Noted, Refused};
use crate::proxy::plain::{GiveUp, Remote};

/// How long a connection is silent before its other side is asked whether it is still there, how long after that again, and how often
/// before it is taken for gone.
const ASKED_AFTER: Duration = Duration::from_secs(60);
const ASKED_AGAIN: Duration = Duration::from_secs(15);
const ASKED_TIMES: u32 = 4;

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
    keep_alive(SockRef::from(&socket));
    let far = Far { socket, _noted: interception.note(near, aim) };
    // Nothing passes before this: whoever has made the connection from `remote` has noted it before it sent a byte.
    if interception.is_ours(remote, aim) { Err(Refused::Loop) } else { Ok(far) }
}

/// Lets the system ask the other side of a silent connection whether it is still there: whoever is gone without a word, as a machine without
/// power is, would hold a tunnel for an hour otherwise.
pub fn keep_alive(socket: SockRef<'_>) {
    // Failing to set it costs only that.
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ASKED_AFTER).with_interval(ASKED_AGAIN).with_retries(ASKED_TIMES));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn who_is_gone_without_a_word_is_found_out_after_two_minutes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (aim, remote) = (listener.local_addr().unwrap(), "192.0.2.7:4711".parse().unwrap());
        let dialed = dial(Interception::by_kernel(Vec::new()), aim, Remote::Address(remote), Duration::from_secs(10)).await;
        let far = dialed.unwrap_or_else(|refused| panic!("{refused:?}"));
        let socket = SockRef::from(&far.socket);
        assert!(socket.keepalive().unwrap());
        let (time, interval) = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!(time + interval * socket.tcp_keepalive_retries().unwrap(), Duration::from_secs(120));
    }
}
