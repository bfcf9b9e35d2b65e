//! The bounds that verdicts and the status carry, against what the judge decides.
#![cfg(test)]

use crate::domain::gate::{Policy, Verdict};
use crate::domain::judge::Arm;
use crate::domain::judge::drive::{Dice, Drive, Planned, STABLE, failed, took};

const CANARY: Arm = Arm::Canary;

/// Traffic of 20 requests a second of which this share takes `slow` ms and the others 20 ms.
fn traffic(gate: &str, policy: &Policy, seed: u64, share: f64, slow: u64) -> Drive {
    let (mut dice, mut drive) = (Dice(seed), Drive::new(&[gate], policy));
    for request in 0..1_000 {
        drive.request(CANARY, 1 + request * 50, if dice.throws(share) { slow } else { 20 });
    }
    drive
}

#[test]
fn what_brakes_excludes_the_limit_and_before_it_does_not() {
    let policy = Policy::default();
    for (gate, slow, above) in [("mean < 200ms", 2_000, true), ("apdex(100ms) > 0.8", 1_000, false)] {
        let mut drive = traffic(gate, &policy, 3, 0.5, slow);
        let (when, judgement) = drive.run(60_000, 100, |judgement| {
            let status = &judgement.gates[0];
            // At the pass level the bounds are narrower than at that of a brake, and still never cross.
            assert!(status.lower.zip(status.upper).is_none_or(|(lower, upper)| lower <= upper), "{status:?}");
            judgement.brake.is_some()
        });
        let evidence = judgement.brake.unwrap_or_else(|| panic!("{gate} does not brake by {when:?}"));
        evidence.verify().unwrap();
        let estimate = evidence.estimate.unwrap();
        if above {
            let lower = estimate.lower.unwrap();
            assert!(lower >= 2e8 && lower <= estimate.value && estimate.upper.is_none(), "{gate}: {estimate:?}");
        } else {
            let (lower, upper) = (estimate.lower.unwrap(), estimate.upper.unwrap());
            assert!(upper <= 0.8 && lower <= estimate.value && estimate.value <= upper, "{gate}: {estimate:?}");
        }
    }
}

#[test]
fn a_gate_passes_exactly_when_its_bound_lies_on_the_good_side_of_the_limit() {
    for (gate, slow) in [("mean < 200ms", 900), ("apdex(100ms) > 0.95", 300), ("p95 < 100ms", 300)] {
        let (mut passed, mut not) = (0, 0);
        for seed in 0..6 {
            let mut drive = traffic(gate, &Policy::default(), seed, 0.01, slow);
            drive.run(12_000, 1_100, |judgement| {
                let status = &judgement.gates[0];
                if let (Some(limit), Some(lower), Some(upper)) = (status.limit, status.lower, status.upper) {
                    let good = if gate.starts_with("apdex") { lower > limit } else { upper < limit };
                    assert_eq!(good, status.verdict == Verdict::Pass, "{gate}: {status:?}");
                    (passed, not) = (passed + u64::from(good), not + u64::from(!good));
                }
                false
            });
        }
        assert!(passed > 0 && not > 0, "{gate}: {passed} passed, {not} did not");
    }
}

#[test]
fn a_confirmed_breach_of_a_mean_or_score_has_bounds() {
    for (gate, slow) in [("mean < 200ms", 2_000), ("apdex(100ms) > 0.8", 1_000)] {
        let (_, judgement) = traffic(gate, &Policy::default(), 1, 0.9, slow).run(60_000, 100, |judgement| judgement.confirmed.is_some());
        let estimate = judgement.confirmed.unwrap_or_else(|| panic!("{gate} is not confirmed")).estimate.unwrap();
        assert!(estimate.lower.is_some_and(|lower| lower <= estimate.value), "{gate}: {estimate:?}");
        assert_eq!(estimate.upper.is_some(), gate.starts_with("apdex"), "{gate}: {estimate:?}");
    }
}

#[test]
fn what_is_in_flight_counts_against_each_bound() {
    let mut drive = Drive::new(&["mean < 200ms"], &Policy::default());
    for request in 0..20 {
        let hangs = request % 2 == 0;
        drive.plan(Planned { arm: CANARY, generation: 1, at: 1 + request * 100, after: (!hangs).then_some(20), fate: took(20) });
    }
    let (_, judgement) = drive.run(20_000, 500, |judgement| judgement.brake.is_some());
    let estimate = judgement.brake.unwrap().estimate.unwrap();
    assert!(estimate.lower.is_some_and(|lower| lower >= 2e8 && lower <= estimate.value), "{estimate:?}");
    let judgement = drive.tick(90_000);
    let status = &judgement.gates[0];
    // Ten that took 20 ms and ten that were out for a minute.
    assert!(status.value.is_some_and(|value| value > 2.9e10), "{status:?}");
    assert!(status.lower <= status.value && status.upper.is_some_and(|upper| upper <= 2e9 + 1.0), "{status:?}");
}

#[test]
fn a_comparison_says_how_many_requests_of_stable_it_waits_for_before_it_can_tell() {
    // A quantile takes 20 requests to be known; of 59, or 2 995, the first bad one is to be expected.
    for (gate, first) in [("p95 <= stable * 1.5", 20 + 59), ("errors <= stable * 2", 1 + 2_995)] {
        let (mut drive, mut dice) = (Drive::new(&[gate], &Policy::default()), Dice(5));
        let before = drive.tick(100).gates[0].clone();
        assert_eq!((before.needs, before.awaits_stable), (None, Some(first)), "{gate}: nothing is known of stable");
        for request in 0..600 {
            let arm = if request % 10 == 0 { CANARY } else { STABLE };
            let after = 10 + dice.next() % 90;
            let fate = if arm == STABLE && dice.throws(0.03) { failed(after) } else { took(after) };
            drive.plan(Planned { arm, generation: 1, at: 200 + request * 20, after: Some(after), fate });
        }
        let (mut waited, mut known) = (0, false);
        drive.run(13_000, 100, |judgement| {
            let status = &judgement.gates[0];
            assert_eq!(status.awaits_stable.is_some(), status.needs.is_none(), "{gate}: {status:?}");
            waited += u64::from(!known && status.needs.is_none());
            known |= status.needs.is_some();
            false
        });
        assert!(known && waited > 2, "{gate}: waited {waited} ticks");
    }
}
