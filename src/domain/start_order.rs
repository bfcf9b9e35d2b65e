//! How a request ended, as far as gates care; requests are judged in the order in which they started.

use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::time::Timestamp;

/// How a request ended, as far as gates care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The version answered, or failed to, through nobody else's fault.
    Measured {
        /// From head read to response head sent on, or to the failure.
        latency: Duration,
        /// From head read to the last byte, or to the failure.
        duration: Duration,
        /// In which ways the version failed; none when it did not.
        errors: ErrorKinds,
        /// Whether the version sent no response head at all, so that `latency` is only a lower bound.
        unanswered: bool,
    },
    /// The client left, or the proxy failed, before the version answered: no statement but that it took longer than this.
    Excluded {
        /// From head read to the end.
        after: Duration,
    },
}

/// What became known of a request by the time it is first reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// When it began.
    pub at: Timestamp,
    /// From head read to response head sent on, once it was.
    pub answered: Option<Duration>,
    /// How it ended, once it has; measured with the same latency where it was answered.
    pub ended: Option<Fate>,
}
