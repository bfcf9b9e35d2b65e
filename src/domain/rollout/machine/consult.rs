//! How a rollout asks others before it goes on: once for each step, and what goes back never waits for an answer.
//!
//! While it waits the canary keeps its share under its gates, and whatever takes the share away forgets the question. A clearance is
//! for its step alone, and the evidence must suffice at that moment too.

use crate::domain::gate::Inconclusive;
use crate::domain::rollout::event::Effect;
use crate::domain::rollout::machine::{Asked, Rollout};
use crate::domain::rollout::record::Phase;
use crate::domain::time::{self, Timestamp};
use crate::domain::webhook::{Consulting, Occasion};
use crate::domain::weight::Weight;

/// Who decided where it was a webhook.
const WEBHOOK: &str = "webhook";

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
                Vec::new()
            }
        }
    }

    fn refused(&mut self, now: Timestamp, why: &str) -> Vec<Effect> {
        match self.consulting.map(|consulting| consulting.then) {
            Some(Inconclusive::RollBack) if !self.lacks_way_back() => {
                let reason = format!("a webhook does not let it go on, so everything is given back: {why}");
                self.lower(now, (Phase::Aborted, Weight::ZERO), WEBHOOK, reason, None)
            }
            _ => {
                let reason = format!("a webhook does not let it go on, so it is held: {why}");
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
