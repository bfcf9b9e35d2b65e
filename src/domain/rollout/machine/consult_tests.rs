//! How a rollout asks others before it goes on; every step is checked against the invariants on the way.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::domain::gate::{Evidence, Gate, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::event::{Arming, Event};
use crate::domain::rollout::plan::{Plan, Step};
use crate::domain::standing::Standing;
use crate::domain::version::Version;

/// A rollout with a shell whose disk works, the questions it asked, and what was published last.
struct Desk {
    rollout: Rollout,
    questions: Vec<(u64, Occasion)>,
    published: (Weight, Arming),
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn judged(verdict: Verdict) -> Event {
    let gate = samples::gate(verdict);
    Event::Judged { judgement: Box::new(Judgement { gates: [gate].into(), ..Judgement::default() }), file: None }
}

impl Desk {
    /// A rollout of 50% and 100%, each held for 10 s and the last watched for 20 s, that asks on every occasion and waits 60 s for an
    /// answer. It has been told to begin at 0 s.
    fn asking(then: Inconclusive) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let step = |weight: &str| Step { weight: weight.parse().unwrap(), hold: Duration::from_secs(10), approval: None };
        let plan = Plan::new(vec![step("50%"), step("100%")]).unwrap();
        let policy = Policy { burst_tolerance: Duration::ZERO, watch: Duration::from_secs(20), ..Policy::default() };
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let consulting = Consulting { start: true, raise: true, promotion: true, end: true, patience: Duration::from_secs(60), then };
        let mut desk =
            Self { rollout: rollout.consulting(Some(consulting)), questions: Vec::new(), published: (Weight::ZERO, Arming::Nothing) };
        desk.handle(0, Event::Begin);
        desk
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, arming, .. } => self.published = (weight, arming),
                Effect::Persist { .. } => effects.extend(self.rollout.handle(at(seconds), Event::Persisted)),
                Effect::Consult { number, occasion } => self.questions.push((number, occasion)),
                Effect::Notify { .. } => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.handle(seconds, judged(Verdict::Pass));
    }

    /// Answers the last question.
    fn answer(&mut self, seconds: u64, refusal: Option<&str>) {
        let number = self.questions.last().expect("something was asked").0;
        self.handle(seconds, Event::Consulted { number, refusal: refusal.map(str::to_owned) });
    }

    fn stands(&self) -> (Phase, String) {
        let record = self.rollout.record();
        assert_eq!(record.weight, self.published.0);
        (record.phase, record.weight.to_string())
    }

    fn asked(&self) -> Vec<Occasion> {
        self.questions.iter().map(|(_, occasion)| *occasion).collect()
    }
}

fn progressing(weight: &str) -> (Phase, String) {
    (Phase::Progressing, weight.to_owned())
}

#[test]
fn others_are_asked_once_on_each_occasion_and_nothing_goes_on_before_they_answer() {
    let mut desk = Desk::asking(Inconclusive::RollBack);
    desk.pass(1);
    assert_eq!((desk.stands(), desk.asked()), (progressing("0%"), vec![Occasion::Start]));
    desk.answer(2, None);
    desk.pass(3);
    assert_eq!(desk.stands(), progressing("50%"));
    for second in 13..20 {
        desk.pass(second);
    }
    assert_eq!((desk.stands(), desk.asked()), (progressing("50%"), vec![Occasion::Start, Occasion::Raise]));
    desk.answer(20, None);
    desk.handle(21, judged(Verdict::Inconclusive));
    assert_eq!(desk.stands(), progressing("50%"), "a clearance is no evidence");
    desk.pass(22);
    assert_eq!(desk.stands(), progressing("100%"));
    desk.pass(32);
    assert_eq!(desk.stands().0, Phase::Watching);
    desk.pass(51);
    assert_eq!(desk.questions.len(), 2);
    desk.pass(52);
    desk.pass(53);
    assert_eq!((desk.stands().0, desk.questions.len()), (Phase::Watching, 3));
    desk.answer(54, None);
    desk.pass(55);
    assert_eq!(desk.stands(), (Phase::Promoted, "100%".to_owned()));
    assert_eq!(desk.asked(), [Occasion::Start, Occasion::Raise, Occasion::Promotion, Occasion::End]);
}

