//! The one-arm tests of a share of bad requests: the breach e-process, its mirror image for passing, their tables and bounds.
//!
//! The null of the breach test is "each request is bad with probability at most p0, given the past"; that of the pass
//! test is "at least p1". Both are truncated-Beta mixtures of likelihood ratios (Robbins 1970), evaluated as in
//! the project's statistics: where breaches are few all large terms cancel, so that nothing underflows.
//!
//! Functions that take a bare share are total: where it is not strictly between 0 and 1 there is no test, hence no evidence.

use serde::{Deserialize, Serialize};

use crate::domain::stats::crossing::crossing;
use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::special::{beta_fraction, ln_beta, ln_inc_beta};

/// The parameters of the mixing Beta distribution, Jeffreys' choice.
const JEFFREYS: (f64, f64) = (0.5, 0.5);

/// The largest request number the tables consider, 2^40.
const CAP: u64 = 1 << 40;

/// The breach e-process of one allowed share, with the constants of its formula computed once.
///
/// E(n, k) = ∫ (t/p0)^k ((1−t)/(1−p0))^(n−k) w(t) dt over (p0, 1), with w a Beta(a, b) truncated to that interval
/// = B(a+k, b+n−k) \[1 − I_p0(a+k, b+n−k)\] / {B(a, b) \[1 − I_p0(a, b)\] p0^k (1−p0)^(n−k)}.
/// It grows strictly in k and falls strictly in n.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct BetaMixture {
    p0: f64,
    a: f64,
    b: f64,
    /// ln p0 and ln (1 − p0).
    ln_bad: f64,
    ln_good: f64,
    /// ln {B(a, b) \[1 − I_p0(a, b)\]}.
    ln_z: f64,
}

/// What of a mixture is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    p0: f64,
    a: f64,
    b: f64,
}

impl From<BetaMixture> for Written {
    fn from(BetaMixture { p0, a, b, .. }: BetaMixture) -> Self {
        Self { p0, a, b }
    }
}

impl TryFrom<Written> for BetaMixture {
    type Error = ParameterError;

    fn try_from(Written { p0, a, b }: Written) -> Result<Self, ParameterError> {
        Self::with_prior(p0, a, b)
    }
}

impl BetaMixture {
    /// Makes the test of "at most `p0` of the requests are bad" with a = b = ½.
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1.
    pub fn new(p0: f64) -> Result<Self, ParameterError> {
        Self::with_prior(p0, JEFFREYS.0, JEFFREYS.1)
    }

    /// Makes the same test with a mixing Beta(`a`, `b`).
    ///
    /// # Errors
    ///
    /// Refuses a `p0` that is not strictly between 0 and 1, and an `a` or `b` that is not a finite number above 0.
    pub fn with_prior(p0: f64, a: f64, b: f64) -> Result<Self, ParameterError> {
        let p0 = parameter::share("p0", p0)?;
        let (a, b) = (parameter::positive("a", a)?, parameter::positive("b", b)?);
        Ok(Self { p0, a, b, ln_bad: p0.ln(), ln_good: (-p0).ln_1p(), ln_z: ln_beta(a, b) + ln_inc_beta(a, b, p0).1 })
    }

    /// Returns the share that may be bad.
    #[must_use]
    pub const fn p0(&self) -> f64 {
        self.p0
    }

    /// Returns ln E(n, k) after `n` requests of which `k` were bad; 0 without requests, and k > n counts as n.
    #[must_use]
    pub fn log_e(&self, n: u64, k: u64) -> f64 {
        if n == 0 {
            return 0.0;
        }
        let (bad, good) = (k.min(n) as f64, n.saturating_sub(k) as f64);
        let (a, b) = (self.a + bad, self.b + good);
        if self.p0 > (a + 1.0) / (a + b + 2.0) {
            // Few breaches: B(a, b) p0^−k (1−p0)^−(n−k) cancels against the front factor of the incomplete beta function.
            return self.a * self.ln_bad + self.b * self.ln_good - b.ln() + beta_fraction(b, a, 1.0 - self.p0).ln() - self.ln_z;
        }
        ln_beta(a, b) + ln_inc_beta(a, b, self.p0).1 - self.ln_z - bad * self.ln_bad - good * self.ln_good
    }

