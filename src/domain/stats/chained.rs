//! The burst-robust breach test: blocks of start time, averaged inside, multiplied along chains that lie δ apart.
//!
//! Inside a block the e-values are averaged, which is valid under any dependence: e_b = 1 + λ (f_b − p0) with f_b the block's share
//! of breaches. A block joins the first chain whose last block ended at least δ ago; along a chain e-values are multiplied, valid
//! when dependence reaches no further than δ. Each chain is a mixture over the odds grid with the change-point prior. Chains are
//! e-processes in different filtrations, whose average is valid at fixed times only (Choe and Ramdas 2024), so they share α
//! by weights: log_e = max_c (ln w_c + ln E_c). The null: the time-slice average share of breaches is at most p0. Clients that
//! send less while they wait make it exceed the average over requests.

use serde::{Deserialize, Serialize};

use crate::domain::stats::changepoint::Sums;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::grid::{OddsGrid, odds_grid, omega_to_lambda};
use crate::domain::stats::parameter::{self, ParameterError};

/// The longest gap in blocks, which bounds the number of chains.
pub const LONGEST_GAP: u32 = 1_000;

/// What one block of start time holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The number of the block: its start time divided by the length of a block, rounded down.
    pub index: u64,
    /// The share that may be bad in this block, fixed before it began; `None` for the test's own.
    pub p0: Option<f64>,
    /// The canary's requests of the block; in flight counts as good.
    pub canary: Counts,
    /// The stable version's requests of the block, in flight counting as breaches; none to go without common-mode rejection.
    pub stable: Counts,
}

impl Block {
    /// Returns f = max(0, k/n − k'/n'): the canary's share of breaches, less what hit the stable version as well.
    ///
    /// It is at most k/n, so that common-mode rejection leaves the guarantee untouched.
    fn excess(&self) -> f64 {
        (self.canary.share() - self.stable.share()).max(0.0)
    }
}

/// One chain: the test over its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    /// The index of its newest block.
    last: Option<u64>,
    /// Its share of α.
    weight: f64,
    sums: Sums,
    /// ln weight + ln E.
    log_e: f64,
}

/// The burst-robust breach test of one share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainedBlocks {
    grid: OddsGrid,
    /// δ in blocks.
    gap: u32,
    newest: Option<u64>,
    chains: Vec<Chain>,
}

impl ChainedBlocks {
    /// Starts without evidence against "at most `p0` of a time slice's requests are bad", for pauses of up to `gap` blocks.
    ///
    /// `gap` + 1 chains share α: the first has half of it, so that sparse traffic, which needs but one, wastes little.
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1, and a gap above [`LONGEST_GAP`].
    pub fn new(p0: f64, gap: u32) -> Result<Self, ParameterError> {
        let grid = odds_grid(p0)?;
        if gap > LONGEST_GAP {
            return Err(ParameterError::Range { name: "gap", value: f64::from(gap), range: "at most 1000 blocks" });
        }
        let chain = |index: u32| {
            let weight = if gap == 0 {
                1.0
            } else if index == 0 {
                0.5
            } else {
                0.5 / f64::from(gap)
            };
            Chain { last: None, weight, sums: Sums::NONE, log_e: weight.ln() + Sums::NONE.log_e(&grid) }
        };
        Ok(Self { grid, gap, newest: None, chains: (0..=gap).map(chain).collect() })
    }

    /// Returns the share that may be bad.
    #[must_use]
    pub const fn p0(&self) -> f64 {
        self.grid.p0()
    }

    /// Takes in a final block, all of whose requests are resolved; returns ln E. One without canary requests is skipped.
    ///
    /// # Errors
    ///
    /// Refuses a block that does not come after all before it, and a share of its own that is not strictly between 0 and 1; the
    /// state is then unchanged.
    pub fn update(&mut self, block: &Block) -> Result<f64, ParameterError> {
        let p0 = parameter::share("p0", block.p0.unwrap_or(self.grid.p0()))?;
        if let Some(last) = self.newest.filter(|last| *last >= block.index) {
            return Err(ParameterError::Order { index: block.index, last });
        }
        if block.canary.requests == 0 {
            return Ok(self.log_e());
        }
        let (gap, excess) = (u64::from(self.gap), block.excess());
        let free = |chain: &&mut Chain| chain.last.is_none_or(|last| block.index - last > gap);
        // Blocks come in growing order, so at most `gap` chains are not free, and there are gap + 1.
        if let Some(chain) = self.chains.iter_mut().find(free) {
            let ln_factor = |omega: f64| (omega_to_lambda(omega, p0) * (excess - p0)).ln_1p();
            chain.last = Some(block.index);
            chain.sums.step_with_prior(&self.grid.each(|alternative| ln_factor(alternative.omega)));
            chain.log_e = chain.weight.ln() + chain.sums.log_e(&self.grid);
        }
        self.newest = Some(block.index);
        Ok(self.log_e())
    }

    /// Returns the largest ln E over the prefixes of blocks that are not final yet, without taking them in.
    ///
    /// The canary's requests in flight count as good and the stable version's as breaches, both of which only lower the evidence.
    ///
    /// # Errors
    ///
    /// As [`ChainedBlocks::update`].
    pub fn peek(&self, provisional: &[Block]) -> Result<f64, ParameterError> {
        let mut ahead = self.clone();
        provisional.iter().try_fold(self.log_e(), |best, block| Ok(best.max(ahead.update(block)?)))
    }

    /// Returns ln E after the final blocks: the largest over the chains, each with its share of α.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.chains.iter().map(|chain| chain.log_e).fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
#[path = "chained_tests.rs"]
mod tests;
