//! A socket of the kernel, TCP or Unix, and where its other end is.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A socket without encryption, or under it.
#[derive(Debug)]
pub enum Plain {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A socket that belongs to no runtime, on its way from one to another. It does not block.
#[derive(Debug)]
pub enum Loose {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Loose {
    /// Gives it to the runtime within which this is called.
    ///
    /// # Errors
    ///
    /// Fails when the runtime cannot have it.
    pub fn fasten(self) -> io::Result<Plain> {
        match self {
            Self::Tcp(socket) => TcpStream::from_std(socket).map(Plain::Tcp),
            Self::Unix(socket) => UnixStream::from_std(socket).map(Plain::Unix),
        }
    }
}

/// Where a client's connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// An address of a network.
    Address(SocketAddr),
    /// A process of this machine, over a Unix socket: it has no address, and who it is nobody knows.
    Unix,
}

impl Remote {
    /// Returns the IP address, where there is one.
    #[must_use]
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// A connection that can be given up: whoever is at its other end learns that what came is not all there was.
pub trait GiveUp {
    /// Lets it be reset when it is closed. What the other side has not taken by then is lost.
    fn give_up(&self);
}

impl GiveUp for Plain {
    fn give_up(&self) {
        // Where that fails, it is closed as ever.
        let _ = self.as_socket().set_linger(Some(Duration::ZERO));
    }
}

impl Plain {
    /// Takes it out of its runtime.
    ///
    /// # Errors
    ///
    /// Fails when the runtime does not let go of it.
    pub fn loosen(self) -> io::Result<Loose> {
        match self {
            Self::Tcp(socket) => socket.into_std().map(Loose::Tcp),
            Self::Unix(socket) => socket.into_std().map(Loose::Unix),
        }
    }

    /// Says whether nothing was heard, and the other side has not ended either.
    ///
    /// What the runtime knows costs no system call; asking the kernel does, but the runtime may not know yet what has come.
    pub fn is_silent(&self, ask_the_kernel: bool) -> bool {
        let heard = match (self, ask_the_kernel) {
            (Self::Tcp(socket), false) => socket.try_read(&mut [0]),
            (Self::Unix(socket), false) => socket.try_read(&mut [0]),
            (_, true) => self.as_socket().peek(&mut [MaybeUninit::uninit()]),
        };
        matches!(heard, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Returns it for what the kernel does with any socket.
    pub fn as_socket(&self) -> socket2::SockRef<'_> {
        match self {
            Self::Tcp(socket) => socket2::SockRef::from(socket),
            Self::Unix(socket) => socket2::SockRef::from(socket),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel's sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
