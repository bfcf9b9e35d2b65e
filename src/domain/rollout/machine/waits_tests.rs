//! How a rollout waits for an approval; every step is checked against the invariants on the way.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::domain::gate::{Evidence, Gate};
use crate::domain::judge::samples;
use crate::domain::rollout::event::Event;
use crate::domain::rollout::plan::{Plan, Step};
use crate::domain::standing::Standing;
use crate::domain::version::Version;

/// A rollout with a shell whose disk may fail, what was published last, and what was written last.
struct Desk {
    rollout: Rollout,
    published: (Weight, Arming),
    written: Option<crate::domain::rollout::record::Entry>,
    told: Vec<(String, bool)>,
    disk: bool,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn share(text: &str) -> Weight {
    text.parse().unwrap()
}

fn judged(verdict: Verdict) -> Event {
    let gate = samples::gate(verdict);
    Event::Judged { judgement: Box::new(Judgement { gates: [gate].into(), ..Judgement::default() }), file: None }
}

impl Desk {
    /// Begins a rollout of 10%, 50% and 100%, each held for 10 s, the second and third with an approval within 1 min, and lets it come
    /// to the first of them at 20 s.
    fn waiting(then: Inconclusive) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let approval = Some(Approval { deadline: Duration::from_secs(60), then });
        let step = |weight, approval| Step { weight: share(weight), hold: Duration::from_secs(10), approval };
        let plan = Plan::new(vec![step("10%", None), step("50%", approval), step("100%", approval)]).unwrap();
        let policy = Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() };
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let mut desk = Self { rollout, published: (Weight::ZERO, Arming::Nothing), written: None, told: Vec::new(), disk: true };
        desk.handle(0, Event::Begin);
        desk.pass(10);
        assert_eq!(desk.stands(), (Phase::Progressing, "50%".to_owned()));
        desk.pass(19);
        assert_eq!(desk.stands().0, Phase::Progressing, "the hold comes first");
        desk.pass(20);
        desk
    }

    /// Begins one of 10%, 50% and 100%, each held for 10 s, with an approval within 1 min before it gets everything.
    fn skipping() -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let approval = Some(Approval { deadline: Duration::from_secs(60), then: Inconclusive::Hold });
        let step = |weight, approval| Step { weight: share(weight), hold: Duration::from_secs(10), approval };
        let plan = Plan::new(vec![step("10%", None), step("50%", approval), step("100%", None)]).unwrap();
        let policy = Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() };
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let mut desk = Self { rollout, published: (Weight::ZERO, Arming::Nothing), written: None, told: Vec::new(), disk: true };
        desk.handle(0, Event::Begin);
        desk
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, arming, .. } => self.published = (weight, arming),
                Effect::Persist { entry, .. } if self.disk => {
                    self.written = Some(*entry);
                    effects.extend(self.rollout.handle(at(seconds), Event::Persisted));
                }
                Effect::Persist { .. } => {
                    effects.extend(self.rollout.handle(at(seconds), Event::PersistFailed("the disk is full".to_owned())));
                }
                Effect::Consult { .. } => panic!("nobody is to be asked"),
                Effect::Notify { sentence, alarm } => self.told.push((sentence, alarm)),
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.handle(seconds, judged(Verdict::Pass));
    }

    fn approve(&mut self, seconds: u64) {
        self.handle(seconds, Event::Approve { actor: "ann".to_owned(), reason: "fine".to_owned() });
    }

    fn deny(&mut self, seconds: u64) {
        self.handle(seconds, Event::Deny { actor: "bob".to_owned(), reason: "not today".to_owned() });
    }

    fn stands(&self) -> (Phase, String) {
        let record = self.rollout.record();
        assert_eq!(record.weight, self.published.0);
        (record.phase, record.weight.to_string())
    }

    fn reason(&self) -> &str {
        &self.rollout.record().reason
    }
}

fn waits() -> (Phase, String) {
    (Phase::AwaitingApproval, "50%".to_owned())
}

