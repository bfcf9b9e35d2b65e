//! The worker's patrol: a round every 100 ms that ends what has taken too long, so that no request needs a timer of its own.
//!
//! Whoever makes progress writes the number of the current round, a plain store; the patrol compares. A time-out is therefore
//! late by at most one round.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;

use crate::domain::outcome::Failure;
use crate::domain::timeouts::Timeouts;

/// The time between two rounds.
pub const ROUND: Duration = Duration::from_millis(100);

/// How many rounds a connection that we closed waits for the client to stop sending, so that it can read our last answer.
const LINGER: u32 = 10;

/// Limits in rounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    response: u32,
    body_idle: u32,
    header: u32,
    keep_alive: u32,
    write_stall: u32,
}

impl Limits {
    /// Converts time-outs into rounds, rounded up.
    #[must_use]
    pub fn new(timeouts: &Timeouts) -> Self {
        let rounds = |d: Duration| u32::try_from(d.as_millis().div_ceil(ROUND.as_millis())).unwrap_or(u32::MAX);
        Self {
            response: rounds(timeouts.response),
            body_idle: rounds(timeouts.body_idle),
            header: rounds(timeouts.header),
            keep_alive: rounds(timeouts.keep_alive),
            write_stall: rounds(timeouts.write_stall),
        }
    }
}

/// Where the transfer of a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Nothing to wait for: not begun, or done.
    Idle,
    /// The sender was asked for more and has not delivered.
    Waiting,
    /// More is there, but the receiver has not asked for it.
    Held,
}

/// One request under patrol.
#[derive(Debug)]
pub struct RequestGuard {
    round: Rc<Cell<u32>>,
    upload: Cell<Transfer>,
    upload_round: Cell<u32>,
    download: Cell<Transfer>,
    download_round: Cell<u32>,
    answered: Cell<bool>,
    expired: Cell<Option<Failure>>,
    waker: RefCell<Option<Waker>>,
}

impl RequestGuard {
    /// Notes where the upload stands; any call is progress.
    pub fn upload(&self, state: Transfer) {
        if state != Transfer::Waiting || self.upload.get() != Transfer::Waiting {
            self.upload_round.set(self.round.get());
        }
        self.upload.set(state);
    }

    /// Says whether the client still owes some of its request, so that silence is not the version's fault.
    pub fn is_owed(&self) -> bool {
        self.upload.get() == Transfer::Waiting
    }

    /// Notes that the version took some of the request; what the client still owes is not excused by it.
    pub fn passed_on(&self) {
        if self.upload.get() != Transfer::Waiting {
            self.upload_round.set(self.round.get());
        }
    }

    /// Notes where the download stands; any call is progress.
    pub fn download(&self, state: Transfer) {
        if state != Transfer::Waiting || self.download.get() != Transfer::Waiting {
            self.download_round.set(self.round.get());
        }
        self.download.set(state);
    }

    /// Notes that the response head is there.
    pub fn answered(&self) {
        self.answered.set(true);
        self.download(Transfer::Held);
    }

    /// Notes that the client's body is malformed or was cut: nothing of it is waited for any more.
    pub fn break_upload(&self) {
        self.upload(Transfer::Idle);
    }

    /// Returns why the request is over, and otherwise wakes the caller when it is.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Option<Failure> {
        if let Some(failure) = self.expired.get() {
            return Some(failure);
        }
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        None
    }

    /// Ends the request for this reason.
    pub fn expire(&self, failure: Failure) {
        if self.expired.get().is_none() {
            self.expired.set(Some(failure));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    fn inspect(&self, round: u32, limits: &Limits) {
        let upload = round.wrapping_sub(self.upload_round.get());
        let download = round.wrapping_sub(self.download_round.get());
        match (self.answered.get(), self.upload.get(), self.download.get()) {
            // As long as the client owes the rest of its body, silence is not the version's fault.
            (false, Transfer::Waiting, _) | (true, Transfer::Waiting, Transfer::Waiting) if upload > limits.body_idle => {
                self.expire(Failure::RequestBodyTimeout);
            }
            (false, Transfer::Idle | Transfer::Held, _) if upload > limits.response => self.expire(Failure::ResponseTimeout),
            (true, Transfer::Idle | Transfer::Held, Transfer::Waiting) if upload.min(download) > limits.body_idle => {
                self.expire(Failure::ResponseBodyTimeout);
            }
            _ => {}
        }
    }
}

/// What a client connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The first byte of the next request.
    Request,
    /// The rest of a head.
    Head,
    /// The answer; requests have their own guard.
    Answer,
    /// That the client closes too, after we have ended sending.
    Farewell,
}