    /// Returns the largest n ≤ 2^40 for which `k` breaches among `n` requests reach `log_threshold`, or 0 when none does.
    #[must_use]
    pub fn n_max(&self, k: u64, log_threshold: f64) -> u64 {
        let enough = |n: u64| self.log_e(n, k) >= log_threshold;
        if k == 0 || k > CAP || !enough(k) { 0 } else { gallop(k, k, enough) }
    }

    /// Returns `n_max` for k = 1, 2, …, `length`, each found from the one before, which it always exceeds.
    #[must_use]
    pub fn n_max_table(&self, log_threshold: f64, length: u64) -> Box<[u64]> {
        edges(length, |n, k| self.log_e(n, k) >= log_threshold)
    }
}

/// Returns the last n that is `enough` for k = 1, 2, …, `length`, 0 where k itself is not: each is sought where the one before and its
/// growth lead.
fn edges(length: u64, enough: impl Fn(u64, u64) -> bool) -> Box<[u64]> {
    let (mut previous, mut growth) = (0_u64, 0);
    let edge = |k| {
        let enough = |n| enough(n, k);
        let found = match previous {
            0 if !enough(k) => 0,
            0 => gallop(k, k, enough),
            _ => gallop(previous, previous.saturating_add(growth), enough),
        };
        (previous, growth) = (found, found - previous);
        found
    };
    (1..=length).map(edge).collect()
}

/// Returns the last n from `from` on, at most 2^40, that is `enough`, where all are up to some n and `from` is. It is looked for in
/// growing steps up or down from `guess`.
fn gallop(from: u64, guess: u64, enough: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high, mut step) = (from, guess.clamp(from, CAP), 1_u64);
    if high > low && !enough(high) {
        while high.saturating_sub(step) > low && !enough(high - step) {
            high -= step;
            step = step.saturating_mul(2);
        }
        low = low.max(high.saturating_sub(step));
    } else {
        low = high;
        while low < CAP && enough(low.saturating_add(step)) {
            low = low.saturating_add(step);
            step = step.saturating_mul(2);
        }
        if low >= CAP {
            return CAP;
        }
        high = low.saturating_add(step);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) { low = middle } else { high = middle }
    }
    low.min(CAP)
}

/// Returns ln E(n, k) of the breach test: evidence that more than `p0` of the requests are bad.
///
/// `n` is the number of requests, `k ≤ n` how many were bad, `p0` the share allowed, strictly between 0 and 1.
/// The formula is that of [`BetaMixture`].
#[must_use]
pub fn log_e_breach(n: u64, k: u64, p0: f64) -> f64 {
    log_e_breach_with(n, k, p0, JEFFREYS)
}

/// Returns ln E(n, k) of the breach test with a mixing Beta(`prior.0`, `prior.1`).
#[must_use]
pub fn log_e_breach_with(n: u64, k: u64, p0: f64, prior: (f64, f64)) -> f64 {
    BetaMixture::with_prior(p0, prior.0, prior.1).map_or(0.0, |test| test.log_e(n, k))
}

/// Returns ln E(n, k) of the pass test: evidence that fewer than `p1` of the requests are bad.
///
/// It is the breach test of the good ones: E_pass(n, k; p1) = E_breach(n, n−k; 1−p1).
#[must_use]
pub fn log_e_pass(n: u64, k: u64, p1: f64) -> f64 {
    log_e_pass_with(n, k, p1, JEFFREYS)
}

/// Returns ln E(n, k) of the pass test with a mixing Beta(`prior.0`, `prior.1`) for the share of bad ones.
#[must_use]
pub fn log_e_pass_with(n: u64, k: u64, p1: f64, prior: (f64, f64)) -> f64 {
    log_e_breach_with(n, n.saturating_sub(k), 1.0 - p1, (prior.1, prior.0))
}

/// Returns the largest n for which `k` breaches among `n` requests suffice, or 0 when none does.
///
/// `log_threshold` is ln(1/α). E(n, k) falls strictly in n, so the test becomes one integer compare.
#[must_use]
pub fn breach_n_max(k: u64, p0: f64, log_threshold: f64) -> u64 {
    BetaMixture::new(p0).map_or(0, |test| test.n_max(k, log_threshold))
}

