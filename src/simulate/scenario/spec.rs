//! A scenario as it is read: each key of the file, with what it means and what holds without it.

use serde::Deserialize;

use crate::domain::gate::Criterion;
use crate::simulate::scenario::behaviour::{Pauses, VersionSpec};
use crate::simulate::scenario::expectation::Expect;
use crate::simulate::scenario::policy::{Overrides, Ramping, Return};
use crate::simulate::scenario::values::{Above, Count, Ratio, Span, Text};

/// One scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, one sentence.
    pub title: String,
    /// Where its expectations come from.
    pub source: Option<String>,
    /// The name of one variation; empty for the file itself.
    #[serde(default)]
    pub name: String,
    /// How many runs.
    pub runs: Count,
    /// How many runs suffice where time is short.
    pub quick_runs: Option<Count>,
    /// How many runs a peer gets at most, 200 without it: hours of traffic each, and hardly any chance in what comes of them.
    pub peer_runs: Option<Count>,
    /// When a run ends at the latest, in virtual time.
    pub length: Span,
    /// How many workers the data plane has.
    #[serde(default = "two")]
    pub workers: Count,
    /// The time between two ticks of the controller and between two reports of a worker; 100 ms without it, as in production.
    pub tick: Option<Span>,
    /// Who asks.
    pub traffic: Traffic,
    /// What the canary must keep to.
    pub gates: Vec<Text<Criterion>>,
    /// How its share grows.
    #[serde(default)]
    pub plan: Ramping,
    /// How it is judged.
    #[serde(default)]
    pub policy: Overrides,
    /// What is done for the stable version when it gets everything back.
    #[serde(default)]
    pub way_back: Return,
    /// The version that owns the traffic.
    pub stable: VersionSpec,
    /// The version on trial.
    pub canary: VersionSpec,
    /// Stalls that hit both versions.
    pub stalls: Option<Pauses>,
    /// What harms a client; by the gates without it.
    pub harm: Option<Harm>,
    /// Other controllers on the same requests.
    #[serde(default)]
    pub peer: Vec<Peer>,
    /// What goes wrong around it.
    pub chaos: Option<Chaos>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

const fn two() -> Count {
    Count(2)
}

/// Who asks, and how fast.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests per second; not for closed loops.
    pub rate: Option<Above>,
    /// How requests arrive.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Changes of the rate; 0 stops the traffic.
    #[serde(default)]
    pub change: Vec<Change>,
}

/// How requests arrive.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Independently of each other.
    #[default]
    Poisson,
    /// At even distances.
    Constant,
    /// Each client asks again after its answer.
    Closed {
        /// How many clients.
        clients: Count,
        /// How long each thinks before it asks.
        think: Span,
    },
}

/// A change of the rate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When.
    pub at: Span,
    /// Requests per second from then on.
    pub rate: f64,
}

/// What harms a client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harm {
    /// An answer that takes longer.
    pub over: Option<Span>,
    /// A failure.
    #[serde(default)]
    pub errors: bool,
}

/// Another controller that judges the same requests, from completed ones alone and at the fixed weight of the plan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What people call it in this configuration.
    pub name: String,
    /// Which controller.
    pub kind: PeerKind,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// Which controller, and how it is configured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PeerKind {
    /// Flagger: a check per interval; failed checks add up.
    Flagger {
        /// The time between two checks, at least 10 s.
        interval: Span,
        /// How many checks may fail.
        threshold: Count,
    },
    /// Argo Rollouts: a measurement per interval; fails when more than `failure_limit` fail.
    Argo {
        /// The time between two measurements.
        interval: Span,
        /// How many measurements may fail.
        failure_limit: u32,
    },
    /// Kayenta: a Mann-Whitney test of series of per-minute values at the end of each interval.
    Kayenta {
        /// The time between two judgements.
        interval: Span,
    },
    /// The same sequential tests in the order of completion, which is the mistake to avoid.
    CompletionOrder {
        /// The bound on false rollbacks.
        alpha: Ratio,
        /// The bound on false passes.
        beta: Ratio,
    },
}

/// What goes wrong around a rollout; chances are per second unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Operators that abort.
    #[serde(default)]
    pub aborts: f64,
    /// Operators that abort and let the share go back in steps.
    #[serde(default)]
    pub recedes: f64,
    /// Operators that waive holds.
    #[serde(default)]
    pub promotes: f64,
    /// Operators that start the rollout again.
    #[serde(default)]
    pub starts: f64,
    /// Operators that resume or confirm what waits.
    #[serde(default)]
    pub resumes: f64,
    /// Operators that hold what progresses.
    #[serde(default)]
    pub pauses: f64,
    /// Operators that choose one of the first four steps and hold it there.
    #[serde(default)]
    pub weights: f64,
    /// People that approve what waits for it.
    #[serde(default)]
    pub approvals: f64,
    /// People that deny it.
    #[serde(default)]
    pub denials: f64,
    /// The share of runs in which others are asked before the rollout begins, goes on or is promoted, and before an operator gives the
    /// canary more. They let it be, refuse it, answer late or never.
    #[serde(default)]
    pub webhooks: Ratio,
    /// A controller that stands still for up to 4 s.
    #[serde(default)]
    pub stalls: f64,
    /// A worker whose reports stay out for up to 4 s.
    #[serde(default)]
    pub silences: f64,
    /// A process that is killed, in the middle of what it does, and starts again.
    #[serde(default)]
    pub kills: f64,
    /// The share of runs with a bad disk.
    #[serde(default)]
    pub bad_disks: Ratio,
    /// The chance that a write fails on a bad disk.
    #[serde(default)]
    pub writes_fail: Ratio,
    /// Rates between which each run has one.
    pub rates: Option<(Above, Above)>,
    /// The most workers; each run has from 1 to so many.
    pub workers: Option<Count>,
    /// Gates of which each run has one set.
    #[serde(default)]
    pub gates: Vec<Vec<Text<Criterion>>>,
    /// Plans of which each run has one.
    #[serde(default)]
    pub plans: Vec<Ramping>,
    /// Canaries of which each run has one.
    #[serde(default)]
    pub canaries: Vec<VersionSpec>,
}
