//! Watches a rollout from outside, keeps an account of its own and says which invariant what happens breaks.
//!
//! It decides nothing and looks at no counter of the machine or the judge, so that a mistake there cannot hide itself here. It
//! is checked at every step of a run, in release builds too; the machine's own checks are in [`crate::domain::invariants`].

use std::time::Duration;

use crate::control::setup::VALIDITY;
use crate::domain::gate::{Evidence, Policy};
use crate::domain::invariants::Broken;
use crate::domain::judge::Judgement;
use crate::domain::outcome::Role;
use crate::domain::rollout::{Arming, Effect, Entry, Event, Phase, Plan, Record, ServiceState};
use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;

/// Whether something holds.
type Held = Result<(), Broken>;

/// The account of one run.
#[derive(Debug, Default)]
pub struct Witness {
    /// The rollout that is watched.
    rollout: u64,
    /// The newest rollout that ever had a share.
    sharing: u64,
    /// The canary's requests of the rollout, and of its step.
    decided: (u64, u64),
    /// The share given last, and whether it was ever taken back.
    share: (Weight, bool),
    /// How the rollout ended, once it has.
    ended: Option<Phase>,
    /// The change written or tried last: its generation and the share it gives.
    told: (u64, Weight),
    /// The generation of the last raise that was given.
    raised: u64,
    /// The generation written last.
    saved: u64,
    /// The generation that was given before it was written, and whether writing was tried since the last tick.
    unsaved: Option<u64>,
    tried: bool,
    /// When the canary's share was last given or confirmed by reports.
    fresh: Timestamp,
    /// The last probe: of which generation, and when.
    probe: Option<(u64, Timestamp)>,
    /// When everything went back to stable, while it has everything.
    back: Option<Timestamp>,
    /// How long requests may be refused from then on; nothing where they may not.
    refuses_for: Duration,
    /// From which share it goes back in steps, and since when, while it does.
    receding: Option<(Weight, Timestamp)>,
    /// How long it may; nothing where it may not.
    recedes_for: Duration,
}

fn hold(name: &'static str, holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Broken { name, what: what() }) }
}

