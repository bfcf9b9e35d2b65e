//! What workers tell the controller.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::domain::observation::Observation;
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;

/// One event of a request, for the judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// The request with this start number began.
    Started(u64, Timestamp),
    /// The response head of the request with this start number was sent on after this time.
    Answered(u64, Duration),
    /// The request with this start number ended.
    Ended(u64, Fate),
}

/// A message from a worker.
#[derive(Debug)]
pub enum Report {
    /// What one worker saw of one epoch since its last report.
    Observed {
        /// The service.
        service: Name,
        /// The rollout.
        rollout: u64,
        /// The worker.
        worker: usize,
        /// The epoch's generation.
        generation: u64,
        /// The versions that played stable and canary; without a canary the owner stands twice.
        versions: (Name, Name),
        /// One observation per role that saw anything.
        observations: Vec<Observation>,
        /// What was asked beside the split, by version: forced and mirrored requests, which no gate sees.
        beside: Vec<(Name, Observation)>,
        /// The canary's requests one by one, by their start numbers in the rollout.
        marks: Vec<Mark>,
        /// The stable version's requests beside a canary one by one; each worker numbers its own of one rollout, from 1.
        stable_marks: Vec<Mark>,
    },
    /// A tripwire of this service's trial has just tripped; the share is already gone.
    Tripped {
        /// The service.
        service: Name,
        /// The rollout.
        rollout: u64,
        /// When the deciding breach was evident: a head was read, or a deadline passed.
        evident: Timestamp,
        /// When the flag was set.
        at: Timestamp,
    },
    /// This worker has reported everything it saw up to this moment.
    UpTo {
        /// The worker.
        worker: usize,
        /// The moment.
        at: Timestamp,
    },
    /// Look at your commands.
    Wake,
}

/// A worker's end of the channel.
pub type ReportSender = SyncSender<Report>;

/// How many reports may wait; a worker whose report does not fit keeps it and tries again on its next tick.
const CAPACITY: usize = 1024;

/// Makes the channel from the workers to the controller.
#[must_use]
pub fn channel() -> (ReportSender, Receiver<Report>) {
    sync_channel(CAPACITY)
}
