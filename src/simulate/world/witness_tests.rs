//! What the witness watches for is seen to break: every check fails on the one thing it is there for, and on nothing before.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::gate::Gate;
use crate::domain::judge::Judge;
use crate::domain::rollout::Rollout;
use crate::domain::version::{Name, Version};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    Version::new(name(text), vec![([127, 0, 0, 1], 9).into()])
}

fn percent(text: &str) -> Weight {
    text.parse().unwrap()
}

fn second(s: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(s)
}

fn plan() -> Plan {
    Plan::ramp(percent("10%"), 3, Duration::from_secs(10)).unwrap()
}

fn gate() -> Gate {
    Gate::written("p95 < 1s".parse().unwrap())
}

fn trip() -> Evidence {
    Evidence::of_trip(&gate(), &name("v2"), 0.001, 3, 3, 0)
}

/// The record of rollout 1 in a generation.
fn record(phase: Phase, weight: &str, generation: u64) -> Record {
    let rollout = Rollout::new(1, name("service"), (version("v1"), version("v2")), plan(), Policy::default(), 0);
    Record { phase, weight: percent(weight), generation, ..rollout.record().clone() }
}

fn state(record: Record) -> ServiceState {
    ServiceState {
        owner: version("v1"),
        configured: name("v1"),
        rollout: Some(record),
        rejected: Vec::new(),
        tried: Vec::new(),
        asked: None,
    }
}

fn publish(generation: u64, weight: &str, arming: Arming) -> Effect {
    Effect::Publish { generation, owner: Role::Stable, weight: percent(weight), arming }
}

fn persist(generation: u64, weight: &str, phase: Phase, evidence: Option<Evidence>) -> Effect {
    let record = record(phase, weight, generation);
    let entry = Entry {
        service: name("service"),
        rollout: record.id,
        at: None,
        stable: None,
        canary: None,
        actor: "gate".to_owned(),
        phase,
        owner: Role::Stable,
        from: Weight::ZERO,
        to: record.weight,
        generation,
        reason: "because".to_owned(),
        evidence,
        gates: Vec::new(),
    };
    Effect::Persist { record: Box::new(record), entry: Box::new(entry), decided: None, earlier: Vec::new() }
}

const FRESH: Arming = Arming::Fresh { halvings: 0 };

/// A rollout that has begun with 10 % at second 10 and got three requests.
fn begun() -> Witness {
    let mut witness = Witness::default();
    let (before, after) = (record(Phase::Progressing, "0%", 1), record(Phase::Progressing, "10%", 2));
    witness.stepped(&before, &Event::Begin, &[persist(2, "10%", Phase::Progressing, None)], &before, &plan()).unwrap();
    witness.wrote(None, &state(after.clone())).unwrap();
    witness.stepped(&before, &Event::Persisted, &[publish(2, "10%", FRESH)], &after, &plan()).unwrap();
    witness.refreshed(second(10));
    for number in 0..3 {
        witness.picked((2, false), number, second(10)).unwrap();
    }
    witness
}

/// Lets a witness see one step of a rollout at 10 %.
fn step(witness: &mut Witness, event: &Event, effects: &[Effect], phase: Phase) -> Held {
    witness.stepped(&record(Phase::Progressing, "10%", 2), event, effects, &record(phase, "0%", 3), &plan())
}

fn tripped() -> Event {
    Event::Tripped(Box::new(trip()))
}

/// A rollout that was rolled back in generation 3, which is not durable.
fn rolled_back() -> Witness {
    let mut witness = begun();
    let effects = [publish(3, "0%", Arming::Nothing), persist(3, "0%", Phase::RolledBack, Some(trip()))];
    step(&mut witness, &tripped(), &effects, Phase::RolledBack).unwrap();
    witness
}

#[track_caller]
fn breaks(held: Held, name: &str) {
    let broken = held.expect_err("it must break something");
    assert_eq!(broken.name, name, "{broken}");
}

