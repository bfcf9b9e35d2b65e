//! Several gates together: how they share α, what their e-values combine to, and the "or" of "and"s of an SLO file.
//!
//! A pass needs every gate at its own level (intersection-union test, Berger 1982) and so no function here.

use serde::{Deserialize, Serialize};

use crate::domain::stats::parameter::{self, ParameterError};
use crate::domain::stats::special::log_sum_exp;

/// Returns the evidence of the gates by the weighted Bonferroni rule: max over gates of ln w_g + ln E_g, against ln(1/α).
///
/// Gate g acts alone once E_g ≥ 1/(α w_g). Valid whatever the gates' dependence, filtrations and times of evaluation. `weights`
/// sum to 1; `None` gives each gate the same.
///
/// # Errors
///
/// Refuses an empty list, evidence that is no number, and weights that are too many, too few, below 0, or do not sum to 1.
pub fn combine_gates(log_es: &[f64], weights: Option<&[f64]>) -> Result<f64, ParameterError> {
    Ok(weighted(log_es, weights)?.into_iter().fold(f64::NEG_INFINITY, f64::max))
}

/// Returns ln of the weighted average of e-values: at least as strong as [`combine_gates`], and valid less often.
///
/// It is anytime-valid only for e-processes in one filtration that are evaluated on the same prefix of requests in start order,
/// such as counts updated together block by block; never for maxima over prefixes of different gates.
///
/// # Errors
///
/// As [`combine_gates`].
pub fn average_gates(log_es: &[f64], weights: Option<&[f64]>) -> Result<f64, ParameterError> {
    Ok(log_sum_exp(weighted(log_es, weights)?))
}

/// Returns ln w_g + ln E_g of each gate.
fn weighted(log_es: &[f64], weights: Option<&[f64]>) -> Result<Vec<f64>, ParameterError> {
    let name = "evidence";
    if log_es.is_empty() {
        return Err(ParameterError::Empty { name });
    }
    if let Some(value) = log_es.iter().find(|log_e| log_e.is_nan()) {
        return Err(ParameterError::Range { name, value: *value, range: "a number" });
    }
    let Some(weights) = weights else {
        let ln_weight = -(log_es.len() as f64).ln();
        return Ok(log_es.iter().map(|log_e| log_e + ln_weight).collect());
    };
    if weights.len() != log_es.len() {
        return Err(ParameterError::WeightCount { weights: weights.len(), gates: log_es.len() });
    }
    if let Some(value) = weights.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
        return Err(ParameterError::Range { name: "weight", value: *value, range: "from 0 to 1" });
    }
    let sum: f64 = weights.iter().sum();
    if (sum - 1.0).abs() >= 1e-9 {
        return Err(ParameterError::Range { name: "sum of weights", value: sum, range: "1" });
    }
    // A gate without weight never acts, not even on infinite evidence.
    let part = |(log_e, weight): (&f64, &f64)| if *weight > 0.0 { log_e + weight.ln() } else { f64::NEG_INFINITY };
    Ok(log_es.iter().zip(weights).map(part).collect())
}

/// Returns the evidence against "pass" of an SLO: the breach ln E of the criteria of each block, blocks joined by "or".
///
/// "Not pass" needs evidence against every block, and a block fails when any of its criteria does: the minimum over blocks of
/// [`combine_gates`] over criteria.
///
/// # Errors
///
/// As [`combine_gates`], for the list of blocks and each block.
pub fn combine_slo_breach<B: AsRef<[f64]>>(blocks: &[B]) -> Result<f64, ParameterError> {
    let combined = blocks.iter().map(|block| combine_gates(block.as_ref(), None)).collect::<Result<Vec<_>, _>>()?;
    least(&combined)
}

