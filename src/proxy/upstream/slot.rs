//! One endpoint as one worker sees it: its idle connections (the one used last is used next), how many requests it has, and
//! how quickly it answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::proxy::patrol::ROUND;
use crate::proxy::settings::{POOL_IDLE, POOL_SIZE};
use crate::proxy::upstream::balance::Estimate;
use crate::proxy::upstream::connect::Link;
use crate::proxy::upstream::dial::Conduit;
use crate::proxy::upstream::http2::lanes::Lanes;
use crate::seam::reach::{Place, Reach};

struct Idle {
    link: Link,
    /// After how many more sweeps it is stale.
    sweeps: u32,
}

/// Returns how many sweeps make a connection stale after this time: one comes with every round of the patrol.
const fn sweeps(rest: Duration) -> u32 {
    (rest.as_millis() / ROUND.as_millis()) as u32
}

/// One endpoint of one worker.
pub struct Slot {
    place: Arc<Place>,
    idle: RefCell<Vec<Idle>>,
    /// Connections that carry many requests at once.
    lanes: Lanes,
    in_flight: Cell<u32>,
    estimate: Cell<Estimate>,
}

impl Slot {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, idle: RefCell::default(), lanes: Lanes::default(), in_flight: Cell::new(0), estimate: Cell::default() }
    }

    /// Returns what all workers know of it.
    pub(super) const fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Returns the cost of one more request.
    pub(super) fn cost(&self, now: Timestamp) -> f64 {
        self.estimate.get().cost(now, self.in_flight.get())
    }

    /// Returns the connections that carry many requests at once.
    pub(super) const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Takes a place on a shared connection, or an idle one that is ready for a request; stale ones are swept away before.
    ///
    /// One that is not ready has not finished its last exchange, such as a request whose end the endpoint never read;
    /// waiting for it could take for ever.
    pub fn checkout(&self, repeatable: bool, multiplexes: bool) -> Option<Conduit> {
        if multiplexes && let Some(berth) = self.lanes.take() {
            return Some(Conduit::Http2(berth));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(mut entry) = idle.pop() {
            if entry.link.is_fit(repeatable) {
                return Some(Conduit::Http1(entry.link));
            }
        }
        None
    }

    /// Takes a connection back after a whole exchange; it may rest here for so long, [`POOL_IDLE`] at most.
    pub fn give_back(&self, link: Link, rest: Duration) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < POOL_SIZE {
            idle.push(Idle { link, sweeps: sweeps(rest.min(POOL_IDLE)) });
        }
    }

    pub(super) fn sweep(&self) {
        self.lanes.sweep();
        self.idle.borrow_mut().retain_mut(|entry| {
            let stale = entry.sweeps == 0;
            entry.sweeps = entry.sweeps.saturating_sub(1);
            !stale && entry.link.is_fit(true)
        });
    }
}

/// How many requests a version holds at one worker, and how many connections are being made for them.
#[derive(Default)]
pub(super) struct Load {
    pub(super) requests: Cell<u32>,
    pub(super) opening: Cell<u32>,
}

fn add(count: &Cell<u32>, more: i32) {
    count.set(count.get().saturating_add_signed(more));
}

/// A request's seat at an endpoint, from the choice of it to the end of the exchange.
pub struct Seat {
    slot: Rc<Slot>,
    load: Rc<Load>,
}

impl Seat {
    pub(super) fn take(slot: &Rc<Slot>, load: &Rc<Load>) -> Self {
        add(&slot.in_flight, 1);
        add(&load.requests, 1);
        Self { slot: Rc::clone(slot), load: Rc::clone(load) }
    }

    /// Returns the endpoint.
    pub const fn slot(&self) -> &Rc<Slot> {
        &self.slot
    }

    /// Counts a connection that is being made for it, for as long as what is returned is kept.
    pub(super) fn opening(&self) -> Opening {
        add(&self.load.opening, 1);
        Opening(Rc::clone(&self.load))
    }

    /// Notes the head of the answer; `began` is known where there is a choice.
    pub(super) fn answered(&self, reach: &Reach, status: u16, began: Option<Timestamp>, now: impl Fn() -> Timestamp) {
        if let Some(began) = began {
            let now = now();
            self.slot.estimate.set(self.slot.estimate.get().answer(now, now.since(began)));
        }
        match status {
            500..=599 => reach.erred(&self.slot.place, now()),
            _ if self.slot.place.is_spotless() => {}
            _ => reach.answered(&self.slot.place, now()),
        }
    }

    /// Notes a failure; what is not the endpoint's says nothing of it.
    pub(super) fn failed(&self, reach: &Reach, failure: Failure, now: Timestamp) {
        match failure {
            Failure::ConnectionRefused
            | Failure::ConnectionTimeout
            | Failure::TlsCertificate
            | Failure::TlsHandshake
            | Failure::ConnectionTerminated
            | Failure::ResponseTimeout => {
                reach.failed(&self.slot.place, now);
            }
            // It answers, however badly.
            Failure::ResponseInvalid | Failure::ResponseInformational => reach.erred(&self.slot.place, now),
            _ => {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        add(&self.slot.in_flight, -1);
        add(&self.load.requests, -1);
    }
}

/// A connection that is being made.
pub(super) struct Opening(Rc<Load>);

impl Drop for Opening {
    fn drop(&mut self) {
        add(&self.0.opening, -1);
    }
}
