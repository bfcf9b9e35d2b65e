//! Drives the rollout machine with random events and checks every invariant; each check is also seen to fail.
#![cfg(test)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::gate::{Evidence, Gate, Origin, Verdict};
use crate::domain::rollout::judge::{GateStatus, Judgement};
use crate::domain::rollout::machine::Rollout;
use crate::domain::rollout::plan::Plan;
use crate::domain::version::Version;

fn rollout() -> Rollout {
    let version = |name: &str| Version { name: name.parse().unwrap(), endpoints: vec![([127, 0, 0, 1], 80).into()] };
    let plan = Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap();
    Rollout::new(1, "carts".parse().unwrap(), version("v1"), version("v2"), plan, 7)
}

fn judgement(verdict: Verdict) -> Judgement {
    let gate = GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict,
        requests: 80,
        breaches: 0,
        log_e: 3.1,
        log_threshold: 3.0,
        needs: Some(0),
    };
    let breach = (verdict == Verdict::Fail).then(evidence);
    Judgement { breach, gates: vec![gate] }
}

fn evidence() -> Evidence {
    Evidence::of_trip(&Gate::written("p95 < 1s".parse().unwrap()), &"v2".parse().unwrap(), 0.001, 3, 3, 0)
}

fn any_event() -> impl Strategy<Value = Event> {
    let judged =
        |verdict, file: Option<Verdict>| Event::Judged { judgement: judgement(verdict), file: file.map(|v| (v, "the file".to_owned())) };
    prop_oneof![
        2 => Just(Event::Begin),
        8 => Just(Event::Persisted),
        2 => Just(Event::PersistFailed("disk full".to_owned())),
        1 => Just(Event::Tripped(evidence())),
        1 => Just(Event::Abort { actor: "ann".to_owned(), reason: "no".to_owned() }),
        1 => Just(Event::Promote { actor: "ann".to_owned(), reason: "go".to_owned() }),
        12 => prop_oneof![Just(None), Just(Some(Verdict::Pass)), Just(Some(Verdict::Inconclusive))].prop_map(move |f| judged(Verdict::Pass, f)),
        4 => Just(judged(Verdict::Inconclusive, None)),
        1 => Just(judged(Verdict::Fail, None)),
        1 => Just(judged(Verdict::Pass, Some(Verdict::Fail))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_sequence_of_events_breaks_an_invariant(events in prop::collection::vec((any_event(), 0_u64..15_000), 1..60)) {
        let mut rollout = rollout();
        let mut now = Timestamp::ZERO;
        for (event, wait_ms) in events {
            now = now + Duration::from_millis(wait_ms);
            let before = rollout.clone();
            let effects = rollout.handle(now, event.clone());
            prop_assert_eq!(after_step(&before.view(), now, &event, &effects, &rollout.view()), Ok(()));
        }
    }
}

/// Plays the shell whose disk works: every Persist is answered at once.
fn settle(rollout: &mut Rollout, now: Timestamp, event: Event) -> Vec<Effect> {
    let mut all = rollout.handle(now, event);
    while let Some(Effect::Persist { .. }) = all.last() {
        all.extend(rollout.handle(now, Event::Persisted));
    }
    all
}

fn pass() -> Event {
    Event::Judged { judgement: judgement(Verdict::Pass), file: None }
}

#[test]
fn a_good_version_walks_through_its_plan_and_is_promoted() {
    let mut rollout = rollout();
    let second = |s: u64| Timestamp::ZERO + Duration::from_secs(s);
    settle(&mut rollout, second(0), Event::Begin);
    let mut weights = vec![rollout.record().weight.to_string()];
    for s in 1..=40 {
        settle(&mut rollout, second(s), pass());
        let weight = rollout.record().weight.to_string();
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
    }
    assert_eq!(weights, ["10%", "30%", "100%"]);
    assert_eq!(rollout.record().phase, Phase::Promoted);
}

#[test]
fn the_operator_waives_holds_but_neither_evidence_nor_the_last_hold() {
    let mut rollout = rollout();
    let second = |s: u64| Timestamp::ZERO + Duration::from_secs(s);
    settle(&mut rollout, second(0), Event::Begin);
    settle(&mut rollout, second(0), Event::Promote { actor: "ann".into(), reason: "hurry".into() });
    settle(&mut rollout, second(1), Event::Judged { judgement: judgement(Verdict::Inconclusive), file: None });
    assert_eq!(rollout.record().weight.to_string(), "10%");
    for s in 1..=4 {
        settle(&mut rollout, second(s), pass());
    }
    assert_eq!((rollout.record().weight, rollout.record().phase), (Weight::FULL, Phase::Progressing));
    settle(&mut rollout, second(13), pass());
    assert_eq!(rollout.record().phase, Phase::Promoted);
}

#[test]
fn a_trip_while_promotion_waits_for_the_disk_wins() {
    let mut rollout = rollout();
    let second = |s: u64| Timestamp::ZERO + Duration::from_secs(s);
    settle(&mut rollout, second(0), Event::Begin);
    for step in 1..=2 {
        settle(&mut rollout, second(step * 11), pass());
    }
    assert_eq!(rollout.record().weight, Weight::FULL);
    let asked = rollout.handle(second(60), pass());
    assert!(matches!(&asked[..], [Effect::Persist { record, .. }] if record.phase == Phase::Promoted));
    let effects = rollout.handle(second(60), Event::Tripped(evidence()));
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, owner: Role::Stable, .. })));
    let _ = rollout.handle(second(60), Event::Persisted);
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::RolledBack, Weight::ZERO));
}

