//! What operators ask of a rollout; every step is checked against the invariants on the way.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::domain::gate::{Evidence, Gate, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::event::{Arming, Event};
use crate::domain::rollout::plan::Plan;
use crate::domain::standing::Standing;
use crate::domain::version::Version;

/// A rollout with a shell whose disk works, and what was published last.
struct Desk {
    rollout: Rollout,
    published: (Weight, Arming),
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn share(text: &str) -> Weight {
    text.parse().unwrap()
}

impl Desk {
    /// Begins a rollout whose plan has 10%, 30% and 100%.
    fn begun(policy: Policy) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let plan = Plan::ramp(share("10%"), 3, Duration::from_secs(10)).unwrap();
        let shares: Vec<_> = plan.steps().iter().map(|step| step.weight.to_string()).collect();
        assert_eq!(shares, ["10%", "30%", "100%"]);
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let mut desk = Self { rollout, published: (Weight::ZERO, Arming::Nothing) };
        desk.handle(0, Event::Begin);
        desk
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, arming, .. } => self.published = (weight, arming),
                Effect::Persist { .. } => effects.extend(self.rollout.handle(at(seconds), Event::Persisted)),
                Effect::Consult { .. } => panic!("nobody is to be asked"),
                Effect::Notify { .. } => {}
            }
        }
    }

    fn pause(&mut self, seconds: u64) {
        self.handle(seconds, Event::Pause { actor: "ann".to_owned(), reason: "lunch".to_owned() });
    }

    fn set(&mut self, seconds: u64, weight: &str) {
        self.handle(seconds, Event::SetWeight { weight: share(weight), actor: "ann".to_owned(), reason: "so it is".to_owned() });
    }

    fn resume(&mut self, seconds: u64) {
        self.handle(seconds, Event::Resume { actor: "ann".to_owned(), reason: "go on".to_owned() });
    }

    fn stands(&self) -> (Phase, usize, Weight) {
        let record = self.rollout.record();
        assert_eq!(record.weight, self.published.0);
        (record.phase, record.step, record.weight)
    }

    fn trip(&mut self, seconds: u64) {
        let gate = Gate::written("p95 < 1s".parse().unwrap());
        self.handle(seconds, Event::Tripped(Box::new(Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0))));
    }
}

fn final_policy() -> Policy {
    Policy { burst_tolerance: Duration::ZERO, ..Policy::default() }
}

#[test]
fn a_rollout_is_held_where_it_is_and_goes_on_from_there() {
    let mut desk = Desk::begun(final_policy());
    desk.pause(1);
    assert_eq!((desk.stands(), desk.published.1), ((Phase::Paused, 0, share("10%")), Arming::Held));
    assert_eq!(desk.rollout.record().reason, "held by ann: lunch");
    assert!(desk.rollout.cannot_pause().unwrap().contains("held already"));
    desk.resume(2);
    assert_eq!(desk.stands(), (Phase::Progressing, 0, share("10%")));
}

#[test]
fn a_trip_takes_the_share_of_a_held_canary() {
    for hold in [|desk: &mut Desk| desk.pause(1), |desk: &mut Desk| desk.set(1, "30%")] {
        let mut desk = Desk::begun(final_policy());
        hold(&mut desk);
        assert!(!matches!(desk.published.1, Arming::Nothing), "its gates stay armed");
        desk.trip(2);
        assert_eq!(desk.stands(), (Phase::RolledBack, desk.rollout.record().step, Weight::ZERO));
        assert!(desk.rollout.cannot_pause().unwrap().contains("is over"));
    }
}

#[test]
fn a_share_of_the_plan_is_given_and_held_in_both_directions() {
    let mut desk = Desk::begun(final_policy());
    desk.set(1, "100%");
    assert_eq!(desk.stands(), (Phase::Paused, 2, share("100%")));
    desk.set(2, "30%");
    assert_eq!((desk.stands(), desk.published.1), ((Phase::Paused, 1, share("30%")), Arming::NextStep));
    desk.set(3, "0%");
    assert_eq!((desk.stands(), desk.published.1), ((Phase::Paused, 0, Weight::ZERO), Arming::Nothing));
    assert!(desk.rollout.cannot_set(share("30%")).unwrap().contains("its first share, 10%"));
    desk.set(4, "30%");
    assert_eq!(desk.stands(), (Phase::Paused, 0, Weight::ZERO), "from nothing it begins with the first share");
    desk.set(5, "10%");
    assert_eq!(desk.stands(), (Phase::Paused, 0, share("10%")));
    desk.resume(6);
    assert_eq!(desk.stands(), (Phase::Progressing, 0, share("10%")));
}

