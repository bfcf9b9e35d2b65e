//! A share that goes back in steps, and what does not; every step is checked against the invariants on the way.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::domain::gate::{Evidence, Gate, Inconclusive, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::event::{Arming, Event};
use crate::domain::rollout::plan::{Approval, Plan};
use crate::domain::standing::Standing;
use crate::domain::version::Version;
use crate::domain::way_back::Prospect;
use crate::domain::webhook::Consulting;

/// How long a share may recede.
const WITHIN: u64 = 30;

/// A rollout with a shell whose disk works, what was published last, and what the journal and people were told.
struct Desk {
    rollout: Rollout,
    published: (Weight, Arming),
    journal: Vec<(String, Phase, String)>,
    told: usize,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn said() -> (String, String) {
    ("ann".to_owned(), "enough".to_owned())
}

fn recede() -> Event {
    let (actor, reason) = said();
    Event::Recede { actor, reason }
}

fn evidence() -> Box<Evidence> {
    Box::new(Evidence::of_trip(&Gate::written("p95 < 1s".parse().unwrap()), &"v2".parse().unwrap(), 0.001, 3, 3, 0))
}

impl Desk {
    /// Begins a rollout whose first share is 80%.
    fn begun(policy: Policy, change: impl FnOnce(Rollout) -> Rollout) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let plan = Plan::ramp("80%".parse().unwrap(), 2, Duration::from_secs(10)).unwrap();
        let rollout = change(Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7));
        let mut desk = Self { rollout, published: (Weight::ZERO, Arming::Nothing), journal: Vec::new(), told: 0 };
        desk.bears(false);
        desk.handle(0, Event::Begin);
        desk
    }

    fn plain() -> Self {
        Self::begun(Policy::default(), |rollout| rollout)
    }

    fn bears(&mut self, bears: bool) {
        self.rollout.foresee(Prospect { sentence: None, within: Some(Duration::from_secs(WITHIN)), bears });
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, arming, .. } => self.published = (weight, arming),
                Effect::Persist { entry, .. } => {
                    self.journal.push((entry.actor.clone(), entry.phase, entry.reason.clone()));
                    effects.extend(self.rollout.handle(at(seconds), Event::Persisted));
                }
                Effect::Consult { .. } => {}
                Effect::Notify { .. } => self.told += 1,
            }
        }
    }

    fn judge(&mut self, seconds: u64, judgement: Judgement) {
        self.handle(seconds, Event::Judged { judgement: Box::new(judgement), file: None });
    }

    fn tick(&mut self, seconds: u64, bears: bool) {
        self.bears(bears);
        self.judge(seconds, Judgement { gates: [samples::gate(Verdict::Pass)].into(), ..Judgement::default() });
    }

    fn stands(&self) -> (Phase, String) {
        let record = self.rollout.record();
        assert_eq!(record.weight, self.published.0, "{record:?}");
        (record.phase, record.weight.to_string())
    }

    fn is_at(&self, phase: Phase, share: &str) {
        assert_eq!(self.stands(), (phase, share.to_owned()), "{:?}", self.journal);
    }
}

#[test]
fn a_share_goes_down_as_stable_bears_it_and_the_gates_stay_armed() {
    let mut desk = Desk::plain();
    desk.bears(true);
    desk.handle(5, recede());
    desk.is_at(Phase::Receding, "40%");
    assert_eq!(desk.published.1, Arming::Held);
    desk.tick(6, false);
    desk.is_at(Phase::Receding, "40%");
    desk.tick(7, true);
    desk.is_at(Phase::Receding, "20%");
    assert_eq!(desk.rollout.since(), at(5), "its time runs from when it was ended");
    let (told, lines) = (desk.told, desk.journal.len());
    desk.tick(8, true);
    desk.is_at(Phase::Aborted, "0%");
    assert_eq!((desk.told - told, desk.journal.len() - lines), (1, 1), "one line for each step");
    let (actor, _, reason) = desk.journal.last().unwrap();
    assert_eq!((actor.as_str(), reason.as_str()), ("plan", "aborted by ann: enough; everything was given back within 3 s"));
}

