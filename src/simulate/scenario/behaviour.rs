//! How a version behaves, as written in a scenario: its latencies, and everything that can be wrong with it.

use serde::Deserialize;

use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;
use crate::simulate::scenario::values::{Above, Count, Ratio, Span, Text};

/// How long the next answer takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Constant(Span),
    /// Anything between two times.
    Uniform {
        /// The shortest.
        from: Span,
        /// The longest.
        to: Span,
    },
    /// Lognormal.
    Lognormal {
        /// The median.
        median: Span,
        /// The standard deviation of its logarithm.
        sigma: Above,
    },
    /// Pareto: P(L > x) = (scale / x)^shape; the variance is infinite for a shape of at most 2.
    Pareto {
        /// The shortest.
        scale: Span,
        /// The exponent of the tail.
        shape: Above,
    },
    /// Most answers from one model, a share from another.
    Bimodal {
        /// The model of most.
        fast: Box<Self>,
        /// The model of the others.
        slow: Box<Self>,
        /// The share of the others.
        share: Ratio,
    },
    /// Lognormal at each moment; requests close in time resemble each other: the logarithm is an autoregressive process of
    /// order one whose correlation falls by e within `correlation`.
    Autoregressive {
        /// The median.
        median: Span,
        /// The standard deviation of its logarithm.
        sigma: Above,
        /// The correlation time.
        correlation: Span,
    },
}

/// Pauses during which nothing is answered: what arrives waits for their end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pauses {
    /// The shortest pause.
    pub from: Span,
    /// The longest pause.
    pub to: Span,
    /// The mean time between the beginnings of two pauses.
    pub every: Span,
    /// Whether pauses come at random moments rather than with a fixed period and a random phase.
    #[serde(default)]
    pub random: bool,
}

/// A share of slow answers right after the start that dies away.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdStart {
    /// The share of slow answers at the start.
    pub share: Ratio,
    /// By how much they are slower.
    pub slower: Span,
    /// The time within which the share falls by e.
    pub decay: Span,
}

/// Latencies that grow steadily and fall back, in both versions alike when both say so.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// The largest factor.
    pub factor: Above,
    /// How long it takes from the smallest to the largest factor and back.
    pub period: Span,
}

/// Something that breaks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaks {
    /// Only while the canary gets more than this share.
    pub above: Option<Text<Weight>>,
    /// Only from this time on.
    pub after: Option<Span>,
    /// Only after the version answered so many requests.
    pub after_requests: Option<u64>,
    /// The share of requests that it concerns, all without it.
    pub share: Option<Ratio>,
    /// By how much these are slower.
    #[serde(default)]
    pub slower: Span,
    /// Whether these fail with a 5xx.
    #[serde(default)]
    pub errors: bool,
    /// Whether these are never answered.
    #[serde(default)]
    pub hangs: bool,
}

/// A restart of the version.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// When it goes down.
    pub at: Span,
    /// How long connections are refused.
    pub down: Span,
}

/// How much a version serves at once; what is beyond that waits its turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many endpoints it has.
    pub endpoints: Count,
    /// How many requests each serves at once.
    pub each: Count,
    /// Changes of the number of endpoints.
    #[serde(default)]
    pub change: Vec<Rescale>,
}

/// A change of the number of endpoints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescale {
    /// When.
    pub at: Span,
    /// How many it has from then on.
    pub endpoints: Count,
}

impl Scale {
    /// Returns how many endpoints there are at that moment.
    #[must_use]
    pub fn endpoints_at(&self, at: Timestamp) -> usize {
        let past = |change: &&Rescale| Timestamp::ZERO + change.at.0 <= at;
        self.change.iter().take_while(past).last().map_or(self.endpoints.0, |change| change.endpoints.0)
    }

    /// Returns how many requests are served at once at that moment.
    #[must_use]
    pub fn places(&self, at: Timestamp) -> usize {
        self.endpoints_at(at).saturating_mul(self.each.0)
    }
}

/// A share of clients that leave.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// The share.
    pub share: Ratio,
    /// After how long they leave.
    pub after: Latency,
}

/// How a version behaves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionSpec {
    /// How long an answer takes.
    pub latency: Latency,
    /// By how much a share of the answers is slower.
    #[serde(default)]
    pub slower: Span,
    /// The share that `slower` concerns, all without it.
    pub slower_share: Option<Ratio>,
    /// The share that is never answered.
    #[serde(default)]
    pub hangs: Ratio,
    /// The share that fails with a 5xx.
    #[serde(default)]
    pub errors: Ratio,
    /// How long a failing answer takes, like any other without it.
    pub errors_take: Option<Latency>,
    /// How long the body takes after the head.
    pub body: Option<Latency>,
    /// Clients that leave.
    pub leaves: Option<Leaves>,
    /// Pauses of this version alone, such as those of a garbage collector.
    pub pauses: Option<Pauses>,
    /// A cold start.
    pub cold_start: Option<ColdStart>,
    /// A drift.
    pub drift: Option<Drift>,
    /// What breaks.
    pub breaks: Option<Breaks>,
    /// A restart.
    pub restart: Option<Restart>,
    /// How much it serves at once; without it as much as comes.
    pub scale: Option<Scale>,
}