#[test]
fn what_cannot_be_given_is_said() {
    let mut desk = Desk::begun(final_policy());
    let why = desk.rollout.cannot_set(share("20%")).unwrap();
    assert_eq!(why, "20% is no share of the plan; it has 10%, 30%, 100%, and 0% holds it with nothing");
    desk.handle(1, Event::Endpoints { canary: Standing::Usable, stable: Standing::Absent });
    let why = desk.rollout.cannot_set(share("30%")).unwrap();
    assert!(why.contains("no way back") && why.ends_with("so v2 cannot be given more"), "{why}");
    desk.set(2, "30%");
    assert_eq!(desk.stands(), (Phase::Progressing, 0, share("10%")));
    assert_eq!(desk.rollout.cannot_set(share("10%")), None, "it can be held with what it has");
}

#[test]
fn a_braked_canary_is_neither_held_nor_given_anything() {
    let mut desk = Desk::begun(Policy::default());
    desk.trip(1);
    assert_eq!(desk.rollout.record().phase, Phase::Braked);
    for order in [|desk: &mut Desk| desk.pause(2), |desk: &mut Desk| desk.set(2, "10%"), |desk: &mut Desk| desk.set(2, "0%")] {
        order(&mut desk);
        assert_eq!((desk.rollout.record().phase, desk.published.0), (Phase::Braked, Weight::ZERO));
    }
    assert!(desk.rollout.cannot_pause().unwrap().contains("until its breach is confirmed"));
    assert_eq!(desk.rollout.cannot_set(share("10%")), desk.rollout.cannot_pause());
}

#[test]
fn a_warm_up_is_not_held() {
    let mut desk = Desk::begun(Policy { warm_up: Duration::from_secs(30), ..final_policy() });
    for why in [desk.rollout.cannot_pause(), desk.rollout.cannot_set(share("30%")), desk.rollout.cannot_set(Weight::ZERO)] {
        assert!(why.unwrap().contains("warming up"));
    }
    desk.pause(1);
    desk.set(1, "0%");
    assert_eq!((desk.stands(), desk.published.1), ((Phase::Progressing, 0, share("10%")), Arming::WarmUp));
}

#[test]
fn a_waiver_ends_with_the_brake_and_is_not_taken_while_braked() {
    let mut desk = Desk::begun(Policy::default());
    let promote = |desk: &mut Desk, second| desk.handle(second, Event::Promote { actor: "ann".to_owned(), reason: "hurry".to_owned() });
    let pass = |desk: &mut Desk, second| {
        let judgement = Judgement { gates: [samples::gate(Verdict::Pass)].into(), ..Judgement::default() };
        desk.handle(second, Event::Judged { judgement: Box::new(judgement), file: None });
    };
    promote(&mut desk, 1);
    pass(&mut desk, 2);
    assert_eq!(desk.stands(), (Phase::Progressing, 1, share("30%")), "the hold is waived");
    desk.trip(3);
    promote(&mut desk, 4);
    assert_eq!(desk.stands(), (Phase::Braked, 1, Weight::ZERO));
    pass(&mut desk, 13);
    assert_eq!(desk.stands(), (Phase::Progressing, 0, share("10%")), "nothing was confirmed");
    pass(&mut desk, 22);
    assert_eq!(desk.stands(), (Phase::Progressing, 0, share("10%")), "what ann waived was before the breach");
    pass(&mut desk, 23);
    assert_eq!(desk.stands(), (Phase::Progressing, 1, share("30%")));
}

#[test]
fn a_waiver_outlives_a_hold_but_not_the_loss_of_the_share() {
    for (shares, begins_again) in [(None, false), (Some("0%"), true)] {
        let mut desk = Desk::begun(final_policy());
        desk.handle(1, Event::Promote { actor: "ann".to_owned(), reason: "hurry".to_owned() });
        match shares {
            None => desk.pause(2),
            Some(weight) => desk.set(2, weight),
        }
        desk.resume(3);
        let judgement = Judgement { gates: [samples::gate(Verdict::Pass)].into(), ..Judgement::default() };
        desk.handle(4, Event::Judged { judgement: Box::new(judgement), file: None });
        assert_eq!(desk.stands().1 == 0, begins_again, "{shares:?}");
    }
}
