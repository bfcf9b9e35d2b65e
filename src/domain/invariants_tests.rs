//! Drives the rollout machine with random events and checks every invariant; that each check can fail is seen beside.
#![cfg(test)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::gate::{Evidence, Gate, Inconclusive, Policy, Verdict};
use crate::domain::judge::{Judgement, samples};
use crate::domain::rollout::machine::Rollout;
use crate::domain::rollout::plan::{Approval, Plan};
use crate::domain::version::Version;
use crate::domain::way_back::Prospect;
use crate::domain::webhook::Consulting;

fn with_policy(policy: Policy) -> Rollout {
    let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
    let plan = Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap();
    Rollout::new(1, "carts".parse().unwrap(), (version("v1"), version("v2")), plan, policy, 7)
}

/// Every trip is final and nothing is watched.
fn rollout() -> Rollout {
    with_policy(Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() })
}

fn judgement(verdict: Verdict) -> Judgement {
    let gate = samples::gate(verdict);
    Judgement { brake: (verdict == Verdict::Fail).then(evidence), gates: [gate].into(), ..Judgement::default() }
}

fn confirmed() -> Event {
    Event::Judged { judgement: Box::new(Judgement { confirmed: Some(evidence()), ..judgement(Verdict::Inconclusive) }), file: None }
}

fn undecided() -> Event {
    Event::Judged { judgement: Box::new(judgement(Verdict::Inconclusive)), file: None }
}

fn evidence() -> Evidence {
    Evidence::of_trip(&Gate::written("p95 < 1s".parse().unwrap()), &"v2".parse().unwrap(), 0.001, 3, 3, 0)
}

fn any_event() -> impl Strategy<Value = Event> {
    let judged = |verdict, file: Option<Verdict>| Event::Judged {
        judgement: Box::new(judgement(verdict)),
        file: file.map(|v| (v, "the file".to_owned())),
    };
    prop_oneof![
        2 => Just(Event::Begin),
        8 => Just(Event::Persisted),
        2 => Just(Event::PersistFailed("disk full".to_owned())),
        1 => Just(Event::Tripped(Box::new(evidence()))),
        1 => Just(Event::Abort { actor: "ann".to_owned(), reason: "no".to_owned() }),
        2 => Just(Event::Recede { actor: "ann".to_owned(), reason: "slowly".to_owned() }),
        1 => Just(Event::Resume { actor: "ann".to_owned(), reason: "fixed".to_owned() }),
        1 => Just(Event::Pause { actor: "ann".to_owned(), reason: "lunch".to_owned() }),
        2 => Just(Event::Approve { actor: "ann".to_owned(), reason: "fine".to_owned() }),
        2 => (0_u64..4, prop::option::of(Just("no".to_owned()))).prop_map(|(number, refusal)| Event::Consulted { number, refusal }),
        1 => Just(Event::Deny { actor: "ann".to_owned(), reason: "no".to_owned() }),
        2 => prop_oneof![Just(Verdict::Pass), Just(Verdict::Warning), Just(Verdict::Fail), Just(Verdict::Inconclusive)].prop_map(|verdict| ruled(verdict, true)),
        1 => prop_oneof![Just(Verdict::Warning), Just(Verdict::Fail), Just(Verdict::Inconclusive)].prop_map(|verdict| ruled(verdict, false)),
        1 => prop_oneof![Just("0%"), Just("10%"), Just("30%"), Just("100%"), Just("33%")].prop_map(set_weight),
        1 => Just(confirmed()),
        1 => Just(Event::Lapsed),
        2 => any_endpoints(),
        1 => Just(Event::Judged {
            judgement: Box::new(Judgement { harm_cap: Some(Weight::FULL), ..judgement(Verdict::Inconclusive) }),
            file: None,
        }),
        1 => Just(Event::Promote { actor: "ann".to_owned(), reason: "go".to_owned() }),
        12 => prop_oneof![Just(None), Just(Some(Verdict::Pass)), Just(Some(Verdict::Inconclusive))].prop_map(move |f| judged(Verdict::Pass, f)),
        4 => Just(judged(Verdict::Inconclusive, None)),
        1 => Just(judged(Verdict::Fail, None)),
        1 => Just(judged(Verdict::Pass, Some(Verdict::Fail))),
    ]
}

