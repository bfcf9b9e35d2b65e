//! How a plan comes about: written step by step, or a ramp whose start may depend on the traffic.

use std::time::Duration;

use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::plan::{Approval, InvalidPlan, Plan};
use crate::domain::stats::planning::start_weight_for_rate;
use crate::domain::weight::Weight;

/// Where a ramp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this share.
    At(Weight),
    /// At the share at which about five requests are out before anything can be known, between 0.1 % and 10 %, and no less than its
    /// gates need to pass in time.
    Auto,
}

/// A ramp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Where it starts.
    pub start: Start,
    /// By what each step multiplies the share; at least 2.
    pub factor: u16,
    /// How long each step lasts at least; zero for an express rollout.
    pub hold: Duration,
    /// With a number, the share may grow as soon as no more than so many bad requests are to be expected in flight; above 0.
    pub harm: Option<f64>,
    /// Who must be asked before the canary gets everything; absent: nobody.
    pub approval: Option<Approval>,
}

/// How the canary's share is to grow.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Step by step.
    Steps(Plan),
    /// By multiplication.
    Ramp(Ramp),
}

impl Schedule {
    /// Says whether the traffic decides where it starts.
    #[must_use]
    pub const fn needs_traffic(&self) -> bool {
        matches!(self, Self::Ramp(Ramp { start: Start::Auto, .. }))
    }

    /// Returns the schedule with an approval before the canary gets everything, and whether nobody was to be asked there before; who
    /// was to be asked still is.
    #[must_use]
    pub fn awaiting(self, wait: Approval) -> (bool, Self) {
        match self {
            Self::Ramp(ramp) => (ramp.approval.is_none(), Self::Ramp(Ramp { approval: ramp.approval.or(Some(wait)), ..ramp })),
            Self::Steps(plan) if plan.approval_before_everything().is_some() => (false, Self::Steps(plan)),
            Self::Steps(plan) => (true, Self::Steps(plan.approved_before_everything(Some(wait)))),
        }
    }

    /// Makes the plan for a service with this traffic and these gates.
    ///
    /// # Errors
    ///
    /// Fails when the ramp is no plan, as [`Plan::ramp`] does.
    pub fn plan(&self, pace: &Pace) -> Result<Plan, InvalidPlan> {
        match self {
            Self::Steps(plan) => Ok(plan.clone()),
            Self::Ramp(Ramp { start, factor, hold, harm, approval }) => {
                let start = match start {
                    Start::At(weight) => *weight,
                    // Bounded by the harm to be expected only the last step needs evidence.
                    Start::Auto => start_weight(&if harm.is_some() { pace.without_evidence() } else { *pace }),
                };
                Ok(Plan::ramp(start, *factor, *hold)?.within_harm(*harm).approved_before_everything(*approval))
            }
        }
    }
}

/// The largest first share that is chosen by itself, in basis points.
const MOST: f64 = 1_000.0;
/// How much of the time that a step may take its evidence is to need, so that a lull does not leave it undecided.
const OF_THE_TIME: f64 = 0.5;

/// Returns the share at which about five requests are out before anything can be known of them, or at which the gates have what they
/// need in half of the time they have, whichever is more: 10 % at most, also where there is no traffic, and 0.1 % at least.
#[must_use]
pub fn start_weight(pace: &Pace) -> Weight {
    let cautious = (start_weight_for_rate(pace.rate, pace.reveal) * 10_000.0).round();
    let evidence = pace.requests as f64 / (pace.rate * pace.within.as_secs_f64() * OF_THE_TIME);
    // Of a number and none, as there is without traffic and anything to prove, the number counts.
    let points = cautious.max((evidence * 10_000.0).ceil()).min(cautious.max(MOST)) as u16;
    Weight::from_basis_points(points).unwrap_or(Weight::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::Inconclusive;

    fn pace(rate: f64) -> Pace {
        Pace { rate, reveal: Duration::from_secs(1), requests: 0, within: Duration::from_secs(1_800) }
    }

    #[test]
    fn a_ramp_starts_where_few_requests_are_out_before_anything_can_be_known() {
        for (rate, percent) in [(0.0, "10%"), (1.0, "10%"), (100.0, "5%"), (1_000.0, "0.5%"), (1e6, "0.1%"), (f64::NAN, "0.1%")] {
            assert_eq!(start_weight(&pace(rate)), percent.parse().unwrap(), "{rate}");
        }
        let ramp = Schedule::Ramp(Ramp { start: Start::Auto, factor: 3, hold: Duration::ZERO, harm: Some(10.0), approval: None });
        let plan = ramp.plan(&Pace { requests: 1_000_000, ..pace(1_000.0) }).unwrap();
        let weights: Vec<String> = plan.steps().iter().map(|step| step.weight.to_string()).collect();
        assert_eq!(weights, ["0.5%", "1.5%", "4.5%", "13.5%", "40.5%", "100%"], "bounded by harm it needs no evidence to go on");
        assert_eq!(plan.harm(), Some(10.0));
    }

    #[test]
    fn a_ramp_starts_with_what_its_gates_need_in_half_of_their_time() {
        for (rate, requests, percent) in [
            // 3 800 requests in 15 min take 2.12 % of 200 requests per second; five out would be 2.5 %.
            (200.0, 3_800, "2.5%"),
            (200.0, 7_600, "4.23%"),
            (200.0, 1_000_000, "10%"),
            (1.0, 90, "10%"),
            (0.0, 3_800, "10%"),
            (0.0, 0, "10%"),
            (1_000.0, u64::MAX, "10%"),
        ] {
            assert_eq!(start_weight(&Pace { requests, ..pace(rate) }), percent.parse().unwrap(), "{requests} at {rate}");
        }
    }

    #[test]
    fn a_wait_before_everything_takes_the_place_of_no_other() {
        let wait = |seconds| Approval { deadline: Duration::from_secs(seconds), then: Inconclusive::RollBack };
        let ramp = |approval| Ramp { start: Start::At("10%".parse().unwrap()), factor: 3, hold: Duration::ZERO, harm: None, approval };
        let approvals = |schedule: Schedule| -> Vec<u64> {
            let plan = schedule.plan(&pace(1.0)).unwrap();
            plan.steps().iter().map(|step| step.approval.map_or(0, |approval| approval.deadline.as_secs())).collect()
        };
        for (before, alone, deadlines) in [(None, true, [0, 7, 0]), (Some(wait(9)), false, [0, 9, 0])] {
            let ramp = Schedule::Ramp(ramp(before));
            let steps = Schedule::Steps(ramp.plan(&pace(1.0)).unwrap());
            for schedule in [ramp, steps] {
                let (was_alone, schedule) = schedule.awaiting(wait(7));
                assert_eq!((was_alone, approvals(schedule)), (alone, deadlines.to_vec()));
            }
        }
    }
}
