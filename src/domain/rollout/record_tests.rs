//! What is journaled of a raise can be computed again, and whatever is journaled is read back as it was.
#![cfg(test)]

use std::time::Duration;

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::basis::{Basis, Losses};
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::evidence::{Estimate, Mismatch, Rule, Test, Tipping};
use crate::domain::gate::{Evidence, Gate, Origin, Policy, Verdict};
use crate::domain::judge::{GateStatus, Judgement};
use crate::domain::outcome::Role;
use crate::domain::stats::exceedance::log_e_pass;
use crate::domain::stats::mean::MeanPass;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn status(verdict: Verdict, requests: u64, breaches: u64) -> GateStatus {
    GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict,
        requests,
        breaches,
        basis: Some(Basis::Pass { p1: 0.05, requests, breaches }),
        unit: Unit::Share,
        value: Some(breaches as f64 / requests as f64),
        limit: Some(0.05),
        lower: Some(0.0),
        upper: Some(0.04),
        log_e: log_e_pass(requests, breaches, 0.05),
        log_threshold: 20_f64.ln(),
        brake_log_e: 0.0,
        brake_log_threshold: 7.0,
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: Some(0),
        awaits_stable: None,
    }
}

/// Begins a rollout with a watch and returns it at its first share.
fn begun() -> Rollout {
    let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
    let plan = Plan::ramp("50%".parse().unwrap(), 2, Duration::ZERO).unwrap();
    let mut rollout = Rollout::new(3, name("carts"), (version("v1"), version("v2")), plan, Policy::default(), 7);
    assert!(!rollout.handle(Timestamp::ZERO, Event::Begin).is_empty());
    assert!(!rollout.handle(Timestamp::ZERO, Event::Persisted).is_empty());
    rollout
}

/// Judges, and returns what is then journaled before it is made durable.
fn judged(rollout: &mut Rollout, at: u64, gates: Vec<GateStatus>) -> Entry {
    let judgement = Judgement { gates: gates.into(), ..Judgement::default() };
    let now = Timestamp::ZERO + Duration::from_secs(at);
    let effects = rollout.handle(now, Event::Judged { judgement: Box::new(judgement), file: None });
    let entry = effects.iter().find_map(|effect| match effect {
        Effect::Persist { entry, .. } => Some((**entry).clone()),
        _ => None,
    });
    let _ = rollout.handle(now, Event::Persisted);
    entry.expect("something is persisted")
}

#[test]
fn every_change_forward_carries_what_the_gates_have_shown() {
    let mut rollout = begun();
    let raise = judged(&mut rollout, 1, vec![status(Verdict::Pass, 90, 0), status(Verdict::Pass, 200, 1)]);
    assert_eq!((raise.phase, raise.to, raise.evidence), (Phase::Progressing, Weight::FULL, None));
    assert_eq!((raise.stable, raise.canary), (Some(name("v1")), Some(name("v2"))));
    assert_eq!(raise.gates.len(), 2);
    for evidence in &raise.gates {
        assert_eq!((evidence.verify(), evidence.verdict, evidence.rule), (Ok(()), Verdict::Pass, Rule::Pass));
        assert_eq!(evidence.generation, Some(8), "gathered in the epoch before the raise");
    }
    assert_eq!(
        raise.gates[1].sentence,
        "passed with 1 of 200 requests in breach; had v2 missed the gate, the chance of ever seeing evidence this strong would be below 1 in 377"
    );
    let watch = judged(&mut rollout, 2, vec![status(Verdict::Pass, 90, 0)]);
    assert_eq!((watch.phase, watch.gates.len()), (Phase::Watching, 1));
    let promotion = judged(&mut rollout, 100, vec![status(Verdict::Inconclusive, 20, 0)]);
    assert_eq!((promotion.phase, promotion.owner), (Phase::Promoted, Role::Canary));
    assert_eq!(promotion.gates[0].verify(), Ok(()), "what is undecided need not reach its threshold");
}

#[test]
fn a_pass_that_is_none_does_not_verify() {
    let weak = status(Verdict::Pass, 20, 0).evidence(&name("v2"), 8);
    assert!(matches!(weak.verify(), Err(Mismatch::Insufficient { .. })), "{weak:?}");
    let embellished = GateStatus { log_e: 4.0, ..status(Verdict::Pass, 20, 0) }.evidence(&name("v2"), 8);
    assert!(matches!(embellished.verify(), Err(Mismatch::Differs { .. })), "{embellished:?}");
}

#[test]
fn what_older_programs_journaled_is_still_read() {
    let old = r#"{"service":"carts","rollout":1,"actor":"plan","phase":"progressing","owner":"stable","from":0,"to":1000,
        "generation":2,"reason":"the rollout begins","evidence":null}"#;
    let read: Entry = serde_json::from_str(old).unwrap();
    assert_eq!((read.at, read.canary, read.gates), (None, None, Vec::new()));
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}".prop_map(|text| text.parse().unwrap())
}

