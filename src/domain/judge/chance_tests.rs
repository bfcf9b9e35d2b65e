//! The judge under chance: false alarms, pauses, dead and hung versions, against the bounds of the project's statistics.
#![cfg(test)]

use std::time::Duration;

use super::drive::{Dice, Drive, Planned, STABLE, at, failed, ms, took};
use super::{Arm, Judgement};
use crate::domain::gate::evidence::Rule;
use crate::domain::gate::{Policy, Verdict};
use crate::domain::start_order::Fate;
use crate::domain::weight::Weight;

const CANARY: Arm = Arm::Canary;

/// Runs, and the 99.9 % point of the number of false alarms among them at a level of 5 %.
const MANY: (u64, usize) = (2_000, 131);
const SOME: (u64, usize) = (400, 35);

fn lax() -> Policy {
    Policy { alpha: 0.05, alpha_brake: 0.05, ..Policy::default() }
}

/// Claims that of so many runs at the limit in few something was found, by a brake or for good.
#[track_caller]
fn few_false_alarms(gates: &[&str], (runs, most): (u64, usize), stable: bool, fate: impl Fn(&mut Dice) -> (Option<u64>, Fate)) {
    let (mut brakes, mut finals) = (0, 0);
    for seed in 0..runs {
        let mut dice = Dice(seed);
        let mut drive = Drive::new(gates, &lax());
        let mut now = 0;
        for _ in 0..100 {
            now += 1 + dice.next() % 199;
            let arm = if stable && dice.throws(0.9) { STABLE } else { CANARY };
            let (after, fate) = fate(&mut dice);
            drive.plan(Planned { arm, generation: 1, at: now, after, fate });
        }
        let (mut brake, mut confirmed) = (false, false);
        drive.run(now + 3_000, 1_500, |judgement| {
            brake |= judgement.brake.is_some();
            confirmed |= judgement.confirmed.is_some();
            false
        });
        (brakes, finals) = (brakes + usize::from(brake), finals + usize::from(confirmed));
    }
    println!("{gates:?}: {brakes} brakes and {finals} final of {runs}");
    assert!(brakes <= most && finals <= most, "{gates:?}: {brakes} brakes and {finals} final of {runs}");
}

#[test]
fn a_version_at_the_limit_of_a_latency_gate_is_seldom_braked_or_rolled_back() {
    few_false_alarms(&["p95 < 1s"], MANY, false, |dice| {
        let slow = dice.throws(0.05);
        (Some(if slow { 1_500 } else { 20 }), took(if slow { 1_500 } else { 20 }))
    });
}

#[test]
fn fast_failures_and_slow_successes_raise_no_false_alarms() {
    few_false_alarms(
        &["errors < 5%"],
        MANY,
        false,
        |dice| if dice.throws(0.05) { (Some(5), failed(5)) } else { (Some(2_000), took(2_000)) },
    );
}

#[test]
fn means_and_losses_at_the_limit_raise_few_false_alarms() {
    // The mean is 100 ms: 10 ms with 0.9, 910 ms with 0.1.
    few_false_alarms(&["mean < 100ms"], SOME, false, |dice| {
        let took_ms = if dice.throws(0.1) { 910 } else { 10 };
        (Some(took_ms), took(took_ms))
    });
    // The Apdex is 0.9: a fifth of the requests lose half.
    few_false_alarms(&["apdex(500ms) > 0.9"], SOME, false, |dice| {
        let took_ms = if dice.throws(0.2) { 900 } else { 10 };
        (Some(took_ms), took(took_ms))
    });
}

#[test]
fn two_arms_alike_raise_few_false_alarms() {
    for gate in ["errors <= stable * 1", "errors <= stable + 0.1pp", "p95 <= stable * 1"] {
        few_false_alarms(&[gate], SOME, true, |dice| {
            let millis = 10 + dice.next() % 100;
            if dice.throws(0.1) { (Some(millis), failed(millis)) } else { (Some(millis), took(millis)) }
        });
    }
}

