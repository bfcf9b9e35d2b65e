//! What goes wrong around a rollout, at random moments of a run.

use std::time::Duration;

use crate::domain::gate::{Criterion, Inconclusive};
use crate::domain::time::Timestamp;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::scenario::{Chaos, Ramping, Scenario, Text, VersionSpec};
use crate::simulate::world::control::Command;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disturbance {
    /// An operator asks for something.
    Command(Command),
    /// The controller stands still until then.
    Stall(Timestamp),
    /// This worker's reports stay out until then.
    Silence(usize, Timestamp),
    /// The process is killed after so many more effects, and starts again.
    Kill(u32),
}

/// The disturbances of one run, made as time goes on.
#[derive(Debug)]
pub struct Disturbances {
    chance: Chance,
    /// What may happen and how often per second.
    kinds: Vec<(f64, Kind)>,
    total: f64,
    workers: usize,
    next: Timestamp,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Command(Command),
    Weight,
    Stall,
    Silence,
    Kill,
}

/// What a run is made from once chaos has had its choice.
pub struct Choice<'a> {
    /// Requests per second.
    pub rate: f64,
    /// Workers.
    pub workers: usize,
    /// Gates.
    pub gates: &'a [Text<Criterion>],
    /// Plan.
    pub plan: &'a Ramping,
    /// Canary.
    pub canary: &'a VersionSpec,
    /// The chance that a write fails.
    pub writes_fail: f64,
    /// What a refusal of others comes to, where others are asked.
    pub webhooks: Option<Inconclusive>,
    /// What happens while it runs.
    pub disturbances: Option<Disturbances>,
}

/// Chooses what one run is made from.
pub fn choose(scenario: &Scenario, seed: u64) -> Choice<'_> {
    let mut choice = Choice {
        rate: scenario.traffic.rate.map_or(0.0, |rate| rate.0),
        workers: scenario.workers.0,
        gates: &scenario.gates,
        plan: &scenario.plan,
        canary: &scenario.canary,
        writes_fail: 0.0,
        webhooks: None,
        disturbances: None,
    };
    let Some(chaos) = &scenario.chaos else { return choice };
    let mut chance = Chance::new(seed, Stream::Chaos);
    if let Some((low, high)) = chaos.rates {
        choice.rate = chance.between(low.0, high.0);
    }
    if let Some(workers) = chaos.workers {
        choice.workers = 1 + chance.below(workers.0);
    }
    if let Some(gates) = chaos.gates.get(chance.below(chaos.gates.len())) {
        choice.gates = gates;
    }
    if let Some(plan) = chaos.plans.get(chance.below(chaos.plans.len())) {
        choice.plan = plan;
    }
    if let Some(canary) = chaos.canaries.get(chance.below(chaos.canaries.len())) {
        choice.canary = canary;
    }
    if chance.happens(chaos.bad_disks.0) {
        choice.writes_fail = chaos.writes_fail.0;
    }
    if chance.happens(chaos.webhooks.0) {
        choice.webhooks = Some(if chance.happens(0.5) { Inconclusive::Hold } else { Inconclusive::RollBack });
    }
    choice.disturbances = Some(Disturbances::new(chaos, choice.workers, chance));
    choice
}

impl Disturbances {
    fn new(chaos: &Chaos, workers: usize, chance: Chance) -> Self {
        let kinds = vec![
            (chaos.aborts, Kind::Command(Command::Abort)),
            (chaos.recedes, Kind::Command(Command::Recede)),
            (chaos.promotes, Kind::Command(Command::Promote)),
            (chaos.starts, Kind::Command(Command::Start)),
            (chaos.resumes, Kind::Command(Command::Resume)),
            (chaos.pauses, Kind::Command(Command::Pause)),
            (chaos.weights, Kind::Weight),
            (chaos.approvals, Kind::Command(Command::Approve)),
            (chaos.denials, Kind::Command(Command::Deny)),
            (chaos.stalls, Kind::Stall),
            (chaos.silences, Kind::Silence),
            (chaos.kills, Kind::Kill),
        ];
        let total = kinds.iter().map(|kind| kind.0.max(0.0)).sum();
        let mut all = Self { chance, kinds, total, workers, next: Timestamp::ZERO };
        all.next = all.after(Timestamp::ZERO);
        all
    }

    /// Returns when something goes wrong next.
    pub const fn next(&self) -> Timestamp {
        self.next
    }

    /// Draws what goes wrong now.
    pub fn take(&mut self) -> Option<Disturbance> {
        /// The longest stall or silence: beyond the time for which an epoch is valid.
        const LONGEST: f64 = 4.0;
        let now = self.next;
        self.next = self.after(now);
        let mut left = self.chance.unit() * self.total;
        let kind = self.kinds.iter().find(|kind| {
            left -= kind.0.max(0.0);
            left < 0.0
        });
        let until = now + Duration::from_secs_f64(self.chance.between(0.001, LONGEST));
        Some(match kind?.1 {
            Kind::Command(command) => Disturbance::Command(command),
            Kind::Weight => Disturbance::Command(Command::SetWeight(self.chance.below(4))),
            Kind::Stall => Disturbance::Stall(until),
            Kind::Silence => Disturbance::Silence(self.chance.below(self.workers), until),
            Kind::Kill => Disturbance::Kill(u32::try_from(self.chance.below(4)).unwrap_or(0)),
        })
    }

    fn after(&mut self, now: Timestamp) -> Timestamp {
        if self.total <= 0.0 {
            return Timestamp::NEVER;
        }
        now + Duration::try_from_secs_f64(self.chance.exponential() / self.total).unwrap_or(Duration::MAX)
    }
}
