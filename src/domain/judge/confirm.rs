//! The confirming test of one gate: chained blocks over all canary requests of the rollout, less what hit stable as well.
//!
//! It is never begun again. Its null is that of each block, frozen when the block began, so the guarantee is: the chance of ever
//! confirming a version whose share of bad requests, on average over each slice of time, is within that null is at most α, as
//! long as its requests depend on each other no longer than the burst tolerance. For comparisons the null leaves room
//! of twice the gate's, and rests on the stable version's share of the last minute: it holds while that stays within the room.

use crate::domain::gate::Criterion;
use crate::domain::gate::basis::Basis;
use crate::domain::judge::blocks::{Tally, View};
use crate::domain::judge::history::{History, Sequential};
use crate::domain::judge::terms;
use crate::domain::stats::chained::{self, ChainedBlocks};
use crate::domain::stats::chained_mean::{ChainedMean, MeanBlock};
use crate::domain::time::Timestamp;

/// What was confirmed.
#[derive(Clone, Debug)]
pub(super) struct Confirmed {
    pub basis: Basis,
    /// How many separate moments, at least the burst tolerance apart, were bad.
    pub moments: usize,
}

/// The confirming test.
#[derive(Clone, Debug)]
pub(super) enum Confirm {
    Shares(Box<History<ChainedBlocks>>),
    Mean(Box<History<ChainedMean>>),
}

impl Confirm {
    /// Begins the test of a criterion, for pauses of up to `gap` blocks; `None` where there is none.
    pub fn new(criterion: &Criterion, gap: u32) -> Option<Self> {
        match criterion {
            Criterion::Mean { .. } => ChainedMean::new(gap).ok().map(|test| Self::Mean(Box::new(History::new(test)))),
            _ => ChainedBlocks::new(terms::confirming_share(criterion), gap).ok().map(|test| Self::Shares(Box::new(History::new(test)))),
        }
    }

    /// Returns the largest ln E so far.
    pub const fn highest(&self) -> f64 {
        match self {
            Self::Shares(history) => history.highest,
            Self::Mean(history) => history.highest,
        }
    }

    /// Takes in the blocks that became final, looks at those that are open, and says whether the threshold is reached.
    pub fn evaluate(
        &mut self,
        (last, open): (&[View<'_>], &[View<'_>]),
        (limit, gap): (f64, u32),
        known_until: Timestamp,
        threshold: f64,
    ) -> Option<Confirmed> {
        match self {
            Self::Shares(history) => {
                let (basis, blocks) = reach(history, slices(last).filter_map(share), slices(open).filter_map(share), threshold)?;
                let bad = blocks.iter().filter(|block| excess(block) > block.p0.unwrap_or(0.0)).map(|block| block.index);
                let moments = apart(bad, gap);
                Some(Confirmed { basis: Basis::Chained { start: basis, blocks }, moments })
            }
            Self::Mean(history) => {
                let mean = |slice: &[View<'_>]| average(slice, limit, known_until);
                let (basis, blocks) = reach(history, slices(last).filter_map(mean), slices(open).filter_map(mean), threshold)?;
                let moments = apart(blocks.iter().filter(|block| block.ratio > 1.0).map(|block| block.index), gap);
                Some(Confirmed { basis: Basis::ChainedMean { start: basis, blocks }, moments })
            }
        }
    }
}

/// Returns the state and the blocks of the largest evidence, where it reaches the threshold.
fn reach<T: Sequential>(
    history: &mut History<T>,
    last: impl Iterator<Item = T::Block>,
    open: impl Iterator<Item = T::Block>,
    threshold: f64,
) -> Option<(T, Vec<T::Block>)> {
    let open: Vec<T::Block> = open.collect();
    let peak = history.evaluate(last, &open);
    (peak.log_e >= threshold).then(|| history.of_peak(peak, &open))
}

/// Splits blocks into slices of time, over all epochs.
fn slices<'a, 'v>(views: &'a [View<'v>]) -> impl Iterator<Item = &'a [View<'v>]> {
    views.chunk_by(|one, other| one.key.0 == other.key.0)
}

fn both(slice: &[View<'_>]) -> Option<(u64, f64, Tally, Tally)> {
    let first = slice.first()?;
    let sum = |arm: fn(&View<'_>) -> Tally| slice.iter().fold(Tally::default(), |sum, view| sum.and(&arm(view)));
    let (canary, stable) = (sum(|view| view.cell.canary), sum(|view| view.cell.stable));
    (canary.requests > 0 && !first.cell.frozen.out).then_some((first.key.0, first.cell.frozen.null, canary, stable))
}

fn share(slice: &[View<'_>]) -> Option<chained::Block> {
    let (index, null, canary, stable) = both(slice)?;
    Some(chained::Block { index, p0: Some(null), canary: canary.losses(), stable: stable.losses_at_most() })
}

/// What the stable version took beyond the limit in the same slice is not held against the canary.
fn average(slice: &[View<'_>], limit: f64, known_until: Timestamp) -> Option<MeanBlock> {
    let (index, null, canary, stable) = both(slice)?;
    let start = slice.first()?.start;
    let ratio = |tally: &Tally| tally.average(start, known_until) / (limit * null);
    Some(MeanBlock { index, ratio: (ratio(&canary) - (ratio(&stable) - 1.0).max(0.0)).max(0.0) })
}

fn excess(block: &chained::Block) -> f64 {
    block.canary.share() - block.stable.share()
}

/// Counts how many of the slices, in growing order, lie more than `gap` apart from the one counted before.
fn apart(indices: impl Iterator<Item = u64>, gap: u32) -> usize {
    let mut before: Option<u64> = None;
    indices
        .filter(|index| {
            let counts = before.is_none_or(|before| index - before > u64::from(gap));
            if counts {
                before = Some(*index);
            }
            counts
        })
        .count()
}
