//! One request under patrol: where its two bodies stand, and which of them is late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::domain::outcome::Failure;
use crate::proxy::patrol::limits::{LEAST_PER_ROUND, Limits};

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
        let upload = round.wrapping_sub(self.upload_round.get());
        if !self.answered.get() && self.upload.get() == Transfer::Waiting {
            let owed = self.owed_rounds.get().saturating_add(1);
            self.owed_rounds.set(owed);
            if !self.streams.get() && self.uploaded.get() < u64::from(owed.saturating_sub(limits.upload_grace)) * LEAST_PER_ROUND {
                self.expire(Failure::RequestBodyTimeout);
            }
        }
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
