//! What a rollout makes of its versions' endpoints; every step is checked against the invariants on the way.
#![cfg(test)]

use std::time::Duration;

use super::*;
use crate::domain::gate::{Inconclusive, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::event::Event;
use crate::domain::rollout::plan::Plan;
use crate::domain::version::Version;
use crate::domain::way_back::Prospect;

/// A rollout with a shell whose disk works.
struct Desk {
    rollout: Rollout,
    told: Vec<(String, bool)>,
    weight: Weight,
}

/// A judgement by which every gate passes.
fn passing() -> Judgement {
    let gate = samples::gate(Verdict::Pass);
    Judgement { gates: [gate].into(), ..Judgement::default() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

impl Desk {
    fn begun(policy: Policy) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let plan = Plan::ramp("50%".parse().unwrap(), 2, Duration::from_secs(10)).unwrap();
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let mut desk = Self { rollout, told: Vec::new(), weight: Weight::ZERO };
        desk.handle(0, Event::Begin);
        assert_eq!(desk.weight, "50%".parse().unwrap());
        desk
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: std::collections::VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, .. } => self.weight = weight,
                Effect::Persist { .. } => effects.extend(self.rollout.handle(at(seconds), Event::Persisted)),
                Effect::Consult { .. } => panic!("nobody is to be asked"),
                Effect::Notify { sentence, alarm } => self.told.push((sentence, alarm)),
            }
        }
    }

    fn stand(&mut self, seconds: u64, canary: Standing, stable: Standing) {
        self.handle(seconds, Event::Endpoints { canary, stable });
    }

    /// Judges with every gate passing.
    fn pass(&mut self, seconds: u64) {
        self.handle(seconds, Event::Judged { judgement: Box::new(passing()), file: None });
    }

    fn has_told(&self, what: &str, alarm: bool) -> bool {
        self.told.iter().any(|(sentence, alarming)| sentence.contains(what) && *alarming == alarm)
    }
}

fn final_policy() -> Policy {
    Policy { burst_tolerance: Duration::ZERO, ..Policy::default() }
}

#[test]
fn a_canary_all_of_whose_endpoints_failed_has_breached() {
    let mut desk = Desk::begun(final_policy());
    desk.stand(1, Standing::Failed, Standing::Usable);
    assert_eq!((desk.rollout.record().phase, desk.weight), (Phase::RolledBack, Weight::ZERO));
    assert!(desk.has_told("v2 has no endpoint left that answers", true), "{:?}", desk.told);
}

#[test]
fn where_breaches_are_confirmed_it_is_braked_and_rolled_back_when_none_answers_in_time() {
    let policy = Policy::default();
    assert!(policy.confirms());
    let within = policy.confirm_within().as_secs();
    let mut desk = Desk::begun(policy);
    desk.stand(1, Standing::Failed, Standing::Usable);
    assert_eq!((desk.rollout.record().phase, desk.weight), (Phase::Braked, Weight::ZERO));
    desk.pass(1 + within);
    assert_eq!(desk.rollout.record().phase, Phase::RolledBack);
    let mut back = Desk::begun(policy);
    back.stand(1, Standing::Failed, Standing::Usable);
    back.stand(2, Standing::Usable, Standing::Usable);
    back.pass(1 + within);
    assert_eq!((back.rollout.record().phase, back.weight), (Phase::Progressing, "50%".parse().unwrap()), "it returned in time");
}

#[test]
fn a_canary_without_an_endpoint_waits_visibly_and_its_hold_begins_again() {
    let mut desk = Desk::begun(final_policy());
    desk.stand(5, Standing::Absent, Standing::Usable);
    assert!(desk.has_told("v2 has no endpoint: its share goes to v1", true), "{:?}", desk.told);
    desk.pass(30);
    assert_eq!((desk.rollout.record().step, desk.weight), (0, "50%".parse().unwrap()), "nothing passes meanwhile");
    desk.stand(31, Standing::Usable, Standing::Usable);
    desk.pass(40);
    assert_eq!(desk.rollout.record().step, 0, "the hold began again");
    desk.pass(41);
    assert_eq!((desk.rollout.record().step, desk.weight), (1, Weight::FULL));
}

#[test]
fn nothing_is_raised_and_nothing_given_back_in_silence_while_stable_is_dead() {
    let policy = Policy { inconclusive: Inconclusive::RollBack, ..final_policy() };
    let mut desk = Desk::begun(policy);
    desk.stand(5, Standing::Usable, Standing::Failed);
    desk.pass(60);
    assert_eq!((desk.rollout.record().step, desk.weight), (0, "50%".parse().unwrap()), "never 100 % without a way back");
    desk.pass(11 + policy.max_bake.as_secs());
    let record = desk.rollout.record();
    assert_eq!((record.phase, desk.weight), (Phase::Paused, "50%".parse().unwrap()), "giving back would help nobody");
    assert!(record.reason.contains("v1 has no endpoint left that answers, so there is no way back"), "{}", record.reason);
    let mut bad = Desk::begun(final_policy());
    bad.stand(5, Standing::Failed, Standing::Failed);
    assert_eq!((bad.rollout.record().phase, bad.weight), (Phase::RolledBack, Weight::ZERO));
    assert!(bad.has_told("the traffic goes back to v1, which has no endpoint left that answers", true), "{:?}", bad.told);
    let told = bad.told.len();
    bad.stand(6, Standing::Usable, Standing::Failed);
    bad.stand(7, Standing::Failed, Standing::Usable);
    assert_eq!((bad.told.len(), bad.rollout.record().phase), (told, Phase::RolledBack), "no loop");
}

#[test]
fn a_watch_does_not_end_in_promotion_when_the_canary_is_gone() {
    let policy = Policy { watch: Duration::from_secs(20), ..final_policy() };
    let mut desk = Desk::begun(policy);
    desk.pass(10);
    desk.pass(20);
    assert_eq!(desk.rollout.record().phase, Phase::Watching);
    desk.stand(25, Standing::Unready, Standing::Usable);
    desk.pass(40);
    assert_eq!((desk.rollout.record().phase, desk.weight), (Phase::Aborted, Weight::ZERO));
}

#[test]
fn the_reason_says_what_is_foreseen_when_everything_goes_back_and_only_then() {
    let said = |actor: &str| (actor.to_owned(), "so it is".to_owned());
    let mut desk = Desk::begun(final_policy());
    desk.rollout.foresee(Prospect { sentence: Some("v1 cannot take it".to_owned()), ..Prospect::default() });
    let (actor, reason) = said("ann");
    desk.handle(1, Event::Pause { actor, reason });
    assert_eq!(desk.rollout.record().reason, "held by ann: so it is", "it keeps its share");
    let (actor, reason) = said("bob");
    desk.handle(2, Event::Abort { actor, reason });
    assert_eq!(desk.rollout.record().reason, "aborted by bob: so it is; v1 cannot take it");
    assert!(desk.has_told("v1 cannot take it", false), "{:?}", desk.told);
    let mut plain = Desk::begun(final_policy());
    let (actor, reason) = said("bob");
    plain.handle(2, Event::Abort { actor, reason });
    assert_eq!(plain.rollout.record().reason, "aborted by bob: so it is");
}
