//! One request in flight, and what its end says to the wires: as the proxy's sample does, on the virtual clock.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::{Failure, Outcome, Role};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::seam::sample::Due;
use crate::seam::table::{Canary, Epoch, Watch};
use crate::seam::tripwire::Claims;
use crate::simulate::versions::Manner;

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its last byte went out.
    Complete,
    /// The version refused the connection.
    Refused,
    /// The version did not answer within the proxy's time-out.
    TimeOut,
    /// The client left.
    Left,
}

/// One request in flight.
#[derive(Debug)]
pub struct Flight {
    /// Tells it from others that had its place before.
    pub id: u64,
    /// The worker that serves it.
    pub worker: usize,
    /// The epoch that decided.
    pub epoch: Arc<Epoch>,
    /// The version that was decided.
    pub role: Role,
    /// The number it is reported by, 0 for a stable request without a canary beside it.
    pub number: u64,
    /// When it began.
    pub started: Timestamp,
    /// What becomes of it.
    pub manner: Manner,
    /// Who sent it, from 1.
    pub client: u64,
    head: Option<Duration>,
    /// Whether it had no response head when its outcome deadline was looked at.
    late: bool,
    claims: Claims,
}

/// The ways in which an answer of the version fails.
const fn errors(fails: bool) -> ErrorKinds {
    if fails { ErrorKinds::SERVER } else { ErrorKinds::NONE }
}

impl Flight {
    /// Begins a request.
    pub fn new(id: u64, worker: usize, epoch: Arc<Epoch>, role: Role, started: Timestamp, manner: Manner) -> Self {
        Self { id, worker, epoch, role, number: 0, started, manner, client: 0, head: None, late: false, claims: Claims::new() }
    }

    /// The canary of its epoch, when it is a canary request.
    fn canary(&self) -> Option<&Canary> {
        self.epoch.canary.as_ref().filter(|_| self.role == Role::Canary)
    }

    /// Iterates over what comes due of it, and after how long.
    pub fn dues(&self) -> impl Iterator<Item = (Due, Duration)> + '_ {
        let limits = self.canary().into_iter().flat_map(|canary| canary.watches.iter().enumerate());
        let limits = limits.filter_map(|(wire, watch)| match watch {
            Watch::Latency(limit) | Watch::Duration(limit) => Some((Due::Wire(wire), *limit)),
            Watch::Errors(_) => None,
        });
        limits.chain(self.canary().and_then(|canary| canary.outcome_deadline).map(|deadline| (Due::Outcome, deadline)))
    }

    /// Notes the response head; says whether that tripped the trial.
    pub fn answer(&mut self, latency: Duration) -> bool {
        self.head = Some(latency);
        let errors = errors(self.manner.fails);
        self.settle(false, |watch| match watch {
            Watch::Latency(limit) => Some(latency > *limit),
            Watch::Errors(kinds) => kinds.meets(errors).then_some(true),
            Watch::Duration(_) => None,
        })
    }

    /// Notes that something has come due; says whether that tripped the trial.
    pub fn expire(&mut self, due: Due) -> bool {
        match due {
            Due::Wire(wire) => self.claims.claim(wire) && self.breach(wire, true),
            Due::Outcome if self.head.is_none() => {
                self.late = true;
                self.settle(true, |watch| matches!(watch, Watch::Errors(kinds) if kinds.meets(ErrorKinds::TIMEOUT)).then_some(true))
            }
            Due::Outcome => false,
        }
    }

    /// Notes the end; says what is reported and whether that tripped the trial.
    pub fn end(&self, how: End, now: Timestamp) -> (Fate, bool) {
        let duration = now.since(self.started);
        let unanswered = self.head.is_none();
        let own = match how {
            End::TimeOut => ErrorKinds::TIMEOUT,
            End::Refused => ErrorKinds::CONNECT,
            End::Complete | End::Left => ErrorKinds::NONE,
        };
        let late = if self.is_late(duration) { ErrorKinds::TIMEOUT } else { ErrorKinds::NONE };
        let errors = own.and(errors(self.manner.fails && !unanswered)).and(late);
        let blamed = matches!(how, End::Refused | End::TimeOut) || !late.is_empty();
        let fate = match self.head {
            Some(latency) => Fate::Measured { latency, duration, errors, unanswered: false },
            None if blamed => Fate::Measured { latency: duration, duration, errors, unanswered: true },
            None => Fate::Excluded { after: duration },
        };
        let over = |limit: Duration| (unanswered && blamed) || duration > limit;
        let slow = self.settle(unanswered, |watch| match watch {
            Watch::Latency(limit) if unanswered => Some(over(*limit)),
            Watch::Duration(limit) => Some(over(*limit)),
            Watch::Latency(_) | Watch::Errors(_) => None,
        });
        let failed =
            !errors.is_empty() && self.settle(false, |watch| matches!(watch, Watch::Errors(kinds) if kinds.meets(errors)).then_some(true));
        (fate, slow || failed)
    }

    /// Says how it ended to its client, and when its response head came.
    pub fn outcome(&self, how: End) -> (Outcome, Option<Duration>) {
        let outcome = match how {
            End::Complete if self.manner.fails => Outcome::Answered(500),
            End::Complete => Outcome::Answered(200),
            End::Refused => Outcome::Failed(Failure::ConnectionRefused),
            End::TimeOut => Outcome::Failed(Failure::ResponseTimeout),
            End::Left => Outcome::Failed(Failure::ClientGone),
        };
        (outcome, self.head)
    }

    /// Says whether it passed the outcome deadline without a response head; a stable request has no deadlines, so its time is
    /// compared.
    fn is_late(&self, duration: Duration) -> bool {
        match (self.role, self.epoch.canary.as_ref().and_then(|canary| canary.outcome_deadline)) {
            (Role::Stable, Some(deadline)) => self.head.unwrap_or(duration) > deadline,
            _ => self.late,
        }
    }

    /// Settles each wire of which `verdict` knows whether the request breached it, once.
    fn settle(&self, unanswered: bool, verdict: impl Fn(&Watch) -> Option<bool>) -> bool {
        let Some(canary) = self.canary() else { return false };
        let mut tripped = false;
        for (wire, watch) in canary.watches.iter().enumerate() {
            if let Some(breached) = verdict(watch)
                && self.claims.claim(wire)
                && breached
            {
                tripped |= self.breach(wire, unanswered);
            }
        }
        tripped
    }

    fn breach(&self, wire: usize, unanswered: bool) -> bool {
        self.canary().is_some_and(|canary| canary.trial.breach(wire, self.number, self.client, unanswered))
    }
}
