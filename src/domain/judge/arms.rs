//! The two arms of a trial, and the requests of one lane of them in start order.

/// Which version a request went to, and by what its number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// The version on trial; its start numbers count all of the rollout's canary requests, from 1.
    Canary,
    /// The version that owns the traffic; its start numbers count one worker's requests beside the canary, from 1.
    Stable {
        /// The worker.
        worker: usize,
    },
}