#[test]
fn the_clock_ends_it_whatever_stable_bears() {
    let mut desk = Desk::plain();
    desk.handle(5, recede());
    desk.is_at(Phase::Receding, "80%");
    let shares: Vec<String> = [14, 15, 24, 25, 34, 35]
        .map(|second| {
            desk.tick(second, false);
            desk.stands().1
        })
        .to_vec();
    assert_eq!(shares, ["80%", "40%", "40%", "20%", "20%", "0%"]);
    assert_eq!(desk.rollout.record().phase, Phase::Aborted);
    let mut late = Desk::plain();
    late.handle(5, recede());
    late.tick(99, false);
    late.is_at(Phase::Aborted, "0%");
    assert_eq!(late.journal.len(), desk.journal.len() - 2, "a tick that came late makes up for what was due");
}

#[test]
fn a_disk_that_writes_nothing_delays_no_step() {
    let mut desk = Desk::plain();
    let _ = desk.rollout.handle(at(5), recede());
    for second in [15, 25, 35] {
        let _ = desk.rollout.handle(at(second), Event::PersistFailed("full".to_owned()));
        let judgement = Box::new(Judgement::default());
        let effects = desk.rollout.handle(at(second), Event::Judged { judgement, file: None });
        assert!(matches!(effects.first(), Some(Effect::Publish { .. })), "{effects:?}");
    }
    assert_eq!((desk.rollout.record().phase, desk.rollout.record().weight), (Phase::Aborted, Weight::ZERO));
}

#[test]
fn a_breach_takes_what_is_left_at_once_and_for_good() {
    let brake = || Judgement { brake: Some(*evidence()), ..Judgement::default() };
    let confirmed = || Judgement { confirmed: Some(*evidence()), ..Judgement::default() };
    let breaches: [fn(&mut Desk, [Judgement; 2]); 4] = [
        |desk, _| desk.handle(6, Event::Tripped(evidence())),
        |desk, [brake, _]| desk.judge(6, brake),
        |desk, [_, confirmed]| desk.judge(6, confirmed),
        |desk, _| desk.handle(6, Event::Endpoints { canary: Standing::Failed, stable: Standing::Usable }),
    ];
    for breach in breaches {
        let mut desk = Desk::plain();
        assert!(desk.rollout.policy().confirms(), "else nothing is shown");
        desk.handle(5, recede());
        desk.is_at(Phase::Receding, "80%");
        breach(&mut desk, [brake(), confirmed()]);
        desk.is_at(Phase::RolledBack, "0%");
        // And before it recedes a breach takes the share as ever.
        let mut other = Desk::plain();
        breach(&mut other, [brake(), confirmed()]);
        assert_ne!(other.stands().0, Phase::Receding);
        other.is_at(other.rollout.record().phase, "0%");
    }
}

#[test]
fn an_abort_ends_it_at_once_and_the_reason_still_says_who_ended_it() {
    let mut desk = Desk::plain();
    desk.handle(5, recede());
    desk.handle(6, recede());
    assert_eq!(desk.journal.len(), 2, "it goes on as it began");
    desk.handle(6, Event::Abort { actor: "bob".to_owned(), reason: "now".to_owned() });
    desk.is_at(Phase::Aborted, "0%");
    let reason = &desk.rollout.record().reason;
    assert_eq!(reason, "aborted by ann: enough; bob ends that at once: now");
}

#[test]
fn nothing_makes_it_last_longer() {
    let mut desk = Desk::plain();
    desk.bears(true);
    desk.handle(5, recede());
    let before = desk.journal.clone();
    let verbs: [fn(String, String) -> Event; 6] = [
        |actor, reason| Event::Resume { actor, reason },
        |actor, reason| Event::Promote { actor, reason },
        |actor, reason| Event::Pause { actor, reason },
        |actor, reason| Event::Approve { actor, reason },
        |actor, reason| Event::Deny { actor, reason },
        |actor, reason| Event::SetWeight { weight: "80%".parse().unwrap(), actor, reason },
    ];
    for verb in verbs {
        let (actor, reason) = said();
        desk.handle(6, verb(actor, reason));
        desk.is_at(Phase::Receding, "40%");
    }
    assert_eq!(desk.journal, before);
    let rollout = &desk.rollout;
    let all = [rollout.cannot_pause(), rollout.cannot_promote(), rollout.cannot_approve(), rollout.cannot_set(Weight::ZERO)];
    assert!(all.iter().all(|why| why.as_ref().is_some_and(|why| why.contains("abort it to end that at once"))), "{all:?}");
}

