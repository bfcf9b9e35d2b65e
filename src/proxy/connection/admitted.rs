//! A connection that was let in: counted, and under patrol from its first moment.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::proxy::patrol::{ConnectionGuard, Ticket};
use crate::proxy::plain::{Plain, Remote};
use crate::proxy::pressure::Visitor;
use crate::proxy::spread::Seat;
use crate::proxy::worker::{Counters, DoorSetup, Worker};

/// A connection that was let in.
pub struct Admitted {
    pub(super) socket: Plain,
    pub(super) remote: Remote,
    pub(super) guard: Rc<ConnectionGuard>,
    pub(super) hold: Hold,
}

/// What all connections of a listener have in common.
pub struct Door {
    /// Which of the configured listeners it is, from 0.
    pub index: usize,
    /// Its port, 0 where it has none.
    pub port: u16,
    /// What is particular to it.
    pub setup: DoorSetup,
}

impl Door {
    /// Says whether connections from there begin with a PROXY header.
    pub(super) fn is_proxy(&self, remote: Remote) -> bool {
        match remote.ip() {
            Some(address) => self.setup.proxies.iter().any(|net| net.contains(&address.to_canonical())),
            None => self.setup.proxied_socket,
        }
    }
}

/// What keeps a connection counted and under patrol.
pub struct Hold {
    _ticket: Ticket,
    _open: Open,
    _seat: Seat,
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
    /// Fails when its source has as many as it may. A network whose connections are made for others has no limit of its own, who comes
    /// over a Unix socket is nobody that could be told from another, and redirected connections are all of one machine.
    pub fn new(socket: Plain, remote: Remote, door: &Door, seat: Seat, worker: &Worker) -> Result<Self, TooMany> {
        let visitor = match remote.ip().filter(|_| door.setup.intercepted.is_none() && !door.is_proxy(remote)) {
            Some(source) => visit(source, worker)?,
            None => None,
        };
        let (guard, ticket) = worker.patrol.connection();
        Ok(Self { socket, remote, guard, hold: Hold { _ticket: ticket, _open: Open::new(&worker.counters), _seat: seat, visitor } })
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
