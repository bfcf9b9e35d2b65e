//! What a service finds around it in a run: a virtual clock, a disk that may fail, and somebody who watches every effect.

use std::sync::Arc;

use crate::control::inquiry::Inquiry;
use crate::control::shell::Shell;
use crate::domain::invariants;
use crate::domain::rollout::{Dated, Effect, Event, Phase, Rollout, ServiceState};
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::table::Epoch;
use crate::seam::valve::Valve;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::scenario::Scale;
use crate::simulate::world::others::Others;
use crate::simulate::world::witness::Witness;

/// The surroundings of a service in a run.
#[derive(Debug)]
pub struct Desk {
    /// What the clock shows.
    pub now: Timestamp,
    /// What is on the disk.
    pub durable: Option<ServiceState>,
    /// The epoch published last.
    pub published: Option<Arc<Epoch>>,
    /// How many more effects are carried out before the process is killed.
    pub dies_in: Option<u32>,
    /// How often a canary's share was taken back by a publication, and when that was last.
    pub lowered: (u64, Timestamp),
    /// Whether the canary's share has ever gone down.
    pub fell: bool,
    /// When the first rollout began.
    pub begun: Option<Timestamp>,
    /// When a canary first got everything.
    pub full: Option<Timestamp>,
    /// What bounds the stable version.
    pub valve: Option<Arc<Valve>>,
    /// How the stable version is scaled.
    pub scale: Option<Scale>,
    /// Who watches what happens.
    pub witness: Witness,
    /// Who is asked before a rollout goes on.
    pub others: Others,
    /// The first invariant that did not hold.
    pub broken: Option<String>,
    writes_fail: f64,
    workers: usize,
    chance: Chance,
}

impl Desk {
    /// Makes surroundings with an empty disk on which a write fails with this chance.
    pub fn new(writes_fail: f64, workers: usize, seed: u64) -> Self {
        Self {
            now: Timestamp::ZERO,
            durable: None,
            published: None,
            dies_in: None,
            lowered: (0, Timestamp::ZERO),
            fell: false,
            begun: None,
            full: None,
            valve: None,
            scale: None,
            witness: Witness::default(),
            others: Others::new(seed),
            broken: None,
            writes_fail,
            workers,
            chance: Chance::new(seed ^ 0xd15c, Stream::Chaos),
        }
    }

    /// Says whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.dies_in == Some(0)
    }

    /// Keeps the first invariant that does not hold.
    pub fn demand(&mut self, held: Result<(), invariants::Broken>) {
        if let (Err(broken), None) = (held, &self.broken) {
            self.broken = Some(format!("at {}: {broken}", self.now));
        }
    }

    /// Keeps the first claim that does not hold.
    pub fn claim(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(format!("at {}: {}", self.now, what()));
        }
    }

    /// Counts an effect; says whether the process lives to carry it out.
    fn lives(&mut self) -> bool {
        if self.is_dead() {
            return false;
        }
        self.dies_in = self.dies_in.map(|effects| effects - 1);
        true
    }

    /// I6 and I11 before the fact: were the process killed now, no restart could find less than what is published.
    fn nothing_beyond_what_is_durable(&mut self, epoch: &Epoch) {
        let owner = &epoch.stable.name;
        let owns = self.durable.as_ref().is_none_or(|state| state.owner.name == *owner || state.configured == *owner);
        self.claim(owns, || format!("I6: {owner} was given everything before that was durable"));
        let record = self.durable.as_ref().and_then(|state| state.rollout.clone());
        if record.as_ref().is_some_and(|record| record.phase == Phase::Promoted && record.id == epoch.rollout) {
            return;
        }
        let given = share(epoch);
        if given > Weight::ZERO {
            let most = record.as_ref().filter(|record| record.id == epoch.rollout && !record.phase.is_terminal());
            let allowed = most.map_or(Weight::ZERO, |record| record.weight);
            self.claim(given <= allowed, || format!("I11: {given} was published, {allowed} was durable"));
        }
    }
}

/// Returns the canary's share; probes are none.
fn share(epoch: &Epoch) -> Weight {
    epoch.canary.as_ref().filter(|_| !epoch.is_probing()).map_or(Weight::ZERO, |canary| canary.weight)
}

impl Shell for Desk {
    fn publish(&mut self, _: &Name, epoch: Arc<Epoch>) {
        if !self.lives() {
            return;
        }
        if let Some(before) = self.published.clone() {
            let (was, is) = (before.generation, epoch.generation);
            self.claim(is > was, || format!("I4: generation {is} was published after {was}"));
            let promoted = before.stable.name != epoch.stable.name;
            self.fell |= share(&epoch) < share(&before) && !promoted;
            if share(&before) > Weight::ZERO && share(&epoch) == Weight::ZERO && !promoted {
                self.lowered = (self.lowered.0 + 1, self.now);
                self.witness.goes_back(Some(self.now));
            } else if share(&epoch) > Weight::ZERO || promoted {
                self.witness.goes_back(None);
            }
        }
        if epoch.canary.is_some() {
            self.begun = self.begun.or(Some(self.now));
        }
        if share(&epoch) == Weight::FULL {
            self.full = self.full.or(Some(self.now));
        }
        self.nothing_beyond_what_is_durable(&epoch);
        self.witness.refreshed(self.now);
        self.published = Some(epoch);
    }

    fn persist(&mut self, _: &Name, state: &ServiceState, _: &[Dated]) -> Result<(), String> {
        if !self.lives() {
            return Err("the process is dead".to_owned());
        }
        self.witness.tries();
        if self.chance.happens(self.writes_fail) {
            return Err("the disk is full".to_owned());
        }
        let held = self.witness.wrote(self.durable.as_ref(), state);
        self.demand(held);
        self.durable = Some(state.clone());
        Ok(())
    }

    fn consult(&mut self, inquiry: Inquiry) {
        if self.lives() {
            self.others.ask((inquiry.record.id, inquiry.number), self.now);
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn rolled_back(&mut self, _: &Name) {}

    fn usable(&self, _: &Arc<Version>) -> u32 {
        self.scale.as_ref().map_or(1, |scale| u32::try_from(scale.endpoints_at(self.now)).unwrap_or(u32::MAX))
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn narrow(&mut self, _: &Arc<Version>, valve: Option<Arc<Valve>>) {
        if self.is_dead() {
            return;
        }
        let shares = self.published.as_ref().is_some_and(|epoch| share(epoch) > Weight::ZERO);
        self.claim(valve.is_none() || shares, || "I27: stable was bounded only after everything had gone back".to_owned());
        self.valve = valve;
    }

    fn notify(&mut self, _: &Name, sentence: String, _: bool) {
        self.claim(!sentence.is_empty(), || "people were told nothing".to_owned());
    }

    fn step(&mut self, rollout: &mut Rollout, now: Timestamp, event: Event) -> Vec<Effect> {
        let before = rollout.record().clone();
        let (effects, held) = rollout.handle_checked(now, &event);
        self.demand(held);
        let held = self.witness.goes_down(&before, &event, rollout.record(), now);
        self.demand(held);
        let held = self.witness.stepped(&before, &event, &effects, rollout.record(), rollout.plan());
        self.demand(held);
        effects
    }
}