#[test]
fn a_canary_that_got_nothing_meanwhile_is_given_nothing_again() {
    let mut desk = Desk::plain();
    desk.handle(5, recede());
    desk.handle(8, Event::Lapsed);
    desk.is_at(Phase::Aborted, "0%");
    let mut gone = Desk::plain();
    gone.handle(5, recede());
    gone.handle(8, Event::Endpoints { canary: Standing::Unready, stable: Standing::Usable });
    gone.is_at(Phase::Aborted, "0%");
}

#[test]
fn what_has_no_share_or_may_not_recede_goes_back_at_once() {
    let mut plain = Desk::plain();
    plain.rollout.foresee(Prospect { bears: true, ..Prospect::default() });
    plain.handle(5, recede());
    plain.is_at(Phase::Aborted, "0%");
    assert_eq!(plain.rollout.record().reason, "aborted by ann: enough");

    let mut warming = Desk::begun(Policy { warm_up: Duration::from_secs(60), ..Policy::default() }, |rollout| rollout);
    warming.handle(5, recede());
    warming.is_at(Phase::Aborted, "0%");

    let mut unready = Desk::plain();
    unready.handle(4, Event::Endpoints { canary: Standing::Unready, stable: Standing::Usable });
    unready.handle(5, recede());
    unready.is_at(Phase::Aborted, "0%");

    let mut braked = Desk::plain();
    braked.handle(4, Event::Tripped(evidence()));
    braked.handle(5, recede());
    braked.is_at(Phase::Aborted, "0%");
    assert!(braked.rollout.cannot_recede().is_some_and(|why| why.contains("is over")));

    let mut tiny = Desk::begun(Policy::default(), |rollout| rollout);
    tiny.bears(true);
    for (second, share) in [(1, "40%"), (2, "20%"), (3, "0%")] {
        if second == 1 {
            tiny.handle(second, recede())
        } else {
            tiny.tick(second, true)
        }
        assert_eq!(tiny.stands().1, share);
    }
}

#[test]
fn a_denial_a_deadline_a_refusal_and_a_hold_that_nobody_ends_go_back_in_steps_too() {
    let approval = Approval { deadline: Duration::from_secs(60), then: Inconclusive::RollBack };
    let waiting = || {
        let mut desk = Desk::begun(Policy::default(), |rollout| rollout.approved_at(&[Some(approval), None]));
        desk.tick(11, false);
        desk.is_at(Phase::AwaitingApproval, "80%");
        desk
    };
    let mut denied = waiting();
    let (actor, reason) = said();
    denied.handle(12, Event::Deny { actor, reason });
    denied.is_at(Phase::Receding, "80%");
    assert!(denied.rollout.record().reason.starts_with("denied by ann: enough; v2 keeps 80% now, and within 30 s nothing"));

    let mut late = waiting();
    late.tick(70, false);
    late.is_at(Phase::AwaitingApproval, "80%");
    late.tick(71, true);
    late.is_at(Phase::Receding, "40%");

    let consulting = Consulting {
        start: false,
        raise: true,
        promotion: false,
        end: false,
        patience: Duration::from_secs(5),
        then: Inconclusive::RollBack,
    };
    let mut refused = Desk::begun(Policy::default(), |rollout| rollout.consulting(Some(consulting)));
    refused.tick(11, false);
    refused.handle(12, Event::Consulted { number: 1, refusal: Some("no".to_owned()) });
    refused.is_at(Phase::Receding, "80%");

    let mut held = Desk::plain();
    let (actor, reason) = said();
    held.handle(5, Event::Pause { actor, reason });
    held.tick(5 + Policy::HOLD_LIMIT.as_secs(), true);
    held.is_at(Phase::Receding, "40%");
}

#[test]
fn what_proves_nothing_in_time_goes_back_at_once() {
    let policy = Policy { inconclusive: Inconclusive::RollBack, max_bake: Duration::from_secs(20), ..Policy::default() };
    let mut desk = Desk::begun(policy, |rollout| rollout);
    desk.bears(true);
    desk.judge(31, Judgement { gates: [samples::gate(Verdict::Inconclusive)].into(), ..Judgement::default() });
    desk.is_at(Phase::Aborted, "0%");
}
