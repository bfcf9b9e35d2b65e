//! How a rollout gives its share back in steps: where people or clocks end it, its canary is not known to be bad and the operator wants
//! that, the share goes down as stable bears it, and is nothing within a fixed time.
//!
//! Nothing that is known to be bad takes this way: a breach, a gate that is confirmed or endpoints that are lost take the share at once,
//! also while it recedes, and then for good. An operator's plain abort ends it at once in every state.

use crate::domain::rollout::event::Effect;
use crate::domain::rollout::machine::{PLAN, Rollout};
use crate::domain::rollout::record::Phase;
use crate::domain::time::{self, Timestamp};
use crate::domain::way_back::Recession;
use crate::domain::weight::Weight;

impl Rollout {
    /// Returns the share that it would go down to next; nothing where it has none.
    #[must_use]
    pub fn recedes_to(&self) -> Weight {
        let share = self.record.weight;
        self.recession.as_ref().map_or_else(|| Recession::share(share, 1), |recession| recession.next(share))
    }

    /// Says why its share cannot go back in steps now and goes back at once instead, `None` when it can go back in steps.
    #[must_use]
    pub fn cannot_recede(&self) -> Option<String> {
        let name = &self.record.canary.name;
        let has_share = match self.record.phase {
            Phase::Progressing | Phase::Paused | Phase::AwaitingApproval | Phase::Watching => self.record.weight > Weight::ZERO,
            Phase::Braked => return Some(format!("{name} is braked")),
            Phase::Receding | Phase::Promoted | Phase::RolledBack | Phase::Aborted => return self.cannot_pause(),
        };
        if !has_share {
            return Some(format!("{name} has no share"));
        }
        if self.prospect.within.is_none() {
            return Some("its way_back is not ramp".to_owned());
        }
        if self.warming.is_some() {
            return Some(format!("{name} is warming up"));
        }
        (!self.canary.is_usable()).then(|| format!("{name} {}", self.canary))
    }

    /// Gives everything back at once, whatever else is going on. The reason still begins with who ended it before.
    pub(super) fn abort(&mut self, now: Timestamp, actor: &str, reason: &str) -> Vec<Effect> {
        let reason = match &self.recession {
            Some(recession) => format!("{}; {actor} ends that at once: {reason}", recession.reason),
            None => format!("aborted by {actor}: {reason}"),
        };
        self.lower(now, (Phase::Aborted, Weight::ZERO), actor, reason, None)
    }

    /// Gives everything back because an operator says so, in steps where that is possible.
    pub(super) fn recede(&mut self, now: Timestamp, actor: &str, reason: &str) -> Vec<Effect> {
        if self.recession.is_some() {
            return Vec::new();
        }
        self.give_back(now, actor, format!("aborted by {actor}: {reason}"))
    }

    /// Gives everything back because somebody or a clock says so, in steps where that is possible.
    pub(super) fn give_back(&mut self, now: Timestamp, actor: &str, reason: String) -> Vec<Effect> {
        let Some(within) = self.prospect.within.filter(|_| self.cannot_recede().is_none()) else {
            return self.lower(now, (Phase::Aborted, Weight::ZERO), actor, reason, None);
        };
        let recession = Recession { from: self.record.weight, began: now, within, reason };
        let share = recession.falls_to(now, self.record.weight, self.prospect.bears).unwrap_or(self.record.weight);
        if share == Weight::ZERO {
            return self.lower(now, (Phase::Aborted, Weight::ZERO), actor, recession.reason, None);
        }
        let first = if share < self.record.weight { "has" } else { "keeps" };
        let name = &self.record.canary.name;
        let sentence =
            format!("{}; {name} {first} {share} now, and within {} nothing, as stable bears it", recession.reason, time::human(within));
        self.recession = Some(recession);
        self.lower(now, (Phase::Receding, share), actor, sentence, None)
    }

    /// Goes down by what stable bears, or by the clock.
    pub(super) fn keep_receding(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(recession) = &self.recession else { return self.end_receding(now) };
        let (share, bears) = (self.record.weight, self.prospect.bears);
        let Some(next) = recession.falls_to(now, share, bears) else { return Vec::new() };
        if next == Weight::ZERO {
            return self.end_receding(now);
        }
        let (name, stable) = (&self.record.canary.name, &self.record.stable.name);
        let why = if bears { format!("{stable} bears more") } else { "the time for that is over".to_owned() };
        let sentence = format!("{}; {name} goes down from {share} to {next}: {why}", recession.reason);
        self.lower(now, (Phase::Receding, next), PLAN, sentence, None)
    }

    /// Nothing is left to be given back in steps. Whoever ended the rollout has a line in the journal already; this one is the plan's.
    pub(super) fn end_receding(&mut self, now: Timestamp) -> Vec<Effect> {
        let reason = match &self.recession {
            Some(Recession { reason, began, .. }) => {
                format!("{reason}; everything was given back within {}", time::human(now.since(*began)))
            }
            None => self.record.reason.clone(),
        };
        self.lower(now, (Phase::Aborted, Weight::ZERO), PLAN, reason, None)
    }

    /// What had expired meanwhile is not given again.
    pub(super) fn lapsed_while_receding(&mut self, now: Timestamp) -> Option<Vec<Effect>> {
        (self.record.phase == Phase::Receding).then(|| self.end_receding(now))
    }

    /// Says whether a breach is to be confirmed before it ends the rollout: one that has ended already begins no more.
    pub(super) fn confirms(&self) -> bool {
        self.policy.confirms() && self.record.phase != Phase::Receding
    }
}

#[cfg(test)]
#[path = "receding_tests.rs"]
mod tests;