impl Witness {
    /// I2, I7, I12 and I14 at a pick of the canary in the epoch `generation`; `number` is how many requests of the rollout the
    /// data plane had numbered before.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn picked(&mut self, (generation, is_probe): (u64, bool), number: u64, now: Timestamp) -> Held {
        hold("I12", now <= self.fresh + VALIDITY, || format!("the canary was picked at {now}, judged until {}", self.fresh))?;
        hold("I14", number == self.decided.0, || format!("{number} requests are numbered, {} were decided", self.decided.0))?;
        hold("I2", is_probe || self.share.0 > Weight::ZERO, || "the canary was picked without a share".to_owned())?;
        let late = self.receding.filter(|(_, since)| now > *since + self.recedes_for + VALIDITY);
        hold("I7", late.is_none(), || format!("the canary was picked at {now}, and recedes since {late:?}"))?;
        if is_probe {
            let spaced = self.probe.is_none_or(|(of, at)| of != generation || now.since(at) >= Policy::PROBE_SPACING);
            hold("I2", spaced, || format!("two probes within {:?}", Policy::PROBE_SPACING))?;
            self.probe = Some((generation, now));
        }
        self.decided = (self.decided.0 + 1, self.decided.1 + 1);
        Ok(())
    }

    /// I7, I8, I9, I13, I15, I17, I18 and I26 of one step of the machine.
    ///
    /// # Errors
    ///
    /// Returns the first that is broken.
    pub fn stepped(&mut self, before: &Record, event: &Event, effects: &[Effect], after: &Record, plan: &Plan) -> Held {
        if matches!(event, Event::Begin) {
            hold("I15", after.id > self.sharing, || format!("rollout {} was before", after.id))?;
            let Self { sharing, raised, back, refuses_for, recedes_for, .. } = *self;
            *self = Self { sharing, raised, back, refuses_for, recedes_for, rollout: after.id, ..Self::default() };
        }
        hold("I15", after.id == self.rollout, || format!("rollout {} steps, {} is watched", after.id, self.rollout))?;
        if let Event::Judged { judgement, .. } = event {
            self.counts_are_of_requests(judgement)?;
        }
        if let Event::Tripped(evidence) = event {
            self.rests_on_requests(evidence)?;
            let waits =
                !before.phase.is_terminal() && before.phase != Phase::Braked && !matches!(effects.first(), Some(Effect::Publish { .. }));
            hold("I18", !waits, || format!("a trip waits: {effects:?}"))?;
        }
        if let Event::Abort { .. } = event {
            let obeyed = before.phase.is_terminal() || after.phase == Phase::Aborted;
            hold("I9", obeyed, || format!("after an abort it is {}", after.phase.as_str()))?;
        }
        let is_same = self.ended.is_none_or(|phase| phase == after.phase);
        hold("I8", is_same, || format!("{:?} became {}", self.ended, after.phase.as_str()))?;
        self.ended = Some(after.phase).filter(|phase| phase.is_terminal());
        for effect in effects {
            match effect {
                Effect::Persist { entry, .. } => self.tells(entry)?,
                Effect::Publish { generation, owner, weight, arming } => {
                    let told = effects.iter().find_map(|effect| match effect {
                        Effect::Persist { entry, .. } => Some((entry.generation, entry.to)),
                        _ => None,
                    });
                    let told = told.unwrap_or(self.told);
                    hold("I26", told == (*generation, *weight), || format!("{weight} in {generation} is journaled as {told:?}"))?;
                    let said = matches!(event, Event::SetWeight { .. });
                    self.gives((*generation, *weight, said), *owner, *arming, plan)?;
                }
                Effect::Consult { .. } | Effect::Notify { .. } => {}
            }
        }
        Ok(())
    }

    /// I13 and I15: no gate has counted more requests than the canary got in this step, nor more bad ones than all.
    fn counts_are_of_requests(&self, judgement: &Judgement) -> Held {
        for gate in judgement.gates.iter() {
            let (requests, of_step) = (gate.requests, self.decided.1);
            hold("I13", requests <= of_step, || format!("{} counts {requests} of {of_step} requests of the step", gate.gate))?;
            hold("I13", gate.breaches <= requests, || format!("{} counts {} of {requests} as bad", gate.gate, gate.breaches))?;
        }
        judgement.brake.iter().chain(&judgement.confirmed).try_for_each(|evidence| self.rests_on_requests(evidence))
    }

    /// I13: evidence rests on requests of the canary in this rollout.
    fn rests_on_requests(&self, evidence: &Evidence) -> Held {
        let (requests, decided) = (evidence.requests, self.decided.0);
        hold("I13", requests <= decided, || format!("evidence rests on {requests} of {decided} requests"))
    }

    /// I26: what a change rests on can be computed again from its entry in the journal.
    fn tells(&mut self, entry: &Entry) -> Held {
        if self.told != (entry.generation, entry.to) {
            for evidence in entry.evidence.iter().chain(&entry.gates).filter(|evidence| evidence.basis.is_some()) {
                evidence.verify().map_err(|why| Broken { name: "I26", what: format!("{}: {why}", evidence.gate) })?;
            }
            let by_gate = matches!(entry.phase, Phase::Braked | Phase::RolledBack) && entry.actor == "gate";
            let explained = entry.evidence.as_ref().is_some_and(|evidence| evidence.basis.is_some());
            hold("I26", !by_gate || explained, || format!("{} has no evidence to compute again", entry.reason))?;
        }
        self.told = (entry.generation, entry.to);
        Ok(())
    }

    /// I7 and I17: a share is one of the plan, never smaller than before unless it is nothing or an operator has said so, and the first
    /// again after nothing. One that recedes is that from which it went down, a half or a quarter of it, and never larger than before.
    fn gives(&mut self, (generation, weight, said): (u64, Weight, bool), owner: Role, arming: Arming, plan: &Plan) -> Held {
        let (share, was_taken) = self.share;
        if owner == Role::Canary {
            self.unsaved = None;
            return Ok(());
        }
        if let Some((from, _)) = self.receding {
            let is_step = [from, from.halved(), from.halved().halved(), Weight::ZERO].contains(&weight);
            hold("I7", is_step && weight <= share, || format!("{share} became {weight} while {from} recedes"))?;
            if weight < share || generation > self.saved {
                (self.unsaved, self.tried) = (Some(generation), false);
            }
            self.share = (weight, was_taken || weight == Weight::ZERO);
            return Ok(());
        }
        hold("I17", weight == Weight::ZERO || plan.steps().iter().any(|step| step.weight == weight), || {
            format!("{weight} is not in the plan")
        })?;
        let is_first = plan.step(0).is_some_and(|step| step.weight == weight);
        let again = share == Weight::ZERO && was_taken;
        hold("I7", weight == Weight::ZERO || ((weight >= share || said) && (!again || is_first)), || format!("{share} became {weight}"))?;
        if weight > share {
            (self.raised, self.sharing) = (generation, self.rollout);
        }
        if weight < share || generation > self.saved {
            (self.unsaved, self.tried) = (Some(generation), false);
        }
        if weight > share || matches!(arming, Arming::NextStep | Arming::Watch | Arming::Fresh { .. }) {
            self.decided.1 = 0;
        }
        self.share = (weight, was_taken || (weight == Weight::ZERO && share > Weight::ZERO));
        Ok(())
    }

    /// Notes for how long a share may go back in steps.
    pub fn may_recede_for(&mut self, within: Duration) {
        self.recedes_for = within;
    }

    /// I7 of what goes back in steps: it may, it leads to an end, and nothing that breached goes that way. Notes since when it does,
    /// before the step itself is looked at.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn goes_down(&mut self, before: &Record, event: &Event, after: &Record, now: Timestamp) -> Held {
        let (was, is) = (before.phase == Phase::Receding, after.phase == Phase::Receding);
        hold("I7", !is || !self.recedes_for.is_zero(), || "it recedes, although everything goes back at once".to_owned())?;
        hold("I7", !(is && matches!(event, Event::Tripped(_))), || "it recedes after a trip".to_owned())?;
        hold("I7", !was || is || matches!(after.phase, Phase::RolledBack | Phase::Aborted), || {
            format!("what receded is {}", after.phase.as_str())
        })?;
        // The last step down is one of its steps too.
        if is && self.receding.is_none() {
            self.receding = Some((before.weight, now));
        } else if !was && !is {
            self.receding = None;
        }
        Ok(())
    }

    /// Notes for how long requests may be refused after everything went back to stable.
    pub fn may_refuse_for(&mut self, lasts: Duration) {
        self.refuses_for = lasts;
    }

    /// Notes when everything went back to stable, or that it no longer has everything.
    pub fn goes_back(&mut self, at: Option<Timestamp>) {
        self.back = at;
    }

    /// I27 at a request that is refused for stable's sake: it has everything, and not for longer than requests may be refused.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn refused(&self, now: Timestamp) -> Held {
        let since = self.back.map(|at| now.since(at));
        hold("I27", since.is_some_and(|since| since <= self.refuses_for), || {
            format!("a request was refused {since:?} after everything went back, {:?} are allowed", self.refuses_for)
        })
    }

    /// Notes that the canary's share was given or confirmed at `now`, by a publication or by everything reported until then.
    pub fn refreshed(&mut self, now: Timestamp) {
        self.fresh = self.fresh.max(now);
    }

    /// I4, I8 and I9 of what is written over what was: an end stays the end, and nothing goes back.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn wrote(&mut self, before: Option<&ServiceState>, state: &ServiceState) -> Held {
        let (before, after) = (before.and_then(|state| state.rollout.as_ref()), state.rollout.as_ref());
        if let (Some(before), Some(after)) = (before, after) {
            let newer = after.id > before.id || (after.id == before.id && after.generation >= before.generation);
            hold("I4", newer, || format!("generation {} was written over {}", after.generation, before.generation))?;
            let ended = after.id == before.id && matches!(before.phase, Phase::RolledBack | Phase::Aborted);
            hold("I8", !ended || after.phase == before.phase, || {
                format!("{} was written over {}", after.phase.as_str(), before.phase.as_str())
            })?;
        }
        self.saved = after.map_or(0, |record| record.generation);
        self.unsaved = self.unsaved.filter(|generation| *generation > self.saved);
        Ok(())
    }

    /// Notes that writing was tried.
    pub fn tries(&mut self) {
        self.tried = true;
    }

    /// I10 after a tick: what tripped is no longer in force, and a lowering that is not durable was tried to be written.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn ticked(&mut self, tripped_in_force: bool) -> Held {
        hold("I10", !tripped_in_force, || "a tick left what had tripped in force".to_owned())?;
        let tried = std::mem::take(&mut self.tried);
        hold("I10", self.unsaved.is_none() || tried, || format!("writing {:?} was not tried on a tick", self.unsaved))
    }

    /// I4 and I11 after a restart: nothing is given, and every raise that had been given is known.
    ///
    /// # Errors
    ///
    /// Returns what broke it.
    pub fn restarted(&mut self, generation: u64, given: Weight) -> Held {
        hold("I4", generation >= self.raised, || format!("generation {generation} after a restart, {} gave a share", self.raised))?;
        hold("I11", given == Weight::ZERO, || format!("{given} after a restart"))?;
        (self.share, self.unsaved, self.ended, self.back, self.receding) = ((Weight::ZERO, true), None, None, None, None);
        Ok(())
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
