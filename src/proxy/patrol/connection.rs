//! One client connection under patrol: what it waits for, and since when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::proxy::patrol::limits::{LAST_WORDS, LINGER, Limits};

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

/// A request is called off at once when its client does so within so many rounds.
const AT_ONCE: u32 = 10;

/// How many requests a client may call off at once, beyond which they must be fewer than those it lets us answer.
const MOST_CALLED_OFF: u32 = 100;

/// One client connection under patrol.
#[derive(Debug)]
pub struct ConnectionGuard {
    round: Rc<Cell<u32>>,
    awaits: Cell<Awaits>,
    fresh: Cell<bool>,
    since: Cell<u32>,
    /// How many requests are being answered, were answered, and were called off as soon as they had begun.
    busy: Cell<u32>,
    /// How many of those being answered have no head yet.
    headless: Cell<u32>,
    served: Cell<u32>,
    called_off: Cell<u32>,
    /// Since when a head is coming that has not ended, on a connection that carries others meanwhile.
    head_since: Cell<Option<u32>>,
    /// When it is to end after the requests it is at, for having been open for long.
    retires: Cell<u32>,
    multiplexes: Cell<bool>,
    write_blocked: Cell<Option<u32>>,
    /// Whether the socket may take no more for as long as its client likes.
    patient: Cell<bool>,
    expired: Cell<Option<Awaits>>,
    /// Whether it is noted as idle, and whether it was told to rest.
    noted: Cell<bool>,
    rests: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionGuard {
    /// Begins the watch of a connection that was opened in this round and retires at that one.
    pub(super) fn new(round: &Rc<Cell<u32>>, retires: u32) -> Self {
        Self {
            round: Rc::clone(round),
            awaits: Cell::new(Awaits::Request),
            fresh: Cell::new(true),
            since: Cell::new(round.get()),
            busy: Cell::new(0),
            headless: Cell::new(0),
            served: Cell::new(0),
            called_off: Cell::new(0),
            head_since: Cell::new(None),
            retires: Cell::new(retires),
            multiplexes: Cell::new(false),
            write_blocked: Cell::new(None),
            patient: Cell::new(false),
            expired: Cell::new(None),
            noted: Cell::new(false),
            rests: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Notes that a request has begun, and returns the round; time is the request's own until as many have ended.
    pub fn begin_request(&self) -> u32 {
        self.busy.set(self.busy.get() + 1);
        self.rests.set(false);
        self.headless.set(self.headless.get() + 1);
        self.awaits(Awaits::Answer);
        self.round.get()
    }

    /// Notes that a request that began in this round has ended, and whether its answer had begun.
    pub fn end_request(&self, began: u32, answered: bool) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.busy.get() == 0 {
            self.awaits(Awaits::Request);
        }
        if !answered {
            self.heads();
        }
        if answered {
            self.served.set(self.served.get().saturating_add(1));
        } else if self.round.get().wrapping_sub(began) <= AT_ONCE {
            self.called_off.set(self.called_off.get().saturating_add(1));
        }
    }

    /// Says whether nothing is asked, answered or left to be sent on a connection that was used.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.busy.get() == 0 && self.awaits.get() == Awaits::Request && !self.fresh.get() && self.write_blocked.get().is_none()
    }

    /// Returns how many requests have ended, give or take; it wraps around.
    pub(super) const fn ended(&self) -> u32 {
        self.served.get().wrapping_add(self.called_off.get())
    }

    /// Notes that it is watched for being idle, and says whether it was not.
    pub(super) fn enters_idle(&self) -> bool {
        !self.noted.replace(true)
    }

    pub(super) fn leaves_idle(&self) {
        self.noted.set(false);
    }

    /// Asks whoever drives it to let go of what only a request needs.
    pub(super) fn rest(&self) {
        self.rests.set(true);
        self.wake();
    }

    /// Says whether it was asked to, and still has nothing to do.
    #[must_use]
    pub fn is_to_rest(&self) -> bool {
        self.rests.get() && self.is_idle()
    }

    /// Notes that it rests.
    pub fn rested(&self) {
        self.rests.set(false);
    }

    /// Notes that the head of an answer is given to the connection.
    pub fn heads(&self) {
        self.headless.set(self.headless.get().saturating_sub(1));
    }

    /// Says whether the head of an answer is still to come.
    #[must_use]
    pub const fn owes_head(&self) -> bool {
        self.headless.get() > 0
    }

    /// Says whether the client calls off most of its requests as soon as they have begun (CVE-2023-44487).
    #[must_use]
    pub fn is_fickle(&self) -> bool {
        self.called_off.get() > MOST_CALLED_OFF && self.called_off.get() > self.served.get()
    }

    /// Returns the number of the patrol's round.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.round.get()
    }

    /// Notes that the connection has shown that it carries many requests at once: it is waited for as for one that has sent a
    /// request, and told when it was idle for too long.
    pub fn known_to_multiplex(&self) {
        self.multiplexes.set(true);
        self.fresh.set(false);
        self.since.set(self.round.get());
        self.awaits.set(Awaits::Request);
    }

    /// Says whether it has shown that.
    #[must_use]
    pub const fn multiplexes(&self) -> bool {
        self.multiplexes.get()
    }

    /// Notes whether a head has begun that has not ended, beside whatever else goes on.
    pub fn head_open(&self, open: bool) {
        match (open, self.head_since.get()) {
            (true, None) => self.head_since.set(Some(self.round.get())),
            (false, Some(_)) => self.head_since.set(None),
            _ => {}
        }
    }

    /// Says whether the connection has been open for so long that it should end when it can.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        // Rounds are compared as times on a circle.
        self.round.get().wrapping_sub(self.retires.get()) < u32::MAX / 2
    }

    /// Wakes whoever drives the connection.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

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
            (true, None) if !self.patient.get() => self.write_blocked.set(Some(self.round.get())),
            (false, Some(_)) => self.write_blocked.set(None),
            _ => {}
        }
    }

    /// Lets the client take what is sent to it when it likes to, from now on: what goes elsewhere is not ours to hurry.
    pub fn never_hurries(&self) {
        self.patient.set(true);
        self.write_blocked.set(None);
    }

    /// Says whether its client may do that.
    #[must_use]
    pub const fn is_patient(&self) -> bool {
        self.patient.get()
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

    /// Returns why it was ended, if it was.
    #[cfg(test)]
    pub(super) const fn expired(&self) -> Option<Awaits> {
        self.expired.get()
    }

    pub(super) fn inspect(&self, round: u32, limits: &Limits) {
        let waited = round.wrapping_sub(self.since.get());
        let stalled = self.write_blocked.get().is_some_and(|since| round.wrapping_sub(since) > limits.write_stall);
        let late = match self.awaits.get() {
            Awaits::Request if self.fresh.get() => waited > limits.header,
            Awaits::Request if self.multiplexes.get() => {
                // Ended without a word, it would take a request along that is on its way.
                if waited > limits.keep_alive && !self.is_retired() {
                    self.retires.set(round);
                }
                waited > limits.keep_alive.saturating_add(LAST_WORDS)
            }
            Awaits::Request => waited > limits.keep_alive,
            Awaits::Head => waited > limits.header,
            Awaits::Answer => false,
            Awaits::Farewell => waited > LINGER,
        };
        let late = late || self.head_since.get().is_some_and(|since| round.wrapping_sub(since) > limits.header);
        if round == self.retires.get() {
            self.wake();
        }
        if (late || stalled) && self.expired.get().is_none() {
            self.expired.set(Some(if stalled { Awaits::Answer } else { self.awaits.get() }));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}
