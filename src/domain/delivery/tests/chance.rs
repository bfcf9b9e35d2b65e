//! Chance: events in any order, answers lost, late, twice or bad, kills and disks that fail; the invariants hold and it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{MANUAL, artifact, begun, seed_stages};
use crate::domain::delivery::shipyard::default_schedule;
use crate::domain::delivery::{
    Concurrency, Deadlines, Delivery, Effect, Event, Gate, Mode, Record, RolloutEnd, Shipyard, StageName, Strategy, TestReport,
};
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;

/// One shipyard of each kind.
fn shipyard(kind: u8) -> Shipyard {
    let mut stages = seed_stages();
    let mut mode = Mode::Strict;
    match kind % 6 {
        0 => {}
        1 => stages[1].approval = Some(MANUAL),
        2 => stages[1].strategy = Strategy::Canary(default_schedule()),
        3 => (stages[0].rollback, stages[1].gate, stages[2].gate) = (false, Gate::None, Gate::None),
        4 => stages[0].test = None,
        _ => mode = Mode::Keptn,
    }
    let concurrency = if kind.is_multiple_of(2) { Concurrency::Supersede } else { Concurrency::Queue };
    Shipyard::new(stages, concurrency, mode).unwrap()
}

/// A world without order.
struct Chaos {
    now: Timestamp,
    machine: Delivery,
    open: Vec<Effect>,
    /// Every answer that was ever given, to be given again.
    answers: Vec<Event>,
    disk: Option<(u64, Record)>,
    /// What was found good, by stage.
    good: BTreeSet<(StageName, String)>,
    sent: u32,
}

impl Chaos {
    fn new(kind: u8) -> Self {
        let machine = begun(shipyard(kind));
        Self { now: Timestamp::ZERO, machine, open: Vec::new(), answers: Vec::new(), disk: None, good: BTreeSet::new(), sent: 0 }
    }

    fn give(&mut self, event: Event) {
        let (effects, held) = self.machine.handle_checked(self.now, event.clone());
        assert_eq!(held, Ok(()), "{event:?} gave {effects:?}");
        for effect in &effects {
            if let Effect::Deploy { stage, deployment, .. } = effect {
                self.nothing_unproven_arrives(stage, &deployment.artifact.to_string());
            }
        }
        self.open.extend(effects.into_iter().filter(|effect| !matches!(effect, Effect::Emit { .. } | Effect::Notify { .. })));
    }

    fn nothing_unproven_arrives(&self, stage: &StageName, artifact: &str) {
        let stages = self.machine.shipyard().stages();
        let index = stages.iter().position(|found| found.name == *stage).unwrap();
        if let Some(before) = index.checked_sub(1) {
            let earned = self.good.contains(&(stages[before].name.clone(), artifact.to_owned()));
            assert!(earned, "{artifact} came to {stage} and nobody found it good before");
        }
    }

