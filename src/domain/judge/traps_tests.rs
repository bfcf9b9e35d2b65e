//! The traps of the statistics that a judge can fall into: one test each, where no other test has it.
#![cfg(test)]

use std::time::Duration;

use super::Arm;
use super::baseline::Baseline;
use super::blocks::{Cell, Key, View};
use super::drive::{Drive, STABLE, at, failed, gates, judge, ms, nothing, took};
use super::pairs::Pairs;
use super::terms;
use crate::domain::gate::{Policy, Verdict};
use crate::domain::stats::counts::Counts;
use crate::domain::stats::two_arm::Comparison;
use crate::domain::time::Timestamp;

const CANARY: Arm = Arm::Canary;

#[test]
fn a_request_that_breached_by_its_deadline_does_not_count_again_at_its_end() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    judge.started(CANARY, 1, 1, at(0));
    let by_deadline = judge.tick(at(1_001), &[nothing()]).gates[0].clone();
    judge.answered(CANARY, 1, ms(1_200));
    judge.ended(CANARY, 1, took(1_200));
    let ended = judge.tick(at(1_300), &[nothing()]).gates[0].clone();
    assert_eq!((by_deadline.requests, by_deadline.breaches, ended.requests, ended.breaches), (1, 1, 1, 1));
    assert_eq!(by_deadline.confirm_log_e.to_bits(), ended.confirm_log_e.to_bits());
}

#[test]
fn what_a_block_is_held_against_stays_as_it_was_when_the_block_began() {
    let gate = gates(&["p95 <= stable * 1.1"]).remove(0);
    let mut baseline = Baseline::new(Some(0.05));
    baseline.absorb(Counts::new(100, 5), &[10_000; 100], Timestamp::ZERO);
    baseline.refresh();
    let began = terms::freeze(&gate, Some(&baseline), false, Some(0.1), None);
    baseline.absorb(Counts::new(1_000, 900), &[500_000; 1_000], at(100));
    baseline.refresh();
    let other_epoch = terms::freeze(&gate, Some(&baseline), true, Some(0.3), Some(&began));
    assert_eq!((other_epoch.limits, other_epoch.rate, other_epoch.warm, other_epoch.weight), (began.limits, began.rate, false, Some(0.3)));
    let later = terms::freeze(&gate, Some(&baseline), false, Some(0.1), None);
    assert!(later.limits[0] > 10 * began.limits[0] && later.rate > began.rate);
}

#[test]
fn a_change_of_the_weight_begins_a_new_group_of_both_arms() {
    let gate = gates(&["errors <= stable * 1"]).remove(0);
    let cell = |canary: u64, stable: u64, weight| {
        let mut cell = Cell::new(terms::freeze(&gate, None, false, Some(weight), None));
        (0..canary).for_each(|_| cell.canary.begin(0));
        (0..stable).for_each(|_| cell.stable.begin(0));
        cell
    };
    let cells: [(Key, Cell); 4] =
        [((1, 1), cell(0, 9, 0.1)), ((2, 2), cell(1, 1, 0.5)), ((3, 2), cell(3, 0, 0.5)), ((4, 2), cell(0, 2, 0.5))];
    let views: Vec<View<'_>> =
        cells.iter().map(|(key, cell)| View { key: *key, start: Timestamp::ZERO, over: true, last: true, cell }).collect();
    let groups = Pairs::new(Comparison::Ratio(1.0)).close(&views);
    let found: Vec<(f64, u64, u64)> =
        groups.iter().map(|group| (group.block.weight, group.block.canary.requests, group.block.stable.requests)).collect();
    assert_eq!(found, [(0.5, 1, 1), (0.6, 3, 2)], "by the shares that were, never over two epochs");
    assert_eq!(groups[1].block.stable.breaches, 2, "what is in flight counts against the conclusion");
}

#[test]
fn slices_without_requests_are_skipped() {
    let mut drive = Drive::new(&["p95 < 1s"], &Policy::default());
    (0..10).for_each(|index| drive.hangs(CANARY, index * 10_000));
    let (found, _) = drive.run(100_000, 100, |judgement| judgement.confirmed.is_some());
    assert!(found.is_some_and(|found| (21_000..=31_100).contains(&found)), "three or four requests, ten seconds apart: {found:?}");
}

#[test]
fn the_evidence_shown_is_the_largest_so_far_and_what_is_confirmed_fails() {
    let mut drive = Drive::new(&["errors < 5%", "mean < 300ms", "apdex(200ms) > 0.9", "errors <= stable + 1pp"], &Policy::default());
    for start in (0..40_000_u64).step_by(20) {
        let bad = start.is_multiple_of(400) && start > 5_000;
        let arm = if start.is_multiple_of(100) { CANARY } else { STABLE };
        drive.plan(super::drive::Planned { arm, generation: 1, at: start, after: Some(90), fate: if bad { failed(90) } else { took(90) } });
    }
    let mut before = vec![(0.0, 0.0); 4];
    let (_, last) = drive.run(41_000, 100, |judgement| {
        let now: Vec<(f64, f64)> = judgement.gates.iter().map(|gate| (gate.brake_log_e, gate.confirm_log_e)).collect();
        assert!(before.iter().zip(&now).all(|(before, now)| before.0 <= now.0 && before.1 <= now.1), "{before:?} {now:?}");
        before = now;
        false
    });
    let confirmed = last.confirmed.expect("a quarter of its requests fail");
    assert!(last.gates.iter().any(|gate| gate.gate == confirmed.gate && gate.verdict == Verdict::Fail));
}

#[test]
fn no_weight_and_no_probe_compares_the_arms() {
    let mut drive = Drive::new(&["errors <= stable * 1"], &Policy { burst_tolerance: Duration::ZERO, ..Policy::default() });
    drive.judge.epoch(1, None);
    for start in (0..20_000).step_by(50) {
        let (arm, fate) = if start % 500 == 0 { (CANARY, failed(5)) } else { (STABLE, took(5)) };
        drive.plan(super::drive::Planned { arm, generation: 1, at: start, after: Some(5), fate });
    }
    let (found, judgement) = drive.run(20_000, 100, |judgement| judgement.brake.is_some());
    assert_eq!((found, judgement.gates[0].requests), (None, 0));
    assert_eq!(judgement.gates[0].confirm_log_threshold, None, "nothing is confirmed where no pause is tolerated");
}
