//! The tests against the live stable version: worse than it by more than a margin, and not worse by as much as one.
//!
//! Data come in blocks of start time with a constant chance w that a request goes to the canary; inside a block the alternatives
//! are frozen ([`Bets`]), chosen when the block begins from blocks before it. Each enters by the ratio of its likelihood to that of
//! its [projection](crate::domain::stats::projection) on the null, through the block's four counts alone, so blocks of several
//! proxies merge. Valid for any allocation, weights that change between blocks, and any drift common to both versions; needs a
//! random choice of version per request, or exact proportions per block.

use serde::{Deserialize, Serialize};

use crate::domain::stats::counts::Counts;
use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::projection::{boundary_diff, boundary_ratio, project_diff, project_ratio};
use crate::domain::stats::special::log_sum_exp;

/// The multiples of the odds at the edge of the null, one for each alternative of the breach test.
pub const OMEGAS: [f64; 9] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];

/// The multiples of the stable version's share, one for each alternative of the pass test.
pub const KAPPAS: [f64; 4] = [1.0, 0.8, 0.5, 0.2];

/// The least share of breaches assumed of either version, and the least of good requests.
const LEAST_SHARE: f64 = 1e-6;

/// What is asked of the canary's share of breaches p_c in terms of the stable version's p_b.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Worse is: not p_c ≤ ρ p_b.
    Ratio(f64),
    /// Worse is: not p_c ≤ p_b + δ.
    Difference(f64),
    /// Not worse is: not p_c ≥ ρ p_b (non-inferiority).
    Within(f64),
    /// Not worse is: not p_c ≥ p_b + δ.
    WithinDifference(f64),
}

impl Comparison {
    fn check(self) -> Result<Self, ParameterError> {
        match self {
            Self::Ratio(rho) => drop(parameter::positive("ratio", rho)?),
            Self::Difference(delta) if !(0.0..1.0).contains(&delta) => {
                return Err(ParameterError::Range { name: "difference", value: delta, range: "at least 0 and below 1" });
            }
            Self::Within(rho) if !(rho >= 1.0 && rho.is_finite()) => {
                return Err(ParameterError::Range { name: "tolerated ratio", value: rho, range: "at least 1 and finite" });
            }
            Self::WithinDifference(delta) => drop(parameter::share("tolerated difference", delta)?),
            Self::Difference(_) | Self::Within(_) => {}
        }
        Ok(self)
    }

    /// The alternatives tried, as multiples.
    const fn multiples(self) -> &'static [f64] {
        match self {
            Self::Ratio(_) | Self::Difference(_) => &OMEGAS,
            Self::Within(_) | Self::WithinDifference(_) => &KAPPAS,
        }
    }

    /// Returns the alternative (θ_c, θ_b) of a multiple and its projection (a, b), for a stable version with share `rate`.
    fn alternative(self, multiple: f64, rate: f64, w: f64) -> [(f64, f64); 2] {
        let share = |value: f64| value.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
        let beyond = |edge: f64| {
            let odds = multiple * share(edge) / (1.0 - share(edge));
            odds / (1.0 + odds)
        };
        match self {
            Self::Ratio(rho) => {
                let (c, b) = (beyond(rho * share(rate)), share(rate));
                [(c, b), project_ratio(c, b, w, rho)]
            }
            Self::Difference(delta) => {
                let (c, b) = (beyond(share(rate) + delta), share(rate));
                [(c, b), project_diff(c, b, w, delta)]
            }
            Self::WithinDifference(delta) => {
                let most = (1.0 - delta) * 0.999;
                let b = rate.clamp(LEAST_SHARE.min(most), most);
                [(multiple * b, b), boundary_diff(multiple * b, b, w, delta)]
            }
            Self::Within(rho) => {
                let b = rate.clamp(LEAST_SHARE.min(0.999 / rho), 0.999 / rho);
                [(multiple * b, b), boundary_ratio(multiple * b, b, w, rho)]
            }
        }
    }
}

/// The ln factors of one alternative for each kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bet {
    canary_bad: f64,
    canary_good: f64,
    stable_bad: f64,
    stable_good: f64,
}

impl Bet {
    fn new([(theta_c, theta_b), (a, b)]: [(f64, f64); 2]) -> Self {
        let (bad, good) = (|theta: f64, p: f64| (theta / p).ln(), |theta: f64, p: f64| ((1.0 - theta) / (1.0 - p)).ln());
        Self { canary_bad: bad(theta_c, a), canary_good: good(theta_c, a), stable_bad: bad(theta_b, b), stable_good: good(theta_b, b) }
    }

    fn log_factor(&self, canary: Counts, stable: Counts) -> f64 {
        canary.bad() as f64 * self.canary_bad
            + canary.good() as f64 * self.canary_good
            + stable.bad() as f64 * self.stable_bad
            + stable.good() as f64 * self.stable_good
    }
}

/// The alternatives of one block, frozen when it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bets(Vec<Bet>);