/// One client connection under patrol.
#[derive(Debug)]
pub struct ConnectionGuard {
    round: Rc<Cell<u32>>,
    awaits: Cell<Awaits>,
    fresh: Cell<bool>,
    since: Cell<u32>,
    write_blocked: Cell<Option<u32>>,
    expired: Cell<Option<Awaits>>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionGuard {
    /// Notes what the connection waits for from now on.
    pub fn awaits(&self, what: Awaits) {
        if self.awaits.get() != what {
            self.awaits.set(what);
            self.since.set(self.round.get());
            if what == Awaits::Answer {
                self.fresh.set(false);
            }
        }
    }

    /// Returns what the connection waits for.
    #[must_use]
    pub fn awaited(&self) -> Awaits {
        self.awaits.get()
    }

    /// Notes whether the socket takes no more.
    pub fn write_blocked(&self, blocked: bool) {
        match (blocked, self.write_blocked.get()) {
            (true, None) => self.write_blocked.set(Some(self.round.get())),
            (false, Some(_)) => self.write_blocked.set(None),
            _ => {}
        }
    }

    /// Says whether the socket did not take all that was written to it so far.
    #[must_use]
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked.get().is_some()
    }

    /// Returns what was waited for too long, and otherwise wakes the caller when that happens.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Option<Awaits> {
        if self.expired.get().is_none() {
            let mut waker = self.waker.borrow_mut();
            match waker.as_mut() {
                Some(known) => known.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        self.expired.get()
    }

    fn inspect(&self, round: u32, limits: &Limits) {
        let waited = round.wrapping_sub(self.since.get());
        let stalled = self.write_blocked.get().is_some_and(|since| round.wrapping_sub(since) > limits.write_stall);
        let late = match self.awaits.get() {
            Awaits::Request if self.fresh.get() => waited > limits.header,
            Awaits::Request => waited > limits.keep_alive,
            Awaits::Head => waited > limits.header,
            Awaits::Answer => false,
            Awaits::Farewell => waited > LINGER,
        };
        if (late || stalled) && self.expired.get().is_none() {
            self.expired.set(Some(if stalled { Awaits::Answer } else { self.awaits.get() }));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

/// Everything one worker watches.
#[derive(Debug)]
pub struct Patrol {
    round: Rc<Cell<u32>>,
    limits: Limits,
    requests: RefCell<Slab<Rc<RequestGuard>>>,
    connections: RefCell<Slab<Rc<ConnectionGuard>>>,
}

impl Patrol {
    /// Makes a patrol with nothing to watch.
    #[must_use]
    pub fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self { round: Rc::default(), limits, requests: RefCell::default(), connections: RefCell::default() })
    }

    /// Takes a request under patrol until the ticket is dropped.
    pub fn request(self: &Rc<Self>) -> (Rc<RequestGuard>, Ticket) {
        let now = self.round.get();
        let guard = Rc::new(RequestGuard {
            round: Rc::clone(&self.round),
            upload: Cell::new(Transfer::Idle),
            upload_round: Cell::new(now),
            download: Cell::new(Transfer::Idle),
            download_round: Cell::new(now),
            answered: Cell::new(false),
            expired: Cell::new(None),
            waker: RefCell::new(None),
        });
        let key = self.requests.borrow_mut().insert(Rc::clone(&guard));
        (guard, Ticket { patrol: Rc::clone(self), key, connection: false })
    }

    /// Takes a connection under patrol until the ticket is dropped.
    pub fn connection(self: &Rc<Self>) -> (Rc<ConnectionGuard>, Ticket) {
        let guard = Rc::new(ConnectionGuard {
            round: Rc::clone(&self.round),
            awaits: Cell::new(Awaits::Request),
            fresh: Cell::new(true),
            since: Cell::new(self.round.get()),
            write_blocked: Cell::new(None),
            expired: Cell::new(None),
            waker: RefCell::new(None),
        });
        let key = self.connections.borrow_mut().insert(Rc::clone(&guard));
        (guard, Ticket { patrol: Rc::clone(self), key, connection: true })
    }

    /// Makes one round.
    pub fn walk(&self) {
        let round = self.round.get().wrapping_add(1);
        self.round.set(round);
        for (_, guard) in self.requests.borrow().iter() {
            guard.inspect(round, &self.limits);
        }
        for (_, guard) in self.connections.borrow().iter() {
            guard.inspect(round, &self.limits);
        }
    }

    /// Wakes every connection that waits for its client; those that wait for a version are woken by its answer.
    pub fn wake_connections(&self) {
        for (_, guard) in self.connections.borrow().iter() {
            if let Some(waker) = guard.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.borrow().len()
    }
}

/// Keeps something under patrol; dropping it ends that.
#[derive(Debug)]
pub struct Ticket {
    patrol: Rc<Patrol>,
    key: usize,
    connection: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.connection {
            self.patrol.connections.borrow_mut().try_remove(self.key);
        } else {
            self.patrol.requests.borrow_mut().try_remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patrol() -> Rc<Patrol> {
        Patrol::new(Limits { response: 3, body_idle: 5, header: 2, keep_alive: 9, write_stall: 4 })
    }

    fn rounds_until(patrol: &Patrol, done: impl Fn() -> bool) -> u32 {
        for round in 1..50 {
            patrol.walk();
            if done() {
                return round;
            }
        }
        u32::MAX
    }

    #[test]
    fn a_silent_upstream_and_a_silent_client_are_told_apart() {
        let patrol = patrol();
        let (hung, _a) = patrol.request();
        let (slow, _b) = patrol.request();
        slow.upload(Transfer::Waiting);
        assert_eq!(rounds_until(&patrol, || hung.expired.get().is_some()), 4);
        assert_eq!(hung.expired.get(), Some(Failure::ResponseTimeout));
        assert_eq!(rounds_until(&patrol, || slow.expired.get().is_some()), 2);
        assert_eq!(slow.expired.get(), Some(Failure::RequestBodyTimeout));
    }

    #[test]
    fn a_stalled_answer_expires_but_not_one_the_client_does_not_take() {
        let patrol = patrol();
        let (stalled, _a) = patrol.request();
        let (held, _b) = patrol.request();
        for guard in [&stalled, &held] {
            guard.answered();
        }
        stalled.download(Transfer::Waiting);
        assert_eq!(rounds_until(&patrol, || stalled.expired.get().is_some()), 6);
        assert_eq!((stalled.expired.get(), held.expired.get()), (Some(Failure::ResponseBodyTimeout), None));
    }

    #[test]
    fn heads_and_idle_connections_have_different_limits() {
        let patrol = patrol();
        let (fresh, _a) = patrol.connection();
        let (idle, _b) = patrol.connection();
        idle.awaits(Awaits::Answer);
        idle.awaits(Awaits::Request);
        assert_eq!(rounds_until(&patrol, || fresh.expired.get().is_some()), 3);
        assert_eq!(rounds_until(&patrol, || idle.expired.get().is_some()), 7);
        let (blocked, _c) = patrol.connection();
        blocked.awaits(Awaits::Answer);
        blocked.write_blocked(true);
        assert_eq!(rounds_until(&patrol, || blocked.expired.get().is_some()), 5);
    }

    #[test]
    fn a_dropped_ticket_ends_the_watch() {
        let patrol = patrol();
        let (_guard, ticket) = patrol.connection();
        assert_eq!(patrol.connections(), 1);
        drop(ticket);
        assert_eq!(patrol.connections(), 0);
    }
}
