//! The odds grid: a finite mixture of twelve alternatives that serves counts, rates that vary, and losses between 0 and 1.
//!
//! Alternative j multiplies the odds of a breach by ω_j > 1 and has the weight q_j. The null rate p0 turns it into the factor
//! ω_j / (1 + p0 (ω_j − 1)) of a breach and 1 / (1 + p0 (ω_j − 1)) of a good request; in betting form (Waudby-Smith and Ramdas
//! 2024) that is 1 + λ_j (x − p0) with λ_j = (ω_j − 1) / (1 + p0 (ω_j − 1)), which holds for any x in \[0, 1\]. No special function
//! is needed, the value depends on counts alone, and shares below about 1.2 p0 are never found bad.

use serde::{Deserialize, Serialize};

use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::special::log_sum_exp;

/// The number of alternatives.
pub const ALTERNATIVES: usize = 12;

/// The least multiple of the odds.
const OMEGA_MIN: f64 = 1.5;

/// The probability of a breach under the last alternative, "practically every request is bad".
const THETA_MAX: f64 = 0.98;

/// The weight of the last alternative; the others share the rest equally.
const TOP_WEIGHT: f64 = 0.4;

/// One number for each alternative of a grid.
pub(super) type PerAlternative = [f64; ALTERNATIVES];

/// One alternative: the odds of a breach are `omega` times those of the null.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alternative {
    /// The multiple of the odds ω, above 1.
    pub omega: f64,
    /// Its weight q in the mixture; all weights sum to 1.
    pub weight: f64,
    /// λ = (ω − 1) / (1 + p0 (ω − 1)) for the rate the grid was made for.
    pub lambda: f64,
    ln_weight: f64,
    ln_omega: f64,
    /// ln (1 + p0 (ω − 1)) for the rate the grid was made for.
    ln_norm: f64,
}

impl Alternative {
    /// Returns ln of its weight.
    #[must_use]
    pub const fn ln_weight(&self) -> f64 {
        self.ln_weight
    }

    /// Returns ln of the likelihood ratio of `n` requests with `k` breaches: k ln ω − n ln (1 + p0 (ω − 1)).
    #[must_use]
    pub fn log_increment(&self, n: u64, k: u64) -> f64 {
        k as f64 * self.ln_omega - n as f64 * self.ln_norm
    }

    /// Returns the same for a null rate other than the grid's.
    #[must_use]
    pub fn log_increment_at(&self, p0: f64, n: u64, k: u64) -> f64 {
        k as f64 * self.ln_omega - n as f64 * (p0 * (self.omega - 1.0)).ln_1p()
    }
}

/// The alternatives for one null rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct OddsGrid {
    p0: f64,
    alternatives: [Alternative; ALTERNATIVES],
}

impl From<OddsGrid> for f64 {
    fn from(grid: OddsGrid) -> Self {
        grid.p0
    }
}

impl TryFrom<f64> for OddsGrid {
    type Error = ParameterError;

    fn try_from(p0: f64) -> Result<Self, ParameterError> {
        odds_grid(p0)
    }
}

impl OddsGrid {
    /// Returns the null rate.
    #[must_use]
    pub const fn p0(&self) -> f64 {
        self.p0
    }

    /// Returns the alternatives, by growing ω.
    #[must_use]
    pub const fn alternatives(&self) -> &[Alternative; ALTERNATIVES] {
        &self.alternatives
    }

    /// Mixes the alternatives' ln likelihood ratios: ln Σ q_j exp(x_j).
    pub(super) fn mix(&self, logs: &PerAlternative) -> f64 {
        log_sum_exp(logs.iter().zip(&self.alternatives).map(|(log, alternative)| log + alternative.ln_weight))
    }

    /// Computes one number for each alternative.
    pub(super) fn each(&self, f: impl FnMut(&Alternative) -> f64) -> PerAlternative {
        self.alternatives.each_ref().map(f)
    }
}

/// Makes the grid of a null rate: a geometric sequence of odds multiples from 1.5 to the one at which 98 % of the requests are
/// bad (or to 2.25 where that is more), the last with weight 0.4, the others sharing the rest.
///
/// # Errors
///
/// Refuses a `p0` that is not strictly between 0 and 1.
pub fn odds_grid(p0: f64) -> Result<OddsGrid, ParameterError> {
    let p0 = parameter::share("p0", p0)?;
    let last = ALTERNATIVES - 1;
    let top = ((THETA_MAX / (1.0 - THETA_MAX)) / (p0 / (1.0 - p0))).clamp(1.5 * OMEGA_MIN, f64::MAX);
    let ratio = (top / OMEGA_MIN).ln() / last as f64;
    let alternatives = std::array::from_fn(|index| {
        let omega = OMEGA_MIN * (ratio * index as f64).exp();
        let weight = if index == last { TOP_WEIGHT } else { (1.0 - TOP_WEIGHT) / last as f64 };
        Alternative {
            omega,
            weight,
            lambda: omega_to_lambda(omega, p0),
            ln_weight: weight.ln(),
            ln_omega: omega.ln(),
            ln_norm: (p0 * (omega - 1.0)).ln_1p(),
        }
    });
    Ok(OddsGrid { p0, alternatives })
}

