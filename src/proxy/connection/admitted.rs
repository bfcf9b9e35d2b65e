//! A connection that was let in: counted, and under patrol from its first moment.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::IpNet;
use tokio::net::TcpStream;

use crate::domain::version::Name;
use crate::proxy::certificates::TlsSlot;
use crate::proxy::patrol::{ConnectionGuard, Ticket};
use crate::proxy::pressure::Visitor;
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
    /// The service that gets every connection as it is, without HTTP.
    pub service: Option<Name>,
    /// Whether requests for another host than the one a TLS connection was made for are refused.
    pub one_host: bool,
}

impl Door {
    /// Says whether connections of this address begin with a PROXY header.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&address.to_canonical()))
    }
}

/// What keeps a connection counted and under patrol.
pub struct Hold {
    _ticket: Ticket,
    _open: Open,
    /// Absent for a source that may have as many connections as it likes.
    visitor: Option<Visitor>,
}

impl Hold {
    /// Counts the connection for the client that a trusted peer has made it for; says whether that may have one more.
    pub(super) fn stands_for(&mut self, client: IpAddr, worker: &Worker) -> bool {
        let admitted = visit(client, worker);
        let may = admitted.is_ok();
        self.visitor = admitted.unwrap_or(None);
        may
    }
}

/// Counts a connection of a source, if it is counted; fails when it has as many as it may.
fn visit(source: IpAddr, worker: &Worker) -> Result<Option<Visitor>, TooMany> {
    let rules = worker.rules();
    let most = rules.settings.per_source;
    if most == u32::MAX || rules.settings.trusted.iter().any(|net| net.contains(&source.to_canonical())) {
        return Ok(None);
    }
    worker.pressure.enter(source, most).map(Some).ok_or(TooMany)
}

/// A source has as many connections as it may.
#[derive(Debug)]
pub struct TooMany;

impl Admitted {
    /// Lets a connection in.
    ///
    /// # Errors
    ///
    /// Fails when its source has as many as it may; a network whose connections are made for others has no limit of its own.
    pub fn new(socket: TcpStream, remote: SocketAddr, door: &Door, worker: &Worker) -> Result<Self, TooMany> {
        let visitor = if door.is_proxy(remote.ip()) { None } else { visit(remote.ip(), worker)? };
        let (guard, ticket) = worker.patrol.connection();
        Ok(Self { socket, remote, guard, hold: Hold { _ticket: ticket, _open: Open::new(&worker.counters), visitor } })
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
