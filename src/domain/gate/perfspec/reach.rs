//! What a gate file can say at all: the value from which each indicator fails the run, and the results that can occur.

use std::collections::BTreeSet;

use crate::domain::gate::perfspec::spec::{Indicator, Outcome, Spec, Thresholds};

/// The most different totals that are looked at; a file with more is taken to be able to say everything.
const MAX_TOTALS: usize = 20_000;

/// Returns the smallest value from which this indicator alone fails the run, all others having full points; `None`
/// when no upper limit of it can.
///
/// With the seed's own Dynatrace file this is 800 000, not 1 000 000: a warning leaves 50 points and 75 are needed.
#[must_use]
pub fn fails_from(spec: &Spec, index: usize) -> Option<f64> {
    let indicator = spec.indicators.get(index)?;
    let Thresholds { upper_severe, upper_warning, .. } = indicator.thresholds;
    let warning = upper_warning.filter(|w| upper_severe.is_none_or(|s| *w < s));
    let half = indicator.metric_score / 2.0;
    warning.filter(|_| fails_with(spec, index, half)).or(upper_severe.filter(|_| fails_with(spec, index, 0.0)))
}

/// Returns the largest value down from which this indicator alone fails the run, all others having full points.
#[must_use]
pub fn fails_down_from(spec: &Spec, index: usize) -> Option<f64> {
    let indicator = spec.indicators.get(index)?;
    let Thresholds { lower_severe, lower_warning, .. } = indicator.thresholds;
    let warning = lower_warning.filter(|w| lower_severe.is_none_or(|s| *w > s));
    let half = indicator.metric_score / 2.0;
    warning.filter(|_| fails_with(spec, index, half)).or(lower_severe.filter(|_| fails_with(spec, index, 0.0)))
}

/// Says whether the run fails when one indicator has `score` and all others have full points.
fn fails_with(spec: &Spec, index: usize, score: f64) -> bool {
    let points = spec.indicators.iter().enumerate().map(|(i, other)| if i == index { score } else { other.metric_score });
    spec.objectives.outcome(points.sum()) == Outcome::Fail
}

/// Returns the most points the file can give.
#[must_use]
pub fn full_points(spec: &Spec) -> f64 {
    spec.indicators.iter().map(|indicator| indicator.metric_score).sum()
}

/// Returns the score words that some measurement can bring about; `None` when there are too many combinations to say.
#[must_use]
pub fn possible_outcomes(spec: &Spec) -> Option<BTreeSet<Outcome>> {
    // Totals are kept by their bits: points are never negative, so the bits sort like the numbers.
    let mut totals = BTreeSet::from([0.0_f64.to_bits()]);
    for indicator in &spec.indicators {
        let scores = possible_scores(indicator);
        totals = totals.iter().flat_map(|t| scores.iter().map(|s| (f64::from_bits(*t) + s).to_bits())).collect();
        if totals.len() > MAX_TOTALS {
            return None;
        }
    }
    Some(totals.into_iter().map(|t| spec.objectives.outcome(f64::from_bits(t))).collect())
}

/// Returns the scores one indicator can have; both sides never fire together in a file that loads strictly.
fn possible_scores(indicator: &Indicator) -> Vec<f64> {
    let Thresholds { upper_severe, upper_warning, lower_severe, lower_warning } = indicator.thresholds;
    let relative = indicator.relative;
    let mut scores = vec![indicator.metric_score];
    let warns = upper_warning.is_some_and(|w| upper_severe.is_none_or(|s| w < s))
        || lower_warning.is_some_and(|w| lower_severe.is_none_or(|s| w > s))
        || relative.upper_warning_perc.is_some()
        || relative.lower_warning_perc.is_some();
    if warns {
        scores.push(indicator.metric_score / 2.0);
    }
    if [upper_severe, lower_severe, relative.upper_severe_perc, relative.lower_severe_perc].iter().any(Option::is_some) {
        scores.push(0.0);
    }
    scores
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::gate::perfspec::js::Js;
    use crate::domain::gate::perfspec::spec::{Aggregation, Entities, Objectives, Query, RelativeThresholds, Source};

    /// Makes a spec with one Dynatrace mean indicator per `(points, warning, severe)`.
    pub(crate) fn spec(pass: f64, warning: f64, indicators: &[(f64, Option<f64>, Option<f64>)]) -> Spec {
        let indicators = indicators.iter().enumerate().map(|(i, (metric_score, upper_warning, upper_severe))| Indicator {
            id: format!("i{i}"),
            source: Source::Dynatrace,
            query: Query::Timeseries {
                id: "com.dynatrace.builtin:service.responsetime".into(),
                aggregation: Aggregation::Mean,
                of: Entities::default(),
            },
            thresholds: Thresholds { upper_severe: *upper_severe, upper_warning: *upper_warning, ..Thresholds::default() },
            relative: RelativeThresholds::default(),
            metric_score: *metric_score,
            ignore_empty: false,
            metadata: Js::Undefined,
        });
        Spec { indicators: indicators.collect(), objectives: Objectives { pass, warning: Some(warning) } }
    }

    #[test]
    fn the_seeds_file_fails_from_its_warning_limit() {
        let carts = spec(90.0, 75.0, &[(100.0, Some(800_000.0), Some(1_000_000.0))]);
        assert_eq!(fails_from(&carts, 0), Some(800_000.0));
        assert_eq!(fails_down_from(&carts, 0), None);
        assert_eq!(possible_outcomes(&carts), Some(BTreeSet::from([Outcome::Fail, Outcome::Pass])));
    }

    #[test]
    fn a_warning_that_the_objectives_forgive_moves_the_line_to_severe() {
        let forgiving = spec(90.0, 50.0, &[(100.0, Some(800_000.0), Some(1_000_000.0))]);
        assert_eq!(fails_from(&forgiving, 0), Some(1_000_000.0));
        assert_eq!(possible_outcomes(&forgiving), Some(BTreeSet::from([Outcome::Fail, Outcome::Warning, Outcome::Pass])));
    }

    #[test]
    fn an_indicator_that_cannot_fail_the_run_alone_has_no_line() {
        let two = spec(100.0, 50.0, &[(50.0, None, Some(1.0)), (80.0, Some(1.0), Some(2.0))]);
        assert_eq!(fails_from(&two, 0), None);
        assert_eq!(fails_from(&two, 1), None);
        assert_eq!(fails_from(&two, 2), None);
    }

    #[test]
    fn lower_limits_have_their_own_line() {
        let mut low = spec(90.0, 75.0, &[(100.0, None, None)]);
        low.indicators[0].thresholds.lower_severe = Some(5.0);
        low.indicators[0].thresholds.lower_warning = Some(10.0);
        assert_eq!(fails_down_from(&low, 0), Some(10.0));
        assert_eq!(fails_from(&low, 0), None);
    }

    #[test]
    fn many_indicators_of_equal_points_are_still_counted_and_too_many_sums_are_not() {
        let equal: Vec<_> = (0..40).map(|_| (10.0, Some(1.0), Some(2.0))).collect();
        assert!(possible_outcomes(&spec(390.0, 380.0, &equal)).is_some());
        let different: Vec<_> = (0..40).map(|i| (f64::from(i).exp2(), Some(1.0), Some(2.0))).collect();
        assert_eq!(possible_outcomes(&spec(1.0, 1.0, &different)), None);
    }
}