/// Returns the bet λ = (ω − 1) / (1 + p0 (ω − 1)) that a multiple ω of the odds means, below 1/p0.
#[must_use]
pub fn omega_to_lambda(omega: f64, p0: f64) -> f64 {
    (omega - 1.0) / (1.0 + p0 * (omega - 1.0))
}

/// Returns ln E of the breach test of the grid's rate after `n` requests with `k` breaches, in any order.
#[must_use]
pub fn log_e_grid(n: u64, k: u64, grid: &OddsGrid) -> f64 {
    grid.mix(&grid.each(|alternative| alternative.log_increment(n, k.min(n))))
}

/// The breach test whose null rate may change from request to request, such as a looser one while a version warms up.
///
/// The rate of a request must be fixed before the request (predictable); the alternatives stay those of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaryingGrid {
    grid: OddsGrid,
    logs: PerAlternative,
}

impl VaryingGrid {
    /// Starts without evidence.
    #[must_use]
    pub const fn new(grid: OddsGrid) -> Self {
        Self { grid, logs: [0.0; ALTERNATIVES] }
    }

    /// Takes in `n` requests with `k` breaches, of which each was allowed to be bad with probability `p0`; returns ln E.
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1.
    pub fn update(&mut self, p0: f64, n: u64, k: u64) -> Result<f64, ParameterError> {
        let p0 = parameter::share("p0", p0)?;
        for (log, alternative) in self.logs.iter_mut().zip(&self.grid.alternatives) {
            *log += alternative.log_increment_at(p0, n, k.min(n));
        }
        Ok(self.log_e())
    }

    /// Returns ln E after the requests so far.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.grid.mix(&self.logs)
    }
}

/// Returns ln E of the breach test after the observations (null rate, whether it was a breach), in any order.
///
/// # Errors
///
/// Refuses a rate that is not strictly between 0 and 1.
pub fn log_e_grid_varying(observations: impl IntoIterator<Item = (f64, bool)>, grid: &OddsGrid) -> Result<f64, ParameterError> {
    let mut test = VaryingGrid::new(*grid);
    for (p0, breach) in observations {
        test.update(p0, 1, u64::from(breach))?;
    }
    Ok(test.log_e())
}

/// Returns ln E of the breach test of a mean loss of at most the grid's rate, from pairs of a loss and how often it occurred.
///
/// Losses lie between 0 and 1: larger ones count as 1, smaller ones and those that are no number as 0.
#[must_use]
pub fn log_e_bounded(counts: &[(f64, u64)], grid: &OddsGrid) -> f64 {
    bounded(counts.iter().map(|(loss, count)| (if *loss > 0.0 { loss.min(1.0) } else { 0.0 }, *count)), grid)
}

/// Returns ln E of the pass test of a mean loss below `m1`: the breach test of the gains 1 − loss.
///
/// `mirror` is the grid of 1 − m1. A loss that is no number counts as 1.
#[must_use]
pub fn log_e_bounded_pass(counts: &[(f64, u64)], mirror: &OddsGrid) -> f64 {
    bounded(counts.iter().map(|(loss, count)| (if *loss < 1.0 { 1.0 - loss.max(0.0) } else { 0.0 }, *count)), mirror)
}

fn bounded(counts: impl Iterator<Item = (f64, u64)> + Clone, grid: &OddsGrid) -> f64 {
    grid.mix(&grid.each(|alternative| {
        let factor = |x: f64, count: u64| count as f64 * (alternative.lambda * (x - grid.p0)).ln_1p();
        counts.clone().filter(|(_, count)| *count > 0).map(|(x, count)| factor(x, count)).sum()
    }))
}

/// How many requests an Apdex of threshold T found in each class.
///
/// In flight, a request is satisfied until T has passed, tolerating until 4 T, frustrated then: its loss only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ApdexCounts {
    /// Answered within T.
    pub satisfied: u64,
    /// Answered within 4 T.
    pub tolerating: u64,
    /// Answered later, failed, or not at all.
    pub frustrated: u64,
}

impl ApdexCounts {
    /// Returns the losses 0, ½ and 1 with their counts; the mean loss is one minus the Apdex.
    const fn losses(&self) -> [(f64, u64); 3] {
        [(0.0, self.satisfied), (0.5, self.tolerating), (1.0, self.frustrated)]
    }

    /// Returns ln E of the breach test of "the Apdex is at least `target`".
    ///
    /// # Errors
    ///
    /// Refuses a target that is not strictly between 0 and 1.
    pub fn log_e_breach(&self, target: f64) -> Result<f64, ParameterError> {
        Ok(log_e_bounded(&self.losses(), &odds_grid(1.0 - parameter::share("target", target)?)?))
    }

    /// Returns ln E of the pass test of the same: evidence that the Apdex is above `target`.
    ///
    /// # Errors
    ///
    /// Refuses a target that is not strictly between 0 and 1.
    pub fn log_e_pass(&self, target: f64) -> Result<f64, ParameterError> {
        Ok(log_e_bounded_pass(&self.losses(), &odds_grid(parameter::share("target", target)?)?))
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
