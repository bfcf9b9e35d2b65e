//! How a rollout changes: what goes forward is made durable first, what goes back is published first.

use crate::domain::gate::Evidence;
use crate::domain::judge::GateStatus;
use crate::domain::outcome::Role;
use crate::domain::rollout::event::{Arming, Dated, Effect, UNSAVED};
use crate::domain::rollout::machine::consult::WEBHOOK;
use crate::domain::rollout::machine::question::Asked;
use crate::domain::rollout::machine::{Pending, Rollout, notice};
use crate::domain::rollout::record::{Entry, Phase, Record};
use crate::domain::time::{self, Timestamp};
use crate::domain::way_back::Prospect;
use crate::domain::weight::Weight;

impl Rollout {
    /// Asks for a step to be made durable; it is published when that is done. `shown` is what the gates rest it on.
    pub(super) fn raise_to(&mut self, step: usize, actor: &str, reason: String, shown: &[GateStatus]) -> Vec<Effect> {
        let Some(target) = self.plan.step(step).copied() else { return Vec::new() };
        self.ask(Pending::Raise { step }, actor, (reason, shown), |record| {
            (record.phase, record.step, record.weight) = (Phase::Progressing, step, target.weight);
        })
    }

    pub(super) fn ask(
        &mut self,
        pending: Pending,
        actor: &str,
        (reason, shown): (String, &[GateStatus]),
        change: impl FnOnce(&mut Record),
    ) -> Vec<Effect> {
        // The answer of the disk would be taken for that about what was published before.
        if self.is_unsaved() {
            return Vec::new();
        }
        let (generation, who) = (self.record.generation + 1, Some(actor.to_owned()));
        let mut record = Record { generation, reason, evidence: None, actor: who, ..self.record.clone() };
        change(&mut record);
        let owner = if pending == Pending::Promote { Role::Canary } else { Role::Stable };
        let mut entry = self.entry(&record, actor, owner);
        entry.gates = shown.iter().map(|gate| gate.evidence(&record.canary.name, self.record.generation)).collect();
        self.pending = Some(pending);
        self.asker = actor.to_owned();
        vec![Effect::Persist { record: Box::new(record), entry: Box::new(entry), decided: None, earlier: Vec::new() }]
    }

    pub(super) fn persisted(&mut self, now: Timestamp) -> Vec<Effect> {
        if !std::mem::take(&mut self.unsaved).is_empty() {
            return Vec::new();
        }
        let Some(pending) = self.pending.take() else { return Vec::new() };
        self.record.generation += 1;
        (self.record.evidence, self.record.actor) = (None, Some(std::mem::take(&mut self.asker)));
        let (name, service) = (self.record.canary.name.clone(), self.service.clone());
        let was_on = self.record.weight > Weight::ZERO;
        let (arming, sentence) = match pending {
            Pending::Raise { step } => {
                let Some(target) = self.plan.step(step).copied() else { return Vec::new() };
                (self.record.phase, self.record.step, self.record.weight) = (Phase::Progressing, step, target.weight);
                let arming = match self.warming {
                    Some(Timestamp::NEVER) => {
                        self.warming = Some(now + self.policy.warm_up);
                        Arming::WarmUp
                    }
                    _ if was_on => Arming::NextStep,
                    _ => Arming::Fresh { halvings: self.record.brakes },
                };
                (arming, format!("{name} gets {} of {service}", target.weight))
            }
            Pending::Again => {
                self.record.phase = Phase::Progressing;
                (Arming::NextStep, format!("{name} goes on with {} of {service}", self.record.weight))
            }
            Pending::Approved => {
                self.record.phase = Phase::Progressing;
                (Arming::Held, format!("{name} is approved and goes on from {} of {service}", self.record.weight))
            }
            Pending::Held { step } => {
                let Some(target) = self.plan.step(step).copied() else { return Vec::new() };
                (self.record.phase, self.record.step, self.record.weight) = (Phase::Paused, step, target.weight);
                let arming = if was_on { Arming::NextStep } else { Arming::Fresh { halvings: self.record.brakes } };
                (arming, format!("{name} is held with {} of {service}", target.weight))
            }
            Pending::Watch => {
                self.record.phase = Phase::Watching;
                (Arming::Watch, format!("{name} has passed every step and is watched for {}", time::human(self.policy.watch)))
            }
            Pending::Promote => {
                self.record.phase = Phase::Promoted;
                (Arming::Nothing, format!("{name} is promoted and owns {service}"))
            }
        };
        self.since = now;
        self.approved = match pending {
            Pending::Approved => self.record.step + 1,
            Pending::Raise { step } => step,
            _ => self.approved.min(self.record.step),
        };
        self.served &= pending == Pending::Approved;
        (self.asked, self.wish) = (Asked::Nothing, None);
        self.record.reason.clone_from(&sentence);
        let done = [self.publish(self.record.weight, arming), notice(sentence, false)];
        done.into_iter().chain(self.told_of_end()).collect()
    }

