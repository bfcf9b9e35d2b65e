//! What an e-value is computed from, complete enough to compute it again from the journal.
//!
//! Tests over blocks are kept as their state before the oldest recorded block, and the blocks since then.

use serde::{Deserialize, Serialize};

use crate::domain::stats::chained::{self, ChainedBlocks};
use crate::domain::stats::chained_mean::{ChainedMean, MeanBlock};
use crate::domain::stats::changepoint::ChangepointGrid;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance;
use crate::domain::stats::grid::{OddsGrid, log_e_bounded_pass, odds_grid, omega_to_lambda};
use crate::domain::stats::mean::{LAMBDAS, MeanPass};
use crate::domain::stats::parameter::ParameterError;
use crate::domain::stats::special::log_sum_exp;
use crate::domain::stats::two_arm::{Bets, Comparison, Guess, TwoArm};

/// A block of both arms for the comparison with the stable version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmBlock {
    /// The chance that a request goes to the canary.
    pub weight: f64,
    /// The stable version's share of breaches as it was known when the block began, on which the bets rest.
    pub rate: f64,
    /// The canary's requests; in flight counts as good.
    pub canary: Counts,
    /// The stable version's requests; in flight counts as breaches.
    pub stable: Counts,
}

impl ArmBlock {
    /// Returns the bets of the block.
    ///
    /// # Errors
    ///
    /// Refuses a weight that is not strictly between 0 and 1, and parameters that no test has.
    pub fn bets(comparison: Comparison, weight: f64, rate: f64) -> Result<Bets, ParameterError> {
        TwoArm::new(comparison, Guess { rate, requests: 1.0, memory: 1.0 })?.open(weight)
    }
}

/// How many requests lost nothing, half and all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Lost nothing.
    pub none: u64,
    /// Lost half.
    pub half: u64,
    /// Lost all.
    pub whole: u64,
}

impl Losses {
    /// Adds other requests.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { none: self.none + other.none, half: self.half + other.half, whole: self.whole + other.whole }
    }

    /// Returns the number of requests.
    #[must_use]
    pub const fn requests(self) -> u64 {
        self.none + self.half + self.whole
    }

    /// Returns the mean loss; 0 without requests.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.requests() == 0 { 0.0 } else { (self.half as f64 / 2.0 + self.whole as f64) / self.requests() as f64 }
    }

    /// Returns the losses with their counts.
    #[must_use]
    pub const fn counts(self) -> [(f64, u64); 3] {
        [(0.0, self.none), (0.5, self.half), (1.0, self.whole)]
    }
}

/// What the evidence of one test rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The k-th breach was request number n, against a share p0.
    Exceedance {
        /// The share that may be bad.
        p0: f64,
        /// n.
        requests: u64,
        /// k.
        breaches: u64,
    },
    /// Requests in chained blocks.
    Chained {
        /// The test before the blocks.
        start: ChainedBlocks,
        /// The blocks.
        blocks: Vec<chained::Block>,
    },
    /// Averages in chained blocks.
    ChainedMean {
        /// The test before the blocks.
        start: ChainedMean,
        /// The blocks.
        blocks: Vec<MeanBlock>,
    },
    /// Requests in blocks, for a version that turns bad late.
    ChangePoint {
        /// The test before the blocks.
        start: ChangepointGrid,
        /// The blocks.
        blocks: Vec<Counts>,
    },
    /// Requests of both arms.
    TwoArm {
        /// What is compared.
        comparison: Comparison,
        /// The test before the blocks.
        start: TwoArm,
        /// The blocks.
        blocks: Vec<ArmBlock>,
    },
    /// The sums over requests of ln (1 − λ + λ L/limit), one for each λ of the breach test of a mean.
    Mean {
        /// The sums.
        logs: Vec<f64>,
        /// Over how many requests, and over how many of the warm-up, which are allowed more.
        #[serde(default)]
        requests: [u64; 2],
    },
    /// Losses against the mean loss that is allowed, and losses of a warm-up against the looser one.
    Bounded {
        /// The mean loss allowed.
        loss: f64,
        /// The requests.
        losses: Losses,
        /// The mean loss allowed in the warm-up.
        warm_loss: f64,
        /// The requests of the warm-up.
        warm: Losses,
    },
    /// Of n resolved requests k were bad, as evidence that fewer than a share p1 are.
    Pass {
        /// The share below which a version passes, the gate's margin included.
        p1: f64,
        /// n.
        requests: u64,
        /// k.
        breaches: u64,
    },
    /// Losses, as evidence that the mean loss is below a share.
    BoundedPass {
        /// The mean loss below which a version passes, the gate's margin included.
        share: f64,
        /// The resolved requests.
        losses: Losses,
    },
    /// Latencies, as evidence that their mean is below a limit.
    MeanPass {
        /// The test with its sums over the resolved requests.
        test: Box<MeanPass>,
    },
}

