//! On what terms a rollout is judged, as they are shown: its plan and its policy, with times in seconds.

use serde::{Deserialize, Serialize};

use crate::domain::gate::{Inconclusive, Policy};
use crate::domain::rollout::{Approval, Plan, Step};
use crate::domain::weight::Weight;

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStatus {
    /// The canary's share, in basis points.
    pub weight: Weight,
    /// How long it lasts at least, in seconds.
    pub hold_seconds: f64,
    /// Who is asked before it goes on from here; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
}

/// What a step waits for after it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalStatus {
    /// How long somebody has for it, in seconds.
    pub deadline_seconds: f64,
    /// What happens when nobody has said anything by then.
    pub then: Inconclusive,
}

impl From<Approval> for ApprovalStatus {
    fn from(approval: Approval) -> Self {
        Self { deadline_seconds: approval.deadline.as_secs_f64(), then: approval.then }
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// The steps in order; the last gives the canary everything.
    pub steps: Vec<StepStatus>,
    /// How many bad requests may be expected in flight while the share grows; absent without that rule.
    pub harm: Option<f64>,
}

impl From<&Plan> for PlanStatus {
    fn from(plan: &Plan) -> Self {
        let status = |step: &Step| StepStatus {
            weight: step.weight,
            hold_seconds: step.hold.as_secs_f64(),
            approval: step.approval.map(ApprovalStatus::from),
        };
        let steps = plan.steps().iter().map(status).collect();
        Self { steps, harm: plan.harm() }
    }
}

/// A policy; see [`Policy`] for what each of these means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// The bound on a false rollback.
    pub alpha: f64,
    /// The bound on a false brake.
    pub alpha_brake: f64,
    /// The bound on a false pass of a step.
    pub beta: f64,
    /// The longest pause a healthy version may show; 0 where the first trip is final.
    pub burst_tolerance_seconds: f64,
    /// How long a looser limit applies at the beginning.
    pub warm_up_seconds: f64,
    /// After how long a request that has not ended is an error.
    pub outcome_deadline_seconds: f64,
    /// After how long a step is inconclusive.
    pub max_bake_seconds: f64,
    /// What then happens.
    pub inconclusive: Inconclusive,
    /// How long the version is watched at 100 % before it is promoted.
    pub watch_seconds: f64,
    /// From how many clients breaches must come.
    pub min_clients: u8,
}

impl From<&Policy> for PolicyStatus {
    fn from(policy: &Policy) -> Self {
        Self {
            alpha: policy.alpha,
            alpha_brake: policy.alpha_brake,
            beta: policy.beta,
            burst_tolerance_seconds: policy.burst_tolerance.as_secs_f64(),
            warm_up_seconds: policy.warm_up.as_secs_f64(),
            outcome_deadline_seconds: policy.outcome_deadline.as_secs_f64(),
            max_bake_seconds: policy.max_bake.as_secs_f64(),
            inconclusive: policy.inconclusive,
            watch_seconds: policy.watch.as_secs_f64(),
            min_clients: policy.min_clients,
        }
    }
}
