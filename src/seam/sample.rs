//! One request's measurement: begins when its head was read, ends by the end of the answer, a failure, or a drop.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::{Blame, Failure, Outcome, Role};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::seam::clock::Clock;
use crate::seam::recorder::{EpochBooks, Page};
use crate::seam::report::Mark;
use crate::seam::table::{Canary, Epoch, Watch};
use crate::seam::tripwire::Claims;

/// What of a canary request in flight comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The limit of a wire on the response time or the duration.
    Wire(usize),
    /// The outcome deadline, for the wires on errors.
    Outcome,
}

/// Where a canary request stands with its outcome deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has no response head and time is left, or nobody has looked since.
    Waits,
    /// It was in time, or had no deadline to keep.
    Resolved,
    /// It had no response head when its deadline was looked at: it has failed as a time-out.
    Late,
}

/// A canary request in flight, as its deadlines see it.
pub struct Flight {
    /// Counted by its worker alone, unlike the trial it leads to.
    books: Rc<EpochBooks>,
    seq: u64,
    client: u64,
    claims: Claims,
    standing: Cell<Standing>,
}

impl Flight {
    fn new(books: &Rc<EpochBooks>, canary: &Canary, seq: u64, client: u64) -> Self {
        let standing = Cell::new(if canary.outcome_deadline.is_some() { Standing::Waits } else { Standing::Resolved });
        Self { books: Rc::clone(books), seq, client, claims: Claims::new(), standing }
    }

    /// Returns the books of the request.
    #[must_use]
    pub const fn books(&self) -> &Rc<EpochBooks> {
        &self.books
    }

    fn canary(&self) -> Option<&Canary> {
        self.books.epoch().canary.as_ref()
    }

    fn breach(&self, wire: usize, unanswered: bool) -> bool {
        self.canary().is_some_and(|canary| canary.trial.breach(wire, self.seq, self.client, unanswered))
    }

