//! Properties of the chained blocks: martingale under any dependence inside a block, common mode, peeks, warm-up, refusals.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::every_sequence;

fn block(index: u64, n: u64, k: u64) -> Block {
    Block { index, p0: None, canary: Counts::new(n, k), stable: Counts::default() }
}

/// Returns E\[E\] over every sequence of blocks that are bad as a whole, or good, with probability `p` each.
fn mean(length: u32, p: f64, gap: u32, size: u64, warm_up: Option<f64>) -> f64 {
    let mut mean = 0.0;
    every_sequence(length, p, |throws, chance| {
        let mut test = ChainedBlocks::new(0.1, gap).unwrap();
        for (i, bad) in (0..).zip(throws) {
            let block = Block { p0: warm_up, ..block(i + u64::from(i > 2) * 3, size, size * u64::from(*bad)) };
            test.update(&block).unwrap();
        }
        mean += chance * test.log_e().exp();
    });
    mean
}

#[test]
fn the_expected_evidence_is_at_most_one_even_when_a_block_is_bad_as_a_whole() {
    for (length, gap, size) in [(1, 2, 1), (3, 2, 1), (8, 2, 1), (7, 3, 50), (7, 0, 50)] {
        let at = mean(length, 0.1, gap, size, None);
        assert!(at <= 1.0 + 1e-12 && mean(length, 0.04, gap, size, None) < at, "{length} {gap}: {at}");
        assert!(mean(length, 0.6, gap, size, Some(0.6)) <= 1.0 + 1e-12);
    }
    // With one chain nothing is given away.
    assert!((mean(7, 0.1, 0, 50, None) - 1.0).abs() < 1e-9);
}

#[test]
fn a_single_pause_never_suffices_and_a_failure_that_lasts_does() {
    // δ = 5 blocks: a pause of one second out of blocks of 200 ms, all bad, 20 requests each.
    let mut test = ChainedBlocks::new(0.05, 5).unwrap();
    let threshold = 1000_f64.ln();
    let log_es: Vec<f64> = (0..20).map(|index| test.update(&block(index, 20, 20)).unwrap()).collect();
    assert!(log_es[..6].iter().all(|log_e| *log_e < threshold));
    let needed = log_es.iter().position(|log_e| *log_e >= threshold).unwrap() + 1;
    assert_eq!(needed, 13, "2.6 δ");
}

#[test]
fn what_hits_both_versions_is_not_held_against_the_canary() {
    let (mut rejecting, mut alone) = (ChainedBlocks::new(0.05, 5).unwrap(), ChainedBlocks::new(0.05, 5).unwrap());
    for index in 0..40 {
        let stall = block(index, 10, 8);
        alone.update(&stall).unwrap();
        rejecting.update(&Block { stable: Counts::new(50, 39), ..stall }).unwrap();
    }
    assert!(alone.log_e() > 1000_f64.ln() && rejecting.log_e() < 0.0, "{} {}", alone.log_e(), rejecting.log_e());
}

#[test]
fn a_looser_share_while_warming_up_forgives_but_finds_a_dead_version() {
    let run = |p0: Option<f64>, bad: u64| {
        let mut test = ChainedBlocks::new(0.05, 5).unwrap();
        (0..60).map(|index| test.update(&Block { p0, ..block(index, 10, bad) }).unwrap()).fold(0.0, f64::max)
    };
    let threshold = 1000_f64.ln();
    assert!(run(Some(0.6), 5) < 1.0 && run(None, 5) > threshold);
    let mut test = ChainedBlocks::new(0.05, 1).unwrap();
    let dead = (0..200).map(|index| test.update(&Block { p0: Some(0.6), ..block(index, 10, 10) }).unwrap()).fold(0.0, f64::max);
    assert!(dead > threshold, "{dead}");
}

