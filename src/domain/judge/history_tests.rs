//! Claims about the past of a test: that what cannot raise the evidence is left out changes nothing.

use proptest::prelude::*;

use super::*;
use crate::domain::stats::two_arm::{Comparison, Guess};

/// Returns the largest ln E over all prefixes of the open blocks, none of them left out.
fn over_all<T: Sequential>(history: &History<T>, open: &[T::Block]) -> f64 {
    let mut ahead = history.now.clone();
    open.iter().fold(history.now.log_e(), |highest, block| {
        ahead.take(block);
        highest.max(ahead.log_e())
    })
}

/// Looks ahead over the first blocks, takes in one, and so on; says how far from the truth it was at most, and whether anything was left out.
fn look_ahead<T: Sequential>(test: T, blocks: &[T::Block], ahead: usize) -> (f64, bool) {
    let (mut history, mut farthest, mut left_out) = (History::new(test), 0.0_f64, false);
    for (index, block) in blocks.iter().enumerate() {
        let open = blocks.get(index..(index + ahead).min(blocks.len())).unwrap_or_default();
        let expected = over_all(&history, open);
        let found = history.evaluate([], open).log_e;
        farthest = farthest.max((found - expected).abs());
        left_out |= open.last().is_some_and(|last| !history.now.may_rise(last));
        history.evaluate([block.clone()], &[]);
    }
    (farthest, left_out)
}

/// A version's requests in a block: mostly good.
fn counts(most: u64) -> impl Strategy<Value = Counts> {
    (0..=most, prop_oneof![Just(0.0), 0.0..0.05_f64, 0.0..=1.0_f64])
        .prop_map(|(requests, share)| Counts::new(requests, (requests as f64 * share) as u64))
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        prop::sample::select(vec![1.0, 1.2, 2.0]).prop_map(Comparison::Ratio),
        prop::sample::select(vec![0.0, 0.002, 0.1]).prop_map(Comparison::Difference),
    ]
}

proptest! {
    #[test]
    fn of_shares_only_blocks_above_what_is_allowed_raise_the_evidence(
        seen in prop::collection::vec((counts(40), counts(40), 0..3_u64, prop::option::of(0.001..0.5_f64)), 1..40),
        p0 in 0.001..0.5_f64, gap in 0..6_u32, ahead in 1..6_usize,
    ) {
        let mut index = 0;
        let blocks: Vec<chained::Block> = seen
            .iter()
            .map(|(canary, stable, pause, p0)| {
                index += 1 + pause;
                chained::Block { index, p0: *p0, canary: *canary, stable: *stable }
            })
            .collect();
        let (farthest, _) = look_ahead(ChainedBlocks::new(p0, gap).unwrap(), &blocks, ahead);
        prop_assert!(farthest < 1e-9, "{farthest}");
        let alone: Vec<Counts> = blocks.iter().map(|block| block.canary).collect();
        let (farthest, _) = look_ahead(ChangepointGrid::new(p0).unwrap(), &alone, ahead);
        prop_assert!(farthest < 1e-9, "{farthest}");
    }

    #[test]
    fn of_means_only_blocks_above_the_limit_raise_the_evidence(
        ratios in prop::collection::vec(prop_oneof![0.0..=1.0_f64, 0.9..1.1_f64, 0.0..50.0_f64], 1..40), gap in 0..6_u32, ahead in 1..6_usize,
    ) {
        let blocks: Vec<MeanBlock> = ratios.iter().zip(1..).map(|(ratio, index)| MeanBlock { index, ratio: *ratio }).collect();
        let (farthest, _) = look_ahead(ChainedMean::new(gap).unwrap(), &blocks, ahead);
        prop_assert!(farthest < 1e-9, "{farthest}");
    }

    #[test]
    fn of_comparisons_only_groups_with_a_bad_request_of_the_canary_raise_the_evidence(
        seen in prop::collection::vec((counts(40), counts(400), 0.0..0.3_f64), 1..40), comparison in comparisons(), ahead in 1..6_usize,
    ) {
        let wagered = seen.iter().filter(|(canary, stable, _)| canary.requests > 0 && stable.requests > 0).map(|(canary, stable, rate)| {
            let weight = canary.requests as f64 / (canary.requests + stable.requests) as f64;
            let block = ArmBlock { weight, rate: *rate, canary: *canary, stable: *stable };
            Wagered { bets: Arc::new(ArmBlock::bets(comparison, weight, *rate).unwrap()), block }
        });
        let (farthest, _) = look_ahead(TwoArm::new(comparison, Guess::of(0.01)).unwrap(), &wagered.collect::<Vec<_>>(), ahead);
        prop_assert!(farthest < 1e-9, "{farthest}");
    }
}

#[test]
fn good_blocks_are_left_out_and_bad_ones_are_not() {
    let block = |index, breaches| chained::Block { index, p0: None, canary: Counts::new(20, breaches), stable: Counts::default() };
    let good: Vec<_> = (1..9).map(|index| block(index, 0)).collect();
    let test = || ChainedBlocks::new(0.05, 0).unwrap();
    assert_eq!(look_ahead(test(), &good, 3), (0.0, true));
    let mut history = History::new(test());
    let peak = history.evaluate([], &[block(1, 0), block(2, 20), block(3, 20), block(4, 1), block(5, 0)]);
    assert_eq!(peak.blocks, 3, "the last that is bad enough");
    assert!(peak.log_e > 3.0 && history.highest == peak.log_e, "{peak:?}");
}
