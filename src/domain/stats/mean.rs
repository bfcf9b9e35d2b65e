//! The tests of a mean response time: breach for any non-negative latency, pass for the latency capped at a multiple.
//!
//! Breach (H0: E\[L | past\] ≤ m, L ≥ 0, tails of any weight): the factor of one request is 1 − λ + λ L/m, mixed over a
//! fixed set of λ. A request in flight enters with the time it has been out, a lower bound, so that the factor only grows
//! while it hangs. Pass (H0: E\[min(L, cap)\] ≥ m): an uncapped mean cannot be certified (Bahadur and Savage 1956). Its factor
//! is 1 + λ (m − min(L, cap))/cap, mixed over the odds grid of 1 − m/cap.

use serde::{Deserialize, Serialize};

use crate::domain::stats::bounds::{Bet, largest_rejected};
use crate::domain::stats::grid::{ALTERNATIVES, OddsGrid, PerAlternative, odds_grid};
use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::special::{ln_product, log_sum_exp};

/// The bets λ of the breach test, mixed with equal weights.
pub const LAMBDAS: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];

/// How many times the limit a single latency may count in the pass test, unless a cap is given.
pub const CAP_FACTOR: f64 = 10.0;

/// The running breach evidence of a mean gate over requests in start order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanBreach {
    limit: f64,
    logs: [f64; 8],
}

impl MeanBreach {
    /// Starts without evidence for a limit in nanoseconds; for one that is not above 0 there never is any.
    #[must_use]
    pub const fn new(limit_ns: f64) -> Self {
        Self { limit: limit_ns, logs: [0.0; 8] }
    }

    /// Takes in the latency of the next request in start order, in nanoseconds; one below 0 or that is no number counts as 0.
    pub fn add(&mut self, latency_ns: f64) {
        self.add_all(&[latency_ns]);
    }

    /// Takes in the latencies of the next requests, as if one after the other, in less time.
    pub fn add_all(&mut self, latencies_ns: &[f64]) {
        if !(self.limit > 0.0 && self.limit.is_finite()) {
            return;
        }
        let ratio = |latency: &f64| if *latency > 0.0 { (latency / self.limit).min(f64::MAX) } else { 0.0 };
        let ratios: Vec<f64> = latencies_ns.iter().map(ratio).collect();
        for (log, lambda) in self.logs.iter_mut().zip(LAMBDAS) {
            *log += ln_product(ratios.iter().map(|ratio| 1.0 - lambda + lambda * ratio));
        }
    }

    /// Returns ln E after the requests so far.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.logs) - (LAMBDAS.len() as f64).ln()
    }

    /// Returns the anytime-valid lower bound on the mean in nanoseconds after `requests` requests: see [`mean_lower_bound`].
    #[must_use]
    pub fn lower_bound(&self, requests: u64, alpha: f64) -> f64 {
        mean_lower_bound(&self.logs, &[(requests, 1.0)], self.limit, alpha)
    }
}

/// Returns the anytime-valid lower bound on a mean, from the sums of ln (1 − λ + λ L/(a limit)), one for each λ.
///
/// The chance that the mean is ever below it is at most `alpha`, with tails of any weight; it lies above the limit exactly
/// when the breach test decides. `requests` are how many were summed up, each group with its a, how many times the limit it was
/// allowed. 0 when nothing is rejected. There is no upper bound: one rare huge latency can always hide (Bahadur and Savage 1956).
#[must_use]
pub fn mean_lower_bound(logs: &[f64], requests: &[(u64, f64)], limit: f64, alpha: f64) -> f64 {
    if !(limit > 0.0 && limit.is_finite()) {
        return 0.0;
    }
    let count: u64 = requests.iter().map(|(count, _)| count).sum();
    // In multiples of the limit the size of a bet is λ / (1 − λ).
    let bets: Vec<Bet> = logs
        .iter()
        .zip(LAMBDAS)
        .map(|(log, lambda)| Bet {
            won: log - count as f64 * (-lambda).ln_1p() - (LAMBDAS.len() as f64).ln(),
            size: lambda / (1.0 - lambda),
        })
        .collect();
    let scaled: Vec<(u64, f64)> = requests.iter().map(|(count, allowed)| (*count, 1.0 / allowed)).collect();
    limit * largest_rejected(&bets, &scaled, alpha, f64::MAX.sqrt())
}