    /// Iterates over what comes due of this request, and after how long.
    pub fn dues(&self) -> impl Iterator<Item = (Duration, Due)> + '_ {
        self.canary().into_iter().flat_map(|canary| {
            let limits = canary.watches.iter().enumerate().filter_map(|(wire, watch)| match watch {
                Watch::Latency(limit) | Watch::Duration(limit) => Some((*limit, Due::Wire(wire))),
                Watch::Errors(_) => None,
            });
            limits.chain(canary.outcome_deadline.map(|deadline| (deadline, Due::Outcome)))
        })
    }

    /// Counts the breach of what has come due without having had its say; says whether it tripped the trial.
    #[must_use]
    pub fn expire(&self, due: Due) -> bool {
        match due {
            Due::Wire(wire) => self.claims.claim(wire) && self.breach(wire, true),
            Due::Outcome if self.standing.get() == Standing::Waits => {
                self.standing.set(Standing::Late);
                self.settle(true, |watch| matches!(watch, Watch::Errors(kinds) if kinds.meets(ErrorKinds::TIMEOUT)).then_some(true))
            }
            Due::Outcome => false,
        }
    }

    /// Frees the request from its outcome deadline: it was answered, has ended, or waited for what its client was to send.
    pub fn resolve(&self) {
        if self.standing.get() == Standing::Waits {
            self.standing.set(Standing::Resolved);
        }
    }

    /// Lets a limit pass without a breach: what it limits waits for the client.
    pub fn excuse(&self, due: Due) {
        if let Due::Wire(wire) = due {
            self.claims.claim(wire);
        }
    }

    /// Says whether what comes due has had its say on this request.
    #[must_use]
    pub fn is_settled(&self, due: Due) -> bool {
        match due {
            Due::Wire(wire) => self.claims.is_settled(wire),
            Due::Outcome => self.standing.get() != Standing::Waits,
        }
    }

    fn is_late(&self) -> bool {
        self.standing.get() == Standing::Late
    }

    /// Settles each wire of which `verdict` knows whether the request breached it, once; says whether a breach tripped the
    /// trial. A wire it knows nothing of stays open.
    fn settle(&self, unanswered: bool, verdict: impl Fn(&Watch) -> Option<bool>) -> bool {
        let mut tripped = false;
        let watches = self.canary().map_or(&[][..], |canary| &canary.watches);
        for (wire, watch) in watches.iter().enumerate() {
            if let Some(breached) = verdict(watch)
                && self.claims.claim(wire)
                && breached
            {
                tripped |= self.breach(wire, unanswered);
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
    page: Page,
    /// The version, where it was asked beside the split.
    beside: Option<Arc<Version>>,
    started: Timestamp,
    response_time: Option<Duration>,
    status: u16,
    /// The number it is reported by, `None` for a stable request of an epoch without a canary.
    number: Option<u64>,
    flight: Option<Rc<Flight>>,
    ended: bool,
}

impl Sample {
    /// Begins the measurement of a request whose head was read at `started` and that goes to `role`.
    ///
    /// `client` stands for whoever sent it, 0 when that is unknown; only a canary request needs it.
    #[must_use]
    pub fn begin(books: &Rc<EpochBooks>, clock: Clock, role: Role, started: Timestamp, client: u64) -> Self {
        let page = Page::Of(role);
        books.decided(page);
        let flight = match (role, &books.epoch().canary) {
            (Role::Canary, Some(canary)) => Some(Rc::new(Flight::new(books, canary, canary.trial.begin(), client))),
            _ => None,
        };
        let number = flight.as_ref().map_or_else(|| books.begin_stable(), |flight| Some(flight.seq));
        if let Some(number) = number {
            books.mark(role, Mark::Started(number, started));
        }
        let books = Rc::clone(books);
        Self { books, clock, role, page, beside: None, started, response_time: None, status: 0, number, flight, ended: false }
    }

    /// Begins the measurement of a request that goes to a version beside the split. It is counted and judged by nobody.
    #[must_use]
    pub fn beside(books: &Rc<EpochBooks>, clock: Clock, version: Arc<Version>, started: Timestamp) -> Self {
        let (role, page) = (Role::Beside, books.beside(&version.name));
        books.decided(page);
        let (books, beside) = (Rc::clone(books), Some(version));
        Self { books, clock, role, page, beside, started, response_time: None, status: 0, number: None, flight: None, ended: false }
    }

    /// Returns the version that answers.
    #[must_use]
    pub fn version(&self) -> &Arc<Version> {
        self.beside.as_ref().unwrap_or_else(|| self.books.epoch().version(self.role))
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
        self.head_since(status, self.started);
    }

    /// Notes the response head of a version that could answer no earlier than `since`, because its client had not sent enough before.
    pub fn head_since(&mut self, status: u16, since: Timestamp) {
        let now = self.clock.now();
        let latency = now.since(since.max(self.started));
        self.response_time = Some(latency);
        self.status = status;
        self.books.answered_head(self.page, latency);
        let Some(number) = self.number else { return };
        self.books.mark(self.role, Mark::Answered(number, latency));
        let Some(flight) = &self.flight else { return };
        flight.resolve();
        let errors = ErrorKinds::of(Outcome::Answered(status));
        let tripped = flight.settle(false, |watch| match watch {
            Watch::Latency(limit) => Some(latency > *limit),
            Watch::Errors(kinds) => kinds.meets(errors).then_some(true),
            Watch::Duration(_) => None,
        });
        if tripped {
            self.books.tripped(now, self.clock.now());
        }
    }

    /// Ends the measurement: the answer went out in full.
    pub fn complete(self) -> Duration {
        self.complete_as(ErrorKinds::NONE)
    }

    /// Ends the measurement: the answer went out in full, and what stood in it or behind it makes it an error of these kinds too.
    pub fn complete_as(mut self, errors: ErrorKinds) -> Duration {
        let status = self.status;
        self.end(Outcome::Answered(status), errors)
    }

    /// Ends the measurement with a failure.
    pub fn fail(mut self, failure: Failure) -> Duration {
        self.end(Outcome::Failed(failure), ErrorKinds::NONE)
    }

    fn end(&mut self, outcome: Outcome, told: ErrorKinds) -> Duration {
        let now = self.clock.now();
        let duration = now.since(self.started);
        if std::mem::replace(&mut self.ended, true) {
            return duration;
        }
        self.books.ended(self.page, outcome, duration);
        if self.response_time.is_none() && outcome.blame() == Some(Blame::Upstream) {
            // No answer at all must raise the latencies, not vanish from them.
            self.books.answered_head(self.page, duration);
        }
        let Some(number) = self.number else { return duration };
        // A 5xx is the version's failure even when its client did not stay for the body; the wire has counted it.
        let answered = if self.response_time.is_some() { ErrorKinds::of(Outcome::Answered(self.status)) } else { ErrorKinds::NONE };
        let late = if self.is_late(duration) { ErrorKinds::TIMEOUT } else { ErrorKinds::NONE };
        let errors = ErrorKinds::of(outcome).and(answered).and(late).and(told);
        let blamed = outcome.blame() == Some(Blame::Upstream) || !late.is_empty();
        let fate = match self.response_time {
            Some(latency) => Fate::Measured { latency, duration, errors, unanswered: false },
            None if blamed => Fate::Measured { latency: duration, duration, errors, unanswered: true },
            None => Fate::Excluded { after: duration },
        };
        if let Some(flight) = &self.flight {
            let unanswered = self.response_time.is_none();
            // Whoever left before the limit says nothing about it; one who left later saw it pass. Where the request failed
            // without an answer through neither the version nor its client's leaving, nothing is charged.
            let excused = unanswered && !blamed && !outcome.is_departure();
            let over = |limit: Duration| !excused && ((unanswered && blamed) || duration > limit);
            flight.resolve();
            let slow = flight.settle(unanswered, |watch| match watch {
                Watch::Latency(limit) if unanswered => Some(over(*limit)),
                Watch::Duration(limit) => Some(over(*limit)),
                Watch::Latency(_) | Watch::Errors(_) => None,
            });
            let failed = !errors.is_empty()
                && flight.settle(false, |watch| matches!(watch, Watch::Errors(kinds) if kinds.meets(errors)).then_some(true));
            if slow || failed {
                self.books.tripped(now, self.clock.now());
            }
        }
        self.books.mark(self.role, Mark::Ended(number, fate));
        duration
    }

    /// Says whether the request passed its outcome deadline without a response head. Of a canary request the deadline queue
    /// has decided, as for its wires; a stable request has no deadlines, so its time is compared.
    fn is_late(&self, duration: Duration) -> bool {
        match (&self.flight, self.epoch().canary.as_ref().and_then(|canary| canary.outcome_deadline)) {
            (Some(flight), _) => flight.is_late(),
            (None, Some(deadline)) => self.response_time.unwrap_or(duration) > deadline,
            (None, None) => false,
        }
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
        self.end(Outcome::Failed(Failure::ClientGone), ErrorKinds::NONE);
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
