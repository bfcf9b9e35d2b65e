//! What a plan can expect: the least number of requests any test needs, and weights that keep the harm within bounds.
//!
//! Weights are shares from 0 to 1, rates are requests per second of the whole route, and `reveal` is how long nothing can be
//! known of a request: the gate's limit. A number that makes no sense gives the careful answer, never more weight.

use std::time::Duration;

use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::special::kl_bernoulli;

/// Returns ln(1/α) / KL(p ‖ p0): no test of level `alpha` that finds every rate above `p0` needs fewer requests on average at `p`.
///
/// Wald's bound, in requests; +∞ for a `p` that is not above `p0`.
#[must_use]
pub fn wald_lower_bound(p: f64, p0: f64, alpha: f64) -> f64 {
    if p > p0 { -alpha.ln() / kl_bernoulli(p, p0) } else { f64::INFINITY }
}

/// Returns the smallest n with p0^n ≤ α: nobody can reject sooner when every request is bad.
///
/// # Errors
///
/// Refuses a `p0` or `alpha` that is not strictly between 0 and 1.
pub fn min_requests_all_breach(p0: f64, alpha: f64) -> Result<u64, ParameterError> {
    let (p0, alpha) = (parameter::share("p0", p0)?, parameter::share("alpha", alpha)?);
    // Less a trifle, so that an exact power is not rounded up.
    Ok((alpha.ln() / p0.ln() - 1e-12).ceil().max(1.0) as u64)
}

/// Returns the largest weight that keeps the expected harm of what is in flight before anything can be known within a budget.
///
/// w = min(1, H / (rate · reveal · u)), with the budget H in bad requests and u the anytime-valid upper bound on the share of bad
/// ones ([`rate_upper_bound`](crate::domain::stats::exceedance::rate_upper_bound)).
#[must_use]
pub fn ramp_weight_cap(harm_budget: f64, rate: f64, reveal: Duration, upper_rate: f64) -> f64 {
    if upper_rate <= 0.0 {
        return 1.0;
    }
    careful(harm_budget / (rate * reveal.as_secs_f64() * upper_rate), 0.0, 1.0)
}

/// Returns the growth rate g of the canary's requests, per second, under [`ramp_weight_cap`]: g e^(g τ) = H / (τ c).
///
/// c is the constant of the bound u ≈ c/n after n clean requests, about −ln β. 0 for arguments that are not above 0.
#[must_use]
pub fn ramp_growth_rate(harm_budget: f64, reveal: Duration, c: f64) -> f64 {
    let tau = reveal.as_secs_f64();
    let target = harm_budget / (tau * c);
    if !(target > 0.0 && target.is_finite()) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, target);
    loop {
        let middle = f64::midpoint(low, high);
        if !(low < middle && middle < high) {
            return middle;
        }
        if middle * (middle * tau).exp() > target { high = middle } else { low = middle }
    }
}

/// Returns the first weight of a ramp: about five requests are out before anything can be known, but from 0.1 to 10 %.
#[must_use]
pub fn start_weight_for_rate(rate: f64, reveal: Duration) -> f64 {
    const EXPOSED: f64 = 5.0;
    careful(EXPOSED / (rate * reveal.as_secs_f64()), 0.001, 0.10)
}

/// Keeps a weight within its bounds; what is no number becomes the lower one.
fn careful(weight: f64, low: f64, high: f64) -> f64 {
    if weight > low { weight.min(high) } else { low }
}