/// Returns the evidence for "pass" of an SLO: the pass ln E of the criteria of each block, blocks joined by "or".
///
/// A block passes when all of its criteria do: [`combine_gates`] over blocks of the minimum over criteria.
///
/// # Errors
///
/// As [`combine_gates`], for the list of blocks and each block.
pub fn combine_slo_pass<B: AsRef<[f64]>>(blocks: &[B]) -> Result<f64, ParameterError> {
    let least = blocks.iter().map(|block| least(block.as_ref())).collect::<Result<Vec<_>, _>>()?;
    combine_gates(&least, None)
}

fn least(log_es: &[f64]) -> Result<f64, ParameterError> {
    // Unlike the minimum, refuses nothing at all and what is no number.
    weighted(log_es, None)?;
    Ok(log_es.iter().copied().fold(f64::INFINITY, f64::min))
}

/// How a rollout's bound on false alarms is shared between its tests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaShares {
    /// For the test that runs through all steps.
    pub cumulative: f64,
    /// For each step's fresh test.
    pub per_step: f64,
}

/// Shares `alpha`: half for the test over the whole rollout, half spread over the `steps` fresh tests of the steps.
///
/// # Errors
///
/// Refuses an `alpha` that is not strictly between 0 and 1, and no steps.
pub fn alpha_shares(alpha: f64, steps: u32) -> Result<AlphaShares, ParameterError> {
    let half = parameter::share("alpha", alpha)? / 2.0;
    if steps == 0 {
        return Err(ParameterError::Empty { name: "list of steps" });
    }
    Ok(AlphaShares { cumulative: half, per_step: half / f64::from(steps) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_combined_is_refused() {
        for odd in [&[] as &[f64], &[f64::NAN], &[1.0, f64::NAN]] {
            assert!(combine_gates(odd, None).is_err() && average_gates(odd, None).is_err());
            assert!(combine_slo_breach(&[odd]).is_err() && combine_slo_pass(&[&[1.0], odd]).is_err());
        }
        assert!(combine_slo_breach::<Vec<f64>>(&[]).is_err() && combine_slo_pass::<Vec<f64>>(&[]).is_err());
        for weights in [&[1.0] as &[f64], &[0.5, 0.6], &[-0.5, 1.5], &[f64::NAN, 1.0], &[]] {
            let error = combine_gates(&[1.0, 2.0], Some(weights)).unwrap_err();
            assert_eq!(average_gates(&[1.0, 2.0], Some(weights)).unwrap_err().to_string(), error.to_string());
        }
        assert_eq!(combine_gates(&[f64::INFINITY, 2.0], Some(&[0.0, 1.0])), Ok(2.0));
        for alpha in [f64::NAN, 0.0, 1.0] {
            assert!(alpha_shares(alpha, 3).is_err());
        }
        assert!(alpha_shares(0.001, 0).is_err());
    }

    proptest! {
        #[test]
        fn an_average_lies_between_the_shared_and_the_unshared_maximum(log_es in prop::collection::vec(-20.0..20.0_f64, 1..9)) {
            let max = log_es.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (combined, average) = (combine_gates(&log_es, None).unwrap(), average_gates(&log_es, None).unwrap());
            prop_assert!(combined <= average + 1e-12 && average <= max + 1e-12);
            let equal = vec![1.0 / log_es.len() as f64; log_es.len()];
            prop_assert!((combine_gates(&log_es, Some(&equal)).unwrap() - combined).abs() < 1e-12);
        }

        #[test]
        fn the_shares_add_up(alpha in 1e-6..0.5_f64, steps in 1..100_u32) {
            let shares = alpha_shares(alpha, steps).unwrap();
            prop_assert!((shares.cumulative + shares.per_step * f64::from(steps) - alpha).abs() < 1e-12);
        }

        #[test]
        fn one_block_of_one_criterion_is_itself(log_e in -20.0..20.0_f64) {
            prop_assert_eq!(combine_slo_breach(&[[log_e]]).unwrap(), log_e);
            prop_assert_eq!(combine_slo_pass(&[[log_e]]).unwrap(), log_e);
        }
    }
}
