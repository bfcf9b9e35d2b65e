//! The plan of a rollout: the steps by which a canary's weight grows to everything.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::gate::Inconclusive;
use crate::domain::time;
use crate::domain::weight::Weight;

/// The longest time a step may be held.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// The longest time an approval may be waited for: seven days.
pub const LONGEST_APPROVAL: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a step waits for after it has passed: somebody must say that the rollout may go on.
///
/// Meanwhile the canary keeps its share and its gates stay armed, so that a breach takes the share as ever. A restart ends the wait
/// as it ends every rollout that is not over: everything is with stable again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// How long somebody has for it, 1 s to 7 days.
    pub deadline: Duration,
    /// What happens when nobody has said anything by then; a rollout is never promoted by that.
    pub then: Inconclusive,
}

/// One step of a plan: a share of the traffic and how long it is held at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The share of new requests the canary gets during this step.
    pub weight: Weight,
    /// How long the step lasts at least, 0 to 24 hours; it lasts longer while evidence is missing.
    pub hold: Duration,
    /// Who must be asked before the rollout goes on from here; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// The steps of a rollout: at least one, weights strictly increasing from above 0 to exactly 100 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Plan {
    steps: Vec<Step>,
    harm: Option<f64>,
}

/// The reason why steps are not a [`Plan`]. Step indices count from 0; the text counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// There is no step.
    #[error("a plan needs at least one step")]
    Empty,
    /// A step would give the canary nothing.
    #[error("the weight of step {} is 0%, so it can gather no evidence", .index + 1)]
    Nothing {
        /// Which step.
        index: usize,
    },
    /// A step does not give more than the one before it.
    #[error("the weight of step {} is {weight}, which is not above the {before} of the step before", .index + 1)]
    NotIncreasing {
        /// Which step.
        index: usize,
        /// Its weight.
        weight: Weight,
        /// The weight of the step before.
        before: Weight,
    },
    /// The last step does not give the canary everything.
    #[error("the last step gives the canary {last}, not 100%, so the rollout could never end")]
    Unfinished {
        /// The weight of the last step.
        last: Weight,
    },
    /// A step is held for longer than a day.
    #[error("step {} is held for {}, which is more than 24 hours", .index + 1, time::human(*.hold))]
    HeldTooLong {
        /// Which step.
        index: usize,
        /// How long it would be held.
        hold: Duration,
    },
    /// A ramp whose weight does not grow.
    #[error("the factor of a ramp is {factor}; it must be at least 2, or the weight would not grow")]
    FlatRamp {
        /// The factor asked for.
        factor: u16,
    },
}

impl InvalidPlan {
    /// Returns the index of the step at fault, counted from 0, where it is one step's fault.
    #[must_use]
    pub const fn step(&self) -> Option<usize> {
        match self {
            Self::Nothing { index } | Self::NotIncreasing { index, .. } | Self::HeldTooLong { index, .. } => Some(*index),
            Self::Empty | Self::Unfinished { .. } | Self::FlatRamp { .. } => None,
        }
    }
}

impl Plan {
    /// Makes a plan from its steps.
    ///
    /// # Errors
    ///
    /// Fails without steps, when a weight is 0 or not above the one before, when the last is not 100 %, and when a
    /// hold is above 24 hours; the first of these that applies is returned, in the order of the steps.
    pub fn new(steps: Vec<Step>) -> Result<Self, InvalidPlan> {
        match Self::problems(&steps).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { steps, harm: None }),
        }
    }

    /// Returns everything that keeps these steps from being a plan, in the order of the steps.
    #[must_use]
    pub fn problems(steps: &[Step]) -> Vec<InvalidPlan> {
        let mut problems = Vec::new();
        let mut before = Weight::ZERO;
        for (index, step) in steps.iter().enumerate() {
            if step.weight == Weight::ZERO {
                problems.push(InvalidPlan::Nothing { index });
            } else if step.weight <= before {
                problems.push(InvalidPlan::NotIncreasing { index, weight: step.weight, before });
            }
            if step.hold > LONGEST_HOLD {
                problems.push(InvalidPlan::HeldTooLong { index, hold: step.hold });
            }
            before = step.weight;
        }
        match steps.last() {
            None => problems.push(InvalidPlan::Empty),
            Some(step) if step.weight != Weight::FULL => problems.push(InvalidPlan::Unfinished { last: step.weight }),
            Some(_) => {}
        }
        problems
    }

    /// Makes the plan that begins at `start` and multiplies the weight by `factor` until it is everything, holding
    /// each step for `hold`. A step that would land above 60 % is everything: 10 % and factor 3 give 10 %, 30 %, 100 %.
    ///
    /// # Errors
    ///
    /// Fails when `start` is 0, `factor` is below 2 or `hold` is above 24 hours.
    pub fn ramp(start: Weight, factor: u16, hold: Duration) -> Result<Self, InvalidPlan> {
        if factor < 2 {
            return Err(InvalidPlan::FlatRamp { factor });
        }
        if start == Weight::ZERO {
            return Err(InvalidPlan::Nothing { index: 0 });
        }
        let weights = std::iter::successors(Some(start), |weight| (*weight < Weight::FULL).then(|| next(*weight, factor)));
        Self::new(weights.map(|weight| Step { weight, hold, approval: None }).collect())
    }

    /// Returns the plan with the rule that the share may grow as soon as no more than `harm` bad requests are to be expected
    /// in flight, or without such a rule.
    #[must_use]
    pub fn within_harm(self, harm: Option<f64>) -> Self {
        Self { harm, ..self }
    }

    /// Returns what must be approved before a rollout goes on from a step, where the first `approved` steps are done with theirs: who
    /// holds a share that lies ahead passes the approvals between, and owes the last of them.
    #[must_use]
    pub fn owed(&self, approved: usize, step: usize) -> Option<Approval> {
        self.steps.iter().enumerate().filter(|(index, _)| (approved..=step).contains(index)).rev().find_map(|(_, step)| step.approval)
    }

    /// Returns who must be asked before the canary gets everything.
    #[must_use]
    pub fn approval_before_everything(&self) -> Option<Approval> {
        self.steps.get(self.steps.len().saturating_sub(2)).and_then(|step| step.approval)
    }

    /// Returns the plan with an approval before the canary gets everything, or before the end where it does so from the start.
    #[must_use]
    pub fn approved_before_everything(mut self, approval: Option<Approval>) -> Self {
        let index = self.steps.len().saturating_sub(2);
        if let Some(step) = self.steps.get_mut(index) {
            step.approval = approval;
        }
        self
    }

    /// Returns the plan with these approvals at its steps.
    #[cfg(test)]
    #[must_use]
    pub fn approved_at(mut self, approvals: &[Option<Approval>]) -> Self {
        self.steps.iter_mut().zip(approvals).for_each(|(step, approval)| step.approval = *approval);
        self
    }

    /// Returns how many bad requests may be expected in flight while the share grows; `None` where each step needs pass evidence.
    #[must_use]
    pub const fn harm(&self) -> Option<f64> {
        self.harm
    }

    /// Returns the steps in their order; never empty.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns one step, counted from 0.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&Step> {
        self.steps.get(index)
    }

    /// Returns the index of the last step, the one at 100 %.
    #[must_use]
    pub fn last_index(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }
}