/// Returns the weights of a ramp: `first`, `factor` times it, and so on to 1; a step that would land above 0.6 goes straight to 1.
///
/// # Errors
///
/// Refuses a first weight outside (0, 1\] or below one basis point, and a factor that is not a finite number of at least 1.01.
pub fn ramp_steps(first: f64, factor: f64) -> Result<Vec<f64>, ParameterError> {
    const LEAST_WEIGHT: f64 = 1e-4;
    const LEAST_FACTOR: f64 = 1.01;
    if !(LEAST_WEIGHT..=1.0).contains(&first) {
        return Err(ParameterError::Range { name: "first weight", value: first, range: "from 0.0001 to 1" });
    }
    if !(factor >= LEAST_FACTOR && factor.is_finite()) {
        return Err(ParameterError::Range { name: "factor", value: factor, range: "at least 1.01 and finite" });
    }
    let next = |weight: &f64| {
        let next = weight * factor;
        (*weight < 1.0).then_some(if next <= 0.6 { next } else { 1.0 })
    };
    Ok(std::iter::successors(Some(first), next).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ODD: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0];

    #[test]
    fn numbers_that_make_no_sense_give_the_careful_answer() {
        let second = Duration::from_secs(1);
        for odd in ODD {
            assert!(ramp_steps(odd, 3.0).is_err() && ramp_steps(0.1, odd).is_err(), "{odd}");
            assert!(min_requests_all_breach(odd, 0.001).is_err() && min_requests_all_breach(0.05, odd).is_err());
            assert_eq!(wald_lower_bound(0.05, 0.05, 0.001), f64::INFINITY);
            assert!((0.0..=1.0).contains(&ramp_weight_cap(odd, odd, second, 0.5)));
            assert_eq!(ramp_growth_rate(odd, second, 5.0), 0.0);
            assert!((0.001..=0.1).contains(&start_weight_for_rate(odd, second)));
        }
        assert_eq!(ramp_weight_cap(f64::NAN, 10.0, second, 0.5), 0.0);
        assert_eq!(ramp_weight_cap(10.0, 10.0, second, f64::NAN), 0.0);
        assert_eq!(ramp_weight_cap(10.0, 10.0, second, 0.0), 1.0);
        assert_eq!(ramp_weight_cap(10.0, 10.0, Duration::ZERO, 0.5), 1.0);
        assert_eq!(start_weight_for_rate(f64::NAN, second), 0.001);
        assert_eq!((ramp_steps(1.0, 3.0).unwrap(), ramp_steps(0.0001, 1.01).unwrap().len() < 1000), (vec![1.0], true));
    }

    #[test]
    fn nobody_rejects_a_p95_gate_on_fewer_than_three_bad_requests() {
        assert_eq!(min_requests_all_breach(0.05, 0.001), Ok(3));
        assert_eq!(min_requests_all_breach(0.1, 0.001), Ok(3), "an exact power");
        assert_eq!(min_requests_all_breach(0.000_001, 0.5), Ok(1));
    }

    proptest! {
        #[test]
        fn the_least_number_is_the_first_whose_power_suffices(p0 in 0.001..0.9_f64, alpha in 1e-6..0.5_f64) {
            let n = i32::try_from(min_requests_all_breach(p0, alpha).unwrap()).unwrap();
            prop_assert!(p0.powi(n) <= alpha * (1.0 + 1e-9) && (n == 1 || p0.powi(n - 1) > alpha));
        }

        #[test]
        fn the_growth_rate_solves_its_equation(harm in 0.1..1e3_f64, millis in 1..10_000_u64, c in 0.1..50.0_f64) {
            let (reveal, tau) = (Duration::from_millis(millis), millis as f64 / 1e3);
            let g = ramp_growth_rate(harm, reveal, c);
            prop_assert!((g * (g * tau).exp() / (harm / (tau * c)) - 1.0).abs() < 1e-9);
        }

        #[test]
        fn a_cap_keeps_the_harm_within_the_budget(harm in 0.1..1e3_f64, rate in 0.1..1e5_f64, millis in 1..10_000_u64, upper in 1e-6..=1.0_f64) {
            let reveal = Duration::from_millis(millis);
            let weight = ramp_weight_cap(harm, rate, reveal, upper);
            prop_assert!((0.0..=1.0).contains(&weight) && weight * rate * reveal.as_secs_f64() * upper <= harm * (1.0 + 1e-9));
        }

        #[test]
        fn a_ramp_grows_to_one(first in 1e-4..=1.0_f64, factor in 1.01..100.0_f64) {
            let steps = ramp_steps(first, factor).unwrap();
            prop_assert!(steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.last() == Some(&1.0));
        }
    }
}