/// Returns ln E of the breach test of a mean of at most `limit` after these latencies, in the same unit.
///
/// # Errors
///
/// Refuses a limit that is not a finite number above 0.
pub fn log_e_mean_nonneg(values: &[f64], limit: f64) -> Result<f64, ParameterError> {
    let mut test = MeanBreach::new(parameter::positive("limit", limit)?);
    values.iter().for_each(|value| test.add(*value));
    Ok(test.log_e())
}

/// The running pass evidence of a mean gate over resolved requests in start order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanPass {
    limit: f64,
    cap: f64,
    /// The grid of 1 − limit/cap; none for a limit that no test exists for.
    grid: Option<OddsGrid>,
    logs: PerAlternative,
}

impl MeanPass {
    /// Starts without evidence for a limit in nanoseconds; latencies count up to [`CAP_FACTOR`] times the limit. For a limit
    /// that is not above 0 there never is any evidence.
    #[must_use]
    pub fn new(limit_ns: f64) -> Self {
        let cap = limit_ns * CAP_FACTOR;
        let grid = parameter::positive("cap", cap).and_then(|_| odds_grid(1.0 - 1.0 / CAP_FACTOR)).ok();
        Self { limit: limit_ns, cap, grid, logs: [0.0; ALTERNATIVES] }
    }

    /// Starts without evidence for a limit in nanoseconds; latencies count up to `cap_ns`.
    ///
    /// # Errors
    ///
    /// Refuses a limit that is not a finite number above 0, and a cap that is not a finite number above the limit.
    pub fn with_cap(limit_ns: f64, cap_ns: f64) -> Result<Self, ParameterError> {
        let limit = parameter::positive("limit", limit_ns)?;
        let cap = parameter::positive("cap", cap_ns)?;
        parameter::share("limit / cap", limit / cap)?;
        Ok(Self { limit, cap, grid: Some(odds_grid(1.0 - limit / cap)?), logs: [0.0; ALTERNATIVES] })
    }

    /// Takes in the latency of the next resolved request, in nanoseconds; one that is no number counts as the cap.
    pub fn add(&mut self, latency_ns: f64) {
        self.add_many(latency_ns, 1);
    }

    /// Takes in the latencies of the next resolved requests, as if one after the other, in less time.
    pub fn add_all(&mut self, latencies_ns: &[f64]) {
        let Some(grid) = &self.grid else { return };
        let gains: Vec<f64> = latencies_ns.iter().map(|latency| self.gain(*latency)).collect();
        for (log, alternative) in self.logs.iter_mut().zip(grid.alternatives()) {
            *log += ln_product(gains.iter().map(|gain| 1.0 + alternative.lambda * gain));
        }
    }