#[test]
fn a_full_disk_stops_raises_and_never_a_rollback() {
    let mut rollout = rollout();
    let now = Timestamp::ZERO;
    let _ = rollout.handle(now, Event::Begin);
    let told = rollout.handle(now, Event::PersistFailed("disk full".into()));
    assert!(matches!(&told[..], [Effect::Notify { alarm: true, .. }]));
    assert_eq!(rollout.record().weight, Weight::ZERO);
    settle(&mut rollout, now, pass());
    assert_eq!(rollout.record().weight.to_string(), "10%", "the first raise is tried again");
    let effects = rollout.handle(now, Event::Tripped(evidence()));
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, .. })));
    let _ = rollout.handle(now, Event::PersistFailed("disk full".into()));
    assert!(matches!(&rollout.handle(now, pass())[..], [Effect::Persist { .. }]), "writing is tried again");
    let _ = rollout.handle(now, Event::Persisted);
    assert!(!rollout.is_unsaved());
}

#[test]
fn every_check_can_fail() {
    let good = rollout().record().clone();
    let with = |change: fn(&mut Record)| {
        let mut record = good.clone();
        change(&mut record);
        record
    };
    let share = Effect::Publish { generation: 8, owner: Role::Stable, weight: Weight::FULL };
    let ended = with(|r| r.phase = Phase::RolledBack);
    assert!(i1_weights_are_valid(&with(|r| (r.phase, r.weight) = (Phase::Aborted, Weight::FULL))).is_err());
    assert!(i2_nothing_is_published_for_the_canary_after_its_end(std::slice::from_ref(&share), &ended).is_err());
    assert!(i2_i12_a_canary_pick_is_allowed(true, Timestamp::NEVER, Timestamp::ZERO, Role::Canary).is_err());
    assert!(i2_i12_a_canary_pick_is_allowed(false, Timestamp::ZERO, Timestamp::from_nanos(1), Role::Canary).is_err());
    assert!(i3_one_request_one_decision((1, Role::Canary), (1, Role::Stable)).is_err());
    let stale = Effect::Publish { generation: 7, owner: Role::Stable, weight: Weight::ZERO };
    assert!(i4_generations_strictly_increase(&good, &[stale], &good).is_err());
    assert!(i5_a_raise_needs_evidence(&rollout().view(), Timestamp::ZERO, &Event::Persisted, std::slice::from_ref(&share)).is_err());
    let promoted = Effect::Publish { generation: 8, owner: Role::Canary, weight: Weight::FULL };
    assert!(i6_promotion_needs_the_whole_last_step(&rollout().view(), Timestamp::ZERO, &Event::Begin, &[promoted]).is_err());
    let half = with(|r| r.weight = "50%".parse().unwrap());
    assert!(i7_the_weight_is_monotone_until_it_is_zero(&half, &with(|r| r.weight = "10%".parse().unwrap())).is_err());
    assert!(i7_the_weight_is_monotone_until_it_is_zero(&ended, &half).is_err());
    assert!(i8_a_breach_latches(&ended, &Event::Begin, &good).is_err());
    assert!(i8_a_breach_latches(&good, &Event::Tripped(evidence()), &good).is_err());
    assert!(i9_abort_dominates(&half, &Event::Abort { actor: "a".into(), reason: "b".into() }, &half).is_err());
    assert!(i9_abort_dominates(&with(|r| r.phase = Phase::Aborted), &Event::Begin, &good).is_err());
    assert!(i11_unknown_is_safe(None, "1%".parse().unwrap()).is_err());
    assert!(i11_unknown_is_safe(Some(&half), Weight::FULL).is_err());
    assert!(i14_requests_are_conserved(3, 1, 0, 0, 1).is_err());
}
