//! A connection that was let in: counted, and under patrol from its first moment.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::IpNet;
use tokio::net::TcpStream;

use crate::proxy::certificates::TlsSlot;
use crate::proxy::patrol::{ConnectionGuard, Ticket};
use crate::proxy::worker::{Counters, Worker};

/// A connection that was let in.
pub struct Admitted {
    pub(super) socket: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) guard: Rc<ConnectionGuard>,
    pub(super) hold: Hold,
}

/// What all connections of a listener have in common.
pub struct Door {
    /// Its port.
    pub port: u16,
    /// How it is encrypted, if it is.
    pub tls: Option<TlsSlot>,
    /// The networks whose connections begin with a PROXY header.
    pub proxies: Vec<IpNet>,
}

/// What keeps a connection counted and under patrol.
pub struct Hold {
    _ticket: Ticket,
    _open: Open,
}

impl Admitted {
    /// Lets a connection in.
    #[must_use]
    pub fn new(socket: TcpStream, remote: SocketAddr, worker: &Worker) -> Self {
        let (guard, ticket) = worker.patrol.connection();
        Self { socket, remote, guard, hold: Hold { _ticket: ticket, _open: Open::new(&worker.counters) } }
    }
}

/// Counts a connection for as long as it is open.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
