//! Properties of the change-point tests: prior, martingale, speed after a long good run, average run length.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::{Chance, every_sequence};

#[test]
fn the_prior_sums_to_one() {
    let mut sum = 0.0;
    for b in 1..=100_000_u64 {
        sum += start_weight(b, START_MASS);
        if b.is_power_of_two() {
            assert!((sum + start_tail(b, START_MASS) - 1.0).abs() < 1e-12, "{b}");
        }
    }
    assert!((changepoint_tail(0) - 1.0).abs() < 1e-15);
    assert_eq!((changepoint_weight(0), start_tail(0, 0.5)), (0.0, 1.0));
    assert!(changepoint_weight(u64::MAX) > 0.0 && changepoint_tail(u64::MAX) > 0.0);
}

#[test]
fn the_expected_evidence_is_one_at_the_null_and_less_inside() {
    for (p, at_most) in [(0.1, 1.0), (0.04, 0.999)] {
        for length in [1, 3, 8] {
            let mut mean = 0.0;
            every_sequence(length, p, |throws, chance| {
                let mut test = ChangepointGrid::new(0.1).unwrap();
                let log_e = throws.iter().fold(0.0, |_, breach| test.update(1, u64::from(*breach)));
                mean += chance * log_e.exp();
            });
            assert!(mean <= at_most + 1e-9, "{p} {length}: {mean}");
            assert!(p < 0.1 || (mean - 1.0).abs() < 1e-9, "{length}: {mean}");
        }
    }
}

#[test]
fn after_a_hundred_thousand_good_requests_nine_bad_ones_suffice() {
    let mut test = ChangepointGrid::new(0.05).unwrap();
    for i in 0..100_000_u64 {
        test.update(1, u64::from(i % 100 == 0));
    }
    let needed = (1..).find(|_| test.update(1, 1) >= 1000_f64.ln()).unwrap();
    assert!((8..=10).contains(&needed), "{needed}");
}

#[test]
fn peeking_is_the_best_of_the_updates_and_changes_nothing() {
    let mut test = ChangepointGrid::new(0.05).unwrap();
    test.update(30, 1);
    let before = test;
    let provisional = [(10, 3), (0, 0), (8, 8), (50, 0)];
    let peeked = test.peek(&provisional);
    assert_eq!(test, before);
    let best = provisional.iter().fold(test.log_e(), |best, (n, k)| best.max(test.update(*n, *k)));
    assert_eq!(peeked, best);
    assert!(peeked > test.log_e(), "the last block was good and lowered the evidence");
}

#[test]
fn a_state_that_was_written_and_read_goes_on_alike() {
    let (mut test, mut detector) = (ChangepointGrid::new(0.05).unwrap(), Detector::new(0.05).unwrap());
    for k in [0, 3, 1] {
        let text = serde_json::to_string(&(test, detector)).unwrap();
        let (mut read, mut read_detector): (ChangepointGrid, Detector) = serde_json::from_str(&text).unwrap();
        assert!((read.update(9, k) - test.update(9, k)).abs() < 1e-12, "{text}");
        assert!((read_detector.update(9, k) - detector.update(9, k)).abs() < 1e-12, "{text}");
    }
}

#[test]
fn the_detector_runs_at_least_as_long_as_asked_for_without_a_change_and_finds_one_at_once() {
    const RUN_LENGTH: f64 = 50.0;
    let mut chance = Chance::new(3);
    let (mut blocks, runs) = (0_u64, 300);
    for _ in 0..runs {
        let mut detector = Detector::new(0.1).unwrap();
        while !detector.alarms(RUN_LENGTH) {
            detector.update(1, u64::from(chance.heads(0.1)));
            blocks += 1;
        }
    }
    // The mean of the runs' lengths, whose standard error is about 6 % of it.
    assert!(blocks as f64 / f64::from(runs) > RUN_LENGTH, "{blocks}");
    let mut detector = Detector::new(0.05).unwrap();
    assert!(!detector.alarms(f64::MIN_POSITIVE) && detector.log_value() == f64::NEG_INFINITY);
    for _ in 0..10_000 {
        detector.update(1, 0);
    }
    let needed = (1..).find(|_| detector.update(1, 1) >= 10_000_f64.ln()).unwrap();
    assert!(needed <= 5, "{needed}");
    detector.reset();
    assert_eq!(detector, Detector::new(0.05).unwrap());
}

#[test]
fn parameters_outside_their_range_are_refused() {
    for p in [f64::NAN, -0.5, 0.0, 1.0, f64::INFINITY] {
        assert!(ChangepointGrid::new(p).is_err() && Detector::new(p).is_err(), "{p}");
    }
    assert!(!Detector::new(0.05).unwrap().alarms(f64::NAN));
}

proptest! {
    #[test]
    fn more_breaches_are_more_evidence_in_any_block(
        blocks in prop::collection::vec((1..30_u64, 0..=1000_u64), 1..30),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(blocks.len());
        let log_e = |extra: usize| {
            let mut test = ChangepointGrid::new(0.05).unwrap();
            for (i, (n, share)) in blocks.iter().enumerate() {
                let k = (n - 1) * share / 1000;
                test.update(*n, if i == at { k + extra as u64 } else { k });
            }
            test.log_e()
        };
        let (more, fewer) = (log_e(1), log_e(0));
        // What an early block adds may be lost in the rounding of what came after it; what the last one adds is not.
        prop_assert!(more >= fewer - 1e-12 * fewer.abs().max(1.0), "{more} {fewer}");
        prop_assert!(at + 1 < blocks.len() || more > fewer, "{more} {fewer}");
    }

    #[test]
    fn nothing_panics(p0 in 1e-9..0.999_999_f64, blocks in prop::collection::vec((any::<u64>(), any::<u64>()), 0..9)) {
        let (mut test, mut detector) = (ChangepointGrid::new(p0).unwrap(), Detector::new(p0).unwrap());
        prop_assert!(!test.peek(&blocks).is_nan());
        for (n, k) in blocks {
            prop_assert!(!test.update(n, k).is_nan() && !detector.update(n, k).is_nan());
        }
    }
}
