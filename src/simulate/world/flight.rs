//! One request in flight, and what its end says to the wires: as the proxy's sample does, on the virtual clock.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::Role;
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::seam::table::{Epoch, Watch};
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
    /// When its response head came.
    pub head: Option<Duration>,
    claims: Claims,
}

/// The ways in which an answer of the version fails.
const fn errors(fails: bool) -> ErrorKinds {
    if fails { ErrorKinds::SERVER } else { ErrorKinds::NONE }
}

impl Flight {
    /// Begins a request.
    pub fn new(id: u64, worker: usize, epoch: Arc<Epoch>, role: Role, number: u64, started: Timestamp, manner: Manner) -> Self {
        Self { id, worker, epoch, role, number, started, manner, head: None, claims: Claims::new() }
    }

    fn watches(&self) -> &[Watch] {
        match (&self.epoch.canary, self.role) {
            (Some(canary), Role::Canary) => &canary.watches,
            _ => &[],
        }
    }

    /// Iterates over the wires with a limit that can pass while the request waits.
    pub fn limits(&self) -> impl Iterator<Item = (usize, Duration)> + '_ {
        self.watches().iter().enumerate().filter_map(|(wire, watch)| match watch {
            Watch::Latency(limit) => Some((wire, *limit)),
            Watch::Errors => None,
        })
    }

    /// Notes the response head; says whether that tripped the trial.
    pub fn answer(&mut self, latency: Duration) -> bool {
        self.head = Some(latency);
        let fails = self.manner.fails;
        self.settle(false, |watch| match watch {
            Watch::Latency(limit) => Some(latency > *limit),
            Watch::Errors => fails.then_some(true),
        })
    }

    /// Notes that a limit has passed; says whether that tripped the trial.
    pub fn expire(&self, wire: usize) -> bool {
        self.claims.claim(wire) && self.breach(wire, true)
    }

    /// Notes the end; says what is reported and whether that tripped the trial.
    pub fn end(&self, how: End, now: Timestamp) -> (Fate, bool) {
        let duration = now.since(self.started);
        let unanswered = self.head.is_none();
        let blamed = matches!(how, End::Refused | End::TimeOut);
        let own = match how {
            End::TimeOut => ErrorKinds::TIMEOUT,
            End::Refused => ErrorKinds::CONNECT,
            End::Complete | End::Left => ErrorKinds::NONE,
        };
        let errors = own.and(errors(self.manner.fails && !unanswered));
        let fate = match self.head {
            Some(latency) => Fate::Measured { latency, duration, errors, unanswered: false },
            None if blamed => Fate::Measured { latency: duration, duration, errors, unanswered: true },
            None => Fate::Excluded { after: duration },
        };
        let slow = unanswered
            && self.settle(true, |watch| match watch {
                Watch::Latency(limit) => Some(blamed || duration > *limit),
                Watch::Errors => None,
            });
        let failed = !errors.is_empty() && self.settle(false, |watch| (*watch == Watch::Errors).then_some(true));
        (fate, slow || failed)
    }

    /// Settles each wire of which `verdict` knows whether the request breached it, once.
    fn settle(&self, unanswered: bool, verdict: impl Fn(&Watch) -> Option<bool>) -> bool {
        let mut tripped = false;
        for (wire, watch) in self.watches().iter().enumerate() {
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
        self.epoch.canary.as_ref().is_some_and(|canary| canary.trial.breach(wire, self.number, unanswered))
    }
}