#[test]
fn a_refusal_and_silence_take_the_exit_of_the_policy() {
    for (then, phase, weight) in [(Inconclusive::RollBack, Phase::Aborted, "0%"), (Inconclusive::Hold, Phase::Paused, "50%")] {
        let begun = || {
            let mut desk = Desk::asking(then);
            desk.answer(0, None);
            desk.pass(1);
            desk.pass(11);
            desk
        };
        let mut refused = begun();
        refused.answer(12, Some("gate: it answered with 403"));
        assert_eq!(refused.stands(), (phase, weight.to_owned()));
        assert!(refused.rollout.record().reason.ends_with("gate: it answered with 403"));
        let mut silent = begun();
        silent.pass(70);
        assert_eq!(silent.stands(), progressing("50%"));
        silent.pass(71);
        assert_eq!(silent.stands(), (phase, weight.to_owned()));
        silent.answer(72, None);
        assert_eq!(silent.stands().0, phase, "an answer that comes too late changes nothing");
    }
    let mut unbegun = Desk::asking(Inconclusive::RollBack);
    unbegun.answer(1, Some("no"));
    assert_eq!((unbegun.stands(), unbegun.asked()), ((Phase::Aborted, "0%".to_owned()), vec![Occasion::Start, Occasion::End]));
    let mut dead = Desk::asking(Inconclusive::RollBack);
    dead.answer(0, None);
    dead.pass(1);
    dead.pass(11);
    dead.handle(12, Event::Endpoints { canary: Standing::Usable, stable: Standing::Failed });
    dead.answer(13, Some("no"));
    assert_eq!(dead.stands(), (Phase::Paused, "50%".to_owned()), "giving back to a dead version would help nobody");
}

#[test]
fn what_goes_back_waits_for_nobody_and_forgets_the_question() {
    let gate = Gate::written("p95 < 1s".parse().unwrap());
    let evidence = || Box::new(Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0));
    let said = || ("ann".to_owned(), "no".to_owned());
    let ends: [(Box<dyn Fn() -> Event>, Phase); 2] = [
        (Box::new(|| Event::Tripped(evidence())), Phase::RolledBack),
        (
            Box::new(|| {
                let (actor, reason) = said();
                Event::Abort { actor, reason }
            }),
            Phase::Aborted,
        ),
    ];
    for (end, phase) in ends {
        let mut desk = Desk::asking(Inconclusive::Hold);
        desk.answer(0, None);
        desk.pass(1);
        desk.pass(11);
        let question = desk.questions.last().unwrap().0;
        desk.handle(12, end());
        assert_eq!(desk.stands(), (phase, "0%".to_owned()));
        assert_eq!(desk.asked().last(), Some(&Occasion::End));
        desk.handle(13, Event::Consulted { number: question, refusal: None });
        desk.pass(14);
        assert_eq!(desk.stands(), (phase, "0%".to_owned()));
    }
}

#[test]
fn what_was_held_before_it_began_begins_with_its_warm_up() {
    let mut desk = Desk::asking(Inconclusive::Hold);
    desk.rollout = Rollout { warming: Some(Timestamp::NEVER), ..desk.rollout };
    desk.answer(1, Some("no"));
    assert_eq!(desk.stands(), (Phase::Paused, "0%".to_owned()));
    desk.handle(2, Event::SetWeight { weight: "50%".parse().unwrap(), actor: "ann".to_owned(), reason: "go".to_owned() });
    assert_eq!(desk.stands(), (Phase::Paused, "0%".to_owned()));
    desk.handle(3, Event::Resume { actor: "ann".to_owned(), reason: "go".to_owned() });
    assert_eq!(desk.stands(), (Phase::Paused, "0%".to_owned()), "others are asked again");
    desk.answer(4, None);
    assert_eq!((desk.stands(), desk.published.1), (progressing("50%"), Arming::WarmUp));
}