/// A block that is not final yet.
#[derive(Clone, Copy, Debug)]
pub struct OpenBlock<'a> {
    /// The alternatives frozen when it began.
    pub bets: &'a Bets,
    /// The canary's requests; in flight counts as good.
    pub canary: Counts,
    /// The stable version's requests; in flight must be counted as breaches ([`Counts::with_in_flight_bad`]).
    pub stable: Counts,
}

/// What is known of the stable version before the first block: affects how soon a test decides, never its validity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    /// Its share of breaches, from 0 to 1.
    pub rate: f64,
    /// How many requests that guess is worth.
    pub requests: f64,
    /// What is left of the weight of earlier requests after each block, above 0 to 1: 1 forgets nothing, 0.999 has a memory of
    /// about a thousand blocks.
    pub memory: f64,
}

impl Guess {
    /// Guesses a share of breaches, worth 20 requests, forgetting nothing.
    #[must_use]
    pub const fn of(rate: f64) -> Self {
        Self { rate, requests: 20.0, memory: 1.0 }
    }

    fn check(self) -> Result<Self, ParameterError> {
        let (shares, memories) = ("from 0 to 1", "above 0 and at most 1");
        let refuse = |name, value, range| Err(ParameterError::Range { name, value, range });
        if !(0.0..=1.0).contains(&self.rate) {
            return refuse("guessed rate", self.rate, shares);
        }
        if !(self.memory > 0.0 && self.memory <= 1.0) {
            return refuse("memory", self.memory, memories);
        }
        parameter::positive("requests the guess is worth", self.requests)?;
        Ok(self)
    }
}

/// The running test of one comparison with the stable version.
///
/// For [`Comparison::Within`] and [`Comparison::WithinDifference`], pass tests both, only final blocks may be taken in, and none
/// be peeked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoArm {
    comparison: Comparison,
    guess: Guess,
    /// The stable version's requests and breaches of final blocks, those of the guess included, faded by its memory.
    requests: f64,
    breaches: f64,
    /// ln of the likelihood ratio of each alternative.
    logs: Vec<f64>,
}

impl TwoArm {
    /// Starts without evidence.
    ///
    /// # Errors
    ///
    /// Refuses a margin or a guess outside its range.
    pub fn new(comparison: Comparison, guess: Guess) -> Result<Self, ParameterError> {
        let (comparison, guess) = (comparison.check()?, guess.check()?);
        let logs = vec![0.0; comparison.multiples().len()];
        Ok(Self { comparison, guess, requests: guess.requests, breaches: guess.requests * guess.rate, logs })
    }

    /// Freezes the alternatives of the block that begins now, in which the canary gets requests with chance `w`.
    ///
    /// A change of the weight begins a new block.
    ///
    /// # Errors
    ///
    /// Refuses a chance that is not strictly between 0 and 1: with one version alone there is nothing to compare.
    pub fn open(&self, w: f64) -> Result<Bets, ParameterError> {
        let w = parameter::share("canary weight", w)?;
        let rate = if self.requests > 0.0 { self.breaches / self.requests } else { self.guess.rate };
        let bet = |multiple: &f64| Bet::new(self.comparison.alternative(*multiple, rate, w));
        Ok(Bets(self.comparison.multiples().iter().map(bet).collect()))
    }

    /// Takes in a final block with the alternatives frozen when it began; returns ln E.
    pub fn close(&mut self, bets: &Bets, canary: Counts, stable: Counts) -> f64 {
        add(&mut self.logs, bets, canary, stable);
        self.requests = self.requests * self.guess.memory + stable.requests as f64;
        self.breaches = self.breaches * self.guess.memory + stable.bad() as f64;
        self.log_e()
    }

    /// Takes in a final block, its alternatives chosen from the blocks taken in before it; returns ln E.
    ///
    /// # Errors
    ///
    /// As [`TwoArm::open`].
    pub fn update(&mut self, w: f64, canary: Counts, stable: Counts) -> Result<f64, ParameterError> {
        let bets = self.open(w)?;
        Ok(self.close(&bets, canary, stable))
    }

    /// Returns the largest ln E over the prefixes of blocks that are not final yet, without taking them in.
    #[must_use]
    pub fn peek(&self, open: &[OpenBlock]) -> f64 {
        let mut logs = self.logs.clone();
        open.iter().fold(self.log_e(), |best, block| {
            add(&mut logs, block.bets, block.canary, block.stable);
            best.max(mixed(&logs))
        })
    }

    /// Returns ln E after the final blocks.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        mixed(&self.logs)
    }
}

fn add(logs: &mut [f64], bets: &Bets, canary: Counts, stable: Counts) {
    for (log, bet) in logs.iter_mut().zip(&bets.0) {
        *log += bet.log_factor(canary, stable);
    }
}

/// Mixes the alternatives with equal weights.
fn mixed(logs: &[f64]) -> f64 {
    log_sum_exp(logs.iter().copied()) - (logs.len() as f64).ln()
}

#[cfg(test)]
#[path = "two_arm_tests.rs"]
mod tests;
