//! How a plan comes about: written step by step, or a ramp whose start may depend on the traffic.

use std::time::Duration;

use crate::domain::rollout::plan::{Approval, InvalidPlan, Plan};
use crate::domain::stats::planning::start_weight_for_rate;
use crate::domain::weight::Weight;

/// Where a ramp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this share.
    At(Weight),
    /// At the share at which about five requests are out before anything can be known, between 0.1 % and 10 %.
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

    /// Makes the plan for a service that gets `rate` requests per second, where a request is known to be bad after
    /// `reveal` at the latest.
    ///
    /// # Errors
    ///
    /// Fails when the ramp is no plan, as [`Plan::ramp`] does.
    pub fn plan(&self, rate: f64, reveal: Duration) -> Result<Plan, InvalidPlan> {
        match self {
            Self::Steps(plan) => Ok(plan.clone()),
            Self::Ramp(Ramp { start, factor, hold, harm, approval }) => {
                let start = match start {
                    Start::At(weight) => *weight,
                    Start::Auto => start_weight(rate, reveal),
                };
                Ok(Plan::ramp(start, *factor, *hold)?.within_harm(*harm).approved_before_everything(*approval))
            }
        }
    }
}

/// Returns the share at which about five requests are out before anything can be known of them: 10 % at most, also where there
/// is no traffic, and 0.1 % at least.
#[must_use]
pub fn start_weight(rate: f64, reveal: Duration) -> Weight {
    let points = (start_weight_for_rate(rate, reveal) * 10_000.0).round() as u16;
    Weight::from_basis_points(points).unwrap_or(Weight::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_starts_where_few_requests_are_out_before_anything_can_be_known() {
        for (rate, percent) in [(0.0, "10%"), (1.0, "10%"), (100.0, "5%"), (1_000.0, "0.5%"), (1e6, "0.1%"), (f64::NAN, "0.1%")] {
            assert_eq!(start_weight(rate, Duration::from_secs(1)), percent.parse().unwrap(), "{rate}");
        }
        let ramp = Schedule::Ramp(Ramp { start: Start::Auto, factor: 3, hold: Duration::ZERO, harm: Some(10.0), approval: None });
        let plan = ramp.plan(1_000.0, Duration::from_secs(1)).unwrap();
        let weights: Vec<String> = plan.steps().iter().map(|step| step.weight.to_string()).collect();
        assert_eq!(weights, ["0.5%", "1.5%", "4.5%", "13.5%", "40.5%", "100%"]);
        assert_eq!(plan.harm(), Some(10.0));
    }
}
