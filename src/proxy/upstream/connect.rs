//! One HTTP/1.1 connection to an endpoint: the socket, and what was read from it and not yet used.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::Failure;
use crate::proxy::plain::Plain;
use crate::proxy::upstream::socket::Socket;

/// The buffer all connections of a worker read into; what was read is split off it, so that an idle connection holds none.
pub type Scratch = Rc<RefCell<BytesMut>>;

/// How much is read at once at most, and how little room is left before the scratch buffer is renewed, in bytes.
const SCRATCH: usize = 128 * 1024;
const LEAST: usize = 16 * 1024;

/// One connection. Dropping it closes it at once, whatever is still on its way.
pub struct Link {
    pub(super) socket: Socket,
    /// Bytes read and not yet used.
    pub(super) unread: Bytes,
    /// How much is read at once at most.
    pub(super) most: usize,
    /// The last answer had no content by rule, but its sender may think otherwise: a body may be on its way.
    pub(super) doubtful: bool,
    scratch: Scratch,
}

impl Link {
    /// Begins with a fresh connection.
    pub(super) fn new(socket: Socket, scratch: &Scratch) -> Self {
        Self { socket, unread: Bytes::new(), most: SCRATCH, doubtful: false, scratch: Rc::clone(scratch) }
    }

    /// Reads more into `unread`; 0 when the endpoint has ended.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.unread.is_empty() {
            self.forget();
        }
        let mut scratch = self.scratch.borrow_mut();
        // When nobody holds a piece of it any more, it begins again at its start, which the processor has at hand.
        if !scratch.try_reclaim(SCRATCH) && scratch.capacity() - scratch.len() < LEAST {
            scratch.reserve(SCRATCH);
        }
        let most = self.most.min(SCRATCH);
        let read = ready!(pin!(self.socket.read_buf(&mut (&mut *scratch).limit(most))).poll(cx))?;
        let fresh = scratch.split().freeze();
        self.unread = if self.unread.is_empty() { fresh } else { [self.unread.as_ref(), &fresh].concat().into() };
        Poll::Ready(Ok(read))
    }

    /// Lets go of the shared buffer: even an empty piece of it keeps all of it alive.
    pub(super) fn forget(&mut self) {
        self.unread = Bytes::new();
    }

    /// Says whether an idle connection is fit for a request: open, and silent as it must be.
    ///
    /// For a request that may be repeated, what the runtime knows suffices and costs no system call. For any other the kernel
    /// is asked, because the runtime may not know yet that the connection has ended, and the request would be lost. It is asked
    /// too when the last answer's body may have come late, because that would be taken for the next answer.
    pub(super) fn is_fit(&mut self, repeatable: bool) -> bool {
        self.unread.is_empty() && self.socket.is_silent(!repeatable || self.doubtful)
    }
}

/// Connects, without encryption so far.
///
/// # Errors
///
/// Returns who failed and how: the upstream when it refuses, the proxy when it has no descriptor or port left.
pub async fn connect(endpoint: &Endpoint) -> Result<Plain, Failure> {
    let connected = match endpoint {
        Endpoint::Address(address) => TcpStream::connect(address).await.map(|socket| {
            // Without it small writes may wait for an acknowledgement; failing to set it costs only that.
            let _ = socket.set_nodelay(true);
            Plain::Tcp(socket)
        }),
        Endpoint::Socket(path) => UnixStream::connect(path).await.map(Plain::Unix),
        // Names are resolved before, and slices watched.
        Endpoint::Name { .. } | Endpoint::Slices(_) => return Err(Failure::NoEndpoint),
    };
    connected.map_err(|error| failure_of(&error))
}

fn failure_of(error: &Error) -> Failure {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory, _) | (_, Some(EMFILE | ENFILE | ENOBUFS)) => Failure::ProxyExhausted,
        (ErrorKind::TimedOut, _) => Failure::ConnectionTimeout,
        (ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted, _) => Failure::ConnectionTerminated,
        _ => Failure::ConnectionRefused,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_that_ended_or_spoke_is_unfit_before_the_runtime_knows() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        // From the last await of each turn on the runtime learns nothing.
        for end in [|_: &mut std::net::TcpStream| (), |peer: &mut std::net::TcpStream| peer.write_all(b"HTTP/1.1 200 OK").unwrap()] {
            let socket = connect(&Endpoint::Address(address)).await.unwrap();
            let mut link = Link::new(Socket::Plain(socket), &Scratch::default());
            let mut peer = listener.accept().unwrap().0;
            assert!(link.is_fit(false));
            end(&mut peer);
            drop(peer);
            assert!(!link.is_fit(false));
            link.doubtful = true;
            assert!(!link.is_fit(true));
        }
    }
}