#[test]
fn a_version_as_bad_as_a_pass_excludes_seldom_passes() {
    // Twice the stable version's share, twice the difference that is allowed, and exactly the limit.
    for (gate, bad) in [("errors <= stable * 1", [0.1, 0.05]), ("errors <= stable + 2.5pp", [0.1, 0.05]), ("p95 < 500ms", [0.05, 0.05])] {
        let mut passes = 0;
        for seed in 0..400 {
            let mut dice = Dice(seed);
            let mut drive = Drive::new(&[gate], &Policy::default());
            for start in (0..20_000).step_by(20) {
                let canary = dice.throws(0.3);
                let is_bad = dice.throws(if canary { bad[0] } else { bad[1] });
                let (after, fate) = if is_bad { (900, failed(900)) } else { (20, took(20)) };
                let arm = if canary { CANARY } else { STABLE };
                drive.plan(Planned { arm, generation: 1, at: start, after: Some(after), fate });
            }
            let (found, _) = drive.run(21_000, 3_000, |judgement| judgement.gates[0].verdict.as_str() == "pass");
            passes += usize::from(found.is_some());
        }
        println!("{gate}: {passes} of 400 passed");
        assert!(passes <= SOME.1, "{gate}: {passes} of 400 passed");
    }
}

fn confirmed(judgement: &Judgement) -> bool {
    judgement.confirmed.is_some()
}

#[test]
fn a_dead_version_is_confirmed_by_two_probes_a_second_after_the_limit_and_two_and_a_half_tolerances() {
    for (at_first, hangs) in [(0, false), (137, true), (501, false)] {
        let mut drive = Drive::new(&["p95 < 1s"], &Policy::default());
        for index in 0..40 {
            if hangs {
                drive.hangs(CANARY, at_first + index * 500);
            } else {
                drive.request(CANARY, at_first + index * 500, 2_000);
            }
        }
        let (found, judgement) = drive.run(20_000, 100, confirmed);
        let after = found.expect("found") - at_first;
        let evidence = judgement.confirmed.unwrap();
        assert!((3_000..=4_200).contains(&after), "{after} ms: {}", evidence.sentence);
        assert_eq!((evidence.rule, evidence.verify()), (Rule::Chained, Ok(())));
        assert!(evidence.sentence.contains("separate moments at least 1 s apart"), "{}", evidence.sentence);
    }
}

#[test]
fn a_dead_version_under_traffic_is_braked_at_its_third_breach() {
    let policy = Policy { alpha_brake: 0.002, ..Policy::default() };
    let mut drive = Drive::new(&["p95 < 1s"], &policy);
    (0..40).for_each(|index| drive.request(CANARY, index * 100, 2_000));
    let (found, judgement) = drive.run(20_000, 10, |judgement| judgement.brake.is_some());
    let brake = judgement.brake.unwrap();
    assert_eq!((found, brake.requests, brake.breaches), (Some(1_200), 3, 3), "{}", brake.sentence);
    assert!(brake.sentence.starts_with("braked after 3 of 3 requests were still unanswered after 1 s;"), "{}", brake.sentence);
}

/// Plans requests of an arm that pauses now and then: who comes during a pause waits for its end.
fn with_pauses(drive: &mut Drive, arm: Arm, every: u64, until: u64, pauses: &[(u64, u64)]) {
    for start in (0..until).step_by(usize::try_from(every).unwrap()) {
        let rest = pauses.iter().filter(|(from, to)| (*from..*to).contains(&start)).map(|(_, to)| to - start).max();
        drive.request(arm, start, 20 + rest.unwrap_or(0));
    }
}

#[test]
fn pauses_of_a_healthy_version_are_never_final() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut drive = Drive::new(&["p95 < 500ms", "errors < 1%", "mean < 500ms"], &Policy::default());
        let pauses: Vec<(u64, u64)> = (1..4).map(|index| (index * 30_000, index * 30_000 + 200 + dice.next() % 1_300)).collect();
        with_pauses(&mut drive, CANARY, 50, 120_000, &pauses);
        let (found, judgement) = drive.run(121_000, 250, confirmed);
        assert_eq!(found, None, "{seed}: {:?}", judgement.confirmed);
    }
}

