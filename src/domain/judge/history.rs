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
    /// Says whether a block could raise ln E; no block of which it is denied ever does, whatever came before.
    fn may_rise(&self, block: &Self::Block) -> bool;
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

    /// Up to the share that is allowed each factor 1 + λ (f − p0) is at most 1, and what the prior moves it moves within the sum.
    fn may_rise(&self, block: &Self::Block) -> bool {
        block.canary.share() - block.stable.share() > block.p0.unwrap_or_else(|| self.p0())
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

    /// Up to the limit each factor 1 − λ + λ x is at most 1.
    fn may_rise(&self, block: &Self::Block) -> bool {
        block.ratio > 1.0
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

    /// ln (1 + p0 (ω − 1)) ≥ p0 ln ω, since the logarithm is concave, so that up to the share p0 no likelihood ratio is above 1.
    fn may_rise(&self, block: &Self::Block) -> bool {
        block.share() > self.p0()
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

    /// Without a bad request of the canary no factor is above 1 where it is asked whether that is worse. At the null's corner without
    /// bad requests w A + (1−w) B ≤ 1 holds for the factors A and B of good ones, and so A^w B^(1−w) ≤ 1 by the inequality of means;
    /// the bets of a group are those of its own w. A bad request of the stable version has a smaller factor than a good one.
    fn may_rise(&self, block: &Self::Block) -> bool {
        block.block.canary.breaches > 0
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
        // Most often nothing bad is open, and nothing has to be looked at.
        let telling = open.iter().rposition(|block| self.now.may_rise(block)).map_or(0, |last| last + 1);
        if telling > 0 {
            let mut ahead = self.now.clone();
            for (index, block) in open.iter().enumerate().take(telling) {
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

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