/// Returns the smallest number of resolved requests that lets a version with `k` bad ones pass.
///
/// `log_threshold` is ln(1/β). Returns `u64::MAX` when more than 2^40 would be needed.
#[must_use]
pub fn pass_n_min(k: u64, p1: f64, log_threshold: f64) -> u64 {
    BetaMixture::new(1.0 - p1).map_or(u64::MAX, |mirror| n_min(&mirror, k, k, log_threshold))
}

/// Returns `pass_n_min` for k = 0, 1, …, `length` − 1, each found from the one before, which it always exceeds.
#[must_use]
pub fn pass_n_min_table(p1: f64, log_threshold: f64, length: u64) -> Box<[u64]> {
    let mirror = BetaMixture::new(1.0 - p1);
    let mut previous = 0;
    (0..length)
        .map(|k| {
            previous = mirror.as_ref().map_or(u64::MAX, |mirror| n_min(mirror, k, previous.max(k), log_threshold));
            previous
        })
        .collect()
}

/// Finds the smallest n that passes with `k` bad ones, known to be at least `from`.
fn n_min(mirror: &BetaMixture, k: u64, from: u64, log_threshold: f64) -> u64 {
    let enough = |n: u64| mirror.log_e(n, n.saturating_sub(k)) >= log_threshold;
    if from >= CAP {
        return u64::MAX;
    }
    if enough(from) {
        return from;
    }
    match gallop(from, from, |n| !enough(n)) {
        CAP => u64::MAX,
        last => last + 1,
    }
}

/// How close two shares may come before the search for a bound ends.
const RESOLUTION: f64 = 1e-13;

/// Returns the anytime-valid upper bound on the share of bad requests, after `k` of `n` were bad.
///
/// The chance that the true share is ever above it, at any n, is at most `alpha` (one-sided confidence sequence): it is the
/// smallest p that the pass test rejects, `log_e_pass(n, k, p)` ≥ ln(1/α), rounded up by at most 1e-13. 1 when none is
/// rejected, and for an `alpha` that is not strictly between 0 and 1.
#[must_use]
pub fn rate_upper_bound(n: u64, k: u64, alpha: f64) -> f64 {
    // NaN for an alpha below 0 or none at all, which no evidence reaches.
    let threshold = -alpha.ln();
    let beyond = |p: f64| log_e_pass(n, k, p) - threshold;
    let (low, high) = ((k as f64 / n as f64).max(1e-15), 1.0 - 1e-12);
    let (at_low, at_high) = (beyond(low), beyond(high));
    if k >= n || threshold <= 0.0 || at_high.is_nan() || at_high < 0.0 {
        return 1.0;
    }
    if at_low >= 0.0 {
        return low;
    }
    crossing((low, at_low), (high, at_high), RESOLUTION, beyond).1
}

/// Returns the anytime-valid lower bound on the share of bad requests, after `k` of `n` were bad.
///
/// The chance that the true share is ever below it, at any n, is at most `alpha`: it is the largest p that the breach test
/// rejects, `log_e_breach(n, k, p)` ≥ ln(1/α), rounded down by at most 1e-13. 0 when none is rejected, and for an `alpha`
/// that is not strictly between 0 and 1.
#[must_use]
pub fn rate_lower_bound(n: u64, k: u64, alpha: f64) -> f64 {
    let (threshold, k) = (-alpha.ln(), k.min(n));
    // It falls with the share, so what is left to the threshold rises.
    let short = |p: f64| threshold - log_e_breach(n, k, p);
    let (low, high) = (1e-12, (k as f64 / n as f64).min(1.0 - 1e-15));
    let (at_low, at_high) = (short(low), short(high));
    if k == 0 || threshold <= 0.0 || at_low.is_nan() || at_low > 0.0 {
        return 0.0;
    }
    if at_high <= 0.0 {
        return high;
    }
    crossing((low, at_low), (high, at_high), RESOLUTION, short).0
}

#[cfg(test)]
#[path = "exceedance_tests.rs"]
mod tests;
