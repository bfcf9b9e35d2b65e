//! What the socket and the service of one connection share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::proxy::patrol::{Awaits, ConnectionGuard};
use crate::proxy::sanitise::WireNotes;
use crate::proxy::scan::{Flood, FrameScan, HeadScan, Offence};
use crate::proxy::wire::gathered::Gathered;
use crate::proxy::wire::preface::Protocol;

/// What the socket and the service of one connection share.
#[derive(Debug)]
pub struct Line {
    /// Where small writes are gathered; the worker's.
    pub(super) gathered: Gathered,
    /// The connection under patrol.
    pub(super) guard: Rc<ConnectionGuard>,
    scan: RefCell<Scan>,
    offence: Cell<Option<Offence>>,
}

#[derive(Debug)]
enum Scan {
    Heads(HeadScan),
    Frames(Box<FrameScan>),
    /// What passes is no HTTP any more; `ended` once nobody reads it.
    Tunnel {
        ended: bool,
    },
}

impl Line {
    /// Begins a connection whose protocol is HTTP/1 until [`Line::speaks`] says otherwise.
    #[must_use]
    pub fn new(gathered: Gathered, guard: Rc<ConnectionGuard>) -> Self {
        Self { gathered, guard, scan: RefCell::new(Scan::Heads(HeadScan::default())), offence: Cell::new(None) }
    }

    /// Returns the connection under patrol.
    #[must_use]
    pub const fn guard(&self) -> &Rc<ConnectionGuard> {
        &self.guard
    }

    /// Sets which protocol the client speaks, before any of its bytes was looked at.
    pub fn speaks(&self, protocol: Protocol) {
        if protocol == Protocol::Http2 {
            *self.scan.borrow_mut() = Scan::Frames(Box::new(FrameScan::new(self.guard.round())));
        }
    }

    /// Returns the notes on the next head that was read in full.
    pub fn take_notes(&self) -> WireNotes {
        match &mut *self.scan.borrow_mut() {
            Scan::Heads(heads) => heads.take(),
            Scan::Frames(_) | Scan::Tunnel { .. } => WireNotes::default(),
        }
    }

    /// Notes that the body of the current request is over.
    pub fn body_ends(&self) {
        if let Scan::Heads(heads) = &mut *self.scan.borrow_mut() {
            heads.body_ends();
        }
    }

    /// Looks at bytes as they were read; the error says how many of them come before a chunked body that is none.
    pub(super) fn saw(&self, fresh: &[u8]) -> Result<(), usize> {
        if fresh.is_empty() {
            return Ok(());
        }
        match &mut *self.scan.borrow_mut() {
            Scan::Tunnel { .. } => Ok(()),
            Scan::Heads(heads) => {
                if self.guard.awaited() != Awaits::Answer {
                    self.guard.awaits(Awaits::Head);
                }
                heads.feed(fresh)
            }
            Scan::Frames(frames) => {
                let began = frames.is_begun();
                let fed = frames.feed(fresh, self.guard.round());
                if frames.is_begun() && !began {
                    self.guard.known_to_multiplex();
                }
                self.guard.head_open(frames.is_in_block());
                let fed = if self.guard.is_fickle() { Err(Offence::Flood(Flood::Reset)) } else { fed };
                self.offence.set(fed.err());
                Ok(())
            }
        }
    }

    /// Says why the connection must end although its parser finds nothing wrong, if it must.
    #[must_use]
    pub const fn offence(&self) -> Option<Offence> {
        self.offence.get()
    }

    /// Says whether the client may still be sending something that nobody will read.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        match &*self.scan.borrow() {
            Scan::Heads(heads) => heads.is_mid_message(),
            Scan::Frames(_) => true,
            Scan::Tunnel { ended } => *ended,
        }
    }

    /// Looks at nothing any more, and waits for nothing but that the client takes what is sent; until the tunnel has ended, when what
    /// still comes is thrown away.
    pub(super) fn tunnels(&self, ended: bool) {
        *self.scan.borrow_mut() = Scan::Tunnel { ended };
        self.guard.awaits(Awaits::Answer);
    }

    /// Says whether it is a tunnel that has not ended: sending may then end while the client's bytes still pass.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(&*self.scan.borrow(), Scan::Tunnel { ended: false })
    }

    /// Says whether its client speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        matches!(&*self.scan.borrow(), Scan::Frames(_))
    }
}