#[test]
fn a_pick_without_a_share_or_after_the_verdict_expired_is_seen() {
    breaks(rolled_back().picked((2, false), 3, second(10)), "I2");
    breaks(begun().picked((2, false), 3, second(13)), "I12");
    breaks(begun().picked((2, false), 2, second(10)), "I14");
}

#[test]
fn probes_closer_than_their_spacing_are_seen() {
    let mut witness = rolled_back();
    witness.picked((3, true), 3, second(10)).unwrap();
    breaks(witness.picked((3, true), 4, second(10) + Duration::from_millis(499)), "I2");
    let mut witness = rolled_back();
    witness.picked((3, true), 3, second(10)).unwrap();
    witness.picked((3, true), 4, second(10) + Duration::from_millis(500)).unwrap();
}

#[test]
fn a_share_that_is_not_of_the_plan_or_falls_or_comes_back_is_seen() {
    let gives = |generation, weight| [persist(generation, weight, Phase::Progressing, None), publish(generation, weight, FRESH)];
    let go = |mut witness: Witness, effects: &[Effect]| {
        witness.stepped(&record(Phase::Progressing, "10%", 3), &Event::Persisted, effects, &record(Phase::Progressing, "10%", 4), &plan())
    };
    breaks(go(begun(), &gives(4, "20%")), "I17");
    breaks(go(Witness { share: (percent("30%"), false), ..begun() }, &gives(4, "10%")), "I7");
    let braked = Witness { ended: None, ..rolled_back() };
    breaks(go(braked, &gives(4, "30%")), "I7");
    go(Witness { ended: None, ..rolled_back() }, &gives(4, "10%")).unwrap();
}

#[test]
fn a_share_that_recedes_otherwise_than_in_steps_and_in_time_is_seen() {
    let [on, receding, over] =
        [(Phase::Progressing, 2), (Phase::Receding, 3), (Phase::Aborted, 4)].map(|(phase, generation)| record(phase, "10%", generation));
    let event = Event::Persisted;
    let begun = || {
        let mut witness = begun();
        witness.may_recede_for(Duration::from_secs(30));
        witness.goes_down(&on, &event, &receding, second(10)).unwrap();
        witness
    };
    let gives = |mut witness: Witness, weight: &str| {
        let effects = [publish(4, weight, Arming::Held), persist(4, weight, Phase::Receding, None)];
        witness.stepped(&receding, &event, &effects, &receding, &plan()).map(|()| witness)
    };
    gives(gives(begun(), "5%").unwrap(), "2.5%").unwrap();
    breaks(gives(begun(), "7%").map(|_| ()), "I7");
    breaks(gives(gives(begun(), "5%").unwrap(), "10%").map(|_| ()), "I7");
    breaks(Witness::default().goes_down(&on, &event, &receding, second(10)), "I7");
    breaks(begun().goes_down(&on, &tripped(), &receding, second(10)), "I7");
    breaks(begun().goes_down(&receding, &event, &on, second(11)), "I7");
    begun().goes_down(&receding, &event, &over, second(11)).unwrap();
    let picks = |at: u64| {
        let mut witness = begun();
        witness.refreshed(second(at));
        witness.picked((2, false), 3, second(at))
    };
    picks(40).unwrap();
    breaks(picks(43), "I7");
}

#[test]
fn an_end_that_does_not_stay_is_seen() {
    breaks(step(&mut rolled_back(), &Event::Persisted, &[], Phase::Progressing), "I8");
    let abort = Event::Abort { actor: "ann".to_owned(), reason: "no".to_owned() };
    breaks(step(&mut begun(), &abort, &[], Phase::Progressing), "I9");
    let (over, on) = (state(record(Phase::RolledBack, "0%", 3)), state(record(Phase::Progressing, "10%", 4)));
    breaks(begun().wrote(Some(&over), &on), "I8");
}