fn any_basis() -> impl Strategy<Value = Basis> {
    let counts = || (-1e300..1e300_f64, any::<u64>(), any::<u64>());
    let losses = || any::<[u64; 3]>().prop_map(|[none, half, whole]| Losses { none, half, whole });
    let mean = |times: Vec<u32>| {
        let mut test = MeanPass::new(1e9);
        times.into_iter().for_each(|time| test.add(f64::from(time)));
        Basis::MeanPass { test: Box::new(test) }
    };
    prop_oneof![
        (0.0..1.0_f64, losses()).prop_map(|(share, losses)| Basis::BoundedPass { share, losses }),
        proptest::collection::vec(any::<u32>(), 0..9).prop_map(mean),
        proptest::collection::vec(-1e9..1e9_f64, 0..9).prop_map(|logs| Basis::Mean { logs, requests: [7, 2] }),
        counts().prop_map(|(p0, requests, breaches)| Basis::Exceedance { p0, requests, breaches }),
        counts().prop_map(|(p1, requests, breaches)| Basis::Pass { p1, requests, breaches }),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let test = || prop_oneof![Just(Test::Cumulative), Just(Test::Step)];
    prop_oneof![
        test().prop_map(|test| Rule::Tripwire { test }),
        test().prop_map(|test| Rule::StartOrder { test }),
        proptest::sample::select(vec![Rule::Chained, Rule::TwoArm, Rule::Mean, Rule::Bounded, Rule::ChangePoint]),
        proptest::sample::select(vec![Rule::Pass, Rule::File, Rule::Unrecorded]),
    ]
}

prop_compose! {
    fn any_evidence()(
        gate in "\\PC{0,40}",
        origin in prop_oneof![Just(Origin::Written), "\\PC{0,9}".prop_map(|indicator| Origin::Derived { indicator })],
        verdict in proptest::sample::select(&Verdict::ALL[..]),
        rule in any_rule(),
        counts in any::<[u64; 5]>(),
        floats in option::of(any::<[i64; 3]>().prop_map(|bits| bits.map(|n| n as f64 / 1e7))),
        bounds in (option::of(0.0..1.0_f64), option::of(0.0..1.0_f64)),
        tipped in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..4),
        generation in option::of(any::<u64>()),
        basis in option::of(any_basis()),
        sentence in "\\PC{0,80}",
    ) -> Evidence {
        let [requests, breaches, unanswered, stable_requests, stable_breaches] = counts;
        let tip = |(seq, started_ns, latency_ns)| Tipping { seq, started_ns, latency_ns, errors: ErrorKinds::NONE };
        Evidence {
            gate, origin, verdict, rule, requests, breaches, unanswered, stable_requests, stable_breaches,
            log_e: floats.map(|f| f[0]),
            log_threshold: floats.map(|f| f[1]),
            alpha: bounds.0,
            estimate: floats.map(|f| Estimate { value: f[2], lower: bounds.0, upper: bounds.1 }),
            unit: Unit::Score,
            tipped_by: tipped.into_iter().map(tip).collect(),
            generation, basis, sentence,
        }
    }
}

prop_compose! {
    fn any_entry()(
        service in any_name(),
        numbers in any::<(u64, u64)>(),
        words in ("\\PC{1,40}", "\\PC{0,200}"),
        phase in proptest::sample::select(&Phase::ALL[..]),
        owner in proptest::sample::select(vec![Role::Stable, Role::Canary]),
        shares in (0..=10_000_u16, 0..=10_000_u16),
        newer in option::of(("\\PC{0,24}", any_name(), any_name())),
        evidence in option::of(any_evidence()),
        gates in proptest::collection::vec(any_evidence(), 0..3),
    ) -> Entry {
        let share = |points| Weight::from_basis_points(points).unwrap();
        let (at, stable, canary) = newer.map_or((None, None, None), |(at, stable, canary)| (Some(at), Some(stable), Some(canary)));
        Entry {
            service, rollout: numbers.0, at, stable, canary, actor: words.0, phase, owner,
            from: share(shares.0), to: share(shares.1), generation: numbers.1, reason: words.1, evidence, gates,
        }
    }
}

proptest! {
    #[test]
    fn every_entry_is_read_back_as_it_was(entry in any_entry()) {
        let text = serde_json::to_string(&entry).unwrap();
        let read: Entry = serde_json::from_str(&text).unwrap();
        // Verifying what was read never panics, whatever it says.
        let _ = read.evidence.iter().chain(&read.gates).map(Evidence::verify).collect::<Vec<_>>();
        prop_assert_eq!(read, entry);
    }
}

#[test]
fn evidence_of_a_trip_verifies_also_when_a_gate_has_no_share() {
    let trip = Evidence::of_trip(&Gate::written("errors < 1%".parse().unwrap()), &name("v2"), 0.001, 4, 3, 0);
    assert_eq!(trip.verify(), Ok(()));
}