    /// Returns ln E after the requests so far.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.grid.as_ref().map_or(0.0, |grid| grid.mix(&self.logs))
    }

    /// Returns the anytime-valid upper bound in nanoseconds on the mean of the latencies, each counted up to the cap, after
    /// `requests` requests: it lies below the limit exactly when the test decides. The cap when nothing is rejected.
    #[must_use]
    pub fn upper_bound(&self, requests: u64, alpha: f64) -> f64 {
        let Some(grid) = &self.grid else { return f64::INFINITY };
        let bets: Vec<Bet> = self
            .logs
            .iter()
            .zip(grid.alternatives())
            .map(|(log, bet)| {
                let size = bet.omega - 1.0;
                Bet { won: bet.weight.ln() + log + requests as f64 * (size * grid.p0()).ln_1p(), size }
            })
            .collect();
        self.cap * (1.0 - largest_rejected(&bets, &[(requests, 1.0)], alpha, 1.0))
    }

    /// Returns how many further requests of this latency the test needs to reach `log_threshold`; `None` when they never suffice.
    #[must_use]
    pub fn needs(&self, latency_ns: f64, log_threshold: f64) -> Option<u64> {
        let reached = |extra: u64| {
            let mut ahead = self.clone();
            ahead.add_many(latency_ns, extra);
            ahead.log_e() >= log_threshold
        };
        if reached(0) {
            return Some(0);
        }
        let mut high = 1_u64;
        while !reached(high) {
            high = high.checked_mul(2).filter(|n| *n < 1 << 40)?;
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = low.midpoint(high);
            if reached(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// Returns what a latency wins, in multiples of the cap.
    const fn gain(&self, latency_ns: f64) -> f64 {
        let capped = if latency_ns < self.cap { latency_ns.max(0.0) } else { self.cap };
        (self.limit - capped) / self.cap
    }

    fn add_many(&mut self, latency_ns: f64, count: u64) {
        let Some(grid) = &self.grid else { return };
        let gain = self.gain(latency_ns);
        for (log, alternative) in self.logs.iter_mut().zip(grid.alternatives()) {
            *log += (alternative.lambda * gain).ln_1p() * count as f64;
        }
    }
}

/// Returns ln E of the pass test of a mean below `limit`, latencies counting up to `cap`, after these latencies.
///
/// # Errors
///
/// Refuses a limit that is not a finite number above 0, and a cap that is not a finite number above the limit.
pub fn log_e_mean_pass(values: &[f64], limit: f64, cap: f64) -> Result<f64, ParameterError> {
    let mut test = MeanPass::with_cap(limit, cap)?;
    values.iter().for_each(|value| test.add(*value));
    Ok(test.log_e())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slow_requests_raise_and_fast_ones_lower_the_breach_evidence() {
        let mut test = MeanBreach::new(1e9);
        for _ in 0..10 {
            test.add(3e9);
        }
        let slow = test.log_e();
        assert!(slow > (1000.0_f64).ln(), "{slow}");
        test.add(1e6);
        assert!(test.log_e() < slow);
    }

    #[test]
    fn needs_says_exactly_how_many_more_requests_pass() {
        let threshold = 20_f64.ln();
        let fresh = MeanPass::new(8e8);
        let needed = fresh.needs(1e7, threshold).unwrap();
        let mut test = fresh;
        for _ in 1..needed {
            test.add(1e7);
        }
        assert!(test.log_e() < threshold);
        test.add(1e7);
        assert!(test.log_e() >= threshold);
        assert_eq!(MeanPass::new(8e8).needs(9e8, threshold), None);
    }

    #[test]
    fn without_a_cap_of_its_own_the_pass_test_caps_at_ten_times_the_limit() {
        let (mut one, mut other) = (MeanPass::new(8e8), MeanPass::with_cap(8e8, 8e9).unwrap());
        for latency in [1e6, 7e8, 9e12] {
            one.add(latency);
            other.add(latency);
        }
        assert!((one.log_e() - other.log_e()).abs() < 1e-12);
    }

    #[test]
    fn many_at_once_win_what_they_win_one_by_one() {
        let latencies: Vec<f64> = (0..5_000).map(|n| f64::from(n % 97) * 3e7 + if n % 211 == 0 { 1e300 } else { 0.0 }).collect();
        for limit in [1e6, 8e8, 1e12] {
            let (mut pass, mut breach_at_once) = (MeanPass::new(limit), MeanBreach::new(limit));
            let mut pass_at_once = pass.clone();
            latencies.iter().for_each(|latency| pass.add(*latency));
            let won = LAMBDAS.map(|lambda| latencies.iter().map(|latency| (1.0 - lambda + lambda * latency / limit).ln()).sum::<f64>());
            let breach = log_sum_exp(won) - (LAMBDAS.len() as f64).ln();
            breach_at_once.add_all(&latencies);
            pass_at_once.add_all(&latencies);
            let alike = |one: f64, other: f64| (one - other).abs() <= 1e-12 * one.abs().max(1.0);
            assert!(alike(breach, breach_at_once.log_e()), "{limit}: {breach} {}", breach_at_once.log_e());
            assert!(alike(pass.log_e(), pass_at_once.log_e()), "{limit}: {} {}", pass.log_e(), pass_at_once.log_e());
            let before = (breach_at_once.clone(), pass_at_once.clone());
            breach_at_once.add_all(&[]);
            pass_at_once.add_all(&[]);
            assert_eq!(before, (breach_at_once, pass_at_once), "nothing wins nothing");
        }
    }

    #[test]
    fn degenerate_limits_and_latencies_count_against_the_conclusion() {
        for limit in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
            assert!(log_e_mean_nonneg(&[1.0], limit).is_err() && log_e_mean_pass(&[1.0], limit, 9.0).is_err());
            assert!(MeanPass::with_cap(1.0, limit).is_err());
            let (mut breach, mut pass) = (MeanBreach::new(limit), MeanPass::new(limit));
            breach.add(7.0);
            pass.add(7.0);
            assert!(breach.log_e().abs() < 1e-15 && pass.log_e() == 0.0, "{limit}");
        }
        assert!(MeanPass::with_cap(2.0, 2.0).is_err());
        let breach = |latency| log_e_mean_nonneg(&[latency], 5.0).unwrap();
        assert_eq!((breach(f64::NAN), breach(-3.0)), (breach(0.0), breach(0.0)));
        assert!(breach(f64::INFINITY).is_finite() && breach(f64::INFINITY) > 700.0);
        let pass = |latency| log_e_mean_pass(&[latency], 5.0, 50.0).unwrap();
        assert_eq!((pass(f64::NAN), pass(f64::INFINITY), pass(-3.0)), (pass(50.0), pass(50.0), pass(0.0)));
    }

    #[test]
    fn a_state_that_was_written_and_read_goes_on_alike() {
        let (mut breach, mut pass) = (MeanBreach::new(1e9), MeanPass::new(1e9));
        for latency in [5e8, 3e9] {
            breach.add(latency);
            pass.add(latency);
            let text = serde_json::to_string(&(&breach, &pass)).unwrap();
            let read: (MeanBreach, MeanPass) = serde_json::from_str(&text).unwrap();
            assert!((read.0.log_e() - breach.log_e()).abs() < 1e-12 && (read.1.log_e() - pass.log_e()).abs() < 1e-12, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_mean_at_or_inside_the_null_expects_at_most_one(
            latencies in prop::collection::vec((0.0..1e4_f64, 0.01..1.0_f64), 1..8),
            slack in 0.0..=1.0_f64,
            cap_factor in 1.01..50.0_f64,
        ) {
            let total: f64 = latencies.iter().map(|(_, weight)| weight).sum();
            let mean = |f: &dyn Fn(f64) -> f64| latencies.iter().map(|(latency, weight)| f(*latency) * weight / total).sum::<f64>();
            // Breach: the limit is the mean or above it.
            let limit = mean(&|latency| latency) * (1.0 + slack) + 1e-6;
            let expected = mean(&|latency| log_e_mean_nonneg(&[latency], limit).unwrap().exp());
            prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
            // Pass: the limit is the capped mean or below it; the cap must be fixed before, here from the largest latency.
            let cap = latencies.iter().map(|(latency, _)| *latency).fold(1e-3, f64::max) * cap_factor;
            let limit = mean(&|latency| latency.min(cap)) / (1.0 + slack) + 1e-12;
            let expected = mean(&|latency| log_e_mean_pass(&[latency], limit, cap).unwrap().exp());
            prop_assert!(expected <= 1.0 + 1e-6, "{expected}");
        }

        #[test]
        fn a_longer_latency_is_more_evidence_of_a_breach_and_less_of_a_pass(a in 0.0..1e3_f64, more in 0.001..1e3_f64) {
            let (breach, pass) = (|l| log_e_mean_nonneg(&[l], 100.0).unwrap(), |l| log_e_mean_pass(&[l], 100.0, 1e4).unwrap());
            prop_assert!(breach(a) < breach(a + more) && pass(a) > pass(a + more));
        }
    }
}