#[test]
fn after_a_pause_others_are_asked_again() {
    let mut desk = Desk::asking(Inconclusive::Hold);
    desk.answer(0, None);
    desk.pass(1);
    desk.pass(11);
    let first = desk.questions.last().unwrap().0;
    desk.handle(12, Event::Pause { actor: "ann".to_owned(), reason: "lunch".to_owned() });
    desk.handle(13, Event::Resume { actor: "ann".to_owned(), reason: "on".to_owned() });
    desk.pass(23);
    desk.handle(24, Event::Consulted { number: first, refusal: None });
    desk.pass(25);
    assert_eq!(desk.stands(), progressing("50%"), "the answer to the first question is none to the second");
    desk.answer(26, None);
    desk.pass(27);
    assert_eq!(desk.stands(), progressing("100%"));
}

fn weight(text: &str) -> Weight {
    text.parse().unwrap()
}

impl Desk {
    /// A rollout that others let begin, held with half of the traffic by an operator.
    fn held(then: Inconclusive) -> Self {
        let mut desk = Self::asking(then);
        desk.answer(0, None);
        desk.pass(1);
        desk.handle(2, Event::Pause { actor: "ann".to_owned(), reason: "lunch".to_owned() });
        assert_eq!(desk.stands(), (Phase::Paused, "50%".to_owned()));
        desk
    }

    fn wish(&mut self, seconds: u64, share: &str) {
        self.handle(seconds, Event::SetWeight { weight: weight(share), actor: "ann".to_owned(), reason: "more".to_owned() });
    }

    fn resume(&mut self, seconds: u64) {
        self.handle(seconds, Event::Resume { actor: "ann".to_owned(), reason: "on".to_owned() });
    }
}

#[test]
fn an_operator_who_gives_more_waits_for_others_and_one_who_takes_does_not() {
    let mut desk = Desk::held(Inconclusive::Hold);
    desk.wish(3, "100%");
    for second in 4..20 {
        desk.pass(second);
    }
    assert_eq!((desk.stands(), desk.asked()), ((Phase::Paused, "50%".to_owned()), vec![Occasion::Start, Occasion::Raise]));
    assert_eq!(desk.rollout.wanted(), Some(Weight::FULL));
    desk.answer(20, None);
    assert_eq!((desk.stands(), desk.rollout.wanted()), ((Phase::Paused, "100%".to_owned()), None));
    desk.wish(21, "50%");
    desk.wish(22, "0%");
    assert_eq!((desk.stands(), desk.questions.len()), ((Phase::Paused, "0%".to_owned()), 2), "nobody is asked before a share is taken");
}

#[test]
fn what_an_operator_waits_for_is_told_where_something_else_ends_it() {
    let asked = "; what was asked is not carried out: ann wants to give v2 100%: ";
    let mut ended = Desk::held(Inconclusive::Hold);
    ended.wish(3, "100%");
    ended.handle(4, Event::Abort { actor: "hand-over".to_owned(), reason: "a new process takes over".to_owned() });
    let reason = &ended.rollout.record().reason;
    assert!(reason.starts_with(&format!("aborted by hand-over: a new process takes over{asked}")), "{reason}");
    assert_eq!(ended.rollout.wanted(), None);
    let mut without = Desk::held(Inconclusive::Hold);
    without.handle(4, Event::Abort { actor: "ann".to_owned(), reason: "no".to_owned() });
    assert_eq!(without.rollout.record().reason, "aborted by ann: no");
}

#[test]
fn beginning_again_from_nothing_is_asked_as_the_first_begin_was() {
    let mut desk = Desk::held(Inconclusive::Hold);
    desk.wish(3, "0%");
    desk.resume(4);
    assert_eq!((desk.stands(), desk.asked()), ((Phase::Paused, "0%".to_owned()), vec![Occasion::Start, Occasion::Start]));
    desk.answer(5, None);
    assert_eq!(desk.stands(), progressing("50%"));
    desk.pass(15);
    assert_eq!((desk.stands(), desk.asked().len()), (progressing("50%"), 3), "the plan's raise is a question of its own");
}

