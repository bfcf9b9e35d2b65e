//! The strict test of two quantiles, for reports: whether the canary's p-quantile is more than r times the stable version's.
//!
//! It is exact for the quantile itself, needs arms that do not change, and is slower than the two-arm test of exceedances (in the
//! manner of Howard and Ramdas 2022): E = inf over q of E_b(q) · E_c(r q), where E_b(q) is the evidence that the stable version's
//! quantile is below q, and E_c(r q) that the canary's is above r q.

use crate::domain::stats::exceedance::BetaMixture;
use crate::domain::stats::parameter::{self, ParameterError};

/// Returns ln E of the test of "the canary's quantile `p` is at most `r` times the stable version's", from all their values.
///
/// The values may be in any order and unit; equal ones count against the conclusion. 0 without any values. The work is that of
/// sorting and of one evaluation for each pair of counts, at most one for each value.
///
/// # Errors
///
/// Refuses a `p` that is not strictly between 0 and 1, an `r` that is not a finite number above 0, and values that are negative,
/// infinite or no numbers.
pub fn two_sample_quantile_log_e(stable: &[f64], canary: &[f64], p: f64, r: f64) -> Result<f64, ParameterError> {
    let (tail, r) = (1.0 - parameter::share("p", p)?, parameter::positive("r", r)?);
    let (stable, canary) = (sorted(stable)?, sorted(canary)?);
    // Below q: the pass test of the tail, which is the breach test of its mirror. Above r q: the breach test of the tail.
    let (below, above) = (BetaMixture::new(1.0 - tail)?, BetaMixture::new(tail)?);
    let mut cuts: Vec<f64> = stable.iter().copied().chain(canary.iter().map(|value| value / r)).collect();
    cuts.sort_unstable_by(f64::total_cmp);
    cuts.dedup();
    // Both counts are step functions of q, so each cut and one point beyond the last cover every value of the infimum.
    cuts.extend(cuts.last().map(|last| last * (1.0 + 1e-9) + 1e-12));
    let (mut under, mut up_to) = (0, 0);
    let (mut counts, mut log_e, mut least) = (None, 0.0, f64::INFINITY);
    for q in &cuts {
        // A touch above r q, so that r (value / r) is not taken to exceed the value it came from.
        let limit = r * q * (1.0 + 1e-12);
        under += count_while(&stable, under, |value| value < *q);
        up_to += count_while(&canary, up_to, |value| value <= limit);
        let now = Some((under, up_to));
        if now != counts {
            counts = now;
            let (n_b, n_c) = (stable.len() as u64, canary.len() as u64);
            // `under` values of the stable version lie below q: successes of the pass test.
            log_e = below.log_e(n_b, under as u64) + above.log_e(n_c, n_c - up_to as u64);
        }
        least = least.min(log_e);
    }
    Ok(if cuts.is_empty() { 0.0 } else { least })
}

fn sorted(values: &[f64]) -> Result<Vec<f64>, ParameterError> {
    if let Some(value) = values.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
        return Err(ParameterError::Range { name: "latency", value: *value, range: "finite and at least 0" });
    }
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    Ok(values)
}

/// Counts the values from `start` on for which `condition` holds, up to the first for which it does not.
fn count_while(values: &[f64], start: usize, condition: impl Fn(f64) -> bool) -> usize {
    values.iter().skip(start).take_while(|value| condition(**value)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::stats::exceedance::{log_e_breach, log_e_pass};
    use crate::domain::stats::support::Chance;

    /// The infimum by trying every cut with counts from scratch.
    fn naive(stable: &[f64], canary: &[f64], p: f64, r: f64) -> f64 {
        let mut cuts: Vec<f64> = stable.iter().copied().chain(canary.iter().map(|value| value / r)).collect();
        cuts.push(cuts.iter().copied().fold(0.0, f64::max) * (1.0 + 1e-9) + 1e-12);
        let at = |q: f64| {
            let k_b = stable.iter().filter(|value| **value >= q).count() as u64;
            let k_c = canary.iter().filter(|value| **value > r * q * (1.0 + 1e-12)).count() as u64;
            log_e_pass(stable.len() as u64, k_b, 1.0 - p) + log_e_breach(canary.len() as u64, k_c, 1.0 - p)
        };
        cuts.into_iter().map(at).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn a_slower_canary_is_found_and_an_equal_one_is_not() {
        let mut chance = Chance::new(1);
        let mut draw = |scale: f64| (0..400).map(|_| -scale * (1.0 - chance.next()).ln()).collect::<Vec<_>>();
        let (stable, equal, slow) = (draw(100.0), draw(100.0), draw(300.0));
        let log_e = |canary: &[f64]| two_sample_quantile_log_e(&stable, canary, 0.9, 1.1).unwrap();
        assert!(log_e(&equal) < 0.0 && log_e(&slow) > 1000_f64.ln(), "{} {}", log_e(&equal), log_e(&slow));
    }

    #[test]
    fn odd_values_are_refused_and_no_values_are_no_evidence() {
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(two_sample_quantile_log_e(&[odd], &[1.0], 0.9, 1.1).is_err(), "{odd}");
            assert!(two_sample_quantile_log_e(&[1.0], &[odd], 0.9, 1.1).is_err(), "{odd}");
            assert!(two_sample_quantile_log_e(&[1.0], &[1.0], odd, 1.1).is_err(), "{odd}");
            assert!(two_sample_quantile_log_e(&[1.0], &[1.0], 0.9, odd).is_err(), "{odd}");
        }
        assert_eq!(two_sample_quantile_log_e(&[], &[], 0.9, 1.1), Ok(0.0));
        assert!(two_sample_quantile_log_e(&[], &[5.0; 50], 0.9, 1.1).unwrap() <= 0.0);
    }

    proptest! {
        #[test]
        fn walking_finds_what_trying_finds(
            stable in prop::collection::vec(0..40_u32, 0..60), canary in prop::collection::vec(0..60_u32, 1..60), r in 0.5..2.0_f64,
        ) {
            let (stable, canary): (Vec<f64>, Vec<f64>) = (stable.into_iter().map(f64::from).collect(), canary.into_iter().map(f64::from).collect());
            let found = two_sample_quantile_log_e(&stable, &canary, 0.9, r).unwrap();
            prop_assert!((found - naive(&stable, &canary, 0.9, r)).abs() < 1e-9);
            let slower: Vec<f64> = canary.iter().map(|value| value + 1.0).collect();
            prop_assert!(two_sample_quantile_log_e(&stable, &slower, 0.9, r).unwrap() >= found - 1e-9);
        }
    }
}