fn ruled(verdict: Verdict, approves: bool) -> Event {
    Event::Ruled { verdict, approves, actor: "sources".to_owned(), reason: "p95 = 0.9".to_owned() }
}

fn set_weight(share: &str) -> Event {
    Event::SetWeight { weight: share.parse().unwrap(), actor: "ann".to_owned(), reason: "so it is".to_owned() }
}

fn any_endpoints() -> impl Strategy<Value = Event> {
    let standing = || prop_oneof![3 => Just(Standing::Usable), 1 => Just(Standing::Absent), 1 => Just(Standing::Failed)];
    (standing(), standing()).prop_map(|(canary, stable)| Event::Endpoints { canary, stable })
}

fn any_consulting() -> impl Strategy<Value = Consulting> {
    let exits = prop_oneof![Just(Inconclusive::Hold), Just(Inconclusive::RollBack)];
    (any::<[bool; 4]>(), 1_u64..60, exits).prop_map(|([start, raise, promotion, end], seconds, then)| Consulting {
        start,
        raise,
        promotion,
        end,
        patience: Duration::from_secs(seconds),
        then,
    })
}

fn any_approval() -> impl Strategy<Value = Approval> {
    let exits = prop_oneof![Just(Inconclusive::Hold), Just(Inconclusive::RollBack)];
    (1_u64..60, exits).prop_map(|(seconds, then)| Approval { deadline: Duration::from_secs(seconds), then })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let seconds = |most: u64| (0..=most).prop_map(Duration::from_secs);
    let doubt = prop_oneof![Just(Inconclusive::Hold), Just(Inconclusive::RollBack)];
    (seconds(2), seconds(5), seconds(60), seconds(60), doubt).prop_map(|(burst_tolerance, warm_up, watch, max_bake, inconclusive)| Policy {
        burst_tolerance,
        warm_up,
        watch,
        max_bake,
        inconclusive,
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_sequence_of_events_breaks_an_invariant(
        events in prop::collection::vec((any_event(), 0_u64..15_000, any::<bool>()), 1..60), policy in any_policy(), harm in prop::option::of(1.0..20.0),
        approvals in prop::collection::vec(prop::option::of(any_approval()), 3), consulting in prop::option::of(any_consulting()),
        within in prop::option::of((1_u64..=60).prop_map(Duration::from_secs))
    ) {
        let mut rollout = with_policy(policy).approved_at(&approvals).within_harm(harm).consulting(consulting);
        let mut now = Timestamp::ZERO;
        for (event, wait_ms, bears) in events {
            now = now + Duration::from_millis(wait_ms);
            rollout.foresee(Prospect { sentence: None, within, bears });
            let before = rollout.clone();
            let effects = rollout.handle(now, event.clone());
            prop_assert_eq!(after_step(&before.view(), now, &event, &effects, &rollout.view()), Ok(()));
        }
    }
}

/// Plays the shell whose disk works: every Persist is answered at once.
fn settle(rollout: &mut Rollout, now: Timestamp, event: Event) -> Vec<Effect> {
    let mut all = rollout.handle(now, event);
    let mut seen = 0;
    while let Some(index) = all.iter().skip(seen).position(|e| matches!(e, Effect::Persist { .. })) {
        seen += index + 1;
        all.extend(rollout.handle(now, Event::Persisted));
    }
    all
}

fn pass() -> Event {
    Event::Judged { judgement: Box::new(judgement(Verdict::Pass)), file: None }
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
    settle(&mut rollout, second(1), Event::Judged { judgement: Box::new(judgement(Verdict::Inconclusive)), file: None });
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
    let effects = rollout.handle(second(60), Event::Tripped(Box::new(evidence())));
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, owner: Role::Stable, .. })));
    let _ = rollout.handle(second(60), Event::Persisted);
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::RolledBack, Weight::ZERO));
}