#[test]
fn a_step_with_an_approval_keeps_its_share_under_its_gates_until_somebody_approves() {
    let mut desk = Desk::waiting(Inconclusive::RollBack);
    assert_eq!((desk.stands(), desk.published.1), (waits(), Arming::Held));
    assert!(desk.reason().contains("somebody must approve within 1 min, else everything is given back"), "{}", desk.reason());
    assert!(desk.told.iter().any(|(sentence, alarm)| *alarm && sentence == desk.reason()), "{:?}", desk.told);
    assert_eq!(desk.written.as_ref().unwrap().gates.len(), 1, "whoever decides sees what the gates have shown");
    desk.pass(79);
    assert_eq!(desk.stands(), waits(), "evidence alone does not end it");
    desk.approve(79);
    assert_eq!((desk.stands(), desk.published.1), ((Phase::Progressing, "50%".to_owned()), Arming::Held));
    assert_eq!(desk.written.as_ref().map(|entry| (entry.actor.as_str(), entry.reason.as_str())), Some(("ann", "approved by ann: fine")));
    desk.handle(80, judged(Verdict::Inconclusive));
    assert_eq!(desk.stands().1, "50%", "a raise needs evidence all the same");
    desk.pass(81);
    assert_eq!(desk.stands(), (Phase::Progressing, "100%".to_owned()));
    desk.pass(91);
    assert_eq!(desk.stands(), (Phase::AwaitingApproval, "100%".to_owned()), "the approval of one step is not that of the next");
    desk.approve(92);
    desk.pass(93);
    assert_eq!(desk.stands(), (Phase::Promoted, "100%".to_owned()));
}

#[test]
fn a_share_that_an_operator_holds_passes_no_approval_on_its_way() {
    let mut desk = Desk::skipping();
    desk.pass(1);
    desk.handle(2, Event::Pause { actor: "ann".to_owned(), reason: "a look".to_owned() });
    let hold = |share: &str| Event::SetWeight { weight: share.parse().unwrap(), actor: "ann".to_owned(), reason: "quick".to_owned() };
    let on = || Event::Resume { actor: "ann".to_owned(), reason: "on".to_owned() };
    desk.handle(3, hold("100%"));
    assert_eq!(desk.stands(), (Phase::Paused, "100%".to_owned()));
    desk.handle(4, on());
    desk.pass(14);
    assert_eq!(desk.stands(), (Phase::AwaitingApproval, "100%".to_owned()), "the plan wants one before the canary has everything");
    desk.pass(74);
    assert_eq!(desk.stands().0, Phase::Paused, "its deadline and its exit are those of the plan");
    desk.handle(75, on());
    desk.pass(85);
    assert_eq!(desk.stands().0, Phase::AwaitingApproval, "nobody has approved it yet");
    // Back to where it came from the approval lies ahead again, where the plan has it.
    desk.handle(86, hold("10%"));
    desk.handle(87, on());
    desk.pass(97);
    assert_eq!(desk.stands(), (Phase::Progressing, "50%".to_owned()));
    desk.pass(107);
    desk.approve(108);
    desk.pass(109);
    assert_eq!(desk.stands(), (Phase::Progressing, "100%".to_owned()));
    desk.pass(119);
    assert_eq!(desk.stands().0, Phase::Promoted, "one approval is enough");
}

#[test]
fn whoever_denies_gives_everything_back() {
    let mut desk = Desk::waiting(Inconclusive::Hold);
    desk.deny(30);
    assert_eq!((desk.stands(), desk.reason()), ((Phase::Aborted, "0%".to_owned()), "denied by bob: not today"));
    desk.approve(31);
    assert_eq!(desk.stands().0, Phase::Aborted);
    assert!(desk.rollout.cannot_approve().unwrap().contains("is over"));
}

