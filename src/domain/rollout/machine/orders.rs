//! What operators may ask of a rollout, and when: to hold it, to give it another share of its plan, to let it go on, to approve it.

use crate::domain::gate::Verdict;
use crate::domain::rollout::event::Effect;
use crate::domain::rollout::machine::question::Wish;
use crate::domain::rollout::machine::{Pending, Rollout, notice};
use crate::domain::rollout::record::Phase;
use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;

impl Rollout {
    /// Says why the rollout cannot be held now, `None` when it can.
    #[must_use]
    pub fn cannot_pause(&self) -> Option<String> {
        let name = &self.record.canary.name;
        match self.record.phase {
            Phase::Progressing if self.warming.is_some() => Some(format!("{name} is warming up; abort it, or wait until that is over")),
            Phase::Progressing | Phase::Watching => None,
            Phase::Paused => Some(format!("{name} is held already")),
            Phase::AwaitingApproval => Some(format!("{name} is held already, until somebody approves or denies it")),
            Phase::Braked => {
                Some(format!("{name} gets nothing but probes until its breach is confirmed or not; abort it, or wait for that"))
            }
            Phase::Receding => {
                Some(format!("{name} gives its share back, and nothing makes that last longer; abort it to end that at once"))
            }
            Phase::Promoted | Phase::RolledBack | Phase::Aborted => Some(format!("the rollout of {name} is over")),
        }
    }

    /// Says why the canary cannot be given this share now, `None` when it can.
    ///
    /// Less can be given at any time but after the end. More needs what every raise needs but the evidence: a canary that can be
    /// reached, a way back, and no breach that waits to be confirmed.
    #[must_use]
    pub fn cannot_set(&self, weight: Weight) -> Option<String> {
        let (name, share) = (&self.record.canary.name, self.record.weight);
        match self.record.phase {
            Phase::Progressing if self.warming.is_some() => return self.cannot_pause(),
            Phase::AwaitingApproval if weight >= share => return self.cannot_pause(),
            Phase::Progressing | Phase::Watching | Phase::Paused | Phase::AwaitingApproval => {}
            Phase::Braked | Phase::Receding | Phase::Promoted | Phase::RolledBack | Phase::Aborted => return self.cannot_pause(),
        }
        if weight != Weight::ZERO && self.step_of(weight).is_none() {
            let shares: Vec<String> = self.plan.steps().iter().map(|step| step.weight.to_string()).collect();
            return Some(format!("{weight} is no share of the plan; it has {}, and 0% holds it with nothing", shares.join(", ")));
        }
        if weight == share && self.record.phase == Phase::Paused {
            return Some(format!("{name} is held with {weight} already"));
        }
        if weight <= share {
            return None;
        }
        if self.warming.is_some() {
            return Some(format!("{name} has not begun, and begins with its warm-up; resume it, or abort it"));
        }
        if share == Weight::ZERO && self.step_of(weight) != Some(0) {
            let first = self.plan.step(0).map_or(Weight::ZERO, |step| step.weight);
            return Some(format!("{name} has nothing, and begins again with its first share, {first}"));
        }
        self.held_by().map(|why| format!("{why}, so {name} cannot be given more"))
    }

    /// Says why nobody can approve or deny the rollout now, `None` when somebody can.
    #[must_use]
    pub fn cannot_approve(&self) -> Option<String> {
        let name = &self.record.canary.name;
        match self.record.phase {
            Phase::AwaitingApproval if self.pending.is_some() => Some(format!("{name} is approved already")),
            Phase::AwaitingApproval if self.is_unsaved() => {
                Some(format!("that {name} waits for approval is not durable yet; see that the disk works"))
            }
            Phase::AwaitingApproval => None,
            Phase::Promoted | Phase::RolledBack | Phase::Aborted => Some(format!("the rollout of {name} is over")),
            Phase::Receding => self.cannot_pause(),
            Phase::Progressing | Phase::Braked | Phase::Paused | Phase::Watching => Some(format!("{name} does not wait for approval")),
        }
    }

    /// Says whether somebody has waived the holds that remain before the last step.
    #[must_use]
    pub const fn is_waived(&self) -> bool {
        self.express.is_some()
    }

    /// Says why no hold can be waived now, `None` when it can.
    #[must_use]
    pub fn cannot_promote(&self) -> Option<String> {
        match self.record.phase {
            Phase::Braked | Phase::Receding | Phase::Promoted | Phase::RolledBack | Phase::Aborted => self.cannot_pause(),
            Phase::Progressing | Phase::Paused | Phase::AwaitingApproval | Phase::Watching => None,
        }
    }

    pub(super) fn promote(&mut self, actor: &str, reason: &str) -> Vec<Effect> {
        if self.is_waived() || self.cannot_promote().is_some() {
            return Vec::new();
        }
        self.express = Some(actor.to_owned());
        vec![notice(format!("{actor} waives the remaining holds: {reason}; evidence is still required"), false)]
    }

