//! The tests of a mean response time: breach for any non-negative latency, pass for the latency capped at a multiple.
//!
//! Breach (H0: E\[L | past\] ≤ m, L ≥ 0, tails of any weight): the factor of one request is 1 − λ + λ L/m, mixed over a
//! fixed set of λ. A request in flight enters with the time it has been out, a lower bound, so that the factor only grows
//! while it hangs. Pass (H0: E\[min(L, cap)\] ≥ m): an uncapped mean cannot be certified (Bahadur and Savage 1956).

use crate::domain::stats::special::log_sum_exp;

/// The bets λ of the breach test, mixed with equal weights.
const LAMBDAS: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];

/// How many times the limit a single latency may count in the pass test.
pub const CAP_FACTOR: f64 = 10.0;

/// The running breach evidence of a mean gate over requests in start order.
#[derive(Clone, Debug)]
pub struct MeanBreach {
    limit: f64,
    logs: [f64; 8],
}

impl MeanBreach {
    /// Starts without evidence for a limit in nanoseconds.
    #[must_use]
    pub const fn new(limit_ns: f64) -> Self {
        Self { limit: limit_ns, logs: [0.0; 8] }
    }

    /// Takes in the latency of the next request in start order, in nanoseconds.
    pub fn add(&mut self, latency_ns: f64) {
        let ratio = latency_ns / self.limit;
        for (log, lambda) in self.logs.iter_mut().zip(LAMBDAS) {
            *log += (1.0 - lambda + lambda * ratio).ln();
        }
    }

    /// Returns ln E after the requests so far.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.logs) - (LAMBDAS.len() as f64).ln()
    }
}

/// The running pass evidence of a mean gate over resolved requests in start order.
#[derive(Clone, Debug)]
pub struct MeanPass {
    limit: f64,
    grid: Vec<(f64, f64)>,
}

impl MeanPass {
    /// Starts without evidence for a limit in nanoseconds; latencies count up to [`CAP_FACTOR`] times the limit.
    #[must_use]
    pub fn new(limit_ns: f64) -> Self {
        let p0 = 1.0 - 1.0 / CAP_FACTOR;
        let grid = odds_grid(p0).into_iter().map(|(omega, weight)| (to_lambda(omega, p0), weight.ln())).collect();
        Self { limit: limit_ns, grid }
    }

    /// Takes in the latency of the next resolved request, in nanoseconds.
    pub fn add(&mut self, latency_ns: f64) {
        let cap = self.limit * CAP_FACTOR;
        let gain = (self.limit - latency_ns.min(cap)) / cap;
        for (lambda, log) in &mut self.grid {
            *log += (*lambda * gain).ln_1p();
        }
    }

    /// Returns ln E after the requests so far.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.grid.iter().map(|(_, log)| *log))
    }

    /// Returns how many further requests of this latency the test needs to reach `log_threshold`; `None` when they never suffice.
    #[must_use]
    pub fn needs(&self, latency_ns: f64, log_threshold: f64) -> Option<u64> {
        let reached = |extra: u64| {
            let mut ahead = self.clone();
            let cap = self.limit * CAP_FACTOR;
            let gain = (self.limit - latency_ns.min(cap)) / cap;
            for (lambda, log) in &mut ahead.grid {
                *log += (*lambda * gain).ln_1p() * extra as f64;
            }
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
}

/// Returns twelve odds multipliers from 1.5 to the one that makes the probability 0.98, the last with weight 0.4.
fn odds_grid(p0: f64) -> Vec<(f64, f64)> {
    const COUNT: i32 = 12;
    let top = ((0.98 / 0.02) / (p0 / (1.0 - p0))).max(1.5 * 1.5);
    let ratio = (top / 1.5).ln() / f64::from(COUNT - 1);
    let weight = |i: i32| if i == COUNT - 1 { 0.4 } else { 0.6 / f64::from(COUNT - 1) };
    (0..COUNT).map(|i| (1.5 * (ratio * f64::from(i)).exp(), weight(i))).collect()
}

fn to_lambda(omega: f64, p0: f64) -> f64 {
    (omega - 1.0) / (1.0 + p0 * (omega - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_the_reference_vectors() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/statistics/vectors.json")).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut seen = 0;
        for case in all["cases"].as_array().unwrap() {
            if case["fn"] != "log_e_mean_nonneg" {
                continue;
            }
            assert_eq!(case["args"]["lambdas"], serde_json::json!(LAMBDAS));
            let mut test = MeanBreach::new(case["args"]["limit"].as_f64().unwrap());
            for value in case["args"]["values"].as_array().unwrap() {
                test.add(value.as_f64().unwrap());
            }
            let expected = case["expect"].as_f64().unwrap();
            assert!((test.log_e() - expected).abs() <= case["tol"].as_f64().unwrap(), "{case}: {}", test.log_e());
            seen += 1;
        }
        assert!(seen >= 4, "too few vectors of log_e_mean_nonneg");
    }

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
}
