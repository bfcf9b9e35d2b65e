//! One attempt to move a service from stable to canary: events in, effects out, in the order that is safe.
//!
//! Going forward: persist, then publish, then notify; a raise that could not be persisted does not happen. Going back:
//! publish, then persist, then notify; a lowering that could not be persisted is tried again on every tick.

use crate::domain::gate::{Evidence, Verdict};
use crate::domain::invariants;
use crate::domain::outcome::Role;
use crate::domain::rollout::event::{Effect, Event, View};
use crate::domain::rollout::judge::Judgement;
use crate::domain::rollout::plan::Plan;
use crate::domain::rollout::record::{Entry, Phase, Record};
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// A change that waits to become durable before it may be published.
#[derive(Clone, Debug, PartialEq)]
enum Pending {
    Raise { step: usize },
    Promote,
}

/// One rollout.
#[derive(Clone, Debug)]
pub struct Rollout {
    service: Name,
    plan: Plan,
    record: Record,
    step_since: Timestamp,
    express: Option<String>,
    pending: Option<Pending>,
    unsaved: Option<Entry>,
}

impl Rollout {
    /// Makes a rollout that has not begun. `generation` is the last one its service has used.
    #[must_use]
    pub fn new(id: u64, service: Name, stable: Version, canary: Version, plan: Plan, generation: u64) -> Self {
        let record = Record {
            id,
            stable,
            canary,
            phase: Phase::Progressing,
            step: 0,
            weight: Weight::ZERO,
            generation,
            reason: "not begun".to_owned(),
            evidence: None,
        };
        Self { service, plan, record, step_since: Timestamp::ZERO, express: None, pending: None, unsaved: None }
    }

    /// Returns what is kept of it.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Returns its plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns when the current step began.
    #[must_use]
    pub const fn step_since(&self) -> Timestamp {
        self.step_since
    }

    /// Says whether a lowering is not yet durable.
    #[must_use]
    pub const fn is_unsaved(&self) -> bool {
        self.unsaved.is_some()
    }

