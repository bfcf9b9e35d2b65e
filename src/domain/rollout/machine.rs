//! One attempt to move a service from stable to canary: events in, effects out, in the order that is safe.
//!
//! Going forward: persist, then publish, then notify; a raise that could not be persisted does not happen. Going back:
//! publish, then persist, then notify; a lowering that could not be persisted is tried again on every tick.

use std::time::Duration;

use crate::domain::gate::{Evidence, Inconclusive, Policy, Verdict};
use crate::domain::invariants::{self, Broken};
use crate::domain::judge::Judgement;
use crate::domain::rollout::event::{Dated, Effect, Event, View};
use crate::domain::rollout::machine::question::{Asked, Wish};
use crate::domain::rollout::plan::Plan;
use crate::domain::rollout::record::{Phase, Record};
use crate::domain::standing::Standing;
use crate::domain::time::{self, Timestamp};
use crate::domain::version::{Name, Version};
use crate::domain::way_back::{Prospect, Recession};
use crate::domain::webhook::{Consulting, Occasion};
use crate::domain::weight::Weight;

/// Who decided where nobody and no gate did.
const PLAN: &str = "plan";

mod changes;
mod consult;
mod orders;
mod question;
mod receding;
mod standings;
mod waits;

/// A change that waits to become durable before it may be published.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pending {
    /// The next step, or the first one again.
    Raise {
        step: usize,
    },
    /// The same step again, after a pause.
    Again,
    /// The same step, which somebody has approved.
    Approved,
    /// The step an operator chose, held there.
    Held {
        step: usize,
    },
    Watch,
    Promote,
}

/// One rollout.
#[derive(Clone, Debug)]
pub struct Rollout {
    service: Name,
    plan: Plan,
    policy: Policy,
    record: Record,
    /// When the current step or phase began.
    since: Timestamp,
    /// Until when it warms up; `None` when that is over.
    warming: Option<Timestamp>,
    /// Who started it, where that was somebody.
    starter: Option<String>,
    /// Who has waived the holds that remain before the last step.
    express: Option<String>,
    /// How many of the first steps are done with their approvals: those before where the plan has led, and one that somebody has approved.
    approved: usize,
    /// Whether the hold of this step is over, whatever `since` says: it was before somebody was asked to approve.
    served: bool,
    consulting: Option<Consulting>,
    /// What was asked of others for this step, and how often somebody was asked at all.
    asked: Asked,
    question: u64,
    /// What an operator wants, and others are asked for instead of for the plan.
    wish: Option<Wish>,
    pending: Option<Pending>,
    /// Who wants what is pending.
    asker: String,
    /// What was published and is not durable yet, the oldest first.
    unsaved: Vec<Dated>,
    /// How the canary's endpoints stand.
    canary: Standing,
    /// How the stable version's endpoints stand.
    stable: Standing,
    /// What is known of the way back.
    prospect: Prospect,
    /// How its share goes back, while it does.
    recession: Option<Recession>,
}

impl Rollout {
    /// Makes a rollout that has not begun. `generation` is the last one its service has used.
    #[must_use]
    pub fn new(id: u64, service: Name, versions: (Version, Version), plan: Plan, policy: Policy, generation: u64) -> Self {
        let record = Record::unbegun(id, versions, generation);
        let warming = (!policy.warm_up.is_zero()).then_some(Timestamp::NEVER);
        Self {
            service,
            plan,
            policy,
            record,
            since: Timestamp::ZERO,
            warming,
            starter: None,
            express: None,
            approved: 0,
            served: false,
            consulting: None,
            asked: Asked::Nothing,
            question: 0,
            wish: None,
            pending: None,
            asker: String::new(),
            unsaved: Vec::new(),
            canary: Standing::Usable,
            stable: Standing::Usable,
            prospect: Prospect::default(),
            recession: None,
        }
    }

    /// Returns the rollout with another rule about expected harm; see [`Plan::within_harm`].
    #[cfg(test)]
    #[must_use]
    pub fn within_harm(mut self, harm: Option<f64>) -> Self {
        self.plan = self.plan.within_harm(harm);
        self
    }

