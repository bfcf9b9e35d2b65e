//! What a disk that fails does to a rollout: no raise is made, no lowering waits, and no decision is forgotten. Every step is checked
//! against the invariants on the way.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::domain::gate::{Gate, Inconclusive, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::event::Event;
use crate::domain::rollout::plan::{Approval, Plan};
use crate::domain::version::Version;

/// A rollout with a shell whose disk may fail, what was published last, and what is in the journal.
struct Desk {
    rollout: Rollout,
    published: Weight,
    journal: Vec<Entry>,
    disk: bool,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn evidence() -> Evidence {
    Evidence::of_trip(&Gate::written("p95 < 1s".parse().unwrap()), &"v2".parse().unwrap(), 0.001, 3, 3, 0)
}

fn said() -> (String, String) {
    ("ann".to_owned(), "so it is".to_owned())
}

fn pause() -> Event {
    let (actor, reason) = said();
    Event::Pause { actor, reason }
}

impl Desk {
    /// Begins a rollout of 10%, 30% and 100%, each held for 10 s.
    fn begun(policy: Policy, approvals: &[Option<Approval>]) -> Self {
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let plan = Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap();
        let rollout = Rollout::new(3, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7);
        let mut desk = Self { rollout: rollout.approved_at(approvals), published: Weight::ZERO, journal: Vec::new(), disk: true };
        desk.handle(0, Event::Begin);
        assert_eq!(desk.stands(), (Phase::Progressing, "10%".to_owned()));
        desk
    }

    fn handle(&mut self, seconds: u64, event: Event) {
        let mut effects: VecDeque<_> = self.rollout.handle(at(seconds), event).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Publish { weight, .. } => self.published = weight,
                Effect::Persist { entry, earlier, .. } if self.disk => {
                    self.journal.extend(earlier.into_iter().map(|line| line.entry).chain([*entry]));
                    effects.extend(self.rollout.handle(at(seconds), Event::Persisted));
                }
                Effect::Persist { .. } => {
                    effects.extend(self.rollout.handle(at(seconds), Event::PersistFailed("the disk is full".to_owned())));
                }
                Effect::Consult { .. } => panic!("nobody is to be asked"),
                Effect::Notify { .. } => {}
            }
        }
    }

    fn judge(&mut self, seconds: u64, judgement: Judgement, file: Option<(Verdict, String)>) {
        self.handle(seconds, Event::Judged { judgement: Box::new(judgement), file });
    }

    /// Every gate passes.
    fn pass(&mut self, seconds: u64) {
        self.judge(seconds, Judgement { gates: [samples::gate(Verdict::Pass)].into(), ..Judgement::default() }, None);
    }

    /// A gate without a wire is breached, as only the verdict says.
    fn brake(&mut self, seconds: u64) {
        self.judge(seconds, Judgement { brake: Some(evidence()), ..Judgement::default() }, None);
    }

    fn stands(&self) -> (Phase, String) {
        let record = self.rollout.record();
        assert_eq!(record.weight, self.published);
        (record.phase, record.weight.to_string())
    }
}

fn final_policy() -> Policy {
    Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() }
}

fn unsaved(mut desk: Desk, seconds: u64, change: impl FnOnce(&mut Desk)) -> Desk {
    desk.disk = false;
    change(&mut desk);
    assert!(desk.rollout.is_unsaved() && desk.published > Weight::ZERO, "it keeps its share, and that is not durable, at {seconds} s");
    desk
}

/// Rollouts that have made a change that keeps the share, at 20 s at the latest, and could not write it.
fn full_disks(policy: Policy) -> [Desk; 3] {
    let held = unsaved(Desk::begun(policy, &[]), 1, |desk| desk.handle(1, pause()));
    let warm = unsaved(Desk::begun(Policy { warm_up: Duration::from_secs(20), ..policy }, &[]), 20, |desk| desk.pass(20));
    let approval = Some(Approval { deadline: Duration::from_secs(60), then: Inconclusive::RollBack });
    let waiting = unsaved(Desk::begun(policy, &[approval]), 11, |desk| desk.pass(11));
    [held, warm, waiting]
}

#[test]
fn a_verdict_takes_the_share_whatever_the_disk_does() {
    for mut desk in full_disks(final_policy()) {
        let before = desk.stands().0;
        desk.brake(21);
        assert_eq!(desk.stands(), (Phase::RolledBack, "0%".to_owned()), "a breach at 21 s while {}", before.as_str());
    }
    for mut desk in full_disks(Policy::default()) {
        desk.brake(21);
        assert_eq!(desk.stands(), (Phase::Braked, "0%".to_owned()));
        desk.judge(22, Judgement { confirmed: Some(evidence()), ..Judgement::default() }, None);
        assert_eq!(desk.stands(), (Phase::RolledBack, "0%".to_owned()), "what was braked is confirmed");
    }
    for mut desk in full_disks(Policy::default()) {
        desk.brake(21);
        desk.judge(31, Judgement::default(), Some((Verdict::Fail, "the file fails it".to_owned())));
        assert_eq!(desk.stands(), (Phase::RolledBack, "0%".to_owned()), "the gate file decides at the end of a brake");
    }
}

#[test]
fn a_wait_ends_with_nothing_for_the_canary_whatever_the_disk_does() {
    let [mut held, _, mut waiting] = full_disks(final_policy());
    waiting.judge(71, Judgement::default(), None);
    assert_eq!(waiting.stands(), (Phase::Aborted, "0%".to_owned()), "nobody approved");
    held.judge(86_401, Judgement::default(), None);
    assert_eq!(held.stands(), (Phase::Aborted, "0%".to_owned()), "nobody decided for a day");
}

#[test]
fn nothing_is_raised_while_a_change_is_not_durable() {
    for mut desk in full_disks(final_policy()) {
        let before = desk.stands();
        (21..60).for_each(|second| desk.pass(second));
        assert_eq!(desk.stands(), before);
        desk.disk = true;
        desk.pass(60);
        assert!(!desk.rollout.is_unsaved(), "writing is tried again with every verdict");
    }
}

#[test]
fn no_decision_is_missing_in_the_journal_once_the_disk_is_well_again() {
    for mut desk in full_disks(Policy::default()) {
        desk.brake(21);
        let (actor, reason) = said();
        desk.handle(22, Event::Abort { actor, reason });
        desk.disk = true;
        desk.judge(23, Judgement::default(), None);
        assert!(!desk.rollout.is_unsaved());
        let last: Vec<_> = desk.journal.iter().rev().take(3).map(|entry| (entry.phase, entry.evidence.is_some())).collect();
        assert_eq!(last[..2], [(Phase::Aborted, false), (Phase::Braked, true)], "with what the brake rests on");
        assert!(!last[2].1 && !last[2].0.is_terminal(), "and what was first: {last:?}");
        let generations: Vec<u64> = desk.journal.iter().map(|entry| entry.generation).collect();
        assert!(generations.is_sorted_by(|a, b| a < b), "each once, in their order: {generations:?}");
    }
}
