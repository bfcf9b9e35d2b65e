//! The one-arm tests of a share of bad requests: the breach e-process, its mirror image for passing, and their tables.
//!
//! The null of the breach test is "each request is bad with probability at most p0, given the past"; that of the pass
//! test is "at least p1". Both are truncated-Beta mixtures of likelihood ratios (Robbins 1970), evaluated as in
//! the project's statistics: where breaches are few all large terms cancel, so that nothing underflows.

use crate::domain::stats::special::{beta_fraction, ln_beta, ln_inc_beta};

/// The parameters of the mixing Beta distribution, Jeffreys' choice.
const A: f64 = 0.5;
const B: f64 = 0.5;

/// The largest request number the tables consider, 2^40.
const CAP: u64 = 1 << 40;

/// Returns ln E(n, k) of the breach test: evidence that more than `p0` of the requests are bad.
///
/// `n` is the number of requests, `k ≤ n` how many were bad, `p0` the share allowed, strictly between 0 and 1.
/// E(n, k) = ∫ (t/p0)^k ((1−t)/(1−p0))^(n−k) w(t) dt over (p0, 1), with w a Beta(½, ½) truncated to that interval.
#[must_use]
pub fn log_e_breach(n: u64, k: u64, p0: f64) -> f64 {
    mixture(n, k.min(n), p0)
}

/// Returns ln E of the pass test: evidence that fewer than `p1` of the requests are bad.
#[must_use]
pub fn log_e_pass(n: u64, k: u64, p1: f64) -> f64 {
    mixture(n, n.saturating_sub(k), 1.0 - p1)
}

fn mixture(n: u64, k: u64, p0: f64) -> f64 {
    let (n, k) = (n as f64, k as f64);
    let ln_z = ln_beta(A, B) + ln_inc_beta(A, B, p0).1;
    let (a, b) = (A + k, B + (n - k));
    if p0 > (a + 1.0) / (a + b + 2.0) {
        return A * p0.ln() + B * (-p0).ln_1p() - b.ln() + beta_fraction(b, a, 1.0 - p0).ln() - ln_z;
    }
    ln_beta(a, b) + ln_inc_beta(a, b, p0).1 - ln_z - k * p0.ln() - (n - k) * (-p0).ln_1p()
}

/// Returns the largest n for which `k` breaches among `n` requests suffice, or 0 when none does.
///
/// `log_threshold` is ln(1/α). E(n, k) falls strictly in n, so the test becomes one integer compare.
#[must_use]
pub fn breach_n_max(k: u64, p0: f64, log_threshold: f64) -> u64 {
    if k == 0 || log_e_breach(k, k, p0) < log_threshold {
        return 0;
    }
    let (mut low, mut high) = (k, k + 1);
    while high < CAP && log_e_breach(high, k, p0) >= log_threshold {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if log_e_breach(middle, k, p0) >= log_threshold {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Returns the smallest number of resolved requests that lets a version with `k` bad ones pass.
///
/// `log_threshold` is ln(1/β). Returns `u64::MAX` when more than 2^40 would be needed.
#[must_use]
pub fn pass_n_min(k: u64, p1: f64, log_threshold: f64) -> u64 {
    let (mut low, mut high) = (k, 2 * k + 1);
    while log_e_pass(high, k, p1) < log_threshold {
        (low, high) = (high, high * 2);
        if high > CAP {
            return u64::MAX;
        }
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if log_e_pass(middle, k, p1) >= log_threshold {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<serde_json::Value> {
        let named = std::env::var_os("PORTCULLIS_VECTORS");
        let path = named
            .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/statistics/vectors.json").into(), std::path::PathBuf::from);
        let text = std::fs::read_to_string(path).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        all["cases"].as_array().unwrap().clone()
    }

    fn close(case: &serde_json::Value, found: f64, expected: &serde_json::Value) {
        let expected = expected.as_f64().unwrap();
        let tolerance = case["tol"].as_f64().unwrap();
        assert!((found - expected).abs() <= tolerance, "{case}: found {found}");
    }

    #[test]
    fn replays_the_reference_vectors() {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for case in vectors() {
            let function = case["fn"].as_str().unwrap().to_owned();
            let args = &case["args"];
            if !args["a"].is_null() && function != "ln_inc_beta" && (args["a"] != 0.5 || args["b"] != 0.5) {
                continue;
            }
            let number = |name: &str| args[name].as_f64().unwrap();
            let count = |name: &str| args[name].as_u64().unwrap();
            match function.as_str() {
                "ln_inc_beta" => {
                    let (lower, upper) = ln_inc_beta(number("a"), number("b"), number("x"));
                    close(&case, lower, &case["expect"][0]);
                    close(&case, upper, &case["expect"][1]);
                }
                "log_e_breach" => close(&case, log_e_breach(count("n"), count("k"), number("p0")), &case["expect"]),
                "log_e_pass" => close(&case, log_e_pass(count("n"), count("k"), number("p1")), &case["expect"]),
                "breach_n_max" | "pass_n_min" => {
                    let entry = |k| match function.as_str() {
                        "breach_n_max" => breach_n_max(k, number("p0"), (1.0 / number("alpha")).ln()),
                        _ => pass_n_min(k, number("p1"), (1.0 / number("beta")).ln()),
                    };
                    let found: Vec<u64> = (count("k_from")..=count("k_to")).map(entry).collect();
                    assert_eq!(serde_json::json!(found), case["expect"], "{case}");
                }
                _ => continue,
            }
            *seen.entry(function).or_default() += 1;
        }
        for function in ["ln_inc_beta", "log_e_breach", "log_e_pass", "breach_n_max", "pass_n_min"] {
            assert!(seen.get(function).is_some_and(|n| *n >= 5), "too few vectors of {function}: {seen:?}");
        }
    }

    #[test]
    fn the_tables_are_those_of_the_design() {
        let table = |p0: f64, alpha: f64| (1..=12).map(|k| breach_n_max(k, p0, (1.0 / alpha).ln())).collect::<Vec<_>>();
        assert_eq!(table(0.05, 0.001), [0, 0, 3, 6, 10, 14, 20, 26, 33, 40, 48, 56]);
        assert_eq!(table(0.05, 0.0005), [0, 0, 3, 5, 9, 13, 18, 24, 31, 37, 45, 53]);
        assert_eq!(table(0.01, 0.001), [0, 2, 8, 19, 35, 55, 79, 106, 136, 169, 204, 242]);
        let pass = |p1: f64, beta: f64| [0, 1, 2, 5, 10].map(|k| pass_n_min(k, p1, (1.0 / beta).ln()));
        assert_eq!(pass(0.05, 0.05), [74, 131, 174, 284, 442]);
        assert_eq!(pass(0.01, 0.05), [377, 663, 883, 1436, 2233]);
    }
}