    /// Returns the rollout in the name of whoever started it; without a name it is the plan that begins.
    #[must_use]
    pub fn started_by(mut self, starter: Option<String>) -> Self {
        self.starter = starter;
        self
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

    /// Returns how it is judged.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns when the current step or phase began.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Returns how much of the warm-up is left at `now`; `None` when it is over or there is none.
    #[must_use]
    pub fn warming(&self, now: Timestamp) -> Option<Duration> {
        self.warming.map(|until| if until == Timestamp::NEVER { self.policy.warm_up } else { until.since(now) })
    }

    /// Says whether what was published is not yet durable.
    #[must_use]
    pub const fn is_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Returns what invariants look at.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            record: &self.record,
            plan: &self.plan,
            policy: &self.policy,
            since: self.since,
            canary: self.canary,
            stable: self.stable,
            warming: self.warming.is_some(),
            approved: self.approved > self.record.step,
            owed: self.owed(),
            served: self.served,
            consulting: self.consulting,
            cleared: matches!(self.asked, Asked::Cleared),
            asking: matches!(self.asked, Asked::Since(_)),
            wanted: self.wanted(),
            recession: self.recession.as_ref(),
            prospect: &self.prospect,
            pending: self.pending.is_some(),
            waived: self.express.is_some(),
            unsaved: self.unsaved.as_slice(),
        }
    }

    /// Takes in one event and returns what must be done, in order.
    #[must_use]
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        if !cfg!(debug_assertions) {
            return self.react(now, &event);
        }
        let (effects, held) = self.handle_checked(now, &event);
        debug_assert_eq!(held, Ok(()), "{event:?} gave {effects:?}");
        effects
    }

    /// Does the same and says whether every invariant of the step holds, in release builds too.
    pub fn handle_checked(&mut self, now: Timestamp, event: &Event) -> (Vec<Effect>, Result<(), Broken>) {
        let before = self.clone();
        let effects = self.react(now, event);
        let held = invariants::after_step(&before.view(), now, event, &effects, &self.view());
        (effects, held)
    }

    fn react(&mut self, now: Timestamp, event: &Event) -> Vec<Effect> {
        match event {
            Event::Persisted => return self.persisted(now),
            Event::PersistFailed(why) => return self.persist_failed(why),
            _ => {}
        }
        let mut effects = if self.record.phase.is_terminal() { Vec::new() } else { self.decide(now, event) };
        // A verdict that takes the share away has been heard before the disk is tried again: no brake waits for it.
        if matches!(event, Event::Judged { .. }) && !effects.iter().any(|effect| matches!(effect, Effect::Persist { .. })) {
            effects.extend(self.write_again());
        }
        effects
    }

    fn decide(&mut self, now: Timestamp, event: &Event) -> Vec<Effect> {
        match event {
            Event::Begin => self.begin(now),
            Event::Consulted { number, refusal } => self.answered(now, *number, refusal.as_deref()),
            Event::Abort { actor, reason } => self.abort(now, actor, reason),
            Event::Recede { actor, reason } => self.recede(now, actor, reason),
            Event::Tripped(evidence) => self.breached(now, evidence),
            Event::Promote { actor, reason } => self.promote(actor, reason),
            Event::Resume { actor, reason } => self.resume(now, actor, reason),
            Event::Approve { actor, reason } => self.approve(actor, reason),
            Event::Deny { actor, reason } => self.deny(now, actor, reason),
            Event::Ruled { verdict, approves, actor, reason } => self.ruled(now, (*verdict, *approves), actor, reason),
            Event::Pause { actor, reason } => self.pause(now, actor, reason),
            Event::SetWeight { weight, actor, reason } => self.set_weight(now, *weight, actor, reason),
            Event::Endpoints { canary, stable } => self.stand(now, *canary, *stable),
            Event::Lapsed => self.lapsed(now),
            Event::Judged { judgement, file } => self.judged(now, judgement, file.as_ref()),
            Event::Persisted | Event::PersistFailed(_) => Vec::new(),
        }
    }

    fn begin(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.record.phase != Phase::Progressing || self.record.weight > Weight::ZERO || self.pending.is_some() {
            return Vec::new();
        }
        if let Err(meanwhile) = self.consult(now, Occasion::Start) {
            return meanwhile;
        }
        let starter = self.starter.clone().unwrap_or_else(|| PLAN.to_owned());
        self.raise_to(0, &starter, "the rollout begins".to_owned(), &[])
    }

    /// A hold is time under judgement; what passed without it does not count. The deadline of an approval stays where it is.
    fn begin_step_again(&mut self, now: Timestamp) {
        self.served = false;
        if self.record.phase != Phase::AwaitingApproval {
            self.since = now;
        }
    }

    fn lapsed(&mut self, now: Timestamp) -> Vec<Effect> {
        if let Some(effects) = self.lapsed_while_receding(now) {
            return effects;
        }
        self.begin_step_again(now);
        let name = &self.record.canary.name;
        vec![notice(format!("{name} got nothing for a while, because nothing could be judged; its step begins again"), true)]
    }

    fn judged(&mut self, now: Timestamp, judgement: &Judgement, file: Option<&(Verdict, String)>) -> Vec<Effect> {
        if let Some(evidence) = &judgement.confirmed {
            return self.lower(now, (Phase::RolledBack, Weight::ZERO), "gate", evidence.sentence.clone(), Some(evidence.clone()));
        }
        if let Some(evidence) = judgement.brake.as_ref().filter(|_| self.record.phase != Phase::Braked && !self.record.is_held_for_brakes())
        {
            return self.breached(now, evidence);
        }
        if self.pending.is_some() {
            return Vec::new();
        }
        if self.wish.is_some() {
            return self.wait_for_others(now);
        }
        match self.record.phase {
            Phase::Progressing if self.record.weight == Weight::ZERO => self.begin(now),
            Phase::Progressing => self.progress(now, judgement, file),
            Phase::Braked => self.wait_for_confirmation(now, file),
            Phase::Paused => self.wait_for_operator(now),
            Phase::AwaitingApproval => self.wait_for_approval(now),
            Phase::Watching => self.keep_watching(now, judgement),
            Phase::Receding => self.keep_receding(now),
            Phase::Promoted | Phase::RolledBack | Phase::Aborted => Vec::new(),
        }
    }

    fn progress(&mut self, now: Timestamp, judgement: &Judgement, file: Option<&(Verdict, String)>) -> Vec<Effect> {
        if let Some(until) = self.warming {
            return if now >= until { self.warmed_up(now) } else { Vec::new() };
        }
        let Some(step) = self.plan.step(self.record.step).copied() else { return Vec::new() };
        let last = self.record.step == self.plan.last_index();
        let baked = now.since(self.since);
        let held = self.served || baked >= step.hold || (self.express.is_some() && !last);
        let enough = judgement.passes() || (!last && self.is_harmless_to_raise(judgement));
        let graded = match file {
            Some((Verdict::Fail, sentence)) if held && enough => {
                return self.lower(now, (Phase::RolledBack, Weight::ZERO), "gate", sentence.clone(), None);
            }
            Some((Verdict::Inconclusive | Verdict::Fail, _)) => false,
            Some((Verdict::Pass | Verdict::Warning, _)) | None => true,
        };
        if !(held && enough && graded && self.held_by().is_none()) {
            return if baked > step.hold.saturating_add(self.policy.max_bake) { self.inconclusive(now, judgement) } else { Vec::new() };
        }
        self.record.warned |= matches!(file, Some((Verdict::Warning, _)));
        let actor = self.express.clone().unwrap_or_else(|| PLAN.to_owned());
        let reason = self.why_passed(judgement, step.weight);
        if let Some(approval) = self.owed() {
            return self.ask_for_approval(now, approval, &reason, judgement);
        }
        let occasion = if last { Occasion::Promotion } else { Occasion::Raise };
        if (!last || self.policy.watch.is_zero())
            && let Err(meanwhile) = self.consult(now, occasion)
        {
            return meanwhile;
        }
        if !last {
            return self.raise_to(self.record.step + 1, &actor, reason, &judgement.gates);
        }
        if self.policy.watch.is_zero() {
            return self.ask(Pending::Promote, &actor, (reason, &judgement.gates), |record| record.phase = Phase::Promoted);
        }
        self.ask(Pending::Watch, &actor, (reason, &judgement.gates), |record| record.phase = Phase::Watching)
    }

    fn why_passed(&self, judgement: &Judgement, weight: Weight) -> String {
        let requests = judgement.gates.iter().map(|g| g.requests).min().unwrap_or(0);
        match (judgement.passes(), self.plan.harm()) {
            (false, Some(harm)) => {
                format!("after {requests} requests at {weight} no more than {harm} bad ones are to be expected in flight at the next share")
            }
            _ => format!("{} gate(s) passed on {requests} requests at {weight}", judgement.gates.len()),
        }
    }

    /// Says whether the plan's rule about expected harm allows the next share.
    fn is_harmless_to_raise(&self, judgement: &Judgement) -> bool {
        let next = self.plan.step(self.record.step + 1);
        self.plan.harm().is_some() && next.is_some_and(|next| judgement.harm_cap.is_some_and(|cap| cap >= next.weight))
    }

    fn inconclusive(&mut self, now: Timestamp, judgement: &Judgement) -> Vec<Effect> {
        let missing = match (self.held_by(), judgement.needs(), judgement.awaits_stable()) {
            (Some(why), _, _) => why,
            (None, Some(needs), _) => format!("{needs} more clean requests are needed"),
            (None, None, Some(_)) => "there was too little of the stable version to compare with".to_owned(),
            (None, None, None) => "no number of requests would suffice as things are".to_owned(),
        };
        let what =
            format!("the evidence at {} suffices neither way after {}: {missing}", self.record.weight, time::human(self.policy.max_bake));
        match self.policy.inconclusive {
            Inconclusive::RollBack if !self.lacks_way_back() => {
                self.lower(now, (Phase::Aborted, Weight::ZERO), "gate", format!("inconclusive, so everything is given back: {what}"), None)
            }
            Inconclusive::Hold | Inconclusive::RollBack => {
                self.lower(now, (Phase::Paused, self.record.weight), "gate", format!("inconclusive, so it is held: {what}"), None)
            }
        }
    }

    /// A gate was breached. Where that must be confirmed the canary keeps nothing but probes meanwhile.
    fn breached(&mut self, now: Timestamp, evidence: &Evidence) -> Vec<Effect> {
        if self.record.phase == Phase::Braked {
            return Vec::new();
        }
        if !self.confirms() {
            return self.lower(now, (Phase::RolledBack, Weight::ZERO), "gate", evidence.sentence.clone(), Some(evidence.clone()));
        }
        self.record.brakes += 1;
        let within = time::human(self.policy.confirm_within());
        let sentence = format!("{}; it gets nothing but probes until that is confirmed, or for {within}", evidence.braked());
        self.lower(now, (Phase::Braked, Weight::ZERO), "gate", sentence, Some(evidence.clone()))
    }
}

fn notice(sentence: String, alarm: bool) -> Effect {
    Effect::Notify { sentence, alarm }
}