    /// Returns what invariants look at.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View { record: &self.record, plan: &self.plan, step_since: self.step_since, pending: self.pending.is_some() }
    }

    /// Takes in one event and returns what must be done, in order.
    #[must_use]
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let before = if cfg!(debug_assertions) { Some(self.clone()) } else { None };
        let effects = self.react(now, &event);
        if let Some(before) = before
            && let Err(broken) = invariants::after_step(&before.view(), now, &event, &effects, &self.view())
        {
            debug_assert!(false, "{broken}: {event:?} on {before:?} gave {effects:?}");
        }
        effects
    }

    fn react(&mut self, now: Timestamp, event: &Event) -> Vec<Effect> {
        match event {
            Event::Begin => self.begin(),
            Event::Persisted => self.persisted(now),
            Event::PersistFailed(why) => self.persist_failed(why),
            Event::Abort { actor, reason } if self.record.phase == Phase::Progressing => {
                self.lower(Phase::Aborted, actor, format!("aborted by {actor}: {reason}"), None)
            }
            Event::Tripped(evidence) if self.record.phase == Phase::Progressing => {
                self.lower(Phase::RolledBack, "gate", evidence.sentence.clone(), Some(evidence.clone()))
            }
            Event::Promote { actor, reason } if self.record.phase == Phase::Progressing => {
                self.express = Some(actor.clone());
                vec![notice(format!("{actor} waives the remaining holds: {reason}; evidence is still required"), false)]
            }
            Event::Lapsed if self.record.phase == Phase::Progressing => {
                // A hold is time under judgement; what passed without it does not count.
                self.step_since = now;
                let name = &self.record.canary.name;
                vec![notice(format!("{name} got nothing for a while, because nothing could be judged; its step begins again"), true)]
            }
            Event::Judged { judgement, file } => self.judged(now, judgement, file.as_ref()),
            Event::Abort { .. } | Event::Tripped(_) | Event::Promote { .. } | Event::Lapsed => Vec::new(),
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        if self.record.phase != Phase::Progressing || self.record.weight > Weight::ZERO || self.pending.is_some() {
            return Vec::new();
        }
        self.raise_to(0, "plan", "the rollout begins".to_owned())
    }

    fn judged(&mut self, now: Timestamp, judgement: &Judgement, file: Option<&(Verdict, String)>) -> Vec<Effect> {
        if let Some(entry) = self.unsaved.clone() {
            return vec![self.persist(entry)];
        }
        if self.record.phase != Phase::Progressing || self.pending.is_some() {
            return Vec::new();
        }
        if let Some(evidence) = &judgement.breach {
            return self.lower(Phase::RolledBack, "gate", evidence.sentence.clone(), Some(evidence.clone()));
        }
        if self.record.weight == Weight::ZERO {
            // The first raise could not be persisted: try again.
            return self.begin();
        }
        let Some(step) = self.plan.step(self.record.step).copied() else { return Vec::new() };
        let last = self.record.step == self.plan.last_index();
        let held = now.since(self.step_since) >= step.hold || (self.express.is_some() && !last);
        if !held || !judgement.passes() {
            return Vec::new();
        }
        match file {
            Some((Verdict::Fail, sentence)) => return self.lower(Phase::RolledBack, "gate", sentence.clone(), None),
            Some((Verdict::Inconclusive, _)) => return Vec::new(),
            Some((Verdict::Pass | Verdict::Warning, _)) | None => {}
        }
        let requests = judgement.gates.iter().map(|g| g.requests).min().unwrap_or(0);
        let reason = format!("{} gate(s) passed on {requests} requests at {}", judgement.gates.len(), step.weight);
        let actor = self.express.clone().unwrap_or_else(|| "plan".to_owned());
        if last { self.promote(&actor, reason) } else { self.raise_to(self.record.step + 1, &actor, reason) }
    }

    /// Asks for a raise to be made durable; it is published when that is done.
    fn raise_to(&mut self, step: usize, actor: &str, reason: String) -> Vec<Effect> {
        let Some(target) = self.plan.step(step) else { return Vec::new() };
        let record = Record {
            step,
            weight: target.weight,
            generation: self.record.generation + 1,
            reason: reason.clone(),
            evidence: None,
            ..self.record.clone()
        };
        let entry = self.entry(&record, actor, Role::Stable);
        self.pending = Some(Pending::Raise { step });
        vec![Effect::Persist { record: Box::new(record), entry: Box::new(entry) }]
    }

    fn promote(&mut self, actor: &str, reason: String) -> Vec<Effect> {
        let record = Record { phase: Phase::Promoted, generation: self.record.generation + 1, reason, ..self.record.clone() };
        let entry = self.entry(&record, actor, Role::Canary);
        self.pending = Some(Pending::Promote);
        vec![Effect::Persist { record: Box::new(record), entry: Box::new(entry) }]
    }

    fn persisted(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.unsaved.take().is_some() {
            return Vec::new();
        }
        let Some(pending) = self.pending.take() else { return Vec::new() };
        self.record.generation += 1;
        let (owner, sentence) = match pending {
            Pending::Raise { step } => {
                let Some(target) = self.plan.step(step) else { return Vec::new() };
                self.record.step = step;
                self.record.weight = target.weight;
                self.step_since = now;
                (Role::Stable, format!("{} gets {} of {}", self.record.canary.name, target.weight, self.service))
            }
            Pending::Promote => {
                self.record.phase = Phase::Promoted;
                (Role::Canary, format!("{} is promoted and owns {}", self.record.canary.name, self.service))
            }
        };
        self.record.reason = sentence.clone();
        let publish = Effect::Publish { generation: self.record.generation, owner, weight: self.record.weight };
        vec![publish, notice(sentence, false)]
    }

    fn persist_failed(&mut self, why: &str) -> Vec<Effect> {
        let what =
            if self.pending.take().is_some() { "the raise was not made" } else { "the canary keeps nothing; writing is tried again" };
        vec![notice(format!("the state of {} could not be written ({why}): {what}", self.service), true)]
    }

    /// Takes everything from the canary: publish first, then persist, then notify.
    fn lower(&mut self, phase: Phase, actor: &str, reason: String, evidence: Option<Evidence>) -> Vec<Effect> {
        let from = self.record.weight;
        self.pending = None;
        self.record.phase = phase;
        self.record.weight = Weight::ZERO;
        self.record.generation += 1;
        self.record.reason.clone_from(&reason);
        self.record.evidence = evidence;
        let mut entry = self.entry(&self.record, actor, Role::Stable);
        entry.from = from;
        self.unsaved = Some(entry.clone());
        vec![
            Effect::Publish { generation: self.record.generation, owner: Role::Stable, weight: Weight::ZERO },
            self.persist(entry),
            notice(reason, phase == Phase::RolledBack),
        ]
    }

    fn persist(&self, entry: Entry) -> Effect {
        Effect::Persist { record: Box::new(self.record.clone()), entry: Box::new(entry) }
    }

    fn entry(&self, after: &Record, actor: &str, owner: Role) -> Entry {
        Entry {
            service: self.service.clone(),
            rollout: after.id,
            actor: actor.to_owned(),
            phase: after.phase,
            owner,
            from: self.record.weight,
            to: after.weight,
            generation: after.generation,
            reason: after.reason.clone(),
            evidence: after.evidence.clone(),
        }
    }
}

fn notice(sentence: String, alarm: bool) -> Effect {
    Effect::Notify { sentence, alarm }
}