#[test]
fn an_abort_while_a_raise_waits_for_the_disk_wins() {
    let mut rollout = rollout();
    let _ = rollout.handle(second(0), Event::Begin);
    let effects = rollout.handle(second(0), Event::Abort { actor: "ann".into(), reason: "not today".into() });
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, .. })), "{effects:?}");
    let _ = rollout.handle(second(0), Event::Persisted);
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::Aborted, Weight::ZERO));
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
    let effects = rollout.handle(now, Event::Tripped(Box::new(evidence())));
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, .. })));
    let _ = rollout.handle(now, Event::PersistFailed("disk full".into()));
    assert!(matches!(&rollout.handle(now, pass())[..], [Effect::Persist { .. }]), "writing is tried again");
    let _ = rollout.handle(now, Event::Persisted);
    assert!(!rollout.is_unsaved());
}

fn second(s: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(s)
}

/// A rollout at its second step under the default policy.
fn at_thirty_percent() -> Rollout {
    let mut rollout = with_policy(Policy::default());
    settle(&mut rollout, second(0), Event::Begin);
    settle(&mut rollout, second(11), pass());
    assert_eq!(rollout.record().weight.to_string(), "30%");
    rollout
}

#[test]
fn a_trip_brakes_and_the_confirming_test_makes_it_final() {
    let mut rollout = at_thirty_percent();
    let effects = settle(&mut rollout, second(12), Event::Tripped(Box::new(evidence())));
    let probes = Arming::Probes("30%".parse().unwrap());
    assert!(matches!(effects.first(), Some(Effect::Publish { weight: Weight::ZERO, arming, .. }) if *arming == probes), "{effects:?}");
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::Braked, Weight::ZERO));
    assert!(rollout.record().reason.starts_with("braked after 3 of 3 requests"), "{}", rollout.record().reason);
    settle(&mut rollout, second(14), undecided());
    assert_eq!(rollout.record().phase, Phase::Braked);
    settle(&mut rollout, second(15), confirmed());
    assert_eq!(rollout.record().phase, Phase::RolledBack);
}

#[test]
fn an_unconfirmed_brake_resumes_from_the_start_three_times_and_then_holds() {
    let mut rollout = at_thirty_percent();
    let mut now = 20;
    for brake in 1..=4 {
        settle(&mut rollout, second(now), Event::Tripped(Box::new(evidence())));
        assert_eq!((rollout.record().phase, rollout.record().brakes), (Phase::Braked, brake));
        let effects = settle(&mut rollout, second(now + 10), undecided());
        if brake <= 3 {
            assert_eq!((rollout.record().phase, rollout.record().weight.to_string().as_str()), (Phase::Progressing, "10%"));
            let fresh = Arming::Fresh { halvings: brake };
            assert!(effects.iter().any(|e| matches!(e, Effect::Publish { arming, .. } if *arming == fresh)), "{effects:?}");
        }
        now += 20;
    }
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::Paused, Weight::ZERO));
    settle(&mut rollout, second(now), pass());
    assert_eq!(rollout.record().phase, Phase::Paused, "evidence alone does not end a pause");
    let again = Judgement { brake: Some(evidence()), ..Judgement::default() };
    settle(&mut rollout, second(now), Event::Judged { judgement: Box::new(again), file: None });
    assert_eq!((rollout.record().phase, rollout.record().brakes), (Phase::Paused, 4), "what braked it brakes it no fifth time");
    settle(&mut rollout, second(now), Event::Resume { actor: "ann".into(), reason: "found it".into() });
    assert_eq!((rollout.record().phase, rollout.record().weight.to_string().as_str()), (Phase::Progressing, "10%"));
}

