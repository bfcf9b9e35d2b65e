//! Tests that react to a version turning bad later: the change-point mixture, and the e-detector for after a promotion.
//!
//! E_b = Σ_{ν ≤ b} w_ν Σ_j q_j LR_j(blocks ν…b) + tail(b), by the recursion S_j ← (S_j + w_b) · factor_j over the alternatives of
//! the odds grid. It is a martingale at the null rate, so that P(ever a false alarm) ≤ α over an infinite horizon; a change
//! at block ν costs ln(1/w_ν) nats. Requests must be independent given the past: under bursts the chained blocks use the same
//! prior. The e-detector (Shin, Ramdas and Rinaldo 2024) is the same recursion with w = 1 and has an average run length instead.

use std::f64::consts::E;

use serde::{Deserialize, Serialize};

use crate::domain::stats::grid::{ALTERNATIVES, OddsGrid, PerAlternative, odds_grid};
use crate::domain::stats::parameter::ParameterError;
use crate::domain::stats::special::log_add_exp;

/// The prior mass on "bad from the very first block".
pub const START_MASS: f64 = 0.5;

/// Returns the prior chance that the change comes with block `b`, from 1: w_b = 1/ln(b+e−1) − 1/ln(b+e); 0 for b = 0.
///
/// The weights of all blocks sum to 1. The difference is written so that nothing cancels.
#[must_use]
pub fn changepoint_weight(b: u64) -> f64 {
    if b == 0 {
        return 0.0;
    }
    let x = b as f64 + E - 1.0;
    (1.0 / x).ln_1p() / (x.ln() * (x + 1.0).ln())
}

/// Returns the prior chance that the change comes after block `b`: 1/ln(b+e).
#[must_use]
pub fn changepoint_tail(b: u64) -> f64 {
    1.0 / (b as f64 + E).ln()
}

/// Returns the prior chance of "bad from block `b` on" with an extra `start_mass`, from 0 to 1, on block 1.
#[must_use]
pub fn start_weight(b: u64, start_mass: f64) -> f64 {
    let weight = (1.0 - start_mass) * changepoint_weight(b);
    if b == 1 { weight + start_mass } else { weight }
}

/// Returns the prior chance of "not bad up to block `b`" with an extra `start_mass` on block 1.
#[must_use]
pub fn start_tail(b: u64, start_mass: f64) -> f64 {
    if b == 0 { 1.0 } else { (1.0 - start_mass) * changepoint_tail(b) }
}

/// The sums S_j of the recursion, as logarithms, over the blocks so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    blocks: u64,
    /// Not read before the first block, when each sum is 0 and its logarithm no number that could be written down.
    logs: PerAlternative,
}

impl Sums {
    /// The sums before the first block.
    pub(super) const NONE: Self = Self { blocks: 0, logs: [0.0; ALTERNATIVES] };

    /// Takes in a block: S_j ← (S_j + w) · factor_j, with the weight w of the block now begun as a logarithm.
    pub(super) fn step(&mut self, ln_weight: impl Fn(u64) -> f64, ln_factors: &PerAlternative) {
        self.blocks = self.blocks.saturating_add(1);
        let ln_weight = ln_weight(self.blocks);
        for (log, ln_factor) in self.logs.iter_mut().zip(ln_factors) {
            let sum = if self.blocks == 1 { ln_weight } else { log_add_exp(*log, ln_weight) };
            *log = sum + ln_factor;
        }
    }

    /// Takes in a block with the change-point prior.
    pub(super) fn step_with_prior(&mut self, ln_factors: &PerAlternative) {
        self.step(|block| start_weight(block, START_MASS).ln(), ln_factors);
    }

    /// Returns ln Σ q_j S_j, −∞ before the first block.
    fn mixed(&self, grid: &OddsGrid) -> f64 {
        if self.blocks == 0 { f64::NEG_INFINITY } else { grid.mix(&self.logs) }
    }

    /// Returns ln (Σ q_j S_j + tail): the evidence under the change-point prior.
    pub(super) fn log_e(&self, grid: &OddsGrid) -> f64 {
        log_add_exp(self.mixed(grid), start_tail(self.blocks, START_MASS).ln())
    }
}

/// The breach test of a share that also reacts to a version turning bad later.
///
/// Half of the prior mass lies on the first block ([`START_MASS`]). A block is a stretch of requests in start order; its size
/// is free, one request to hundreds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangepointGrid {
    grid: OddsGrid,
    sums: Sums,
}

impl ChangepointGrid {
    /// Starts without evidence against "at most `p0` of the requests are bad".
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1.
    pub fn new(p0: f64) -> Result<Self, ParameterError> {
        Ok(Self { grid: odds_grid(p0)?, sums: Sums::NONE })
    }

    /// Takes in a final block, all of whose `n` requests are resolved and `k` were bad; returns ln E. An empty one is skipped.
    pub fn update(&mut self, n: u64, k: u64) -> f64 {
        if n > 0 {
            self.sums.step_with_prior(&self.grid.each(|alternative| alternative.log_increment(n, k.min(n))));
        }
        self.log_e()
    }

    /// Returns the largest ln E over the prefixes of blocks that are not final yet, without taking them in.
    ///
    /// Each is the number of requests started and of known breaches; what is in flight counts as good (Theorem 1 of the
    /// project's statistics).
    #[must_use]
    pub fn peek(&self, provisional: &[(u64, u64)]) -> f64 {
        let mut ahead = *self;
        provisional.iter().fold(self.log_e(), |best, (n, k)| best.max(ahead.update(*n, *k)))
    }

    /// Returns the share that may be bad.
    #[must_use]
    pub const fn p0(&self) -> f64 {
        self.grid.p0()
    }

    /// Returns ln E after the final blocks.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.sums.log_e(&self.grid)
    }
}

/// The e-detector: watches a promoted version for ever, at the price of one false alarm in a stated number of blocks.
///
/// M_b = Σ_{ν ≤ b} Σ_j q_j LR_j(blocks ν…b). With the threshold A, the average number of blocks until a false alarm is at least A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    grid: OddsGrid,
    sums: Sums,
}

impl Detector {
    /// Starts with M = 0 against "at most `p0` of the requests are bad".
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1.
    pub fn new(p0: f64) -> Result<Self, ParameterError> {
        Ok(Self { grid: odds_grid(p0)?, sums: Sums::NONE })
    }

    /// Takes in a final block, all of whose `n` requests are resolved and `k` were bad; returns ln M. An empty one is skipped.
    pub fn update(&mut self, n: u64, k: u64) -> f64 {
        if n > 0 {
            self.sums.step(|_| 0.0, &self.grid.each(|alternative| alternative.log_increment(n, k.min(n))));
        }
        self.log_value()
    }

    /// Returns ln M; −∞ before the first block.
    #[must_use]
    pub fn log_value(&self) -> f64 {
        self.sums.mixed(&self.grid)
    }

    /// Says whether M has reached the threshold, the average run length in blocks that is wanted between false alarms.
    #[must_use]
    pub fn alarms(&self, run_length: f64) -> bool {
        self.log_value() >= run_length.ln()
    }

    /// Starts again with M = 0, after an alarm was dealt with.
    pub const fn reset(&mut self) {
        self.sums = Sums::NONE;
    }
}

#[cfg(test)]
#[path = "changepoint_tests.rs"]
mod tests;
