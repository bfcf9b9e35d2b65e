//! The socket of a connection to an endpoint, whatever it is made of.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::proxy::plain::{GiveUp, Plain};

/// The socket of a connection to an endpoint.
#[derive(Debug)]
pub enum Socket {
    /// Without encryption.
    Plain(Plain),
    /// With TLS; larger, and rarer where most is plain.
    Tls(Box<TlsStream<Plain>>),
}

impl Socket {
    /// Says whether what is written is encrypted first.
    pub const fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Says whether no byte for a request was heard, and the other side has not ended either.
    ///
    /// TLS has things of its own to say between requests, such as new tickets (RFC 8446 section 4.6). They are taken in here, straight
    /// from the kernel, because a byte read to look whether there is one would be missing from the stream.
    pub fn is_silent(&mut self, ask_the_kernel: bool) -> bool {
        let stream = match self {
            Self::Plain(socket) => return socket.is_silent(ask_the_kernel),
            Self::Tls(stream) => stream,
        };
        let (socket, tls) = stream.get_mut();
        let kernel = socket.as_socket();
        loop {
            let read = tls.read_tls(&mut &*kernel);
            match read {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            match tls.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                Ok(_) | Err(_) => return false,
            }
        }
        // Read before and left there: the last answer's reader has taken all that is its own.
        tls.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }
}

impl GiveUp for Socket {
    fn give_up(&self) {
        match self {
            Self::Plain(socket) => socket.give_up(),
            Self::Tls(socket) => socket.get_ref().0.give_up(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
