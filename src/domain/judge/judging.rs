//! The judge itself: takes in the events of requests and answers on each tick.

use std::time::Duration;

use crate::domain::gate::evidence::Test;
use crate::domain::gate::{Evidence, Gate, Policy};
use crate::domain::judge::arms::Arm;
use crate::domain::judge::status::{Count, Judgement, WireCount};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// The judge of one rollout.
#[derive(Clone, Debug)]
pub struct Judge {
    canary: Name,
    gates: Vec<Gate>,
    policy: Policy,
    steps: usize,
}

impl Judge {
    /// Begins to judge a rollout of `steps` steps.
    #[must_use]
    pub fn new(canary: Name, gates: &[Gate], policy: &Policy, steps: usize) -> Self {
        Self { canary, gates: gates.to_vec(), policy: *policy, steps }
    }

    /// Sets how many bad requests may be expected in flight while the share grows; `None` without such a rule.
    pub fn allow_harm(&mut self, _harm: Option<f64>) {}

    /// Notes that a request began in an epoch.
    pub fn started(&mut self, _arm: Arm, _generation: u64, _seq: u64, _at: Timestamp) {}

    /// Notes that a request's response head was sent on after `latency`; its end may be long in coming.
    pub fn answered(&mut self, _arm: Arm, _seq: u64, _latency: Duration) {}

    /// Notes how a request ended; the first report stands.
    pub fn ended(&mut self, _arm: Arm, _seq: u64, _fate: Fate) {}

    /// Notes that the epoch `generation` gives the canary `weight`; `None` where it gets nothing but probes.
    pub fn epoch(&mut self, _generation: u64, _weight: Option<Weight>) {}

    /// Begins a step: pass evidence and fresh step tests count from canary request number `first` on.
    pub fn begin_step(&mut self, _first: u64) {}

    /// Sets until when the version warms up: blocks that begin before have the looser null.
    pub fn warm_until(&mut self, _until: Timestamp) {}

    /// Begins the brake tests again after canary request `first - 1`, with 2^−`halvings` of their α.
    pub fn resume(&mut self, _first: u64, _halvings: u32) {}

    /// Begins the watch with canary request `first`: the change-point test brakes too.
    pub fn watch(&mut self, _first: u64) {}

    /// Explains a trip of the `wire`-th gate that has one, with what the trip found.
    #[must_use]
    pub fn trip(&self, wire: usize, test: Test, count: Count) -> Option<Evidence> {
        let gate = self.gates.iter().filter(|gate| gate.criterion.is_wired()).nth(wire)?;
        let _ = test;
        Some(Evidence::of_trip(gate, &self.canary, self.policy.alpha_brake, count.requests, count.breaches, count.unanswered))
    }

    /// Judges by what is known up to `known_until`, the earliest of the workers' last reports.
    pub fn tick(&mut self, _known_until: Timestamp, _wires: &[WireCount]) -> Judgement {
        let _ = self.steps;
        Judgement::default()
    }
}
