//! One comparison of a gate: what is measured, and the bound on it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::error_kinds::ErrorKinds;

/// A share of requests in parts per million: 50 000 is 5 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Share(u32);

impl Share {
    /// Makes a share from parts per million; `None` outside 1 to 999 999, where no test could decide.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm == 0 || ppm >= 1_000_000 { None } else { Some(Self(ppm)) }
    }

    /// Five percent, the share a p95 gate allows.
    pub const FIVE_PERCENT: Self = Self(50_000);

    /// Sixty percent, the share that is tolerated while a version warms up.
    pub const SIXTY_PERCENT: Self = Self(600_000);

    /// Returns the share as a fraction strictly between 0 and 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{:.4}", f64::from(self.0) / 1e4);
        write!(f, "{}%", percent.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// From where to where a response is timed; both begin when the request's head was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// To the response head sent on: `p95`.
    #[default]
    ResponseTime,
    /// To the last byte: `p95(duration)`.
    Duration,
}

/// How many times the stable version's figure is allowed, in thousandths: 1 100 is 1.1 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ratio(u32);

impl Ratio {
    /// Makes a ratio from thousandths; `None` outside 1 (1 000) to 1 000 (1 000 000), where a gate would be senseless.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Option<Self> {
        if thousandths < 1_000 || thousandths > 1_000_000 { None } else { Some(Self(thousandths)) }
    }

    /// Returns the ratio as a factor from 1 to 1 000.
    #[must_use]
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 1e3
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = format!("{:.3}", self.factor());
        f.write_str(factor.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// How much more than the stable version's share of errors is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slack {
    /// So many times the share: `errors <= stable * 1.5`.
    Times(Ratio),
    /// So many percentage points more: `errors <= stable + 0.2pp`.
    Plus(Share),
}

/// What a version must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// At most `share` of the requests may take longer than `limit`: `p95 < 1s` is a share of 5 %.
    Latency {
        /// The share that may be over the limit, one minus the quantile.
        share: Share,
        /// The limit; exactly the limit is good.
        limit: Duration,
        /// What is timed.
        timing: Timing,
    },
    /// At most `share` of the requests may fail in one of the counted ways.
    Errors {
        /// The share that may fail.
        share: Share,
        /// What counts.
        kinds: ErrorKinds,
    },
    /// The mean may be at most `limit`.
    Mean {
        /// The limit on the mean.
        limit: Duration,
        /// What is timed.
        timing: Timing,
    },
    /// The Apdex score must be above one minus `loss`: a request costs 0 when answered within `satisfied`, one half when
    /// within four times that, and 1 when later or failed.
    Apdex {
        /// The time within which a client is satisfied.
        satisfied: Duration,
        /// The mean loss that is allowed, one minus the score asked for.
        loss: Share,
    },
    /// The canary may exceed `ratio` times the stable version's quantile no more often than the stable version exceeds its
    /// own: `p95 <= stable * 1.1`.
    RelativeLatency {
        /// The share over the quantile, one minus the quantile.
        share: Share,
        /// How many times the stable version's quantile is allowed.
        ratio: Ratio,
        /// What is timed.
        timing: Timing,
    },
    /// The canary's share of errors may exceed the stable version's by so much.
    RelativeErrors {
        /// What counts.
        kinds: ErrorKinds,
        /// By how much.
        slack: Slack,
    },
}

impl Criterion {
    /// Says whether each request is judged alone against a fixed limit, so that a tripwire on the request path watches it.
    #[must_use]
    pub const fn is_wired(&self) -> bool {
        matches!(self, Self::Latency { .. } | Self::Errors { .. })
    }

    /// Returns the share of requests that may be bad, for an Apdex the mean loss that is allowed; `None` for a mean, and for
    /// what depends on the stable version's share alone.
    #[must_use]
    pub const fn share(&self) -> Option<Share> {
        match self {
            Self::Latency { share, .. } | Self::Errors { share, .. } | Self::RelativeLatency { share, .. } => Some(*share),
            Self::Apdex { loss, .. } => Some(*loss),
            Self::RelativeErrors { .. } | Self::Mean { .. } => None,
        }
    }

    /// Returns what its value and its limit are measured in.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self {
            Self::Mean { .. } => Unit::Nanoseconds,
            Self::Apdex { .. } => Unit::Score,
            Self::Latency { .. } | Self::Errors { .. } | Self::RelativeLatency { .. } | Self::RelativeErrors { .. } => Unit::Share,
        }
    }

    /// Returns the margin of a gate that names none, in percent: 50 for shares of at most 0.1 %, where passing would take
    /// ten thousand requests otherwise, 100 for what is compared with stable, else none.
    #[must_use]
    pub const fn default_margin(&self) -> u32 {
        match self {
            Self::RelativeLatency { .. } | Self::RelativeErrors { .. } => 100,
            Self::Latency { share, .. } | Self::Errors { share, .. } if share.0 <= 1_000 => 50,
            _ => 0,
        }
    }

    /// Says whether it compares the canary with the stable version of the same moment.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        matches!(self, Self::RelativeLatency { .. } | Self::RelativeErrors { .. })
    }
}

/// What the value of a gate is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of the requests, 0 to 1; low is good.
    #[default]
    Share,
    /// Nanoseconds; low is good.
    Nanoseconds,
    /// An Apdex score, 0 to 1; high is good.
    Score,
}

/// Where a gate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The operator wrote it.
    Written,
    /// It is one indicator of a perfspec file, compiled into a sequential test.
    Compiled {
        /// The indicator's id.
        indicator: String,
    },
    /// It was derived from the severe limit of a perfspec indicator, so that a slow version is caught on the request path.
    Derived {
        /// The indicator's id.
        indicator: String,
    },
}

/// One gate of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gate {
    /// What must hold.
    pub criterion: Criterion,
    /// Who asked for it.
    pub origin: Origin,
    /// How much worse than the limit a version may be and still pass, in percent of what the limit allows: with 50 a gate
    /// "errors < 0.1%" passes a version whose share is shown to be below 0.15 %. For relative gates: how much worse than
    /// stable, so 100 is twice the share.
    pub margin: u32,
}

impl Gate {
    /// Makes a gate the operator wrote.
    #[must_use]
    pub const fn written(criterion: Criterion) -> Self {
        Self::new(criterion, Origin::Written)
    }

    /// Makes a gate with the default margin of its criterion.
    #[must_use]
    pub const fn new(criterion: Criterion, origin: Origin) -> Self {
        Self { criterion, origin, margin: criterion.default_margin() }
    }

    /// Returns how many times what the limit allows a passing version is shown to be below.
    #[must_use]
    pub fn margin_factor(&self) -> f64 {
        1.0 + f64::from(self.margin) / 100.0
    }

    /// Returns the share of bad requests, or the mean loss, below which a canary must be shown to be to pass: what the gate
    /// allows, with its margin. From 1 on every version passes. `None` for means and for what is compared with stable.
    #[must_use]
    pub fn passing_share(&self) -> Option<f64> {
        self.criterion.share().filter(|_| !self.criterion.is_relative()).map(|share| share.ratio() * self.margin_factor())
    }

    /// Returns a short name, unique among the gates of one rollout that differ, for metrics and the API.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Written => self.criterion.to_string(),
            Origin::Compiled { indicator } => format!("{indicator}: {}", self.criterion),
            Origin::Derived { indicator } => format!("{indicator}: {} (derived)", self.criterion),
        }
    }
}