#[test]
fn counts_without_requests_are_seen() {
    let judged = |requests, breaches| {
        let mut judgement = Judge::new(name("v2"), &[gate()], &Policy::default(), 3).tick(second(10), &[]);
        let gate = &mut Arc::make_mut(&mut judgement.gates)[0];
        (gate.requests, gate.breaches) = (requests, breaches);
        Event::Judged { judgement: Box::new(judgement), file: None }
    };
    step(&mut begun(), &judged(3, 3), &[], Phase::Progressing).unwrap();
    breaks(step(&mut begun(), &judged(4, 0), &[], Phase::Progressing), "I13");
    breaks(step(&mut begun(), &judged(1, 2), &[], Phase::Progressing), "I13");
    let more = Event::Tripped(Box::new(Evidence::of_trip(&gate(), &name("v2"), 0.001, 4, 4, 0)));
    breaks(step(&mut begun(), &more, &[publish(3, "0%", Arming::Nothing)], Phase::RolledBack), "I13");
}

#[test]
fn a_rollout_that_was_before_is_seen() {
    let before = record(Phase::Progressing, "0%", 3);
    breaks(rolled_back().stepped(&before, &Event::Begin, &[], &before, &plan()), "I15");
    let other = Record { id: 2, ..before.clone() };
    breaks(begun().stepped(&before, &Event::Persisted, &[], &other, &plan()), "I15");
}

#[test]
fn a_trip_that_waits_for_the_disk_is_seen() {
    let effects = [persist(3, "0%", Phase::RolledBack, Some(trip())), publish(3, "0%", Arming::Nothing)];
    breaks(step(&mut begun(), &tripped(), &effects, Phase::RolledBack), "I18");
}

#[test]
fn a_change_that_the_journal_does_not_explain_is_seen() {
    let lowered = publish(3, "0%", Arming::Nothing);
    let with = |evidence| [lowered.clone(), persist(3, "0%", Phase::RolledBack, evidence)];
    breaks(step(&mut begun(), &tripped(), &with(None), Phase::RolledBack), "I26");
    breaks(step(&mut begun(), &tripped(), &with(Some(Evidence { breaches: 2, ..trip() })), Phase::RolledBack), "I26");
    breaks(step(&mut begun(), &tripped(), &with(Some(Evidence { log_e: Some(7.1), ..trip() })), Phase::RolledBack), "I26");
    let other = [lowered.clone(), persist(4, "0%", Phase::RolledBack, Some(trip()))];
    breaks(step(&mut begun(), &tripped(), &other, Phase::RolledBack), "I26");
}

#[test]
fn generations_that_go_back_are_seen() {
    let (newer, older) = (state(record(Phase::Progressing, "10%", 4)), state(record(Phase::Progressing, "10%", 3)));
    breaks(begun().wrote(Some(&newer), &older), "I4");
    breaks(begun().restarted(1, Weight::ZERO), "I4");
    breaks(begun().restarted(2, percent("10%")), "I11");
}

#[test]
fn a_trip_left_in_force_and_a_lowering_left_unwritten_are_seen() {
    breaks(begun().ticked(true), "I10");
    let mut witness = rolled_back();
    witness.tries();
    witness.ticked(false).unwrap();
    breaks(witness.ticked(false), "I10");
    let mut witness = rolled_back();
    witness.wrote(None, &state(record(Phase::RolledBack, "0%", 3))).unwrap();
    witness.ticked(false).unwrap();
}

#[test]
fn a_refusal_needs_that_everything_went_back_and_ends_in_time() {
    let mut witness = Witness::default();
    witness.may_refuse_for(Duration::from_secs(5));
    assert_eq!(witness.refused(second(1)).unwrap_err().name, "I27", "the canary has a share");
    witness.goes_back(Some(second(1)));
    assert_eq!((witness.refused(second(1)), witness.refused(second(6))), (Ok(()), Ok(())));
    assert_eq!(witness.refused(second(7)).unwrap_err().name, "I27", "it takes too long");
    witness.goes_back(None);
    assert_eq!(witness.refused(second(2)).unwrap_err().name, "I27", "another share was given");
}
