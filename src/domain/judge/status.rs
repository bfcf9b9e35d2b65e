//! What the judge is told of tripwires and what it says on a tick.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::gate::basis::Basis;
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::evidence::{Estimate, Rule, odds};
use crate::domain::gate::{Evidence, Origin, Verdict};
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// What one count of a tripwire holds: the k-th breach was request number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many requests that count had seen start up to the newest counted breach, n.
    pub requests: u64,
    /// The breaches counted, k.
    pub breaches: u64,
    /// How many of them were unanswered when they counted.
    pub unanswered: u64,
}

/// Both counts of one tripwire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCount {
    /// Since the trial began.
    pub cumulative: Count,
    /// Since the step began.
    pub step: Count,
}

/// Where one gate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// The gate as shown to people.
    pub gate: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Fail when breached, pass when the step's evidence suffices, else inconclusive.
    pub verdict: Verdict,
    /// The canary's resolved requests since the step began.
    pub requests: u64,
    /// Breaches among them; 0 for a mean.
    pub breaches: u64,
    /// What the value, the limit and the bounds are measured in.
    #[serde(default)]
    pub unit: Unit,
    /// The share of breaches since the step began, the mean in nanoseconds, or the Apdex score; `None` without requests.
    #[serde(default)]
    pub value: Option<f64>,
    /// What the value is held against, in the same unit; for relative gates as of now, `None` while that is not known.
    #[serde(default)]
    pub limit: Option<f64>,
    /// The anytime-valid lower bound on the value, at the pass level β; `None` without requests.
    #[serde(default)]
    pub lower: Option<f64>,
    /// The anytime-valid upper bound on the value, at the pass level β; `None` without requests. For a mean it is that of the
    /// latencies counted up to ten times the limit, as the pass test counts them: the mean itself has none.
    #[serde(default)]
    pub upper: Option<f64>,
    /// The pass evidence since the step began, as ln E.
    pub log_e: f64,
    /// The ln E at which the gate passes.
    pub log_threshold: f64,
    /// What the pass evidence is computed from.
    #[serde(default)]
    pub basis: Option<Basis>,
    /// The largest brake evidence since the trial began, of the test that is nearest to its threshold, as ln E.
    #[serde(default)]
    pub brake_log_e: f64,
    /// The ln E at which that test brakes.
    #[serde(default)]
    pub brake_log_threshold: f64,
    /// The largest confirming evidence of the rollout, as ln E.
    #[serde(default)]
    pub confirm_log_e: f64,
    /// The ln E at which it is final; `None` where nothing is confirmed.
    #[serde(default)]
    pub confirm_log_threshold: Option<f64>,
    /// How many more requests, as good as the best that can be hoped for, the gate needs to pass; `None` when they never suffice,
    /// or when `awaits_stable` says that this is not known yet.
    pub needs: Option<u64>,
    /// How many more requests of the stable version may have to be seen before `needs` can be known; `None` where it is known, and
    /// where the stable version is so good that no number suffices.
    #[serde(default)]
    pub awaits_stable: Option<u64>,
}

impl GateStatus {
    /// Returns what the step has shown of this gate, as it is journaled with a raise: the pass evidence, complete enough to be
    /// computed again. `generation` is that of the epoch in which it was gathered.
    #[must_use]
    pub fn evidence(&self, canary: &Name, generation: u64) -> Evidence {
        let counts = match self.unit {
            Unit::Share => format!("{} of {} requests in breach", self.breaches, self.requests),
            Unit::Nanoseconds | Unit::Score => format!("{} requests", self.requests),
        };
        let sentence = if self.verdict == Verdict::Pass {
            let rare = odds(self.log_e);
            format!(
                "passed with {counts}; had {canary} missed the gate, the chance of ever seeing evidence this strong would be below 1 in {rare}"
            )
        } else {
            format!("{} so far, with {counts}", self.verdict)
        };
        Evidence {
            gate: self.gate.clone(),
            origin: self.origin.clone(),
            // A breach has evidence of its own; this is the evidence for passing.
            verdict: if self.verdict == Verdict::Pass { Verdict::Pass } else { Verdict::Inconclusive },
            rule: Rule::Pass,
            requests: self.requests,
            breaches: self.breaches,
            unanswered: 0,
            stable_requests: 0,
            stable_breaches: 0,
            log_e: Some(self.log_e),
            log_threshold: Some(self.log_threshold),
            alpha: Some((-self.log_threshold).exp()),
            estimate: self.value.map(|value| Estimate { value, lower: self.lower, upper: self.upper }),
            unit: self.unit,
            tipped_by: Vec::new(),
            generation: Some(generation),
            basis: self.basis.clone(),
            sentence,
        }
    }
}

/// What the judge says on a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The first gate whose brake tests found it breached.
    pub brake: Option<Evidence>,
    /// The first gate whose breach is confirmed, which is final.
    pub confirmed: Option<Evidence>,
    /// Every gate; shared with what is shown.
    pub gates: Arc<[GateStatus]>,
    /// The largest share at which no more bad requests than the plan allows are to be expected in flight; `None` without such
    /// a rule or without a gate that bounds the share of bad requests.
    pub harm_cap: Option<Weight>,
    /// The requests per second over both arms, of the last seconds.
    pub rate: f64,
}

impl Judgement {
    /// Says whether every gate has its pass evidence for this step; false without gates.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.brake.is_none() && self.confirmed.is_none() && !self.gates.is_empty() && self.gates.iter().all(|g| g.verdict == Verdict::Pass)
    }

    /// Returns how many more requests of the stable version may have to be seen before it can be said what is needed; `None` when
    /// that can be said.
    #[must_use]
    pub fn awaits_stable(&self) -> Option<u64> {
        self.gates.iter().filter_map(|gate| gate.awaits_stable).max()
    }

    /// Returns how many more good requests are needed until every gate passes; `None` when unknown.
    #[must_use]
    pub fn needs(&self) -> Option<u64> {
        self.gates.iter().map(|g| g.needs).try_fold(0, |most, needs| needs.map(|n| n.max(most)))
    }
}