    pub(super) fn persist_failed(&mut self, why: &str) -> Vec<Effect> {
        let what = if self.pending.take().is_some() { "the raise was not made" } else { "writing is tried again" };
        vec![notice(format!("the state of {} could not be written ({why}): {what}", self.service), true)]
    }

    /// Takes from the canary, or leaves it what it has: publish first, then persist, then notify.
    pub(super) fn lower(
        &mut self,
        now: Timestamp,
        (phase, weight): (Phase, Weight),
        actor: &str,
        reason: String,
        evidence: Option<Evidence>,
    ) -> Vec<Effect> {
        let from = self.record.weight;
        let reason = match &self.prospect.sentence {
            Some(prospect) if from > Weight::ZERO && weight == Weight::ZERO => format!("{reason}; {prospect}"),
            _ => reason,
        };
        // A webhook that refuses a wish has named it.
        let reason = match self.wish().filter(|_| actor != WEBHOOK) {
            Some((_, wish)) => format!("{reason}; what was asked is not carried out: {wish}"),
            None => reason,
        };
        self.pending = None;
        self.approved = self.approved.min(self.record.step);
        (self.served, self.asked, self.wish) = (false, Asked::Nothing, None);
        self.warming = self.warming.filter(|_| phase == Phase::Paused);
        // What was waived was waived of a version that had a share; what begins again begins with every hold.
        self.express = self.express.take().filter(|_| weight > Weight::ZERO);
        if self.record.phase != Phase::Receding || phase != Phase::Receding {
            self.since = now;
        }
        self.recession = self.recession.take().filter(|_| phase == Phase::Receding);
        self.record.phase = phase;
        self.record.weight = weight;
        self.record.generation += 1;
        self.record.reason.clone_from(&reason);
        (self.record.evidence, self.record.actor) = (evidence, Some(actor.to_owned()));
        let mut entry = self.entry(&self.record, actor, Role::Stable);
        entry.from = from;
        let arming = match phase {
            Phase::Braked => Arming::Probes(from),
            Phase::Paused if weight > Weight::ZERO && weight == from => Arming::Held,
            Phase::Receding => Arming::Held,
            Phase::Paused if weight > Weight::ZERO => Arming::NextStep,
            _ => Arming::Nothing,
        };
        let alarms = !matches!(phase, Phase::Aborted | Phase::Receding);
        let done = [self.publish(weight, arming), self.persist(now, entry), notice(reason, alarms)];
        done.into_iter().chain(self.dead_end(Role::Stable, weight)).chain(self.told_of_end()).collect()
    }

    /// Hears what is known of the way back; that decides nothing but how a share goes back that is no breach's.
    pub fn foresee(&mut self, prospect: Prospect) {
        self.prospect = prospect;
    }

    pub(super) fn publish(&self, weight: Weight, arming: Arming) -> Effect {
        let owner = if self.record.phase == Phase::Promoted { Role::Canary } else { Role::Stable };
        Effect::Publish { generation: self.record.generation, owner, weight, arming }
    }

    /// Makes durable what was published at `now`, and with it everything before that is not.
    pub(super) fn persist(&mut self, now: Timestamp, entry: Entry) -> Effect {
        self.unsaved.truncate(UNSAVED - 1);
        let last = Dated { decided: Some(now), entry };
        let effect = self.write(&last, self.unsaved.clone());
        self.unsaved.push(last);
        effect
    }

    /// Tries again to make durable what was published and is not.
    pub(super) fn write_again(&self) -> Option<Effect> {
        let (last, earlier) = self.unsaved.split_last()?;
        Some(self.write(last, earlier.to_vec()))
    }

    fn write(&self, last: &Dated, earlier: Vec<Dated>) -> Effect {
        Effect::Persist { record: Box::new(self.record.clone()), entry: Box::new(last.entry.clone()), decided: last.decided, earlier }
    }

    pub(super) fn entry(&self, after: &Record, actor: &str, owner: Role) -> Entry {
        Entry {
            service: self.service.clone(),
            rollout: after.id,
            at: None,
            stable: Some(after.stable.name.clone()),
            canary: Some(after.canary.name.clone()),
            actor: actor.to_owned(),
            phase: after.phase,
            owner,
            from: self.record.weight,
            to: after.weight,
            generation: after.generation,
            reason: after.reason.clone(),
            evidence: after.evidence.clone(),
            gates: Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