#[test]
fn the_watch_stands_between_the_last_step_and_the_promotion() {
    let mut rollout = at_thirty_percent();
    settle(&mut rollout, second(22), pass());
    let effects = settle(&mut rollout, second(33), pass());
    assert_eq!((rollout.record().phase, rollout.record().weight), (Phase::Watching, Weight::FULL));
    assert!(effects.iter().any(|e| matches!(e, Effect::Publish { owner: Role::Stable, arming: Arming::Watch, .. })));
    settle(&mut rollout, second(92), undecided());
    assert_eq!(rollout.record().phase, Phase::Watching);
    let mut late = rollout.clone();
    settle(&mut late, second(92), Event::Tripped(Box::new(evidence())));
    assert_eq!((late.record().phase, late.record().weight), (Phase::Braked, Weight::ZERO), "the way back is open");
    settle(&mut rollout, second(93), undecided());
    assert_eq!(rollout.record().phase, Phase::Promoted);
}

#[test]
fn a_step_without_a_verdict_is_held_or_given_back_as_the_policy_says() {
    for (inconclusive, phase, weight) in [(Inconclusive::Hold, Phase::Paused, "10%"), (Inconclusive::RollBack, Phase::Aborted, "0%")] {
        let mut rollout = with_policy(Policy { inconclusive, ..Policy::default() });
        settle(&mut rollout, second(0), Event::Begin);
        settle(&mut rollout, second(1_810), undecided());
        assert_eq!(rollout.record().phase, Phase::Progressing);
        settle(&mut rollout, second(1_811), undecided());
        assert_eq!((rollout.record().phase, rollout.record().weight.to_string().as_str()), (phase, weight));
        settle(&mut rollout, second(1_811 + 24 * 3600), undecided());
        assert!(rollout.record().phase == Phase::Aborted, "a pause ends");
    }
}

#[test]
fn a_warm_up_ends_with_fresh_wires_and_a_fresh_hold() {
    let mut rollout = with_policy(Policy { warm_up: Duration::from_secs(30), ..Policy::default() });
    let effects = settle(&mut rollout, second(0), Event::Begin);
    assert!(effects.iter().any(|e| matches!(e, Effect::Publish { arming: Arming::WarmUp, .. })));
    settle(&mut rollout, second(29), pass());
    assert_eq!(rollout.record().weight.to_string(), "10%", "nothing passes while it warms up");
    let effects = settle(&mut rollout, second(30), pass());
    assert!(matches!(effects.first(), Some(Effect::Publish { arming: Arming::Fresh { halvings: 0 }, .. })), "{effects:?}");
    settle(&mut rollout, second(39), pass());
    assert_eq!(rollout.record().weight.to_string(), "10%");
    settle(&mut rollout, second(40), pass());
    assert_eq!(rollout.record().weight.to_string(), "30%");
}

#[test]
fn a_harm_bounded_ramp_grows_by_its_bound_but_is_promoted_by_evidence_only() {
    let mut rollout = rollout().within_harm(Some(10.0));
    let capped = |cap: &str| Event::Judged {
        judgement: Box::new(Judgement { harm_cap: Some(cap.parse().unwrap()), ..judgement(Verdict::Inconclusive) }),
        file: None,
    };
    settle(&mut rollout, second(0), Event::Begin);
    settle(&mut rollout, second(11), capped("29%"));
    assert_eq!(rollout.record().weight.to_string(), "10%");
    settle(&mut rollout, second(12), capped("30%"));
    assert_eq!(rollout.record().weight.to_string(), "30%");
    settle(&mut rollout, second(30), capped("100%"));
    assert_eq!(rollout.record().weight, Weight::FULL);
    settle(&mut rollout, second(60), capped("100%"));
    assert_eq!(rollout.record().phase, Phase::Progressing);
    settle(&mut rollout, second(61), pass());
    assert_eq!(rollout.record().phase, Phase::Promoted);
}

#[path = "invariants_fail_tests.rs"]
mod fail;
