//! One request's measurement: begins when its head was read, ends by the end of the answer, a failure, or a drop.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::{Blame, Failure, Outcome, Role};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::seam::clock::Clock;
use crate::seam::recorder::EpochBooks;
use crate::seam::report::Mark;
use crate::seam::table::{Epoch, Watch};
use crate::seam::tripwire::{Claims, Trial};

/// A canary request in flight, as its deadlines see it.
#[derive(Debug)]
pub struct Flight {
    trial: Arc<Trial>,
    watches: Arc<[Watch]>,
    seq: u64,
    claims: Claims,
}

impl Flight {
    /// Counts the breach of a latency wire whose limit has passed without a response head; says whether it tripped the trial.
    #[must_use]
    pub fn expire(&self, wire: usize) -> bool {
        self.claims.claim(wire) && self.trial.breach(wire, self.seq, true)
    }

    /// Says whether a wire has had its say on this request.
    #[must_use]
    pub fn is_settled(&self, wire: usize) -> bool {
        self.claims.is_settled(wire)
    }

    /// Returns what the wires of the trial watch.
    #[must_use]
    pub fn watches(&self) -> &Arc<[Watch]> {
        &self.watches
    }

    /// Settles the latency wires for a response head that took `latency`; says whether a breach tripped the trial.
    fn settle_latency(&self, latency: Duration, unanswered: bool) -> bool {
        let mut tripped = false;
        for (wire, watch) in self.watches.iter().enumerate() {
            if let Watch::Latency(limit) = watch
                && self.claims.claim(wire)
                && (unanswered || latency > *limit)
            {
                tripped |= self.trial.breach(wire, self.seq, unanswered);
            }
        }
        tripped
    }

    /// Settles the latency wires of a request that ended without an answer through no fault of the version, so that its
    /// deadlines do not count it later. A limit that has passed by then counts unless `excused`; says whether it tripped.
    fn settle_unanswered(&self, after: Duration, excused: bool) -> bool {
        let mut tripped = false;
        for (wire, watch) in self.watches.iter().enumerate() {
            if let Watch::Latency(limit) = watch
                && self.claims.claim(wire)
                && !excused
                && after > *limit
            {
                tripped |= self.trial.breach(wire, self.seq, true);
            }
        }
        tripped
    }

    /// Counts a failure of the version on the error wires; says whether it tripped the trial.
    fn settle_failure(&self) -> bool {
        let mut tripped = false;
        for (wire, watch) in self.watches.iter().enumerate() {
            if *watch == Watch::Errors && self.claims.claim(wire) {
                tripped |= self.trial.breach(wire, self.seq, false);
            }
        }
        tripped
    }
}

/// One request's measurement. Dropping it before its end says that the client left.
pub struct Sample {
    books: Rc<EpochBooks>,
    clock: Clock,
    role: Role,
    started: Timestamp,
    response_time: Option<Duration>,
    status: u16,
    flight: Option<Rc<Flight>>,
    ended: bool,
}

impl Sample {
    /// Begins the measurement of a request whose head was read at `started` and that goes to `role`.
    #[must_use]
    pub fn begin(books: &Rc<EpochBooks>, clock: Clock, role: Role, started: Timestamp) -> Self {
        books.decided(role);
        let flight = match (role, &books.epoch().canary) {
            (Role::Canary, Some(canary)) => {
                let seq = canary.trial.begin();
                books.mark(Mark::Started(seq, started));
                let (trial, watches) = (Arc::clone(&canary.trial), Arc::clone(&canary.watches));
                Some(Rc::new(Flight { trial, watches, seq, claims: Claims::new() }))
            }
            _ => None,
        };
        Self { books: Rc::clone(books), clock, role, started, response_time: None, status: 0, flight, ended: false }
    }

    /// Returns the canary request as its deadlines see it.
    #[must_use]
    pub const fn flight(&self) -> Option<&Rc<Flight>> {
        self.flight.as_ref()
    }

    /// Returns when the request's head was read.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Returns the part the request's version plays.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the epoch that decided.
    #[must_use]
    pub fn epoch(&self) -> &Arc<Epoch> {
        self.books.epoch()
    }

    /// Returns the time from head read to response head, once known.
    #[must_use]
    pub const fn response_time(&self) -> Option<Duration> {
        self.response_time
    }

    /// Notes the version's response head.
    pub fn head(&mut self, status: u16) {
        let now = self.clock.now();
        let latency = now.since(self.started);
        self.response_time = Some(latency);
        self.status = status;
        self.books.answered_head(self.role, latency);
        if let Some(flight) = &self.flight {
            self.books.mark(Mark::Answered(flight.seq, latency));
            let slow = flight.settle_latency(latency, false);
            let failed = Outcome::Answered(status).blame() == Some(Blame::Upstream) && flight.settle_failure();
            if slow || failed {
                self.books.tripped(now, self.clock.now());
            }
        }
    }

    /// Ends the measurement: the answer went out in full.
    pub fn complete(mut self) -> Duration {
        let status = self.status;
        self.end(Outcome::Answered(status))
    }

    /// Ends the measurement with a failure.
    pub fn fail(mut self, failure: Failure) -> Duration {
        self.end(Outcome::Failed(failure))
    }

    fn end(&mut self, outcome: Outcome) -> Duration {
        let now = self.clock.now();
        let duration = now.since(self.started);
        if std::mem::replace(&mut self.ended, true) {
            return duration;
        }
        self.books.ended(self.role, outcome, duration);
        if self.response_time.is_none() && outcome.blame() == Some(Blame::Upstream) {
            // No answer at all must raise the latencies, not vanish from them.
            self.books.answered_head(self.role, duration);
        }
        let Some(flight) = &self.flight else { return duration };
        let blamed = outcome.blame() == Some(Blame::Upstream);
        // A 5xx is the version's failure even when its client did not stay for the body; the wire has counted it.
        let answered = if self.response_time.is_some() { ErrorKinds::of(Outcome::Answered(self.status)) } else { ErrorKinds::NONE };
        let errors = ErrorKinds::of(outcome).and(answered);
        let fate = match self.response_time {
            Some(latency) => Fate::Measured { latency, duration, errors, unanswered: false },
            None if blamed => Fate::Measured { latency: duration, duration, errors, unanswered: true },
            None => Fate::Excluded { after: duration },
        };
        if blamed {
            let slow = self.response_time.is_none() && flight.settle_latency(duration, true);
            if flight.settle_failure() || slow {
                self.books.tripped(now, self.clock.now());
            }
        } else if self.response_time.is_none() && flight.settle_unanswered(duration, outcome != Outcome::Failed(Failure::ClientGone)) {
            self.books.tripped(now, self.clock.now());
        }
        self.books.mark(Mark::Ended(flight.seq, fate));
        duration
    }

    /// Wakes the controller after a deadline of this request's version tripped the trial.
    pub fn announce_trip(books: &EpochBooks, evident: Timestamp, at: Timestamp) {
        books.tripped(evident, at);
    }

    /// Returns the books the sample writes to.
    #[must_use]
    pub const fn books(&self) -> &Rc<EpochBooks> {
        &self.books
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        self.end(Outcome::Failed(Failure::ClientGone));
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
