//! What a rollout makes of its versions' endpoints: a canary that cannot be reached gets no further, one whose endpoints all
//! failed has breached, and nothing is raised while there is no way back.

use crate::domain::outcome::Role;
use crate::domain::rollout::event::Effect;
use crate::domain::rollout::machine::{Rollout, notice};
use crate::domain::rollout::record::{ENDPOINTS, Phase};
use crate::domain::standing::Standing;
use crate::domain::time::{self, Timestamp};
use crate::domain::weight::Weight;

impl Rollout {
    /// Returns how its canary and its stable version were last said to stand.
    #[must_use]
    pub const fn standings(&self) -> (Standing, Standing) {
        (self.canary, self.stable)
    }

    /// Takes in how the versions stand.
    pub(super) fn stand(&mut self, now: Timestamp, canary: Standing, stable: Standing) -> Vec<Effect> {
        self.stable = stable;
        let before = std::mem::replace(&mut self.canary, canary);
        let has_share = !self.record.phase.is_terminal() && self.record.weight > Weight::ZERO;
        if !has_share || before == canary {
            return Vec::new();
        }
        let (name, owner) = (&self.record.canary.name, &self.record.stable.name);
        match (before.is_usable(), canary) {
            (_, Standing::Failed) => self.unreachable(now),
            // There is nothing left that it could give back in steps.
            (true, Standing::Absent | Standing::Unready) if self.record.phase == Phase::Receding => self.end_receding(now),
            (true, Standing::Absent | Standing::Unready) => {
                vec![notice(format!("{name} {canary}: its share goes to {owner} and its step waits"), true)]
            }
            (false, Standing::Usable) => {
                // A hold is time under trial; what passed without requests does not count.
                let sentence = format!("{name} {canary} again and gets its share; its step begins again");
                self.begin_step_again(now);
                vec![notice(sentence, false)]
            }
            _ => Vec::new(),
        }
    }

    /// Every endpoint failed again and again: a breach like another, and braked like another where breaches are confirmed.
    fn unreachable(&mut self, now: Timestamp) -> Vec<Effect> {
        let sentence = format!("{} {}", self.record.canary.name, self.canary);
        if !self.confirms() {
            return self.lower(now, (Phase::RolledBack, Weight::ZERO), ENDPOINTS, sentence, None);
        }
        self.record.brakes += 1;
        let within = time::human(self.policy.confirm_within());
        let sentence = format!("{sentence}; it gets nothing but probes until one answers, for {within} at most");
        self.lower(now, (Phase::Braked, Weight::ZERO), ENDPOINTS, sentence, None)
    }

    /// The time to confirm is over and still no endpoint answers.
    pub(super) fn still_unreachable(&mut self, now: Timestamp) -> Option<Vec<Effect>> {
        (self.canary == Standing::Failed).then(|| {
            let within = time::human(self.policy.confirm_within());
            let sentence = format!("{} {}, and none did in {within}", self.record.canary.name, self.canary);
            let evidence = self.record.evidence.clone();
            self.lower(now, (Phase::RolledBack, Weight::ZERO), ENDPOINTS, sentence, evidence)
        })
    }

    /// The watch is over and the canary cannot be reached: that is no end to promote on.
    pub(super) fn unreachable_after_watch(&mut self, now: Timestamp) -> Option<Vec<Effect>> {
        (!self.canary.is_usable()).then(|| {
            let reason = format!("{} {} at the end of its watch, so everything is given back", self.record.canary.name, self.canary);
            self.lower(now, (Phase::Aborted, Weight::ZERO), ENDPOINTS, reason, None)
        })
    }

    /// Says why nothing may be raised, if so: the canary cannot be reached, or there is no way back.
    pub(super) fn held_by(&self) -> Option<String> {
        let (name, owner) = (&self.record.canary.name, &self.record.stable.name);
        if !self.canary.is_usable() {
            return Some(format!("{name} {}", self.canary));
        }
        (!self.stable.is_usable()).then(|| format!("{owner} {}, so there is no way back", self.stable))
    }

    /// Says whether only the stable version's endpoints hold the rollout: then giving everything back would help nobody.
    pub(super) fn lacks_way_back(&self) -> bool {
        self.canary.is_usable() && !self.stable.is_usable()
    }

    /// What to say when everything goes to a stable version that cannot be reached: it is done all the same, because the
    /// canary was found wanting, and stable may return at any moment; but never in silence (invariant I18).
    pub(super) fn dead_end(&self, owner: Role, weight: Weight) -> Option<Effect> {
        let dead = owner == Role::Stable && weight == Weight::ZERO && !self.stable.is_usable();
        let name = &self.record.stable.name;
        dead.then(|| notice(format!("the traffic goes back to {name}, which {}: see to {name} at once", self.stable), true))
    }
}

#[cfg(test)]
#[path = "standings_tests.rs"]
mod tests;
