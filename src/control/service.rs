//! One service under control: its state, its epoch and its rollout; carries out the machine's effects in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::control::active::{Active, bare_status};
use crate::control::bequest::Bequest;
use crate::control::inquiry::Inquiry;
use crate::control::offers::in_pieces;
use crate::control::setup::{ServiceSetup, VALIDITY};
use crate::control::shell::Shell;
use crate::control::status::{RolloutStatus, ServiceStatus};
use crate::control::traffic::{Traffic, waits_for_traffic};
use crate::control::way_back::Way;
use crate::domain::endpoint::Endpoint;
use crate::domain::judge::{Arm, Count, WireCount};
use crate::domain::observation::Observation;
use crate::domain::outcome::Role;
use crate::domain::rollout::{Arming, Dated, Effect, Event, Phase, Record, Rollout, ServiceState};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::domain::webhook::Occasion;
use crate::domain::weight::Weight;
use crate::seam::report::{Mark, StableMarks};
use crate::seam::table::{Epoch, Route};
use crate::seam::tripwire as seam;

mod beginning;
mod trips;
mod wishes;

/// A rollout that begins as soon as the traffic is known.
struct Waiting {
    canary: Version,
    /// Who started it, where that was somebody.
    starter: Option<String>,
}

/// What is to be published.
struct Change {
    generation: u64,
    owner: Role,
    weight: Weight,
    arming: Arming,
}

/// One service under control.
pub struct Service {
    setup: ServiceSetup,
    state: ServiceState,
    owner: Arc<Version>,
    epoch: Arc<Epoch>,
    active: Option<Active>,
    traffic: Traffic,
    /// The rollout that begins as soon as the traffic is known.
    waiting: Option<Waiting>,
    /// How the owner's endpoints stood when they were last looked at.
    owner_standing: Standing,
    way: Way,
}

/// What a worker saw of one epoch of a service.
pub struct Seen<'a> {
    /// The rollout.
    pub rollout: u64,
    /// The epoch's generation.
    pub generation: u64,
    /// Which worker.
    pub worker: usize,
    /// Sums, one per role that saw anything.
    pub observations: &'a [Observation],
    /// The canary's requests one by one.
    pub marks: &'a [Mark],
    /// The stable version's requests one by one.
    pub stable_marks: &'a StableMarks,
}

impl Service {
    /// Takes a service over with everything at its owner.
    #[must_use]
    pub fn new(setup: ServiceSetup, state: ServiceState) -> Self {
        let owner = Arc::new(state.owner.clone());
        let (rollout, generation) = state.rollout.as_ref().map_or((0, 1), |r| (r.id, r.generation.max(1)));
        let epoch = Arc::new(
            Epoch::new(setup.name.clone(), rollout, generation, Arc::clone(&owner), None, Timestamp::NEVER).with_rules(setup.mutual),
        );
        Self {
            setup,
            state,
            owner,
            epoch,
            active: None,
            traffic: Traffic::default(),
            waiting: None,
            owner_standing: Standing::Usable,
            way: Way::default(),
        }
    }

    /// Takes the place of a service of the same name; its routing is a change after the last one. What is known of an owner that stays
    /// as it is goes on, and so does a bound on it that is in force.
    #[must_use]
    pub fn after(before: Self, setup: ServiceSetup, state: ServiceState) -> Self {
        let mut service = Self::new(setup, state);
        if service.owner == before.owner {
            (service.owner, service.way) = (before.owner, before.way);
        }
        let Epoch { rollout, generation, .. } = *service.epoch;
        let generation = generation.max(before.epoch.generation + 1);
        let (name, owner) = (service.setup.name.clone(), Arc::clone(&service.owner));
        service.epoch = Arc::new(Epoch::new(name, rollout, generation, owner, None, Timestamp::NEVER).with_rules(service.setup.mutual));
        service
    }

    /// Takes over a configuration that differs in nothing a rollout is judged by.
    pub fn accept(&mut self, setup: ServiceSetup) {
        self.setup = setup;
    }