#[test]
fn what_is_said_beside_the_gates_approves_fails_or_gives_back() {
    use Verdict::{Fail, Pass, Warning};
    const NOTHING: Verdict = Verdict::Inconclusive;
    let ruled = |verdict, approves| {
        let mut desk = Desk::waiting(Inconclusive::Hold);
        desk.handle(30, Event::Ruled { verdict, approves, actor: "sources".to_owned(), reason: "p95 = 0.9".to_owned() });
        desk
    };
    let progressing = || (Phase::Progressing, "50%".to_owned());
    for (verdict, approves, stands, warned) in [
        (Pass, true, progressing(), false),
        (Warning, true, progressing(), true),
        (Pass, false, waits(), false),
        (Warning, false, waits(), true),
        (Fail, true, (Phase::RolledBack, "0%".to_owned()), false),
        (Fail, false, (Phase::RolledBack, "0%".to_owned()), false),
        (NOTHING, true, (Phase::Aborted, "0%".to_owned()), false),
    ] {
        let desk = ruled(verdict, approves);
        assert_eq!((desk.stands(), desk.rollout.record().warned), (stands, warned), "{verdict} {approves}");
        let who = if desk.stands() == waits() { "plan" } else { "sources" };
        assert_eq!(desk.rollout.record().actor.as_deref(), Some(who), "{verdict} {approves}");
        assert!(desk.told.iter().any(|(sentence, _)| sentence.contains("p95 = 0.9")) || approves, "{:?}", desk.told);
    }
    // A warning outlives the word of whoever has to approve beside it, and is durable with that.
    let mut desk = ruled(Warning, false);
    desk.approve(31);
    desk.pass(32);
    desk.pass(42);
    desk.approve(43);
    desk.pass(44);
    assert_eq!((desk.stands(), desk.rollout.record().warned), ((Phase::Promoted, "100%".to_owned()), true));
    // A failure that comes after somebody's word still takes everything back; silence then changes nothing.
    let mut late = Desk::waiting(Inconclusive::RollBack);
    late.approve(20);
    late.handle(21, Event::Ruled { verdict: NOTHING, approves: true, actor: "sources".to_owned(), reason: "silence".to_owned() });
    assert_eq!(late.stands(), progressing());
    late.handle(22, Event::Ruled { verdict: Warning, approves: true, actor: "sources".to_owned(), reason: "p95 = 0.8".to_owned() });
    assert_eq!((late.stands(), late.rollout.record().warned), (progressing(), true), "a warning is not lost because somebody was faster");
    late.handle(23, Event::Ruled { verdict: Fail, approves: false, actor: "sources".to_owned(), reason: "p95 = 0.9".to_owned() });
    assert_eq!((late.stands(), late.reason()), ((Phase::RolledBack, "0%".to_owned()), "p95 = 0.9"));
    // A disk that takes nothing lets nothing go on.
    let mut full = Desk::waiting(Inconclusive::RollBack);
    full.disk = false;
    full.handle(30, Event::Ruled { verdict: Pass, approves: true, actor: "sources".to_owned(), reason: "fine".to_owned() });
    assert_eq!(full.stands(), waits());
}

#[test]
fn a_warning_of_a_file_is_remembered_of_its_rollout() {
    for (verdict, warned) in [(Verdict::Warning, true), (Verdict::Pass, false)] {
        let mut desk = Desk::waiting(Inconclusive::Hold);
        desk.approve(30);
        let Event::Judged { judgement, .. } = judged(Verdict::Pass) else { panic!() };
        desk.handle(31, Event::Judged { judgement, file: Some((verdict, "the file".to_owned())) });
        assert_eq!((desk.stands().1.as_str(), desk.rollout.record().warned), ("100%", warned));
    }
}

#[test]
fn at_the_deadline_the_exit_of_the_plan_is_taken() {
    for (then, phase, weight) in [(Inconclusive::RollBack, Phase::Aborted, "0%"), (Inconclusive::Hold, Phase::Paused, "50%")] {
        let mut desk = Desk::waiting(then);
        desk.pass(79);
        assert_eq!(desk.stands(), waits());
        desk.pass(80);
        assert_eq!(desk.stands(), (phase, weight.to_owned()));
        assert!(desk.reason().starts_with("nobody approved within 1 min"), "{}", desk.reason());
    }
    let mut desk = Desk::waiting(Inconclusive::RollBack);
    desk.handle(70, Event::Endpoints { canary: Standing::Usable, stable: Standing::Failed });
    desk.pass(80);
    assert_eq!(desk.stands(), (Phase::Paused, "50%".to_owned()), "giving back to a dead version would help nobody");
}