    /// Answers an effect, well or badly; a write is done or fails.
    fn answer(&mut self, effect: Effect, how: u8) {
        let good = !how.is_multiple_of(4);
        let why = || "chance".to_owned();
        let event = match effect {
            Effect::Persist { number, record, .. } if good => {
                if self.disk.as_ref().is_none_or(|(last, _)| *last < number) {
                    self.disk = Some((number, *record));
                }
                Event::Persisted(number)
            }
            Effect::Persist { number, .. } => Event::PersistFailed(number, why()),
            Effect::Deploy { ticket, .. } if good => Event::Deployed(ticket),
            Effect::Deploy { ticket, .. } => Event::DeployFailed(ticket, why()),
            Effect::CheckHealth { ticket, .. } if good => Event::Healthy(ticket),
            Effect::CheckHealth { ticket, .. } => Event::Unhealthy(ticket, why()),
            Effect::Switch { ticket, .. } if good => Event::Switched(ticket),
            Effect::Switch { ticket, .. } => Event::SwitchFailed(ticket, why()),
            Effect::Test { ticket, .. } if how.is_multiple_of(8) => Event::TestLost(ticket, why()),
            Effect::Test { ticket, stage, deployment, .. } => {
                let shipyard = self.machine.shipyard();
                if good && (shipyard.mode() == Mode::Keptn || shipyard.stage(&stage).unwrap().gate == Gate::None) {
                    self.good.insert((stage, deployment.artifact.to_string()));
                }
                let reason = "counted".to_owned();
                Event::TestEnded(ticket, TestReport { passed: good, stopped_early: false, requests: 3, errors: 0, reason })
            }
            Effect::Evaluate { ticket, stage, deployment, .. } => {
                let verdict = match how % 8 {
                    0 => Verdict::Fail,
                    1 => Verdict::Warning,
                    4 => Verdict::Inconclusive,
                    _ => Verdict::Pass,
                };
                if matches!(verdict, Verdict::Pass | Verdict::Warning) {
                    self.good.insert((stage, deployment.artifact.to_string()));
                }
                Event::Evaluated { ticket, verdict, reason: why() }
            }
            Effect::Rollout { ticket, stage, deployment, .. } => {
                let end = match how % 8 {
                    0 => RolloutEnd::RolledBack,
                    1 => RolloutEnd::Warned,
                    4 => RolloutEnd::Aborted,
                    _ => RolloutEnd::Promoted,
                };
                if end.is_promoted() {
                    self.good.insert((stage, deployment.artifact.to_string()));
                }
                Event::RolloutEnded { ticket, end, actor: why(), reason: why() }
            }
            Effect::Retire { ticket, .. } => Event::Retired(ticket),
            Effect::AwaitApproval { ticket, .. } if good => Event::Approved { run: ticket.run, actor: why() },
            Effect::AwaitApproval { ticket, .. } => Event::Denied { run: ticket.run, actor: why(), reason: why() },
            Effect::StopTest { .. } | Effect::AbortRollout { .. } | Effect::Emit { .. } | Effect::Notify { .. } => return,
        };
        self.answers.push(event.clone());
        self.give(event);
    }

    /// Does one thing that may happen.
    fn step(&mut self, what: u8, how: u8) {
        let pick = |length: usize| usize::from(how) % length.max(1);
        match what % 16 {
            0..=8 if !self.open.is_empty() => {
                let effect = self.open.remove(0);
                self.answer(effect, how);
            }
            9 if !self.open.is_empty() => {
                let effect = self.open.remove(pick(self.open.len()));
                // Writes are answered in their order, or not at all.
                if !matches!(effect, Effect::Persist { .. }) {
                    self.answer(effect, how.rotate_left(3));
                }
            }
            10 if !self.answers.is_empty() => self.give(self.answers[pick(self.answers.len())].clone()),
            11 if how < 60 && !self.open.is_empty() => drop(self.open.remove(pick(self.open.len()))),
            12 => {
                self.now = self.now + Duration::from_secs(u64::from(how) * u64::from(how) / 8);
                self.give(Event::Tick);
            }
            13 if how < 40 => {
                let stage = how.is_multiple_of(2).then(|| "staging".parse().unwrap());
                self.give(Event::Abort { stage, actor: "chance".to_owned(), reason: "chance".to_owned() });
            }
            14 if how < 60 => self.kill(),
            _ if self.sent < 12 => {
                self.sent += 1;
                let (context, version) = (format!("c{}", self.sent), format!("{}", how % 5));
                let retry = how > 200;
                self.give(Event::Artifact { context, artifact: artifact(&version), stage: None, retry, actor: "chance".to_owned() });
            }
            _ => self.give(Event::Tick),
        }
    }

    fn kill(&mut self) {
        let shipyard = self.machine.shipyard().clone();
        self.open.clear();
        self.answers.clear();
        self.machine = match self.disk.take() {
            Some((_, record)) => {
                self.disk = Some((0, record.clone()));
                Delivery::restore(record, shipyard, Deadlines::default())
            }
            None => begun(shipyard),
        };
        self.give(Event::Restored);
    }

    /// From now on everything is answered well and time goes on; it must come to rest.
    fn comes_to_rest(&mut self) {
        for _ in 0..5_000 {
            if self.open.is_empty() {
                if self.machine.is_idle() {
                    return;
                }
                self.now = self.now + Duration::from_secs(3600);
                self.give(Event::Tick);
            } else {
                let effect = self.open.remove(0);
                self.answer(effect, 2);
            }
        }
        panic!("it does not come to rest: {:#?}", self.machine.record());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_and_it_comes_to_rest(kind in any::<u8>(), tape in vec((any::<u8>(), any::<u8>()), 20..250)) {
        let mut chaos = Chaos::new(kind);
        for (what, how) in tape {
            chaos.step(what, how);
        }
        chaos.comes_to_rest();
    }
}
