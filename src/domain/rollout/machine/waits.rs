//! How a rollout waits: for the end of its warm-up, for a breach to be confirmed, for an operator, for an approval, for the end of
//! its watch. Every wait ends.

use crate::domain::gate::{Inconclusive, Policy, Verdict};
use crate::domain::judge::Judgement;
use crate::domain::outcome::Role;
use crate::domain::rollout::event::{Arming, Effect};
use crate::domain::rollout::machine::{PLAN, Pending, Rollout, notice};
use crate::domain::rollout::outlook;
use crate::domain::rollout::plan::Approval;
use crate::domain::rollout::record::Phase;
use crate::domain::time::{self, Timestamp};
use crate::domain::webhook::Occasion;
use crate::domain::weight::Weight;

impl Rollout {
    /// Returns the rollout with these approvals at the steps of its plan.
    #[cfg(test)]
    #[must_use]
    pub fn approved_at(mut self, approvals: &[Option<Approval>]) -> Self {
        self.plan = self.plan.approved_at(approvals);
        self
    }

    /// Ends the warm-up: the same share under the normal limits.
    pub(super) fn warmed_up(&mut self, now: Timestamp) -> Vec<Effect> {
        self.warming = None;
        self.since = now;
        self.record.generation += 1;
        let sentence = format!("{} has warmed up; the normal limits apply", self.record.canary.name);
        self.record.reason.clone_from(&sentence);
        self.record.actor = Some(PLAN.to_owned());
        let entry = self.entry(&self.record, PLAN, Role::Stable);
        let arming = Arming::Fresh { halvings: self.record.brakes };
        vec![self.publish(self.record.weight, arming), self.persist(now, entry), notice(sentence, false)]
    }

    pub(super) fn wait_for_confirmation(&mut self, now: Timestamp, file: Option<&(Verdict, String)>) -> Vec<Effect> {
        if now.since(self.since) < self.policy.confirm_within() {
            return Vec::new();
        }
        if let Some((Verdict::Fail, sentence)) = file {
            return self.lower(now, (Phase::RolledBack, Weight::ZERO), "gate", sentence.clone(), self.record.evidence.clone());
        }
        if let Some(effects) = self.still_unreachable(now) {
            return effects;
        }
        let within = time::human(self.policy.confirm_within());
        if self.record.brakes <= Policy::RESUMES {
            let count = self.record.brakes;
            let reason = format!(
                "the breach was not confirmed within {within}, so it begins again with its first share (resume {count} of {})",
                Policy::RESUMES
            );
            return self.raise_to(0, "gate", reason, &[]);
        }
        let sentence =
            format!("braked {} times and never confirmed, so it is held with nothing until an operator decides", self.record.brakes);
        self.lower(now, (Phase::Paused, Weight::ZERO), "gate", sentence, self.record.evidence.clone())
    }

    pub(super) fn wait_for_operator(&mut self, now: Timestamp) -> Vec<Effect> {
        if now.since(self.since) < Policy::HOLD_LIMIT {
            return Vec::new();
        }
        let reason = format!("held for {} and nobody decided, so everything is given back", time::human(Policy::HOLD_LIMIT));
        self.give_back(now, PLAN, reason)
    }

    pub(super) fn keep_watching(&mut self, now: Timestamp, judgement: &Judgement) -> Vec<Effect> {
        let watch = self.policy.watch;
        if now.since(self.since) < watch {
            return Vec::new();
        }
        if let Some(effects) = self.unreachable_after_watch(now) {
            return effects;
        }
        if let Err(meanwhile) = self.consult(now, Occasion::Promotion) {
            return meanwhile;
        }
        let reason = format!("nothing was breached in {} at {}", time::human(watch), self.record.weight);
        self.ask(Pending::Promote, PLAN, (reason, &judgement.gates), |record| record.phase = Phase::Promoted)
    }

    /// The step has passed and somebody must say that it may go on: until then, and until the deadline at most, the canary keeps its
    /// share under its gates. What the gates have shown is what whoever decides has to look at.
    pub(super) fn ask_for_approval(&mut self, now: Timestamp, approval: Approval, passed: &str, judgement: &Judgement) -> Vec<Effect> {
        let then = match approval.then {
            Inconclusive::RollBack => "everything is given back",
            Inconclusive::Hold => "it is held",
        };
        let within = outlook::spoken(approval.deadline);
        let reason = format!("{passed}; now somebody must approve within {within}, else {then}");
        (self.since, self.served) = (now, true);
        (self.record.phase, self.record.evidence) = (Phase::AwaitingApproval, None);
        self.record.generation += 1;
        self.record.reason.clone_from(&reason);
        self.record.actor = Some(PLAN.to_owned());
        let mut entry = self.entry(&self.record, PLAN, Role::Stable);
        entry.gates = judgement.gates.iter().map(|gate| gate.evidence(&self.record.canary.name, self.record.generation)).collect();
        vec![self.publish(self.record.weight, Arming::Held), self.persist(now, entry), notice(reason, true)]
    }

    /// Returns what somebody must approve before it goes on from its step.
    #[must_use]
    pub fn owed(&self) -> Option<Approval> {
        self.plan.owed(self.approved, self.record.step)
    }

    /// Nobody has said anything yet: at the deadline the plan's exit is taken.
    pub(super) fn wait_for_approval(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(approval) = self.owed() else { return Vec::new() };
        if now.since(self.since) < approval.deadline {
            return Vec::new();
        }
        let nobody = format!("nobody approved within {}", outlook::spoken(approval.deadline));
        match approval.then {
            Inconclusive::RollBack if !self.lacks_way_back() => self.give_back(now, PLAN, format!("{nobody}, so everything is given back")),
            Inconclusive::Hold | Inconclusive::RollBack => {
                self.lower(now, (Phase::Paused, self.record.weight), PLAN, format!("{nobody}, so it is held"), None)
            }
        }
    }
}

#[cfg(test)]
#[path = "waits_tests.rs"]
mod tests;
