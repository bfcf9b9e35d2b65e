//! One request under patrol: where its two bodies stand, and which of them is late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::proxy::patrol::limits::{LEAST_PER_ROUND, Limits, ROUND};
use crate::seam::clock::Clock;

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
    /// How many bytes of the upload came, and in how many rounds more of it was waited for.
    uploaded: Cell<u64>,
    owed_rounds: Cell<u32>,
    /// Whether the upload need not keep a rate.
    streams: Cell<bool>,
    /// What a gRPC call is timed with; `None` for any other request.
    clock: Cell<Option<Clock>>,
    /// In which round its client gives it up, if it has said so.
    gives_up: Cell<Option<u32>>,
    /// Whether it goes where no service is, so that its time is not ours to limit.
    elsewhere: Cell<bool>,
    /// Whether its client was ever waited for, and when it has sent something after that.
    was_owed: Cell<bool>,
    sent_last: Cell<Option<Timestamp>>,
    download: Cell<Transfer>,
    download_round: Cell<u32>,
    answered: Cell<bool>,
    /// Its version is to give it back, if it still can.
    recalled: Cell<bool>,
    expired: Cell<Option<Failure>>,
    waker: RefCell<Option<Waker>>,
}

impl RequestGuard {
    /// Begins the watch of a request in this round.
    pub(super) fn new(round: &Rc<Cell<u32>>) -> Self {
        let now = round.get();
        Self {
            round: Rc::clone(round),
            upload: Cell::new(Transfer::Idle),
            upload_round: Cell::new(now),
            uploaded: Cell::new(0),
            owed_rounds: Cell::new(0),
            streams: Cell::new(false),
            clock: Cell::new(None),
            gives_up: Cell::new(None),
            elsewhere: Cell::new(false),
            was_owed: Cell::new(false),
            sent_last: Cell::new(None),
            download: Cell::new(Transfer::Idle),
            download_round: Cell::new(now),
            answered: Cell::new(false),
            recalled: Cell::new(false),
            expired: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Counts bytes of the upload as they come.
    pub fn uploaded(&self, bytes: usize) {
        self.uploaded.set(self.uploaded.get() + bytes as u64);
        if self.was_owed.get()
            && let Some(clock) = self.clock.get()
        {
            self.sent_last.set(Some(clock.now()));
        }
    }

    /// Notes that the request is a gRPC call: its messages may come and go whenever they like to, in both directions, and its client
    /// gives it up after `timeout`, if it has said so. That is counted in rounds and one more, so that the client is first.
    pub fn call(&self, clock: Clock, timeout: Option<Duration>) {
        self.clock.set(Some(clock));
        let rounds = timeout.map(|timeout| u32::try_from(timeout.as_millis() / ROUND.as_millis()).unwrap_or(u32::MAX / 2));
        self.gives_up.set(rounds.map(|rounds| self.round.get().wrapping_add(rounds.min(u32::MAX / 2) + 2)));
        self.streams();
    }

    /// Notes that it goes where no service is: it may take as long as a tunnel.
    pub fn goes_elsewhere(&self) {
        self.elsewhere.set(true);
        self.streams();
    }

    /// Says whether it is a gRPC call.
    pub fn is_call(&self) -> bool {
        self.clock.get().is_some()
    }

    /// Returns when the client of a gRPC call has last sent something that had to be waited for.
    pub fn sent_last(&self) -> Option<Timestamp> {
        self.sent_last.get()
    }

    /// Notes that the upload is a stream that may rest for as long as it likes to, such as one of gRPC messages.
    pub fn streams(&self) {
        self.streams.set(true);
    }

    /// Notes where the upload stands; any call is progress.
    pub fn upload(&self, state: Transfer) {
        if state != Transfer::Waiting || self.upload.get() != Transfer::Waiting {
            self.upload_round.set(self.round.get());
        }
        self.upload.set(state);
        if state == Transfer::Waiting {
            self.was_owed.set(true);
        }
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

    /// Asks for the request back from a version that has not answered; what cannot be sent again stays there.
    pub fn recall(&self) {
        if !self.answered.get() && !self.recalled.replace(true) {
            self.wake();
        }
    }

    /// Says whether it was asked for back.
    pub const fn is_recalled(&self) -> bool {
        self.recalled.get()
    }

    /// Leaves it where it goes next.
    pub fn keep(&self) {
        self.recalled.set(false);
    }

    /// Ends the request for this reason.
    pub fn expire(&self, failure: Failure) {
        if self.expired.get().is_none() {
            self.expired.set(Some(failure));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Returns why it was ended, if it was.
    #[cfg(test)]
    pub(super) const fn expired(&self) -> Option<Failure> {
        self.expired.get()
    }

    pub(super) fn inspect(&self, round: u32, limits: &Limits) {
        let patient = limits.of_a_tunnel();
        let limits = if self.elsewhere.get() { &patient } else { limits };
        let upload = round.wrapping_sub(self.upload_round.get());
        if !self.answered.get() && self.upload.get() == Transfer::Waiting {
            let owed = self.owed_rounds.get().saturating_add(1);
            self.owed_rounds.set(owed);
            if !self.streams.get() && self.uploaded.get() < u64::from(owed.saturating_sub(limits.upload_grace)) * LEAST_PER_ROUND {
                self.expire(Failure::RequestBodyTimeout);
            }
        }
        let download = round.wrapping_sub(self.download_round.get());
        let given_up = self.gives_up.get().is_some_and(|at| round.wrapping_sub(at) < u32::MAX / 2);
        if given_up && !self.answered.get() {
            let owed = self.upload.get() == Transfer::Waiting;
            // Its time is the client's word, which must not be held against the version.
            self.expire(if owed { Failure::RequestBodyTimeout } else { Failure::GivenUp });
        }
        // How long a call may rest is for its client to say, but it must be begun to be answered once it was sent in full.
        let call = self.is_call();
        match (self.answered.get(), self.upload.get(), self.download.get()) {
            // As long as the client owes the rest of its body, silence is not the version's fault.
            (false, Transfer::Waiting, _) | (true, Transfer::Waiting, Transfer::Waiting) if !call && upload > limits.body_idle => {
                self.expire(Failure::RequestBodyTimeout);
            }
            (false, Transfer::Idle | Transfer::Held, _) if upload > limits.response => self.expire(Failure::ResponseTimeout),
            (true, Transfer::Idle | Transfer::Held, Transfer::Waiting) if !call && upload.min(download) > limits.body_idle => {
                self.expire(Failure::ResponseBodyTimeout);
            }
            _ => {}
        }
    }
}