#[test]
fn resuming_with_the_same_share_asks_nobody() {
    let mut desk = Desk::held(Inconclusive::Hold);
    desk.resume(3);
    assert_eq!((desk.stands(), desk.asked()), (progressing("50%"), vec![Occasion::Start]));
}

#[test]
fn a_refused_wish_takes_the_exit_of_the_policy_and_silence_is_a_refusal() {
    for (then, phase, left) in [(Inconclusive::RollBack, Phase::Aborted, "0%"), (Inconclusive::Hold, Phase::Paused, "50%")] {
        let mut refused = Desk::held(then);
        refused.wish(3, "100%");
        refused.answer(4, Some("not on Fridays"));
        let mut silent = Desk::held(then);
        silent.wish(3, "100%");
        silent.pass(62);
        assert_eq!(silent.stands(), (Phase::Paused, "50%".to_owned()), "there is time for an answer");
        silent.pass(63);
        for (mut desk, why) in [(refused, "not on Fridays"), (silent, "no answer within 60 s")] {
            assert_eq!((desk.stands(), desk.rollout.wanted()), ((phase, left.to_owned()), None));
            let reason = desk.rollout.record().reason.clone();
            assert!(reason.contains(why) && reason.contains("does not let ann give it 100%"), "{reason}");
            let number = desk.questions.iter().rfind(|(_, occasion)| *occasion == Occasion::Raise).unwrap().0;
            desk.handle(70, Event::Consulted { number, refusal: None });
            assert_eq!(desk.stands(), (phase, left.to_owned()), "an answer that is late says nothing");
        }
    }
}

#[test]
fn whatever_takes_the_share_away_forgets_the_wish() {
    let word = || ("ann".to_owned(), "enough".to_owned());
    let gate = Gate::written("p95 < 1s".parse().unwrap());
    let evidence = || Box::new(Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0));
    type Taking = fn((String, String), Box<Evidence>) -> Event;
    let takings: [(Taking, Phase); 3] = [
        (|(actor, reason), _| Event::Abort { actor, reason }, Phase::Aborted),
        (|_, evidence| Event::Tripped(evidence), Phase::RolledBack),
        (|(actor, reason), _| Event::SetWeight { weight: Weight::ZERO, actor, reason }, Phase::Paused),
    ];
    for (taking, phase) in takings {
        let mut desk = Desk::held(Inconclusive::Hold);
        desk.wish(3, "100%");
        let number = desk.questions.last().unwrap().0;
        desk.handle(4, taking(word(), evidence()));
        assert_eq!((desk.stands(), desk.rollout.wanted()), ((phase, "0%".to_owned()), None), "at once, whatever others say");
        desk.handle(5, Event::Consulted { number, refusal: None });
        desk.pass(6);
        assert_eq!(desk.stands(), (phase, "0%".to_owned()));
    }
}

#[test]
fn a_wish_from_within_the_plan_waits_and_the_plan_with_it() {
    let mut desk = Desk::asking(Inconclusive::Hold);
    desk.answer(0, None);
    desk.pass(1);
    desk.pass(11);
    let plans = desk.questions.last().unwrap().0;
    desk.wish(12, "100%");
    desk.handle(12, Event::Consulted { number: plans, refusal: None });
    desk.pass(13);
    assert_eq!(desk.stands(), progressing("50%"), "that was an answer to the plan's question");
    desk.answer(14, None);
    assert_eq!(desk.stands(), (Phase::Paused, "100%".to_owned()));
}

#[test]
fn what_others_let_be_and_has_become_impossible_is_dropped() {
    let mut desk = Desk::held(Inconclusive::Hold);
    desk.wish(3, "100%");
    desk.handle(4, Event::Endpoints { canary: Standing::Absent, stable: Standing::Usable });
    desk.answer(5, None);
    assert_eq!((desk.stands(), desk.rollout.wanted()), ((Phase::Paused, "50%".to_owned()), None));
}
