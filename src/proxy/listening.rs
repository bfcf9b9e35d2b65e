//! A listening socket, TCP or Unix: as it is handed around, and while a worker accepts from it.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use crate::domain::address::Address;
use crate::proxy::plain::{Plain, Remote};

/// A listening socket.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A listening socket of a worker.
#[derive(Debug)]
pub struct Listening {
    /// Which of the configured listeners it belongs to, from 0.
    pub door: usize,
    /// The socket.
    pub socket: Bound,
}

/// A listening socket within a worker's runtime.
pub enum Accepting {
    /// TCP.
    Tcp(tokio::net::TcpListener),
    /// A Unix socket.
    Unix(tokio::net::UnixListener),
}

impl Bound {
    /// Takes a socket that another process has bound to an address of this kind.
    #[must_use]
    pub fn of(asked: &Address, socket: OwnedFd) -> Self {
        match asked {
            Address::Ip(_) => Self::Tcp(socket.into()),
            Address::Socket(_) => Self::Unix(socket.into()),
        }
    }

    /// Returns where it listens.
    ///
    /// # Errors
    ///
    /// Fails when the system does not tell, and for a Unix socket without a path, where nobody could find it.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::Ip),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().ok_or_else(|| io::Error::other("a Unix socket has no path"))?;
                Ok(Address::Socket(path.to_owned()))
            }
        }
    }

    /// Returns another handle of the same socket.
    ///
    /// # Errors
    ///
    /// Fails when the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Accepts a connection that the kernel has already let in; call within a runtime. The socket must not block.
    ///
    /// # Errors
    ///
    /// Fails when there is none, or when it is gone again.
    pub fn accept(&self) -> io::Result<(Plain, Remote)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, remote) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Plain::Tcp(tokio::net::TcpStream::from_std(stream)?), Remote::Address(remote)))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Plain::Unix(tokio::net::UnixStream::from_std(stream)?), Remote::Unix))
            }
        }
    }

    /// Begins to accept within the runtime.
    ///
    /// # Errors
    ///
    /// Fails when the runtime cannot have it.
    pub fn accepting(self) -> io::Result<Accepting> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(socket).map(Accepting::Tcp)
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(socket).map(Accepting::Unix)
            }
        }
    }
}

impl From<TcpListener> for Listening {
    /// Belongs to the first listener.
    fn from(socket: TcpListener) -> Self {
        Self { door: 0, socket: Bound::Tcp(socket) }
    }
}

impl From<UnixListener> for Listening {
    /// Belongs to the first listener.
    fn from(socket: UnixListener) -> Self {
        Self { door: 0, socket: Bound::Unix(socket) }
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Accepting {
    /// Accepts the next connection.
    ///
    /// The kernel spreads the connections of an address over its workers' sockets. Of a Unix socket there is one, which wakes
    /// every worker that has nothing to do; each takes one connection and lets the others have their turn, so that none takes all.
    pub async fn accept(&self) -> io::Result<(Plain, Remote)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, remote) = socket.accept().await?;
                Ok((Plain::Tcp(stream), Remote::Address(remote)))
            }
            Self::Unix(socket) => {
                tokio::task::yield_now().await;
                let (stream, _) = socket.accept().await?;
                Ok((Plain::Unix(stream), Remote::Unix))
            }
        }
    }

    /// Returns the port it listens on, 0 where there is none.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(socket) => socket.local_addr().map_or(0, |address| address.port()),
            Self::Unix(_) => 0,
        }
    }

    /// Leaves the runtime.
    ///
    /// # Errors
    ///
    /// Fails when the runtime does not let go of it.
    pub fn into_bound(self) -> io::Result<Bound> {
        match self {
            Self::Tcp(socket) => socket.into_std().map(Bound::Tcp),
            Self::Unix(socket) => socket.into_std().map(Bound::Unix),
        }
    }
}
