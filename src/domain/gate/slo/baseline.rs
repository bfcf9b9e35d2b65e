//! Earlier evaluations: which of them count, and the one value a relative criterion is compared with.

use std::collections::BTreeMap;

use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::spec::{self, Aggregate, Include};
use crate::domain::gate::slo::value::Value;
use crate::domain::gate::slo::written::Comparison;

/// One earlier evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Earlier {
    /// Its overall result: `pass`, `warning`, `fail` or `inconclusive`.
    pub result: String,
    /// The operator withdrew it.
    pub invalidated: bool,
    /// Its rows.
    pub rows: Vec<EarlierRow>,
}

/// One row of an earlier evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierRow {
    /// The value; `None` when it was null.
    pub value: Option<Value>,
    /// The status of that SLI.
    pub status: String,
}

/// Returns the evaluations the original compares with, of those delivered newest first.
#[must_use]
pub fn select<'e>(earlier: &'e [Earlier], comparison: &Comparison, release: Lighthouse) -> Vec<&'e Earlier> {
    let most = match comparison.compare_with.as_str() {
        "single_result" => 1,
        "several_results" => usize::try_from(comparison.number_of_comparison_results).unwrap_or(0),
        _ => 3,
    };
    let wanted = |result: &str| match comparison.include_result_with_score.to_lowercase().as_str() {
        "pass" => result == "pass",
        "pass_or_warn" => result == "pass" || result == "warning",
        _ => true,
    };
    let counts = |one: &&Earlier| !one.invalidated && (!release.filters_by_result() || wanted(&one.result.to_lowercase()));
    earlier.iter().filter(counts).take(most).collect()
}

/// Returns the earlier values of each SLI, of evaluations that [`select`] chose, in their order.
#[must_use]
pub fn by_sli<'e>(selected: &[&'e Earlier], comparison: &Comparison, release: Lighthouse) -> BTreeMap<&'e str, Vec<&'e Value>> {
    let own = |status: &str| match comparison.include_result_with_score.as_str() {
        "all" => true,
        "pass_or_warn" => status == "warning" || status == "pass",
        "pass" => status == "pass",
        _ => false,
    };
    let mut found: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let rows = selected.iter().flat_map(|earlier| &earlier.rows);
    for value in rows.filter(|row| release.filters_by_result() || own(&row.status)).filter_map(|row| row.value.as_ref()) {
        found.entry(&value.metric).or_default().push(value);
    }
    found
}

/// Returns the aggregate of the values that were obtained; `None` when there is none.
///
/// An unknown function gives 0, as in the original.
#[must_use]
pub fn aggregate(values: &[&Value], function: &str) -> Option<f64> {
    let obtained: Vec<f64> = values.iter().filter(|value| value.success).map(|value| value.value).collect();
    if obtained.is_empty() {
        return None;
    }
    Some(Aggregate::from_name(function).map_or(0.0, |function| aggregate_of(&obtained, function)))
}

/// Returns the aggregate of numbers; 0 when there are none.
#[must_use]
pub fn aggregate_of(values: &[f64], function: Aggregate) -> f64 {
    match function {
        Aggregate::Average if values.is_empty() => 0.0,
        Aggregate::Average => {
            let count: f64 = values.iter().map(|_| 1.0).sum();
            // A plain loop from 0, because the sum of floats may begin with a negative zero.
            values.iter().fold(0.0, |sum, value| sum + value) / count
        }
        Aggregate::P50 => percentile(values, 0.5),
        Aggregate::P90 => percentile(values, 0.9),
        Aggregate::P95 => percentile(values, 0.95),
    }
}

/// Returns a percentile as the original computes it: position p · (n + 1), linear between neighbours, the smallest
/// value before the first position and the largest after the last; 0 when there are no values.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a position lies in 1 to n")]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return 0.0 };
    let position = share * (sorted.len() + 1) as f64;
    if position < 1.0 {
        return *first;
    }
    let at = position as usize;
    match (sorted.get(at - 1), sorted.get(at)) {
        (Some(lower), Some(upper)) if position < sorted.len() as f64 => lower + (position - libm::floor(position)) * (upper - lower),
        _ => *last,
    }
}

/// The earlier evaluations that may be compared with in strict mode.
#[derive(Clone, Debug)]
pub struct Baseline<'e> {
    /// The usable values of each evaluation, the newest first.
    values: Vec<BTreeMap<&'e str, f64>>,
    comparison: spec::Comparison,
}

impl<'e> Baseline<'e> {
    /// Keeps the evaluations whose result counts; invalidated and inconclusive ones never do.
    #[must_use]
    pub fn new(earlier: &'e [Earlier], comparison: spec::Comparison) -> Self {
        let wanted = |one: &&Earlier| {
            let results: &[&str] = match comparison.include {
                Include::Pass => &["pass"],
                Include::PassOrWarning => &["pass", "warning"],
                Include::All => &["pass", "warning", "fail"],
            };
            !one.invalidated && results.contains(&one.result.as_str())
        };
        let usable = |one: &'e Earlier| {
            let values = one.rows.iter().rev().filter_map(|row| row.value.as_ref());
            values.filter(|value| value.success && value.value.is_finite()).map(|value| (value.metric.as_str(), value.value)).collect()
        };
        Self { values: earlier.iter().filter(wanted).map(usable).collect(), comparison }
    }

    /// Returns the base value of an SLI and the number of evaluations it comes from; `None` when there is none.
    ///
    /// Only evaluations with a usable value of this SLI take one of the places.
    #[must_use]
    pub fn of(&self, sli: &str) -> Option<(f64, usize)> {
        let values: Vec<f64> = self.values.iter().filter_map(|one| one.get(sli).copied()).take(self.comparison.count).collect();
        (!values.is_empty()).then(|| (aggregate_of(&values, self.comparison.aggregate), values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earlier(result: &str, values: &[(&str, f64)]) -> Earlier {
        let rows = values.iter().map(|(sli, value)| EarlierRow { value: Some(Value::new(sli, *value)), status: "pass".into() });
        Earlier { result: result.into(), invalidated: false, rows: rows.collect() }
    }

    #[test]
    fn v10_v11_strictly_only_usable_values_of_conclusive_evaluations_take_a_place() {
        let mut withdrawn = earlier("pass", &[("a", 1000.0)]);
        withdrawn.invalidated = true;
        let all = [
            withdrawn,
            earlier("inconclusive", &[("a", 500.0)]),
            earlier("pass", &[("b", 1.0)]),
            earlier("pass", &[("a", f64::NAN)]),
            earlier("fail", &[("a", 90.0)]),
            earlier("pass", &[("a", 10.0)]),
            earlier("warning", &[("a", 20.0)]),
            earlier("pass", &[("a", 30.0)]),
        ];
        let of = |include, count| Baseline::new(&all, spec::Comparison { count, include, aggregate: Aggregate::Average }).of("a");
        assert_eq!(of(Include::Pass, 2), Some((20.0, 2)));
        assert_eq!(of(Include::PassOrWarning, 2), Some((15.0, 2)));
        assert_eq!(of(Include::All, 1), Some((90.0, 1)));
        assert_eq!(Baseline::new(&all[..4], spec::Comparison { count: 9, include: Include::All, aggregate: Aggregate::P50 }).of("a"), None);
    }
}
