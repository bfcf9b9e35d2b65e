//! A test over blocks, with enough of its past to compute its evidence again.
//!
//! The past is bounded: the state before the oldest kept block, and the blocks since.

use std::collections::VecDeque;

use crate::domain::gate::basis::ArmBlock;
use crate::domain::stats::chained::{self, ChainedBlocks};
use crate::domain::stats::chained_mean::{ChainedMean, MeanBlock};
use crate::domain::stats::changepoint::ChangepointGrid;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::two_arm::{Bets, TwoArm};
use std::sync::Arc;

/// How many final blocks are kept for the record.
const KEPT: usize = 2_000;

/// A test that takes in block after block.
pub(super) trait Sequential: Clone {
    /// What one block holds.
    type Block: Clone;
    /// Takes in a block.
    fn take(&mut self, block: &Self::Block);
    /// Returns ln E after the blocks so far.
    fn log_e(&self) -> f64;
}

impl Sequential for ChainedBlocks {
    type Block = chained::Block;

    fn take(&mut self, block: &Self::Block) {
        // Blocks come in growing order and with shares between 0 and 1, so none is refused; one that were would not count.
        let _ = self.update(block);
    }

    fn log_e(&self) -> f64 {
        Self::log_e(self)
    }
}

impl Sequential for ChainedMean {
    type Block = MeanBlock;

    fn take(&mut self, block: &Self::Block) {
        // As above.
        let _ = self.update(block);
    }

    fn log_e(&self) -> f64 {
        Self::log_e(self)
    }
}

impl Sequential for ChangepointGrid {
    type Block = Counts;

    fn take(&mut self, block: &Self::Block) {
        self.update(block.requests, block.breaches);
    }

    fn log_e(&self) -> f64 {
        Self::log_e(self)
    }
}

/// A block of the two-arm test with the bets that were frozen when it began.
#[derive(Clone, Debug)]
pub(super) struct Wagered {
    pub bets: Arc<Bets>,
    pub block: ArmBlock,
}

impl Sequential for TwoArm {
    type Block = Wagered;

    fn take(&mut self, Wagered { bets, block }: &Self::Block) {
        self.close(bets, block.canary, block.stable);
    }

    fn log_e(&self) -> f64 {
        Self::log_e(self)
    }
}

/// Where the evidence of a test was largest: after so many of the kept and open blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    pub log_e: f64,
    blocks: usize,
}

/// A test and its past.
#[derive(Clone, Debug)]
pub(super) struct History<T: Sequential> {
    start: T,
    kept: VecDeque<T::Block>,
    now: T,
    /// The largest ln E so far, which is what Ville's inequality bounds.
    pub highest: f64,
}

impl<T: Sequential> History<T> {
    /// Begins with a test that has taken in nothing.
    pub fn new(test: T) -> Self {
        Self { start: test.clone(), kept: VecDeque::new(), now: test, highest: 0.0 }
    }

    /// Takes in the blocks that became final, looks ahead at those that are open, and says where the evidence was largest.
    pub fn evaluate(&mut self, last: impl IntoIterator<Item = T::Block>, open: &[T::Block]) -> Peak {
        let mut peak = Peak { log_e: self.now.log_e(), blocks: self.kept.len() };
        for block in last {
            self.now.take(&block);
            self.kept.push_back(block);
            if self.kept.len() > KEPT
                && let Some(oldest) = self.kept.pop_front()
            {
                self.start.take(&oldest);
                peak.blocks = peak.blocks.saturating_sub(1);
            }
            if self.now.log_e() > peak.log_e {
                peak = Peak { log_e: self.now.log_e(), blocks: self.kept.len() };
            }
        }
        if !open.is_empty() {
            let mut ahead = self.now.clone();
            for (index, block) in open.iter().enumerate() {
                ahead.take(block);
                if ahead.log_e() > peak.log_e {
                    peak = Peak { log_e: ahead.log_e(), blocks: self.kept.len() + index + 1 };
                }
            }
        }
        self.highest = self.highest.max(peak.log_e);
        peak
    }

    /// Returns the state and the blocks after it that give the evidence of a peak just found.
    pub fn of_peak(&self, peak: Peak, open: &[T::Block]) -> (T, Vec<T::Block>) {
        (self.start.clone(), self.kept.iter().chain(open).take(peak.blocks).cloned().collect())
    }
}