#[test]
fn pauses_that_both_arms_share_cancel() {
    let pauses: Vec<(u64, u64)> = (1..6).map(|index| (index * 10_000, index * 10_000 + 4_500)).collect();
    let run = |shared: bool| {
        let mut drive = Drive::new(&["p95 < 500ms", "mean < 500ms", "apdex(500ms) > 0.9"], &Policy::default());
        with_pauses(&mut drive, CANARY, 20, 60_000, &pauses);
        with_pauses(&mut drive, STABLE, 20, 60_000, if shared { &pauses } else { &[] });
        drive.run(61_000, 250, confirmed).0
    };
    assert_eq!((run(true), run(false).is_some()), (None, true), "pauses of the canary alone are its own");
}

#[test]
fn a_version_that_hangs_three_requests_of_ten_never_passes() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut drive = Drive::new(&["p95 < 1s", "mean < 1s", "apdex(500ms) > 0.9"], &Policy::default());
        for index in 0..200 {
            if dice.throws(0.3) { drive.hangs(CANARY, index * 10) } else { drive.request(CANARY, index * 10, 5) }
        }
        let (found, _) = drive.run(4_000, 100, |judgement| judgement.gates.iter().any(|gate| gate.verdict.as_str() == "pass"));
        assert_eq!(found, None, "{seed}");
    }
}

#[test]
fn a_slower_version_is_found_against_the_live_stable_one() {
    let mut dice = Dice(7);
    let mut drive = Drive::new(&["p95 <= stable * 1.1", "errors <= stable + 1pp"], &Policy::default());
    for start in (0..60_000).step_by(10) {
        let canary = dice.throws(0.1);
        let slower = if canary && start > 20_000 { 300 } else { 0 };
        drive.request(if canary { CANARY } else { STABLE }, start, 20 + dice.next() % 100 + slower);
    }
    let (early, before) = drive.run(20_000, 100, |judgement| judgement.brake.is_some() || judgement.confirmed.is_some());
    assert_eq!(early, None, "{:?}", before.brake);
    assert!(before.gates.iter().all(|gate| gate.requests > 100), "{before:?}");
    let mut now = 20_000;
    let brake = loop {
        now += 100;
        if let Some(brake) = drive.tick(now).brake {
            break brake;
        }
        assert!(now < 30_000, "not found");
    };
    assert_eq!((brake.rule, brake.verify()), (Rule::TwoArm, Ok(())));
    assert!(brake.sentence.contains("of the stable version exceeded it"), "{}", brake.sentence);
    let confirmed = loop {
        now += 100;
        if let Some(confirmed) = drive.tick(now).confirmed {
            break confirmed;
        }
        assert!(now < 40_000, "not confirmed");
    };
    assert_eq!(confirmed.verify(), Ok(()));
}

#[test]
fn two_arms_alike_pass_a_comparison_and_until_then_more_is_needed() {
    let mut dice = Dice(3);
    let mut drive = Drive::new(&["p95 <= stable * 1.1"], &Policy::default());
    for start in (0..400_000).step_by(10) {
        // A long tail, or the canary would never exceed 1.1 times the quantile.
        drive.request(if dice.throws(0.1) { CANARY } else { STABLE }, start, (20.0 / (0.01 + dice.unit())) as u64);
    }
    let (_, early) = drive.run(3_000, 100, |_| false);
    let (needs, had) = (early.needs().expect("an estimate"), early.gates[0].requests);
    let (found, judgement) = drive.run(400_000, 1_000, |judgement| judgement.passes());
    let total = judgement.gates[0].requests;
    assert!(found.is_some() && needs > 0 && needs <= 4 * (total - had), "{needs} of {total}, {had} at first");
    assert_eq!(judgement.needs(), Some(0));
    let passed = judgement.gates[0].evidence(&"v2".parse().unwrap(), 1);
    assert_eq!((passed.verdict, passed.verify()), (Verdict::Pass, Ok(())));
    // At 100 % there is nothing to compare with: what was shown before stands, with what it was shown by.
    drive.judge.epoch(2, Some(Weight::FULL));
    drive.judge.begin_step(total + 1);
    let alone = drive.judge.tick(at(400_000), &[]).gates[0].evidence(&"v2".parse().unwrap(), 2);
    assert_eq!((alone.verdict, alone.verify(), alone.log_e), (Verdict::Pass, Ok(()), passed.log_e));
}