/// Returns the weight after `weight` in a ramp: what would be above 60 % is everything.
fn next(weight: Weight, factor: u16) -> Weight {
    let next = weight.times(factor);
    if next.basis_points() > 6_000 { Weight::FULL } else { next }
}

impl TryFrom<Vec<Step>> for Plan {
    type Error = InvalidPlan;
    fn try_from(steps: Vec<Step>) -> Result<Self, InvalidPlan> {
        Self::new(steps)
    }
}

impl From<Plan> for Vec<Step> {
    fn from(plan: Plan) -> Self {
        plan.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(percent: &str, seconds: u64) -> Step {
        Step { weight: percent.parse().unwrap(), hold: Duration::from_secs(seconds), approval: None }
    }

    #[test]
    fn a_ramp_multiplies_until_everything() {
        let plan = Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap();
        assert_eq!(plan.steps(), [step("10%", 10), step("30%", 10), step("100%", 10)]);
        assert_eq!(plan.last_index(), 2);
        assert_eq!(plan.step(1), Some(&step("30%", 10)));
        assert_eq!(plan.step(3), None);
    }

    #[test]
    fn a_ramp_that_starts_at_everything_has_one_step() {
        let plan = Plan::ramp(Weight::FULL, 2, Duration::ZERO).unwrap();
        assert_eq!(plan.steps(), [step("100%", 0)]);
        assert_eq!(plan.last_index(), 0);
    }

    #[test]
    fn refuses_plans_that_cannot_end_and_says_which_step() {
        let day = 24 * 3600;
        for (steps, want) in [
            (vec![], InvalidPlan::Empty),
            (vec![step("0%", 1), step("100%", 1)], InvalidPlan::Nothing { index: 0 }),
            (vec![step("10%", 1)], InvalidPlan::Unfinished { last: "10%".parse().unwrap() }),
            (
                vec![step("50%", 1), step("50%", 1), step("100%", 1)],
                InvalidPlan::NotIncreasing { index: 1, weight: "50%".parse().unwrap(), before: "50%".parse().unwrap() },
            ),
            (vec![step("100%", day + 1)], InvalidPlan::HeldTooLong { index: 0, hold: Duration::from_secs(day + 1) }),
        ] {
            assert_eq!(Plan::new(steps), Err(want));
        }
        assert_eq!(
            Plan::ramp("10%".parse().unwrap(), 1, Duration::ZERO).unwrap_err().to_string(),
            "the factor of a ramp is 1; it must be at least 2, or the weight would not grow"
        );
        assert_eq!(Plan::ramp(Weight::ZERO, 3, Duration::ZERO), Err(InvalidPlan::Nothing { index: 0 }));
    }

    #[test]
    fn every_problem_of_the_steps_is_named_at_once() {
        let steps = [step("30%", 1), step("20%", 24 * 3600 + 1), step("0%", 1)];
        let problems: Vec<Option<usize>> = Plan::problems(&steps).iter().map(InvalidPlan::step).collect();
        assert_eq!(problems, [Some(1), Some(1), Some(2), None]);
    }

    #[test]
    fn a_stored_plan_is_checked_when_it_is_read_back() {
        let plan = Plan::new(vec![step("2.5%", 3), step("100%", 4)]).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        let broken = json.replace("10000", "9999");
        assert!(serde_json::from_str::<Plan>(&broken).unwrap_err().to_string().contains("not 100%"));
    }

    proptest! {
        #[test]
        fn every_ramp_is_a_plan(points in 1_u16..=10_000, factor in 2_u16..=u16::MAX) {
            let start = Weight::from_basis_points(points).unwrap();
            let plan = Plan::ramp(start, factor, Duration::from_secs(1)).unwrap();
            prop_assert!(Plan::problems(plan.steps()).is_empty());
            prop_assert_eq!(plan.steps()[0].weight, start);
            prop_assert!(plan.steps().len() <= 15);
        }
    }
}
