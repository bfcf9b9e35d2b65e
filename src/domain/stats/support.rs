//! What the tests of the statistics share: exact expectations by enumeration, and seeded chance.
#![cfg(test)]

/// Returns E\[f(K)\] for K the number of heads in `n` throws of a coin that shows them with probability `p`.
pub(super) fn binomial_mean(n: u64, p: f64, f: impl Fn(u64) -> f64) -> f64 {
    let mut weight = (1.0 - p).powi(i32::try_from(n).unwrap());
    let mut mean = 0.0;
    for k in 0..=n {
        mean += weight * f(k);
        weight *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    mean
}