    /// Lets it go on from its step; the raise itself needs the evidence at that moment.
    pub(super) fn approve(&mut self, actor: &str, reason: &str) -> Vec<Effect> {
        if self.cannot_approve().is_some() {
            return Vec::new();
        }
        let reason = format!("approved by {actor}: {reason}");
        self.ask(Pending::Approved, actor, (reason, &[]), |record| record.phase = Phase::Progressing)
    }

    /// Gives everything back; whatever else is going on, this takes a share away and is not refused for the disk's sake.
    pub(super) fn deny(&mut self, now: Timestamp, actor: &str, reason: &str) -> Vec<Effect> {
        if self.record.phase != Phase::AwaitingApproval {
            return Vec::new();
        }
        self.give_back(now, actor, format!("denied by {actor}: {reason}"))
    }

    /// Takes in what somebody says of the version who is asked beside the gates. What fails has failed wherever the rollout stands; that
    /// nobody could say ends it where it waits for just that, as the end of the wait does.
    pub(super) fn ruled(&mut self, now: Timestamp, (verdict, approves): (Verdict, bool), actor: &str, reason: &str) -> Vec<Effect> {
        match verdict {
            Verdict::Pass | Verdict::Warning => {
                // Durable with what comes next, the approval or the end; a rollout that is cut off before it begins again and is judged
                // again. A warning counts also where somebody has approved before it came.
                self.record.warned |= verdict == Verdict::Warning;
                if self.cannot_approve().is_some() {
                    return Vec::new();
                }
                if !approves {
                    return vec![notice(format!("{verdict} by {actor}, and somebody must approve: {reason}"), false)];
                }
                let reason = format!("approved by {actor}: {reason}");
                self.ask(Pending::Approved, actor, (reason, &[]), |record| record.phase = Phase::Progressing)
            }
            Verdict::Fail => self.lower(now, (Phase::RolledBack, Weight::ZERO), actor, reason.to_owned(), None),
            Verdict::Inconclusive if self.record.phase != Phase::AwaitingApproval => Vec::new(),
            Verdict::Inconclusive if self.lacks_way_back() => {
                self.lower(now, (Phase::Paused, self.record.weight), actor, format!("{reason}, so it is held"), None)
            }
            Verdict::Inconclusive => {
                self.lower(now, (Phase::Aborted, Weight::ZERO), actor, format!("{reason}, so everything is given back"), None)
            }
        }
    }

    pub(super) fn pause(&mut self, now: Timestamp, actor: &str, reason: &str) -> Vec<Effect> {
        if self.cannot_pause().is_some() {
            return Vec::new();
        }
        self.lower(now, (Phase::Paused, self.record.weight), actor, format!("held by {actor}: {reason}"), None)
    }

    pub(super) fn set_weight(&mut self, now: Timestamp, weight: Weight, actor: &str, reason: &str) -> Vec<Effect> {
        if self.cannot_set(weight).is_some() {
            return Vec::new();
        }
        let step = self.step_of(weight).unwrap_or(0);
        if weight > self.record.weight {
            let wish = Wish { weight: Some(weight), actor: actor.to_owned(), reason: reason.to_owned() };
            return self.consult_for(now, wish);
        }
        self.record.step = step;
        self.lower(now, (Phase::Paused, weight), actor, format!("held with {weight} by {actor}: {reason}"), None)
    }

    /// Raises the share to that of a step and holds it there; others let it.
    pub(super) fn hold_with(&mut self, weight: Weight, actor: &str, reason: &str) -> Vec<Effect> {
        let Some(step) = self.step_of(weight) else { return Vec::new() };
        let reason = format!("held with {weight} by {actor}: {reason}");
        self.ask(Pending::Held { step }, actor, (reason, &[]), |record| {
            (record.phase, record.step, record.weight) = (Phase::Paused, step, weight);
        })
    }

    pub(super) fn resume(&mut self, now: Timestamp, actor: &str, reason: &str) -> Vec<Effect> {
        if self.record.phase != Phase::Paused || self.pending.is_some() {
            return Vec::new();
        }
        if self.record.weight == Weight::ZERO {
            return self.consult_for(now, Wish { weight: None, actor: actor.to_owned(), reason: reason.to_owned() });
        }
        let reason = format!("resumed by {actor}: {reason}");
        self.ask(Pending::Again, actor, (reason, &[]), |record| record.phase = Phase::Progressing)
    }

    /// Begins again with the first share; others let it.
    pub(super) fn begin_again(&mut self, actor: &str, reason: &str) -> Vec<Effect> {
        self.raise_to(0, actor, format!("resumed by {actor}: {reason}"), &[])
    }

    /// Returns the step with this share.
    fn step_of(&self, weight: Weight) -> Option<usize> {
        self.plan.steps().iter().position(|step| step.weight == weight)
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