#[test]
fn gates_stay_armed_while_it_waits() {
    let gate = Gate::written("p95 < 1s".parse().unwrap());
    let evidence = Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0);
    let mut desk = Desk::waiting(Inconclusive::Hold);
    desk.handle(21, Event::Tripped(Box::new(evidence)));
    assert_eq!(desk.stands(), (Phase::RolledBack, "0%".to_owned()));
    let mut lost = Desk::waiting(Inconclusive::Hold);
    lost.handle(21, Event::Endpoints { canary: Standing::Failed, stable: Standing::Usable });
    assert_eq!(lost.stands(), (Phase::RolledBack, "0%".to_owned()));
}

#[test]
fn no_other_order_stands_for_an_approval() {
    let mut desk = Desk::waiting(Inconclusive::RollBack);
    let said = || ("ann".to_owned(), "so it is".to_owned());
    for order in [
        |(actor, reason)| Event::Promote { actor, reason },
        |(actor, reason)| Event::Resume { actor, reason },
        |(actor, reason)| Event::Pause { actor, reason },
        |(actor, reason)| Event::SetWeight { weight: Weight::FULL, actor, reason },
        |(actor, reason)| Event::SetWeight { weight: "50%".parse().unwrap(), actor, reason },
    ] {
        desk.handle(30, order(said()));
        desk.pass(31);
        assert_eq!(desk.stands(), waits());
    }
    desk.handle(40, Event::SetWeight { weight: share("10%"), actor: "ann".to_owned(), reason: "less".to_owned() });
    assert_eq!(desk.stands(), (Phase::Paused, "10%".to_owned()), "less can be given at any time");
    assert!(desk.rollout.cannot_approve().unwrap().contains("does not wait"));
}

#[test]
fn what_was_not_judged_moves_no_deadline_and_counts_for_no_hold() {
    let mut desk = Desk::waiting(Inconclusive::RollBack);
    desk.handle(70, Event::Lapsed);
    desk.approve(71);
    desk.pass(80);
    assert_eq!(desk.stands(), (Phase::Progressing, "50%".to_owned()), "the hold begins again with the approval");
    desk.pass(81);
    assert_eq!(desk.stands().1, "100%");
    let mut late = Desk::waiting(Inconclusive::RollBack);
    late.handle(70, Event::Lapsed);
    late.pass(80);
    assert_eq!(late.stands().0, Phase::Aborted);
}

#[test]
fn an_approval_that_cannot_be_written_is_none_and_a_denial_counts_at_once() {
    let mut desk = Desk::waiting(Inconclusive::RollBack);
    desk.disk = false;
    desk.approve(30);
    desk.pass(31);
    assert_eq!(desk.stands(), waits());
    desk.deny(32);
    assert_eq!((desk.stands(), desk.rollout.is_unsaved()), ((Phase::Aborted, "0%".to_owned()), true));
    // It came to wait, and that is not durable yet.
    let mut early = Desk::waiting(Inconclusive::RollBack);
    early.approve(21);
    early.disk = false;
    early.pass(22);
    early.disk = true;
    early.pass(23);
    assert_eq!(early.stands().1, "100%", "a raise that was not written is asked for again");
    early.disk = false;
    early.pass(33);
    assert!(early.rollout.cannot_approve().unwrap().contains("not durable yet"));
    early.disk = true;
    early.approve(34);
    assert_eq!(early.stands().0, Phase::AwaitingApproval);
    early.pass(35);
    early.approve(36);
    early.pass(37);
    assert_eq!(early.stands().0, Phase::Promoted);
}
