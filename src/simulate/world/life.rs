//! The life of a run: what happens next, whose turn it is, and what came of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::gate::Criterion;
use crate::domain::invariants;
use crate::domain::outcome::Role;
use crate::domain::rollout::Phase;
use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;
use crate::seam::table::Epoch;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::outcome::Outcome;
use crate::simulate::scenario::{Scenario, Text};
use crate::simulate::traffic::Traffic;
use crate::simulate::versions::Version;
use crate::simulate::world::chaos::{self, Choice, Disturbance, Disturbances};
use crate::simulate::world::control::{Command, Control};
use crate::simulate::world::desk::Desk;
use crate::simulate::world::ledger::{Ledger, Times};
use crate::simulate::world::plane::{Happened, Plane};

/// How long the news of a trip takes to the controller at most.
const WAKE: Duration = Duration::from_millis(2);

/// One run while it goes on.
struct Life {
    now: Timestamp,
    control: Control,
    plane: Plane,
    traffic: Traffic,
    stable: Version,
    canary: Version,
    ledger: Ledger,
    harm: (Option<Duration>, bool),
    disturbances: Option<Disturbances>,
    chance: Chance,
    tick: Duration,
    next_tick: Timestamp,
    /// When the controller hears of a trip, of which rollout, and when that was.
    wake: (Timestamp, u64, Timestamp),
    stalled: Timestamp,
    /// The generation that a wire has tripped and whose lowering is not published yet, 0 without one.
    lowered: u64,
    onset_after: Option<u64>,
}

/// Runs a scenario once with this seed.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let mut life = Life::new(scenario, seed);
    let end = Timestamp::ZERO + scenario.length.0;
    let goes_on_after_its_end = scenario.chaos.is_some() || scenario.stable.scale.is_some();
    let mut ended = None;
    while life.step(end) {
        if life.control.is_over() && ended.is_none() {
            ended = Some(life.now);
        }
        if (ended.is_some() && !goes_on_after_its_end) || life.control.desk.broken.is_some() {
            break;
        }
    }
    let ended = ended.filter(|_| life.control.is_over());
    let desk = &mut life.control.desk;
    let (times, broken) = (Times { begun: desk.begun, full: desk.full, ended }, desk.broken.take());
    life.ledger.close(life.control.phase(), times, broken)
}

thread_local! {
    /// The seed of the run that this thread is in.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Returns the seed of the run that this thread is in.
#[must_use]
pub fn seed_in_progress() -> Option<u64> {
    SEED.get()
}

/// Runs a scenario once and turns a panic into a broken run that names its seed. Where a panic ends the process, as in a
/// release build, [`seed_in_progress`] tells a panic hook what to name.
#[must_use]
pub fn run_for_seed(scenario: &Scenario, seed: u64) -> Outcome {
    SEED.set(Some(seed));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(scenario, seed)));
    SEED.set(None);
    caught.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let broken = format!("panicked: {}", said.unwrap_or_default());
        Ledger::new(None).close(Phase::Progressing, Times::default(), Some(broken))
    })
}

/// What harms a client: by the scenario, or by the strictest of the gates.
fn harm(scenario: &Scenario, gates: &[Text<Criterion>]) -> (Option<Duration>, bool) {
    if let Some(harm) = &scenario.harm {
        return (harm.over.map(|over| over.0), harm.errors);
    }
    let limit = |Text(criterion): &Text<Criterion>| match criterion {
        Criterion::Latency { limit, .. } | Criterion::Mean { limit, .. } => Some(*limit),
        Criterion::Apdex { satisfied, .. } => Some(*satisfied * 4),
        _ => None,
    };
    let counts_errors =
        |Text(criterion): &Text<Criterion>| matches!(criterion, Criterion::Errors { .. } | Criterion::RelativeErrors { .. });
    (gates.iter().filter_map(limit).min(), gates.iter().any(counts_errors))
}

