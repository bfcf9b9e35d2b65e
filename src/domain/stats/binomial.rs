//! Exact statements about a count of runs: bounds on the probability behind it, and what a probability leaves open.
//!
//! P(X ≤ k) of a binomial count is 1 − I_p(k+1, n−k), so that everything comes from the incomplete beta function.

use crate::domain::stats::special::ln_inc_beta;

/// Returns P(X ≤ k) where X counts the successes among `n` trials of probability `p`.
#[must_use]
pub fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    ln_inc_beta(k as f64 + 1.0, (n - k) as f64, p).1.exp()
}

/// Returns the smallest k with P(X ≤ k) ≥ `level` where X counts the successes among `n` trials of probability `p`.
#[must_use]
pub fn quantile(level: f64, n: u64, p: f64) -> u64 {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low.midpoint(high);
        if at_most(middle, n, p) >= level { high = middle } else { low = middle + 1 }
    }
    low
}

/// Returns the bounds of Clopper and Pearson (1934) on the probability behind `k` successes of `n` trials.
///
/// Each side errs with probability at most (1 − `level`) / 2. Without trials nothing is known: 0 to 1.
#[must_use]
pub fn bounds(k: u64, n: u64, level: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let k = k.min(n);
    let tail = (1.0 - level) / 2.0;
    let lower = if k == 0 { 0.0 } else { solve(|p| at_most(k - 1, n, p) > 1.0 - tail) };
    let upper = if k == n { 1.0 } else { solve(|p| at_most(k, n, p) > tail) };
    (lower, upper)
}

/// Finds where a claim that holds for small probabilities ceases to hold.
fn solve(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while high - low > 1e-12 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P(X ≤ k) by adding up, in the logarithm of factorials.
    fn sum(k: u64, n: u64, p: f64) -> f64 {
        let ln_factorial = |n: u64| (1..=n).map(|i| (i as f64).ln()).sum::<f64>();
        (0..=k)
            .map(|i| {
                let ways = ln_factorial(n) - ln_factorial(i) - ln_factorial(n - i);
                (ways + i as f64 * p.ln() + (n - i) as f64 * (1.0 - p).ln()).exp()
            })
            .sum()
    }

    #[test]
    fn sums_agree_with_the_incomplete_beta_function() {
        for (k, n, p) in [(0, 1, 0.3), (3, 10, 0.5), (7, 200, 0.05), (131, 2_000, 0.05), (50, 60, 0.9)] {
            assert!((at_most(k, n, p) - sum(k, n, p)).abs() < 1e-9, "{k} of {n} at {p}");
        }
    }

    #[test]
    fn the_bound_of_the_acceptance_experiment_is_131() {
        assert_eq!(quantile(0.999, 2_000, 0.05), 131);
        assert_eq!(quantile(0.999, 400, 0.05), 35);
        assert_eq!((quantile(0.999, 100, 0.0), quantile(0.999, 100, 1.0)), (0, 100));
    }

    #[test]
    fn bounds_are_those_of_clopper_and_pearson() {
        // Checked against the tables for 0 and 5 of 10: upper 1 − 0.025^(1/10), and 0.1871 to 0.8129.
        let (low, high) = bounds(0, 10, 0.95);
        assert!(low == 0.0 && (high - (1.0 - 0.025_f64.powf(0.1))).abs() < 1e-9, "{high}");
        let (low, high) = bounds(5, 10, 0.95);
        assert!((low - 0.1871).abs() < 1e-4 && (high - 0.8129).abs() < 1e-4, "{low} {high}");
        assert_eq!((bounds(10, 10, 0.95).1, bounds(0, 0, 0.95)), (1.0, (0.0, 1.0)));
        let (low, high) = bounds(40, 2_000, 0.95);
        assert!((sum(40, 2_000, high) - 0.025).abs() < 1e-6 && (1.0 - sum(39, 2_000, low) - 0.025).abs() < 1e-6);
    }
}