    /// Says whether the end of the last rollout is not durable yet.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.machine.is_unsaved())
    }

    /// Returns what was configured.
    #[must_use]
    pub const fn setup(&self) -> &ServiceSetup {
        &self.setup
    }

    /// Returns its route.
    #[must_use]
    pub fn route(&self) -> Route {
        Route { rules: self.setup.rules.clone().into(), epoch: Arc::clone(&self.epoch), choice: self.setup.choice.clone() }
    }

    /// Returns the epoch in force.
    #[must_use]
    pub const fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// Returns what is kept of it.
    #[must_use]
    pub const fn state(&self) -> &ServiceState {
        &self.state
    }

    /// Returns the rollout that has not ended.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        self.active.as_ref().map(|active| &active.machine).filter(|machine| !machine.record().phase.is_terminal())
    }

    /// Returns its record.
    #[must_use]
    pub fn progressing(&self) -> Option<&Record> {
        self.rollout().map(Rollout::record)
    }

    /// Hands one event to the machine and carries out what it asks, and what follows from that.
    pub fn drive(&mut self, event: Event, mut now: Timestamp, shell: &mut dyn Shell) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(active) = &mut self.active else { return };
            let before = active.machine.record().phase;
            let next = active.machine.recedes_to();
            active.machine.foresee(self.way.prospect(self.setup.way_back, &self.owner, self.traffic.rate(), next));
            let effects = shell.step(&mut active.machine, now, event);
            if before != Phase::RolledBack && active.machine.record().phase == Phase::RolledBack {
                shell.rolled_back(&self.setup.name);
            }
            for effect in effects {
                match effect {
                    Effect::Publish { generation, owner, weight, arming } => {
                        self.publish(Change { generation, owner, weight, arming }, now, shell);
                    }
                    Effect::Persist { record, entry, decided, earlier } => {
                        let lines: Vec<Dated> = earlier.into_iter().chain([Dated { decided, entry: *entry }]).collect();
                        events.extend(self.persist(*record, &lines, shell));
                        // The disk may have taken long; what follows happens now.
                        now = shell.now();
                    }
                    Effect::Consult { number, occasion } => self.consult(number, occasion, shell),
                    Effect::Notify { sentence, alarm } => shell.notify(&self.setup.name, sentence, alarm),
                }
            }
        }
    }

    fn consult(&self, number: u64, occasion: Occasion, shell: &mut dyn Shell) {
        let Some(record) = self.active.as_ref().map(|active| active.machine.record().clone()) else { return };
        let webhooks = Arc::clone(&self.setup.webhooks);
        shell.consult(Inquiry { service: self.setup.name.clone(), number, occasion, record, webhooks });
    }

    fn publish(&mut self, change: Change, now: Timestamp, shell: &mut dyn Shell) {
        let Some(active) = &mut self.active else { return };
        let Change { generation, owner, weight, arming } = change;
        let had = self.epoch.canary.as_ref().is_some_and(|canary| canary.weight > Weight::ZERO && !self.epoch.is_probing());
        self.way.shares_change(active.machine.record().phase == Phase::Receding);
        match (owner, had, weight > Weight::ZERO) {
            (Role::Canary, ..) => {
                self.way.forget(&self.owner, shell);
                self.owner = Arc::clone(&active.canary);
            }
            (_, true, false) => self.way.begin(self.setup.way_back, &self.owner, self.traffic.rate(), now, shell),
            (_, false, true) => self.way.end(&self.owner, shell),
            _ => {}
        }
        let canary = active.arm(arming, weight, generation, now);
        let (name, rollout) = (self.setup.name.clone(), active.machine.record().id);
        let epoch = Epoch::new(name, rollout, generation, Arc::clone(&self.owner), canary, now + VALIDITY);
        self.epoch = Arc::new(epoch.with_rules(self.setup.mutual));
        shell.publish(&self.setup.name, Arc::clone(&self.epoch));
    }

    /// Writes and returns the events that say how it went. A trip that happened meanwhile goes before a raise that waits to be published;
    /// what was published already is durable all the same, and not written again.
    fn persist(&mut self, record: Record, lines: &[Dated], shell: &mut dyn Shell) -> Vec<Event> {
        let mut state = self.state.clone();
        match record.phase {
            Phase::Promoted => state.owner = record.canary.clone(),
            // A trip may come while a promotion is being written, and then takes it back.
            _ => state.owner = record.stable.clone(),
        }
        if record.phase == Phase::RolledBack {
            state.reject(&record.canary.name);
        }
        let goes_forward = matches!(record.phase, Phase::Progressing | Phase::Watching | Phase::Promoted);
        state.rollout = Some(record);
        state.asked = self.wish();
        if let Err(why) = shell.persist(&self.setup.name, &state, lines) {
            return vec![Event::PersistFailed(why)];
        }
        self.state = state;
        let saved = self.is_unsaved().then_some(Event::Persisted);
        match self.trip_evidence() {
            Some(evidence) if goes_forward => saved.into_iter().chain([Event::Tripped(Box::new(evidence))]).collect(),
            _ => vec![Event::Persisted],
        }
    }

    /// Takes in what a worker saw of an epoch, and offers the core on the way.
    pub fn observe(&mut self, seen: &Seen<'_>, shell: &mut dyn Shell) {
        self.traffic.count(seen.observations);
        self.way.observe(seen.observations);
        let Some(active) = self.active.as_mut().filter(|a| a.machine.record().id == seen.rollout) else { return };
        seen.observations.iter().for_each(|observation| active.observe(seen.generation, observation));
        in_pieces(seen.marks, shell, |mark| active.take(seen.generation, *mark));
        let arm = Arm::Stable { worker: seen.worker };
        in_pieces(seen.stable_marks.others(), shell, |mark| match *mark {
            Mark::Started(seq, at) => active.judge.started(arm, seen.generation, seq, at),
            Mark::Answered(seq, latency) => active.judge.answered(arm, seq, latency),
            Mark::Ended(seq, fate) => active.judge.ended(arm, seq, fate),
        });
        let begun = seen.stable_marks.begun();
        in_pieces(begun, shell, |(seq, course)| active.judge.took_course(arm, seen.generation, seq, course));
    }

    /// Tells people when the owner of the traffic can no longer be reached, or can again, and the machine how both stand.
    fn check_endpoints(&mut self, now: Timestamp, shell: &mut dyn Shell) {
        let stable = shell.standing(&self.owner);
        let before = std::mem::replace(&mut self.owner_standing, stable);
        if before.is_usable() != stable.is_usable() {
            let again = if stable.is_usable() { " again" } else { ": its requests fail" };
            shell.notify(&self.setup.name, format!("{} {stable}{again}", self.owner.name), !stable.is_usable());
        }
        let Some(active) = self.active.as_ref().filter(|a| !a.machine.record().phase.is_terminal()) else { return };
        let canary = shell.standing(&active.canary);
        if active.machine.standings() != (canary, stable) {
            self.drive(Event::Endpoints { canary, stable }, now, shell);
        }
    }

    /// Begins the step again when its epoch had expired: nobody judged, and the canary got nothing.
    fn check_lapse(&mut self, now: Timestamp, shell: &mut dyn Shell) {
        if self.progressing().is_none() || self.epoch.canary.is_none() || now <= self.epoch.valid_until() {
            return;
        }
        if let Some(active) = &mut self.active {
            active.restart_step(active.trial.started() + 1);
        }
        self.drive(Event::Lapsed, now, shell);
    }

    /// Judges by what is known, decides, and renews the epoch. Everything up to `known_until` has been observed; the epoch
    /// outlives that moment by [`VALIDITY`], so a canary whose worker is not heard of loses its share.
    pub fn tick(&mut self, now: Timestamp, known_until: Timestamp, shell: &mut dyn Shell) {
        self.traffic.tick(now);
        self.begin_waiting(now, shell);
        self.way.tick(&self.setup.name, &self.owner, now, shell);
        self.check_endpoints(now, shell);
        self.check_trip(now, shell);
        self.check_lapse(now, shell);
        let Some(active) = &mut self.active else { return };
        active.follow_trip(now);
        active.grade(self.setup.grader.as_ref());
        if active.machine.record().phase.is_terminal() && !active.machine.is_unsaved() {
            return;
        }
        let count = |c: seam::Count| Count { requests: c.requests, breaches: c.breaches, unanswered: c.unanswered };
        let wires: Vec<WireCount> =
            active.trial.counts().into_iter().map(|c| WireCount { cumulative: count(c.cumulative), step: count(c.step) }).collect();
        let judgement = active.judge.tick(known_until, &wires);
        active.judgement = judgement.clone();
        shell.offer_core();
        let file = active.file.as_ref().map(|f| (f.verdict, f.reason.clone()));
        self.drive(Event::Judged { judgement: Box::new(judgement), file }, now, shell);
        if self.progressing().is_some() {
            // A verdict is as fresh as the reports it rests on. A step that was published meanwhile has its own time.
            self.epoch.renew(self.epoch.valid_until().max(known_until + VALIDITY));
        }
    }

    /// Goes on bounding the owner as the process before this one did, unless a canary has a share.
    pub fn inherit(&mut self, bequest: &Bequest, now: Timestamp, shell: &mut dyn Shell) {
        if self.progressing().is_none_or(|record| record.weight == Weight::ZERO) {
            self.way.inherit(self.setup.way_back, bequest, &self.owner, now, shell);
        }
    }

    /// Iterates over the owner of the traffic and the canary of the current or last rollout.
    pub fn versions(&self) -> impl Iterator<Item = (&Arc<Version>, Role)> {
        let canary = self.active.as_ref().map(|active| &active.canary).filter(|canary| !Arc::ptr_eq(canary, &self.owner));
        std::iter::once((&self.owner, Role::Stable)).chain(canary.map(|canary| (canary, Role::Canary)))
    }

    /// Iterates over the versions beside the split whose endpoints a cluster tells.
    pub fn told_beside(&self) -> impl Iterator<Item = (&Arc<Version>, Role)> {
        let others = self.setup.choice.iter().flat_map(|choice| choice.others.all());
        let is_told = |version: &&Arc<Version>| version.endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Slices(_)));
        others.filter(is_told).map(|version| (version, Role::Beside))
    }

    fn is_shared(&self) -> bool {
        self.progressing().is_some_and(|record| record.weight > Weight::ZERO)
    }

    /// Says whether it stands where it is shown: what was decided for it, not its figures.
    #[must_use]
    pub fn stands_as(&self, shown: &ServiceStatus) -> bool {
        let rollout_stands = match (&self.active, &self.state.rollout, &shown.rollout) {
            (Some(active), _, Some(shown)) => active.stands_as(shown, &self.epoch, &self.state),
            (None, Some(record), Some(shown)) => (shown.id, shown.generation, shown.phase) == (record.id, record.generation, record.phase),
            (active, record, shown) => active.is_none() && record.is_none() && shown.is_none(),
        };
        rollout_stands
            && (&shown.name, &shown.owner.name) == (&self.setup.name, &self.owner.name)
            && shown.waits.is_some() == self.waiting.is_some()
            && shown.rejected == self.state.rejected
            && self.way.stands_as(shown.way_back.as_ref(), self.is_shared())
    }

    /// Returns what is shown of it.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> ServiceStatus {
        let rollout = match &self.active {
            Some(active) => Some(active.status(&self.epoch, &self.state, now)),
            None => self.state.rollout.as_ref().map(|record| RolloutStatus { durable: true, ..bare_status(record) }),
        };
        ServiceStatus {
            name: self.setup.name.clone(),
            owner: (*self.owner).clone(),
            rollout,
            waits: self.waiting.as_ref().map(|waiting| waits_for_traffic(&waiting.canary)),
            rejected: self.state.rejected.clone(),
            endpoints: Vec::new(),
            way_back: self.way.status(self.setup.way_back, &self.owner, self.is_shared().then(|| self.traffic.rate()), now),
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
