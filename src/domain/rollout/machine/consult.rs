//! How a rollout asks others before it goes on: once for each step, and what goes back never waits for an answer.
//!
//! While it waits the canary keeps its share under its gates, and whatever takes the share away forgets the question. A clearance is
//! for its step alone, and the evidence must suffice at that moment too. An operator who gives the canary more, or begins again from
//! nothing, asks them too; the plan goes on when that has an answer.

use crate::domain::gate::Inconclusive;
use crate::domain::rollout::event::Effect;
use crate::domain::rollout::machine::question::{Asked, Wish};
use crate::domain::rollout::machine::{Rollout, notice};
use crate::domain::rollout::record::Phase;
use crate::domain::time::{self, Timestamp};
use crate::domain::webhook::{Consulting, Occasion};
use crate::domain::weight::Weight;

/// Who decided where it was a webhook.
pub(super) const WEBHOOK: &str = "webhook";

impl Rollout {
    /// Returns the rollout with others to be asked.
    #[must_use]
    pub fn consulting(mut self, consulting: Option<Consulting>) -> Self {
        self.consulting = consulting;
        self
    }

    /// Says whether others let it go on; else what is to be done meanwhile.
    pub(super) fn consult(&mut self, now: Timestamp, occasion: Occasion) -> Result<(), Vec<Effect>> {
        let Some(consulting) = self.consulting.filter(|consulting| consulting.asks(occasion)) else { return Ok(()) };
        match self.asked {
            Asked::Cleared => Ok(()),
            // Nothing can be raised now, and by the time it can their word would be old.
            Asked::Nothing if self.is_unsaved() => Err(Vec::new()),
            Asked::Nothing => {
                self.question += 1;
                self.asked = Asked::Since(now);
                Err(vec![Effect::Consult { number: self.question, occasion }])
            }
            Asked::Since(at) if now.since(at) < consulting.patience => Err(Vec::new()),
            Asked::Since(_) => Err(self.refused(now, &format!("no answer within {}", time::human(consulting.patience)))),
        }
    }

    /// Takes in an answer; one to an earlier question says nothing any more.
    pub(super) fn answered(&mut self, now: Timestamp, number: u64, refusal: Option<&str>) -> Vec<Effect> {
        if number != self.question || !matches!(self.asked, Asked::Since(_)) {
            return Vec::new();
        }
        match refusal {
            Some(why) => self.refused(now, why),
            None => {
                self.asked = Asked::Cleared;
                self.grant()
            }
        }
    }

    /// Returns the share that an operator wants to give it and that others are asked for.
    #[must_use]
    pub fn wanted(&self) -> Option<Weight> {
        let first = || self.plan.step(0).map_or(Weight::ZERO, |step| step.weight);
        self.wish.as_ref().map(|wish| wish.weight.unwrap_or_else(first))
    }

    /// Returns who wants that share, and the same as a sentence with their reason.
    #[must_use]
    pub fn wish(&self) -> Option<(&str, String)> {
        let (wish, weight) = (self.wish.as_ref()?, self.wanted()?);
        Some((&wish.actor, format!("{} wants to give {} {weight}: {}", wish.actor, self.record.canary.name, wish.reason)))
    }

    /// Asks others before an operator's wish is carried out, where somebody is to be asked. It is a question of its own: what they have
    /// said to the plan's next step says nothing of this one.
    pub(super) fn consult_for(&mut self, now: Timestamp, wish: Wish) -> Vec<Effect> {
        let occasion = if self.record.weight == Weight::ZERO { Occasion::Start } else { Occasion::Raise };
        if self.consulting.is_none_or(|consulting| !consulting.asks(occasion)) {
            return self.carry_out(&wish);
        }
        self.question += 1;
        self.asked = Asked::Since(now);
        let actor = wish.actor.clone();
        self.wish = Some(wish);
        let (name, weight) = (&self.record.canary.name, self.wanted().unwrap_or_default());
        let sentence = format!("{actor} wants to give {name} {weight}; others are asked first");
        vec![Effect::Consult { number: self.question, occasion }, notice(sentence, false)]
    }

    /// Waits for an answer to an operator's wish; none in time is a refusal.
    pub(super) fn wait_for_others(&mut self, now: Timestamp) -> Vec<Effect> {
        let patience = self.consulting.map_or(std::time::Duration::ZERO, |consulting| consulting.patience);
        match self.asked {
            Asked::Since(at) if now.since(at) < patience => Vec::new(),
            Asked::Since(_) => self.refused(now, &format!("no answer within {}", time::human(patience))),
            Asked::Cleared | Asked::Nothing => self.grant(),
        }
    }

    /// Carries out what an operator wants, now that others let it. While the disk is behind it waits; what has become impossible
    /// meanwhile is dropped.
    fn grant(&mut self) -> Vec<Effect> {
        if !self.unsaved.is_empty() || self.pending.is_some() {
            return Vec::new();
        }
        let Some(wish) = self.wish.take() else { return Vec::new() };
        // Whatever comes of it, the plan's next step is another question.
        self.asked = Asked::Nothing;
        let obstacle = match wish.weight {
            Some(weight) => self.cannot_set(weight),
            None => (self.record.phase != Phase::Paused).then(|| format!("{} is not held any more", self.record.canary.name)),
        };
        match obstacle {
            None => self.carry_out(&wish),
            Some(why) => vec![notice(format!("others let it be, but {} gets no more than it has: {why}", self.record.canary.name), true)],
        }
    }

    fn carry_out(&mut self, wish: &Wish) -> Vec<Effect> {
        match wish.weight {
            Some(weight) => self.hold_with(weight, &wish.actor, &wish.reason),
            None => self.begin_again(&wish.actor, &wish.reason),
        }
    }

    fn refused(&mut self, now: Timestamp, why: &str) -> Vec<Effect> {
        let what = match (&self.wish, self.wanted()) {
            (Some(wish), Some(weight)) => format!("does not let {} give it {weight}", wish.actor),
            _ => "does not let it go on".to_owned(),
        };
        match self.consulting.map(|consulting| consulting.then) {
            Some(Inconclusive::RollBack) if !self.lacks_way_back() => {
                let reason = format!("a webhook {what}, so everything is given back: {why}");
                self.give_back(now, WEBHOOK, reason)
            }
            _ => {
                let reason = format!("a webhook {what}, so it is held: {why}");
                self.lower(now, (Phase::Paused, self.record.weight), WEBHOOK, reason, None)
            }
        }
    }

    /// Tells others of the end.
    pub(super) fn told_of_end(&mut self) -> Option<Effect> {
        let is_told = self.consulting.is_some_and(|consulting| consulting.end) && self.record.phase.is_terminal();
        is_told.then(|| {
            self.question += 1;
            Effect::Consult { number: self.question, occasion: Occasion::End }
        })
    }
}

#[cfg(test)]
#[path = "consult_tests.rs"]
mod tests;
