//! The control plane of a run: the one place where the simulation touches `control`'s service.

use std::sync::Arc;
use std::time::Duration;

use crate::control::restore::{self, Known};
use crate::control::service::{Seen, Service};
use crate::control::setup::{Origin, ServiceSetup, TICK};
use crate::domain::gate::{Criterion, Gate, Inconclusive};
use crate::domain::observation::{Observation, cell};
use crate::domain::outcome::{Outcome, Role};
use crate::domain::rollout::{Event, Phase, ServiceState};
use crate::domain::time::{Timestamp, nanos};
use crate::domain::version::{Name, Version};
use crate::domain::way_back::WayBack;
use crate::domain::weight::Weight;
use crate::seam::report::{Mark, StableMarks};
use crate::seam::table::Epoch;
use crate::simulate::scenario::{Ramping, Scenario, Text};
use crate::simulate::world::desk::Desk;
use crate::simulate::world::others::{Answer, webhooks};

/// What an operator may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin a rollout of the canary, again if need be.
    Start,
    /// Stop it.
    Abort,
    /// Stop it, and let its share go back in steps.
    Recede,
    /// Waive the holds.
    Promote,
    /// Go on with what waits.
    Resume,
    /// Hold it where it is.
    Pause,
    /// Approve it.
    Approve,
    /// Deny it.
    Deny,
    /// Hold it at this step of its plan.
    SetWeight(usize),
}

/// What one worker saw of one epoch of one rollout.
#[derive(Debug)]
pub struct Batch {
    /// The rollout.
    pub rollout: u64,
    /// The generation.
    pub generation: u64,
    /// The canary's requests.
    pub marks: Vec<Mark>,
    /// The stable version's requests beside a canary.
    pub stable_marks: StableMarks,
    /// What the sums say of stable.
    pub stable: Observation,
    /// How many requests of the canary began.
    pub decided: u64,
}

impl Batch {
    /// Begins one of a rollout and a generation.
    pub fn new(rollout: u64, generation: u64) -> Self {
        let stable = Observation::new(Role::Stable);
        Self { rollout, generation, marks: Vec::new(), stable_marks: StableMarks::default(), stable, decided: 0 }
    }

    /// Counts a request that begins.
    pub const fn count(&mut self, role: Role) {
        match role {
            Role::Stable | Role::Beside => self.stable.decided += 1,
            Role::Canary => self.decided += 1,
        }
    }

    /// Counts how a request of stable ended, and how long it took.
    pub fn ended(&mut self, outcome: Outcome, head: Option<Duration>, duration: Duration) {
        self.stable.count(outcome);
        self.stable.duration.sum_ns += nanos(duration);
        if let Some(head) = head {
            self.stable.response_time.cells.push((cell(nanos(head) / 1_000), 1));
        }
    }

    /// The sums that the controller reads: how many requests there are, and what stable can take.
    fn observations(&self) -> [Observation; 2] {
        [self.stable.clone(), Observation { decided: self.decided, ..Observation::new(Role::Canary) }]
    }
}

/// The control plane of a run.
pub struct Control {
    /// What the service finds around it.
    pub desk: Desk,
    service: Service,
    setup: ServiceSetup,
    known: Vec<Timestamp>,
}

fn name(text: &str) -> Name {
    text.parse().expect("it is written here and is a name")
}

/// A version with one endpoint that nothing ever connects to.
fn version(text: &str) -> Version {
    Version::new(name(text), vec![([127, 0, 0, 1], 9).into()])
}

impl Control {
    /// Makes the control plane of one run; no rollout has begun. The scenario was checked when it was read.
    /// `others` is what a refusal comes to, where others are asked.
    pub fn new(
        scenario: &Scenario,
        (gates, plan): (&[Text<Criterion>], &Ramping),
        workers: usize,
        others: Option<Inconclusive>,
        desk: Desk,
    ) -> Self {
        let setup = ServiceSetup {
            origin: Origin::default(),
            name: name("service"),
            rules: Vec::new(),
            choice: None,
            stable: version("v1"),
            canary: None,
            schedule: plan.schedule().expect("the scenario was checked"),
            gates: gates.iter().map(|Text(criterion)| Gate::written(*criterion)).collect(),
            policy: scenario.policy.policy().expect("the scenario was checked"),
            grader: None,
            mutual: crate::domain::upkeep::Rules::default(),
            way_back: scenario.way_back.way_back(),
            webhooks: others.map_or_else(Vec::new, |_| webhooks()).into(),
            webhook_failure: others.unwrap_or(Inconclusive::Hold),
        };
        let state = ServiceState {
            owner: version("v1"),
            configured: name("v1"),
            rollout: None,
            rejected: Vec::new(),
            tried: Vec::new(),
            asked: None,
        };
        let mut desk = desk;
        match setup.way_back {
            WayBack::AtOnce => {}
            WayBack::Shed(terms) => desk.witness.may_refuse_for(terms.lasts),
            WayBack::Ramp(within) => desk.witness.may_recede_for(within),
        }
        Self { desk, service: Service::new(setup.clone(), state), setup, known: vec![Timestamp::ZERO; workers] }
    }