#[test]
fn a_stretch_without_a_canary_is_no_evidence_against_it() {
    // The share lapsed: everything went to stable although the epoch gives the canary ten percent.
    let mut drive = Drive::new(&["errors <= stable * 1", "p95 <= stable * 1.1"], &Policy::default());
    for start in (0..120_000).step_by(10) {
        let arm = if start < 30_000 && start % 100 == 0 { CANARY } else { STABLE };
        drive.request(arm, start, 20 + start % 70);
    }
    let (found, judgement) = drive.run(120_000, 1_000, |judgement| judgement.brake.is_some() || judgement.confirmed.is_some());
    assert_eq!(found, None, "{:?}", judgement.brake);
}

#[test]
fn the_order_of_reports_does_not_matter() {
    let texts = ["p95 < 1s", "errors < 1%", "mean < 300ms", "apdex(200ms) > 0.8", "p95 <= stable * 1.1", "errors <= stable + 0.2pp"];
    let run = |shuffle: Option<u64>| {
        let mut dice = Dice(11);
        let mut judge = super::drive::judge(&texts, &Policy::default());
        let mut told = Vec::new();
        let mut seqs = [0_u64; 2];
        for start in (0..20_000_u64).step_by(10) {
            let arm = if dice.throws(0.3) { CANARY } else { STABLE };
            let seq = &mut seqs[usize::from(arm == CANARY)];
            *seq += 1;
            let millis = if dice.throws(0.05) { 1_500 } else { 10 + dice.next() % 300 };
            let fate = match dice.next() % 40 {
                0 => failed(millis),
                1 => Fate::Excluded { after: ms(millis) },
                _ => took(millis),
            };
            told.push((start / 100, arm, *seq, Told::Started(start)));
            if dice.throws(0.5) && !matches!(fate, Fate::Excluded { .. }) {
                told.push(((start + millis) / 100, arm, *seq, Told::Answered(ms(millis))));
            }
            told.push(((start + millis) / 100, arm, *seq, Told::Ended(fate)));
        }
        let mut shuffled = Dice(shuffle.unwrap_or(0));
        let mut seen = Vec::new();
        for batch in 0..230 {
            let mut reports: Vec<_> = told.iter().filter(|(when, ..)| *when == batch).collect();
            if shuffle.is_some() {
                // Answers stay before their ends, as a worker reports them.
                reports.sort_by_cached_key(|(_, arm, seq, what)| (matches!(what, Told::Ended(_)), shuffled.next() ^ seq, *arm));
            }
            for (_, arm, seq, what) in reports {
                match what {
                    Told::Started(start) => judge.started(*arm, 1, *seq, at(*start)),
                    Told::Answered(latency) => judge.answered(*arm, *seq, *latency),
                    Told::Ended(fate) => judge.ended(*arm, *seq, *fate),
                }
            }
            let judgement = judge.tick(at(batch * 100 + 100), &[super::drive::nothing(); 2]);
            seen.push(format!("{:.9?}", judgement.gates.iter().map(summary).collect::<Vec<_>>()));
        }
        seen
    };
    let straight = run(None);
    assert!(straight.iter().any(|line| line.contains("pass")), "something is found: {:?}", straight.last());
    for seed in 1..4 {
        assert_eq!(run(Some(seed)), straight);
    }
}

enum Told {
    Started(u64),
    Answered(Duration),
    Ended(Fate),
}

fn summary(gate: &super::GateStatus) -> (String, u64, u64, Option<f64>, f64, f64, f64) {
    (gate.verdict.to_string(), gate.requests, gate.breaches, gate.value, gate.log_e, gate.brake_log_e, gate.confirm_log_e)
}

#[test]
fn versions_without_any_error_pass_a_tolerated_difference() {
    let mut dice = Dice(5);
    let mut drive = Drive::new(&["errors <= stable + 1pp"], &Policy::default());
    for start in (0..60_000).step_by(10) {
        drive.request(if dice.throws(0.3) { CANARY } else { STABLE }, start, 20);
    }
    let (found, judgement) = drive.run(60_000, 500, |judgement| judgement.passes());
    assert!(found.is_some(), "{judgement:?}");
}
