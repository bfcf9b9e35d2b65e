//! Answers indicators from the proxy's own measurements of a version, so that no monitoring system is needed.

use crate::domain::gate::live::{Aggregate, LiveIndicator, Measured};
use crate::domain::gate::perfspec::SourceResult;

/// Returns the value of an indicator in the unit of its query; nothing when no request was measured.
///
/// A count is a figure even then: it is 0.
#[must_use]
pub fn values(indicator: &LiveIndicator, measured: &Measured<'_>) -> Vec<SourceResult> {
    #[expect(clippy::cast_precision_loss, reason = "a count above 2^53 cannot occur")]
    let count = measured.count as f64;
    let figure = match indicator.aggregate {
        Aggregate::Count => count,
        _ if measured.count == 0 => return Vec::new(),
        Aggregate::Mean => measured.mean_ns,
        Aggregate::Percentile(above) => (measured.quantile)(1.0 - above.ratio()),
        Aggregate::Min => (measured.quantile)(0.0),
        Aggregate::Max => (measured.quantile)(1.0),
    };
    vec![SourceResult::number(measured.key, indicator.unit.from_nanos(figure))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::criterion::Share;
    use crate::domain::gate::live::Unit;

    fn indicator(aggregate: Aggregate, unit: Unit) -> LiveIndicator {
        LiveIndicator { id: "i".into(), aggregate, unit, fail_line: None, severe: None }
    }

    #[test]
    fn each_figure_comes_in_the_unit_of_its_query() {
        let measured = Measured { key: "0.8.2", count: 4, mean_ns: 1.003e9, quantile: &|q| q * 1e9, classes: [0; 7] };
        for (aggregate, unit, value) in [
            (Aggregate::Mean, Unit::Microseconds, 1_003_000.0),
            (Aggregate::Mean, Unit::Seconds, 1.003),
            (Aggregate::Percentile(Share::FIVE_PERCENT), Unit::Microseconds, 950_000.0),
            (Aggregate::Min, Unit::Microseconds, 0.0),
            (Aggregate::Max, Unit::Microseconds, 1_000_000.0),
            (Aggregate::Count, Unit::Requests, 4.0),
        ] {
            assert_eq!(values(&indicator(aggregate, unit), &measured), [SourceResult::number("0.8.2", value)], "{aggregate:?}");
        }
    }

    #[test]
    fn without_requests_there_is_no_value_but_a_count_of_none() {
        let nothing = Measured { key: "v2", count: 0, mean_ns: f64::NAN, quantile: &|_| f64::NAN, classes: [0; 7] };
        assert_eq!(values(&indicator(Aggregate::Mean, Unit::Seconds), &nothing), []);
        assert_eq!(values(&indicator(Aggregate::Count, Unit::Requests), &nothing), [SourceResult::number("v2", 0.0)]);
    }
}