    /// Returns the epoch in force.
    pub const fn epoch(&self) -> &Arc<Epoch> {
        self.service.epoch()
    }

    /// Returns where the rollout stands.
    pub fn phase(&self) -> Phase {
        self.service.status(self.desk.now).rollout.map_or(Phase::Progressing, |rollout| rollout.phase)
    }

    /// Says whether the rollout has begun and ended for good.
    pub fn is_over(&self) -> bool {
        self.desk.begun.is_some() && self.service.progressing().is_none()
    }

    /// Takes in what a worker reports at `now`; it has then reported everything up to now.
    pub fn hear(&mut self, worker: usize, batches: Vec<Batch>, now: Timestamp) {
        for batch in batches {
            let observations = batch.observations();
            let seen = Seen {
                rollout: batch.rollout,
                generation: batch.generation,
                worker,
                observations: &observations,
                marks: &batch.marks,
                stable_marks: &batch.stable_marks,
            };
            self.service.observe(&seen, &mut self.desk);
        }
        if let Some(known) = self.known.get_mut(worker) {
            *known = now;
        }
    }

    /// Hears that a wire has tripped.
    pub fn tripped(&mut self, rollout: u64, at: Timestamp, now: Timestamp) {
        self.desk.now = now;
        self.service.tripped(rollout, at, at, now, &mut self.desk);
    }

    /// Does what the controller does on its tick.
    pub fn tick(&mut self, now: Timestamp) {
        self.desk.now = now;
        let known_until = self.known.iter().copied().min().unwrap_or(now);
        self.service.tick(now, known_until, &mut self.desk);
        if self.desk.is_dead() {
            return;
        }
        if self.service.progressing().is_some() {
            self.desk.witness.refreshed(known_until);
        }
        let in_force = self.epoch().canary.as_ref().is_some_and(|canary| canary.trial.is_tripped());
        let held = self.desk.witness.ticked(in_force);
        self.desk.demand(held);
    }

    /// Carries out what an operator asks, as the controller would.
    pub fn command(&mut self, command: Command, now: Timestamp) {
        self.desk.now = now;
        let said = || ("operator".to_owned(), "so it is".to_owned());
        match command {
            Command::Start => {
                let canary = version("v2");
                if self.service.refusal(&canary, true).is_none() {
                    self.service.begin(canary, None, now, &mut self.desk);
                }
            }
            Command::Abort if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Abort { actor, reason }, now, &mut self.desk);
            }
            Command::Recede if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Recede { actor, reason }, now, &mut self.desk);
            }
            Command::Promote if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Promote { actor, reason }, now, &mut self.desk);
            }
            Command::Resume if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Resume { actor, reason }, now, &mut self.desk);
            }
            Command::Approve if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Approve { actor, reason }, now, &mut self.desk);
            }
            Command::Deny if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Deny { actor, reason }, now, &mut self.desk);
            }
            Command::Pause if self.service.progressing().is_some() => {
                let (actor, reason) = said();
                self.service.drive(Event::Pause { actor, reason }, now, &mut self.desk);
            }
            Command::SetWeight(step) => {
                let step = self.service.rollout().and_then(|rollout| rollout.plan().step(step));
                if let Some(weight) = step.map(|step| step.weight) {
                    let (actor, reason) = said();
                    self.service.drive(Event::SetWeight { weight, actor, reason }, now, &mut self.desk);
                }
            }
            Command::Abort | Command::Recede | Command::Promote | Command::Resume | Command::Approve | Command::Deny | Command::Pause => {}
        }
    }

    /// Hears the next answer of those who were asked, as the controller would.
    pub fn answered(&mut self, now: Timestamp) {
        self.desk.now = now;
        let Some(Answer { question: (rollout, number), refusal, .. }) = self.desk.others.take() else { return };
        if self.service.progressing().is_some_and(|record| record.id == rollout) {
            self.service.drive(Event::Consulted { number, refusal }, now, &mut self.desk);
        }
    }

    /// Starts the process again from what is on the disk.
    pub fn restart(&mut self, now: Timestamp) {
        self.desk.now = now;
        self.desk.dies_in = None;
        self.desk.others.forget();
        self.desk.valve = None;
        let known = self.desk.durable.clone().map_or(Known::Nothing, |state| Known::State(Box::new(state)));
        let start = restore::start(&self.setup.name, &self.setup.stable, None, known);
        if let Some(entry) = start.write {
            // What cannot be written is decided again at the next start.
            let _ = crate::control::shell::Shell::persist(&mut self.desk, &self.setup.name, &start.state, &[entry.into()]);
        }
        self.service = Service::new(self.setup.clone(), start.state);
        let epoch = Arc::clone(self.service.epoch());
        let given = epoch.canary.as_ref().map_or(Weight::ZERO, |canary| canary.weight);
        let held = self.desk.witness.restarted(epoch.generation, given);
        self.desk.demand(held);
        self.desk.published = Some(epoch);
        self.known.fill(now);
    }

    /// Returns the time between two ticks in production.
    pub const fn tick_of_production() -> Duration {
        TICK
    }
}
