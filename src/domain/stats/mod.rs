//! Anytime-valid sequential tests: truncated-Beta breach and pass processes, and the non-negative mean.
//!
//! All evidence is kept as the natural logarithm of an e-value (`log_e`). An e-process E satisfies E\[E_τ\] ≤ 1 at
//! every stopping time under its null, so by Ville's inequality P(ever E ≥ 1/α) ≤ α, whatever the stopping.

pub mod binomial;
pub mod exceedance;
pub mod mean;
pub mod special;

/// Adds numbers given as logarithms without overflow: ln Σ exp(x).
#[must_use]
pub fn log_sum_exp(logs: &[f64]) -> f64 {
    let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max.is_infinite() {
        return max;
    }
    max + logs.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}
