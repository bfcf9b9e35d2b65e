//! The plan and the policy of a scenario, as written and as the control plane takes them.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::gate::policy::{Inconclusive, Policy};
use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::{Approval, Plan, Ramp, Schedule, Start, Step};
use crate::domain::way_back::{Recession, Terms, WayBack};
use crate::domain::weight::Weight;
use crate::simulate::scenario::values::{Above, Count, Ratio, Span, Text};

/// The policy of a scenario; what is not written is as in the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// The bound on false final rollbacks.
    pub alpha: Option<Ratio>,
    /// The bound on false brakes.
    pub alpha_brake: Option<Ratio>,
    /// The bound on false passes of a step.
    pub beta: Option<Ratio>,
    /// The longest pause a healthy version may show.
    pub burst_tolerance: Option<Span>,
    /// How long the looser limit applies.
    pub warm_up: Option<Span>,
    /// When a request without an end is an error.
    pub outcome_deadline: Option<Span>,
    /// How long a step may last.
    pub max_bake: Option<Span>,
    /// What then happens.
    pub inconclusive: Option<Inconclusive>,
    /// How long the version is watched at 100 %.
    pub watch: Option<Span>,
    /// From how many clients breaches must come.
    pub min_clients: Option<u8>,
}

impl Overrides {
    /// Returns the policy, or which bound is not strictly between 0 and 1.
    ///
    /// # Errors
    ///
    /// Returns the name of the bound and what it must be.
    pub fn policy(&self) -> Result<Policy, String> {
        let base = Policy::default();
        let bound = |name: &str, written: Option<Ratio>, default: f64| match written {
            Some(Ratio(value)) if value <= 0.0 || value >= 1.0 => Err(format!("{name} is {value}; it must be above 0 and below 1")),
            Some(Ratio(value)) => Ok(value),
            None => Ok(default),
        };
        let time = |written: Option<Span>, default: Duration| written.map_or(default, |span| span.0);
        Ok(Policy {
            alpha: bound("alpha", self.alpha, base.alpha)?,
            alpha_brake: bound("alpha_brake", self.alpha_brake, base.alpha_brake)?,
            beta: bound("beta", self.beta, base.beta)?,
            burst_tolerance: time(self.burst_tolerance, base.burst_tolerance),
            warm_up: time(self.warm_up, base.warm_up),
            outcome_deadline: time(self.outcome_deadline, base.outcome_deadline),
            max_bake: time(self.max_bake, base.max_bake),
            inconclusive: self.inconclusive.unwrap_or(base.inconclusive),
            watch: time(self.watch, base.watch),
            min_clients: self.min_clients.unwrap_or(base.min_clients),
        })
    }
}

/// What is done for a stable version that gets everything back, as written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Return {
    /// Nothing.
    #[default]
    AtOnce,
    /// What it cannot take is refused.
    Shed {
        /// How many requests it may hold; learned without it.
        max_in_flight: Option<Count>,
        /// For how long at most, a minute without it.
        lasts: Option<Span>,
    },
    /// A share goes back in steps where people or clocks end the rollout.
    Ramp {
        /// Within which time, 30 s without it.
        within: Option<Span>,
    },
}

impl Return {
    /// Returns what the control plane takes.
    #[must_use]
    pub fn way_back(&self) -> WayBack {
        match self {
            Self::AtOnce => WayBack::AtOnce,
            Self::Ramp { within } => WayBack::Ramp(within.map_or(Recession::WITHIN, |within| within.0)),
            Self::Shed { max_in_flight, lasts } => WayBack::Shed(Terms {
                most: max_in_flight.map(|Count(count)| u32::try_from(count).unwrap_or(u32::MAX)),
                lasts: lasts.map_or(Terms::LASTS, |lasts| lasts.0),
            }),
        }
    }
}

/// One step as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// The canary's share.
    pub weight: Text<Weight>,
    /// How long it is held at least.
    pub hold: Span,
    /// Who is asked before it goes on from here; absent: nobody.
    pub approval: Option<ApprovalSpec>,
}

/// An approval as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSpec {
    /// How long somebody has for it.
    pub deadline: Span,
    /// What happens when nobody has said anything by then.
    pub then: Inconclusive,
}

impl StepSpec {
    fn step(&self) -> Step {
        let approval = self.approval.as_ref().map(|written| Approval { deadline: written.deadline.0, then: written.then });
        Step { weight: self.weight.0, hold: self.hold.0, approval }
    }
}

/// A ramp as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RampSpec {
    /// Where it starts; by the traffic without it.
    pub start: Option<Text<Weight>>,
    /// By what each step multiplies the share, 3 without it.
    pub factor: Option<u16>,
    /// How long each step lasts at least, 10 s without it.
    pub hold: Option<Span>,
    /// How many bad requests may be expected in flight.
    pub harm: Option<Above>,
}

/// How the canary's share grows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ramping {
    /// It does not: it stays at this share for as long as the run lasts.
    Fixed(Text<Weight>),
    /// Step by step.
    Steps(Vec<StepSpec>),
    /// By multiplication.
    Ramp(RampSpec),
}

impl Ramping {
    /// Returns the schedule.
    ///
    /// # Errors
    ///
    /// Says why the steps are no plan.
    pub fn schedule(&self) -> Result<Schedule, String> {
        /// No run lasts as long; a step may not be held for longer.
        const FOREVER: Duration = Duration::from_secs(24 * 3600);
        let steps = match self {
            Self::Fixed(Text(Weight::FULL)) => vec![Step { weight: Weight::FULL, hold: FOREVER, approval: None }],
            Self::Fixed(Text(weight)) => [*weight, Weight::FULL].map(|weight| Step { weight, hold: FOREVER, approval: None }).to_vec(),
            Self::Steps(steps) => steps.iter().map(StepSpec::step).collect(),
            Self::Ramp(ramp) => {
                let start = ramp.start.as_ref().map_or(Start::Auto, |Text(weight)| Start::At(*weight));
                let hold = ramp.hold.map_or(Duration::from_secs(10), |span| span.0);
                let ramp = Ramp { start, factor: ramp.factor.unwrap_or(3), hold, harm: ramp.harm.map(|Above(harm)| harm), approval: None };
                let schedule = Schedule::Ramp(ramp);
                // A plan is made when the traffic is known; what is wrong with this one is wrong with every one.
                schedule.plan(&Pace::of(&[], &Policy::default(), 0.0)).map_err(|why| why.to_string())?;
                return Ok(schedule);
            }
        };
        Plan::new(steps).map(Schedule::Steps).map_err(|why| why.to_string())
    }
}

impl Default for Ramping {
    fn default() -> Self {
        Self::Ramp(RampSpec { start: None, factor: None, hold: None, harm: None })
    }
}
