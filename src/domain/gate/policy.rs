//! How a rollout is judged: the bounds on false verdicts, and what is tolerated, awaited and done in doubt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What to do with a step whose evidence suffices neither way within [`Policy::max_bake`].
///
/// There is no third choice: nothing is promoted without evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// Stay at the step and say so, until an operator decides or [`Policy::HOLD_LIMIT`] is over.
    Hold,
    /// Give everything back to stable.
    RollBack,
}

/// How a rollout is judged. The defaults are those of the project's statistics, section 12.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The chance of ever finally rolling back a version that meets its gates, over all gates; strictly between 0 and 1.
    pub alpha: f64,
    /// The chance of ever braking such a version for a moment, over all gates; strictly between 0 and 1.
    pub alpha_brake: f64,
    /// The chance of passing a step for a version that misses its gates; strictly between 0 and 1.
    pub beta: f64,
    /// The longest pause a healthy version may show. With zero the first trip is final, and the bounds hold only for
    /// requests that are independent of each other.
    pub burst_tolerance: Duration,
    /// How long from the beginning of the rollout a looser limit applies; zero for no warm-up.
    pub warm_up: Duration,
    /// A request that has not ended after this long is an error.
    pub outcome_deadline: Duration,
    /// How long a step may last before it counts as inconclusive; not counted while braked.
    pub max_bake: Duration,
    /// What then happens.
    pub inconclusive: Inconclusive,
    /// How long the version is watched at 100 %, with the way back open, before it is promoted.
    pub watch: Duration,
    /// From how many clients breaches must come before a tripwire trips; 1 to 8.
    pub min_clients: u8,
}

impl Policy {
    /// How often a braked rollout resumes before it is held.
    pub const RESUMES: u32 = 3;
    /// The share of bad requests that is tolerated while a version warms up.
    pub const WARM_UP_SHARE: f64 = 0.6;
    /// While braked, one request in this time at most goes to the canary.
    pub const PROBE_SPACING: Duration = Duration::from_millis(500);
    /// How long a held rollout waits for an operator before everything is given back.
    pub const HOLD_LIMIT: Duration = Duration::from_secs(24 * 3600);
    /// The length of a block of the confirming test is the burst tolerance divided by this.
    pub const BLOCKS_PER_TOLERANCE: u32 = 5;
    /// A brake that is not confirmed within this many burst tolerances is taken back.
    pub const CONFIRM_TOLERANCES: u32 = 10;

    /// Says whether a trip is only a brake that must be confirmed before it is final.
    #[must_use]
    pub const fn confirms(&self) -> bool {
        !self.burst_tolerance.is_zero()
    }

    /// Returns how long a brake waits to be confirmed.
    #[must_use]
    pub fn confirm_within(&self) -> Duration {
        self.burst_tolerance.saturating_mul(Self::CONFIRM_TOLERANCES)
    }

    /// Returns the length of one block of the confirming test, at least a millisecond.
    #[must_use]
    pub fn block(&self) -> Duration {
        (self.burst_tolerance / Self::BLOCKS_PER_TOLERANCE).max(Duration::from_millis(1))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            alpha: 0.001,
            alpha_brake: 0.001,
            beta: 0.05,
            burst_tolerance: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            outcome_deadline: Duration::from_secs(10),
            max_bake: Duration::from_secs(30 * 60),
            inconclusive: Inconclusive::Hold,
            watch: Duration::from_secs(60),
            min_clients: 1,
        }
    }
}