#[test]
fn peeking_is_the_best_of_the_updates_and_changes_nothing() {
    let mut test = ChainedBlocks::new(0.05, 1).unwrap();
    test.update(&block(3, 9, 9)).unwrap();
    let (before, open) = (test.clone(), [block(5, 4, 4), block(6, 0, 0), block(8, 9, 9), block(9, 9, 0), block(10, 9, 0)]);
    let peeked = test.peek(&open).unwrap();
    assert_eq!(test, before);
    let best = open.iter().fold(test.log_e(), |best, block| best.max(test.update(block).unwrap()));
    assert_eq!(peeked, best);
}

#[test]
fn refusals_leave_the_state_as_it_was() {
    for p in [f64::NAN, -0.5, 0.0, 1.0, f64::INFINITY] {
        assert!(ChainedBlocks::new(p, 5).is_err(), "{p}");
        let mut test = ChainedBlocks::new(0.05, 5).unwrap();
        let before = test.clone();
        assert!(test.update(&Block { p0: Some(p), ..block(1, 1, 1) }).is_err() && test == before);
    }
    assert!(ChainedBlocks::new(0.05, LONGEST_GAP + 1).is_err() && ChainedBlocks::new(0.05, LONGEST_GAP).is_ok());
    let mut test = ChainedBlocks::new(0.05, 5).unwrap();
    test.update(&block(7, 1, 0)).unwrap();
    let before = test.clone();
    for index in [7, 6, 0] {
        assert_eq!(test.update(&block(index, 1, 1)), Err(ParameterError::Order { index, last: 7 }));
        assert!(test.peek(&[block(8, 1, 1), block(index, 1, 1)]).is_err());
    }
    assert_eq!(test, before);
    test.update(&block(u64::MAX, 3, 3)).unwrap();
}

#[test]
fn a_state_that_was_written_and_read_goes_on_alike() {
    let mut test = ChainedBlocks::new(0.05, 2).unwrap();
    for index in 0..5 {
        let mut read: ChainedBlocks = serde_json::from_str(&serde_json::to_string(&test).unwrap()).unwrap();
        let next = block(index, 9, 4);
        assert!((read.update(&next).unwrap() - test.update(&next).unwrap()).abs() < 1e-12);
    }
}

proptest! {
    #[test]
    fn a_block_expects_at_most_one_at_and_inside_the_null(p0 in 0.001..0.95_f64, inside in 0.0..=1.0_f64, spread in 0.0..=1.0_f64) {
        // Two-valued shares of mean p0 · inside, the most spread out of which are 0 and 1: requests of a block may depend on each other.
        let (mean, n) = (p0 * inside, 1_000_000_u64);
        let (low, high) = (mean * (1.0 - spread), mean + (1.0 - mean) * spread);
        let chance_high = if high > low { (mean - low) / (high - low) } else { 0.0 };
        let e = |share: f64| {
            let mut test = ChainedBlocks::new(p0, 0).unwrap();
            // Rounded down, so that the mean is at most what it should be.
            test.update(&block(0, n, (share * n as f64) as u64)).unwrap().exp()
        };
        let expected = chance_high * e(high) + (1.0 - chance_high) * e(low);
        prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
    }

    #[test]
    fn what_is_in_flight_only_lowers_the_evidence(
        blocks in prop::collection::vec((1..20_u64, 0..20_u64, 0..20_u64, 0..20_u64), 1..20),
        at in any::<prop::sample::Index>(),
        stable in any::<bool>(),
    ) {
        let at = at.index(blocks.len());
        let log_e = |in_flight: u64| {
            let open: Vec<Block> = (0..).zip(&blocks).map(|(i, (n, k, stable_n, stable_k))| {
                let hidden = if i == at { in_flight } else { 0 };
                let canary = Counts::new(*n, if stable { *k } else { k.saturating_sub(hidden) });
                let known = Counts::new(*stable_n, *stable_k);
                Block { index: i as u64, p0: None, canary, stable: if stable { known.with_in_flight_bad(hidden) } else { known } }
            }).collect();
            ChainedBlocks::new(0.05, 3).unwrap().peek(&open).unwrap()
        };
        prop_assert!(log_e(3) <= log_e(0));
    }
}
