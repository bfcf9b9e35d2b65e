//! What came of one run.

use serde::Serialize;

use crate::domain::rollout::Phase;

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Where the rollout stands.
    pub phase: Phase,
    /// When it ended, in seconds of virtual time since it began; `None` when it goes on.
    pub ended: Option<f64>,
    /// When the canary went bad, in seconds; 0 for one that is as it is from the beginning.
    pub onset: f64,
    /// When the canary first got everything, in seconds since the rollout began.
    pub full: Option<f64>,
    /// When the share was first taken back.
    pub brake: Option<Brake>,
    /// How often the share was taken back, for good or for a while.
    pub brakes: u64,
    /// Bad requests the canary got from when it went bad to the end of the run.
    pub harmed: u64,
    /// Requests the canary got.
    pub canary_requests: u64,
    /// All requests.
    pub requests: u64,
    /// Requests of the stable version that came late or failed since the canary's share first went down.
    pub late: u64,
    /// Requests that were refused because the stable version held as much as it could take.
    pub shed: u64,
    /// The invariant that was broken, and when.
    pub broken: Option<String>,
}

/// The share being taken back. Everything counts from when the canary went bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Brake {
    /// When, in seconds of virtual time since the rollout began.
    pub at: f64,
    /// Bad requests the canary had got, those in flight included.
    pub harmed: u64,
    /// Requests the canary had got.
    pub requests: u64,
    /// Breaches that the deciding test had counted, 0 where it counts none.
    pub breaches: u64,
}

impl Outcome {
    /// Returns how long it took from when the canary went bad until its share was taken back, in seconds.
    #[must_use]
    pub fn delay(&self) -> Option<f64> {
        self.brake.map(|brake| (brake.at - self.onset).max(0.0))
    }

    /// Returns how long it took from when the canary went bad until it was rolled back for good, in seconds.
    #[must_use]
    pub fn confirmed(&self) -> Option<f64> {
        self.ended.filter(|_| self.phase == Phase::RolledBack).map(|at| (at - self.onset).max(0.0))
    }

    /// Returns how long it took to promote the canary, in seconds.
    #[must_use]
    pub fn promotion(&self) -> Option<f64> {
        self.ended.filter(|_| self.phase == Phase::Promoted)
    }
}