impl Life {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        let Choice { rate, workers, gates, plan, canary, writes_fail, webhooks, disturbances } = chaos::choose(scenario, seed);
        let tick = scenario.tick.map_or(Control::tick_of_production(), |tick| tick.0.max(Duration::from_millis(1)));
        let mut chance = Chance::new(seed ^ 0x7e11, Stream::Plane);
        let mut control = Control::new(scenario, (gates, plan), workers, webhooks, Desk::new(writes_fail, workers, seed));
        control.desk.scale.clone_from(&scenario.stable.scale);
        control.command(Command::Start, Timestamp::ZERO);
        Self {
            now: Timestamp::ZERO,
            control,
            plane: Plane::new(workers, tick, scenario.stable.scale.is_some(), seed),
            traffic: Traffic::new(scenario, rate, seed),
            stable: Version::new(&scenario.stable, scenario, seed, Stream::Stable),
            canary: Version::new(canary, scenario, seed, Stream::Canary),
            ledger: Ledger::new(Version::goes_bad(canary).map(|onset| Timestamp::ZERO + onset)),
            harm: harm(scenario, gates),
            disturbances,
            tick,
            next_tick: Timestamp::ZERO + tick.mul_f64(chance.unit()),
            chance,
            wake: (Timestamp::NEVER, 0, Timestamp::ZERO),
            stalled: Timestamp::ZERO,
            lowered: 0,
            onset_after: canary.breaks.as_ref().and_then(|breaks| breaks.after_requests),
        }
    }

    /// Does what comes next, unless that is after `end`; says whether there was something.
    fn step(&mut self, end: Timestamp) -> bool {
        let (report, worker) = self.plane.next_report();
        let times = [
            self.traffic.next(),
            self.plane.next(),
            report,
            self.wake.0.max(self.stalled),
            self.next_tick.max(self.stalled),
            self.control.desk.others.next().max(self.stalled),
            self.disturbances.as_ref().map_or(Timestamp::NEVER, Disturbances::next),
        ];
        let Some((which, at)) = times.into_iter().enumerate().min_by_key(|(_, at)| *at) else { return false };
        if at > end {
            return false;
        }
        self.control.desk.claim(at >= self.now, || format!("I22: {at} comes after {}", self.now));
        self.now = at;
        self.control.desk.now = at;
        match which {
            0 => self.arrive(),
            1 => self.go_on(),
            2 => {
                let batches = self.plane.report(worker);
                self.control.hear(worker, batches, at);
            }
            3 => {
                let (_, rollout, tripped) = std::mem::replace(&mut self.wake, (Timestamp::NEVER, 0, Timestamp::ZERO));
                self.control.tripped(rollout, tripped, at);
            }
            4 => {
                self.next_tick = at + self.tick;
                self.control.tick(at);
            }
            5 => self.control.answered(at),
            _ => self.disturb(),
        }
        self.after_step();
        true
    }

    fn arrive(&mut self) {
        self.traffic.take();
        let epoch = Arc::clone(self.control.epoch());
        let (worker, role) = self.plane.pick(&epoch, self.now);
        self.check_pick(&epoch, role);
        if role == Role::Stable && !self.is_admitted(worker, &epoch) {
            self.ledger.shed();
            self.traffic.answered(self.now);
            return;
        }
        let weight = epoch.canary.as_ref().map_or(Weight::ZERO, |canary| canary.weight);
        let manner = match role {
            Role::Stable | Role::Beside => self.stable.next(self.now, weight),
            Role::Canary => {
                let manner = self.canary.next(self.now, weight);
                if self.onset_after.is_some_and(|requests| self.canary.answered() > requests) {
                    self.ledger.goes_bad(self.now);
                }
                manner
            }
        };
        self.ledger.begin(role, manner.harms(self.harm.0, self.harm.1), self.now);
        self.plane.begin(worker, &epoch, role, manner, self.now);
    }

    /// Says whether the stable version may get a request, and checks I27 where it may not.
    fn is_admitted(&mut self, worker: usize, epoch: &Epoch) -> bool {
        let desk = &mut self.control.desk;
        let Some(valve) = &desk.valve else { return true };
        let admitted = self.plane.admits(worker, epoch, valve, self.now);
        if !admitted {
            let held = desk.witness.refused(self.now);
            desk.demand(held);
        }
        admitted
    }

    /// I2, I12 and I14 at the pick.
    fn check_pick(&mut self, epoch: &Epoch, role: Role) {
        let canary = epoch.canary.as_ref().filter(|_| role == Role::Canary);
        let tripped = epoch.canary.as_ref().is_some_and(|canary| canary.trial.is_tripped()) || (canary.is_some() && self.control.is_over());
        let desk = &mut self.control.desk;
        desk.demand(invariants::i2_i12_a_canary_pick_is_allowed(tripped, epoch.valid_until(), self.now, role));
        if let Some(canary) = canary {
            let held = desk.witness.picked((epoch.generation, epoch.is_probing()), canary.trial.started(), self.now);
            desk.demand(held);
        }
    }

    fn go_on(&mut self) {
        let Happened { ended, tripped, breaches } = self.plane.go_on();
        if let Some((role, how)) = ended {
            self.ledger.end(role, how);
            self.traffic.answered(self.now);
        }
        if let Some(rollout) = tripped.filter(|rollout| *rollout == self.control.epoch().rollout) {
            self.ledger.braked(self.now, breaches);
            self.wake = (self.now + WAKE.mul_f64(self.chance.unit()), rollout, self.now);
            self.lowered = self.lowered.max(self.control.epoch().generation);
        }
    }

    fn disturb(&mut self) {
        match self.disturbances.as_mut().and_then(Disturbances::take) {
            Some(Disturbance::Command(command)) => self.control.command(command, self.now),
            Some(Disturbance::Stall(until)) => self.stalled = until,
            Some(Disturbance::Silence(worker, until)) => self.plane.silence(worker, until),
            Some(Disturbance::Kill(effects)) => self.control.desk.dies_in = Some(effects),
            None => {}
        }
    }

    /// Starts the process again where it was killed, and checks what must always hold.
    fn after_step(&mut self) {
        if self.control.desk.is_dead() {
            for _ in 0..self.plane.lose_all() {
                self.traffic.answered(self.now);
            }
            self.ledger.lose_all();
            self.control.restart(self.now);
            self.wake.0 = Timestamp::NEVER;
        }
        if self.control.desk.fell {
            self.ledger.falls();
        }
        let (count, at) = self.control.desk.lowered;
        if count > 0 && at == self.now {
            self.control.desk.lowered.0 = 0;
            // A wire has been counted already when it tripped; the publication only follows.
            let by_wire = std::mem::take(&mut self.lowered) > 0;
            if !by_wire {
                self.ledger.braked(self.now, 0);
            }
        }
        let held = self.ledger.check(self.plane.in_flight());
        self.control.desk.demand(held);
    }
}