/// Why evidence cannot be computed again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unverifiable {
    /// It was recorded without what it rests on, by arithmetic other than a test or by an older program.
    #[error("the evidence was recorded without the figures it rests on")]
    NoBasis,
    /// No test has such parameters.
    #[error("the evidence rests on impossible figures")]
    Impossible(#[from] ParameterError),
}

impl Basis {
    /// Computes ln E.
    ///
    /// # Errors
    ///
    /// Fails for parameters that no test has.
    pub fn log_e(&self) -> Result<f64, Unverifiable> {
        Ok(match self {
            Self::Exceedance { p0, requests, breaches } => exceedance::log_e_breach(*requests, *breaches, *p0),
            Self::Pass { p1, requests, breaches } => exceedance::log_e_pass(*requests, *breaches, *p1),
            Self::BoundedPass { share, losses } => log_e_bounded_pass(&losses.counts(), &odds_grid(1.0 - share)?),
            Self::MeanPass { test } => test.log_e(),
            Self::Chained { start, blocks } => {
                let mut test = start.clone();
                blocks.iter().try_fold(test.log_e(), |_, block| test.update(block))?
            }
            Self::ChainedMean { start, blocks } => {
                let mut test = start.clone();
                blocks.iter().try_fold(test.log_e(), |_, block| test.update(block))?
            }
            Self::ChangePoint { start, blocks } => {
                let mut test = *start;
                blocks.iter().fold(test.log_e(), |_, block| test.update(block.requests, block.breaches))
            }
            Self::TwoArm { comparison, start, blocks } => {
                let mut test = start.clone();
                blocks.iter().try_fold(test.log_e(), |_, block| {
                    let bets = ArmBlock::bets(*comparison, block.weight, block.rate)?;
                    Ok::<f64, ParameterError>(test.close(&bets, block.canary, block.stable))
                })?
            }
            Self::Mean { logs, .. } => log_e_of_mean(logs),
            Self::Bounded { loss, losses, warm_loss, warm } => log_e_of_losses((*loss, *losses), (*warm_loss, *warm))?,
        })
    }

    /// Returns the requests and the breaches the e-value is computed from, where it is computed from such counts alone.
    #[must_use]
    pub const fn counts(&self) -> Option<(u64, u64)> {
        match self {
            Self::Exceedance { requests, breaches, .. } | Self::Pass { requests, breaches, .. } => Some((*requests, *breaches)),
            _ => None,
        }
    }
}

/// Returns ln E of the breach test of a mean from its sums, mixed with equal weights.
#[must_use]
pub fn log_e_of_mean(logs: &[f64]) -> f64 {
    log_sum_exp(logs.iter().copied()) - (LAMBDAS.len() as f64).ln()
}

/// Returns ln E of the breach test of a mean loss over requests of which those of the warm-up were allowed a larger one.
///
/// It is the bounded test of the odds grid, whose bet on a request is that of the loss allowed for it.
///
/// # Errors
///
/// Refuses a mean loss that is not strictly between 0 and 1.
pub fn log_e_of_losses(normal: (f64, Losses), warm: (f64, Losses)) -> Result<f64, ParameterError> {
    odds_grid(warm.0)?;
    Ok(log_e_of_losses_in(&odds_grid(normal.0)?, normal.1, warm))
}

/// As [`log_e_of_losses`], with the grid of the mean loss that is allowed, which takes longer to make than to use; a mean loss allowed
/// in the warm-up that is no share gives a number without a meaning.
#[must_use]
pub fn log_e_of_losses_in(grid: &OddsGrid, normal: Losses, warm: (f64, Losses)) -> f64 {
    let sum = |omega: f64, (allowed, losses): (f64, Losses)| {
        let lambda = omega_to_lambda(omega, allowed);
        let lost = losses.counts().into_iter().filter(|(_, count)| *count > 0);
        lost.map(|(loss, count)| count as f64 * (lambda * (loss - allowed)).ln_1p()).sum::<f64>()
    };
    let normal = (grid.p0(), normal);
    log_sum_exp(
        grid.alternatives().map(|alternative| alternative.ln_weight() + sum(alternative.omega, normal) + sum(alternative.omega, warm)),
    )
}

#[cfg(test)]
#[path = "basis_tests.rs"]
mod tests;
