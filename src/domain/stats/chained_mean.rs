//! The burst-robust breach test of a mean: blocks of start time, averaged inside, multiplied along chains that lie δ apart.
//!
//! It is the [chained test](crate::domain::stats::chained) with the bets of the [mean](crate::domain::stats::mean): a block whose
//! latencies average x times the limit has the e-value 1 − λ + λ x, valid under any dependence inside the block, any tail, and
//! for any lower bound of the latencies. Null: the mean of a time slice is at most the limit.

use serde::{Deserialize, Serialize};

use crate::domain::stats::chained::LONGEST_GAP;
use crate::domain::stats::changepoint::{START_MASS, start_tail, start_weight};
use crate::domain::stats::mean::LAMBDAS;
use crate::domain::stats::parameter::ParameterError;
use crate::domain::stats::special::{log_add_exp, log_sum_exp};

/// One block of start time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanBlock {
    /// The number of the block: its start time divided by the length of a block, rounded down.
    pub index: u64,
    /// The average latency of its requests in multiples of the limit, not below 0.
    pub ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    last: Option<u64>,
    weight: f64,
    blocks: u64,
    /// ln S of each bet; not read before the first block.
    logs: [f64; LAMBDAS.len()],
}

impl Chain {
    /// S ← (S + w) · factor, for each bet.
    fn take(&mut self, block: &MeanBlock) {
        self.last = Some(block.index);
        self.blocks = self.blocks.saturating_add(1);
        let ln_weight = start_weight(self.blocks, START_MASS).ln();
        let ratio = if block.ratio > 0.0 { block.ratio.min(f64::MAX) } else { 0.0 };
        for (log, lambda) in self.logs.iter_mut().zip(LAMBDAS) {
            let sum = if self.blocks == 1 { ln_weight } else { log_add_exp(*log, ln_weight) };
            *log = sum + (1.0 - lambda + lambda * ratio).ln();
        }
    }

    fn log_e(&self) -> f64 {
        let tail = start_tail(self.blocks, START_MASS).ln();
        let mixed = if self.blocks == 0 { f64::NEG_INFINITY } else { log_sum_exp(self.logs) - (LAMBDAS.len() as f64).ln() };
        self.weight.ln() + log_add_exp(mixed, tail)
    }
}

/// The burst-robust breach test of a mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainedMean {
    /// δ in blocks.
    gap: u32,
    newest: Option<u64>,
    chains: Vec<Chain>,
}

impl ChainedMean {
    /// Starts without evidence, for pauses of up to `gap` blocks; the chains share α as those of the chained test do.
    ///
    /// # Errors
    ///
    /// Refuses a gap above [`LONGEST_GAP`].
    pub fn new(gap: u32) -> Result<Self, ParameterError> {
        if gap > LONGEST_GAP {
            return Err(ParameterError::Range { name: "gap", value: f64::from(gap), range: "at most 1000 blocks" });
        }
        let weight = |index: u32| match (gap, index) {
            (0, _) => 1.0,
            (_, 0) => 0.5,
            _ => 0.5 / f64::from(gap),
        };
        let chain = |index| Chain { last: None, weight: weight(index), blocks: 0, logs: [0.0; LAMBDAS.len()] };
        Ok(Self { gap, newest: None, chains: (0..=gap).map(chain).collect() })
    }

    /// Takes in a final block; returns ln E.
    ///
    /// # Errors
    ///
    /// Refuses a block that does not come after all before it; the state is then unchanged.
    pub fn update(&mut self, block: &MeanBlock) -> Result<f64, ParameterError> {
        if let Some(last) = self.newest.filter(|last| *last >= block.index) {
            return Err(ParameterError::Order { index: block.index, last });
        }
        let gap = u64::from(self.gap);
        let free = |chain: &&mut Chain| chain.last.is_none_or(|last| block.index - last > gap);
        // Blocks come in growing order, so at most `gap` chains are not free, and there are gap + 1.
        if let Some(chain) = self.chains.iter_mut().find(free) {
            chain.take(block);
        }
        self.newest = Some(block.index);
        Ok(self.log_e())
    }

    /// Returns ln E after the blocks so far: the largest over the chains, each with its share of α.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.chains.iter().map(Chain::log_e).fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_pause_is_one_bad_block_of_each_chain_and_never_suffices() {
        let mut test = ChainedMean::new(5).unwrap();
        let mut pause = test.clone();
        for index in 0..6 {
            pause.update(&MeanBlock { index, ratio: 3.0 }).unwrap();
        }
        assert!(pause.log_e() < 2.0, "{}", pause.log_e());
        for index in 0..60 {
            test.update(&MeanBlock { index, ratio: 3.0 }).unwrap();
        }
        assert!(test.log_e() > 1000_f64.ln(), "ten pauses a second apart: {}", test.log_e());
        assert!(test.update(&MeanBlock { index: 59, ratio: 3.0 }).is_err() && ChainedMean::new(1001).is_err());
    }

    #[test]
    fn odd_ratios_count_as_nothing_or_as_the_largest_number() {
        let after = |ratio| ChainedMean::new(0).unwrap().update(&MeanBlock { index: 1, ratio }).unwrap();
        assert_eq!((after(f64::NAN), after(-1.0)), (after(0.0), after(0.0)));
        assert!(after(f64::INFINITY).is_finite());
    }

    proptest! {
        #[test]
        fn a_mean_at_the_limit_expects_at_most_one(
            ratios in prop::collection::vec((0.0..20.0_f64, 0.01..1.0_f64), 2..5), blocks in 1..4_u32,
        ) {
            let total: f64 = ratios.iter().map(|(_, weight)| weight).sum();
            let mean = ratios.iter().map(|(ratio, weight)| ratio * weight / total).sum::<f64>().max(1e-9);
            // Every sequence of independent blocks, each ratio scaled so that the mean is the limit.
            let mut expected = 0.0;
            for sequence in 0..ratios.len().pow(blocks) {
                let (mut test, mut chance, mut rest) = (ChainedMean::new(0).unwrap(), 1.0, sequence);
                for index in 0..blocks {
                    let (ratio, weight) = ratios[rest % ratios.len()];
                    test.update(&MeanBlock { index: u64::from(index), ratio: ratio / mean }).unwrap();
                    (chance, rest) = (chance * weight / total, rest / ratios.len());
                }
                expected += chance * test.log_e().exp();
            }
            prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
        }
    }
}
