//! Turns a perfspec into what a live rollout needs: the measurement behind each indicator, its limits as durations, and gates.
//!
//! It does not measure and does not grade; it says which of the proxy's own figures answers a query and in which unit.

use std::time::Duration;

use serde::Serialize;

use crate::domain::gate::criterion::{Criterion, Gate, Origin, Share, Timing};
use crate::domain::gate::perfspec::promql;
use crate::domain::gate::perfspec::reach;
use crate::domain::gate::perfspec::spec::{Aggregation, Indicator, Query, Spec};

/// The Dynatrace series that the proxy answers itself, in microseconds.
pub const DYNATRACE_RESPONSE_TIME: &str = "com.dynatrace.builtin:service.responsetime";

/// The longest limit a live gate may have.
const LONGEST_LIMIT: Duration = Duration::from_secs(3600);

/// Which figure of the proxy's own response times answers an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The mean.
    Mean,
    /// The quantile that leaves this share of the requests above it: p95 is 5 %.
    Percentile(Share),
    /// The fastest request.
    Min,
    /// The slowest request.
    Max,
    /// The number of requests.
    Count,
}

/// The unit an indicator's values and limits are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Millionths of a second, as Dynatrace gives response times.
    Microseconds,
    /// Seconds, as Prometheus gives them.
    Seconds,
    /// A bare number of requests.
    Requests,
}

impl Unit {
    /// Converts nanoseconds (or a bare number, for [`Unit::Requests`]) into this unit.
    #[must_use]
    pub fn from_nanos(self, nanos: f64) -> f64 {
        match self {
            Self::Microseconds => nanos / 1e3,
            Self::Seconds => nanos / 1e9,
            Self::Requests => nanos,
        }
    }

    /// Converts a limit in this unit into a duration; `None` outside 1 ns to 1 h and for bare numbers.
    fn duration(self, value: f64) -> Option<Duration> {
        let nanos = match self {
            Self::Microseconds => value * 1e3,
            Self::Seconds => value * 1e9,
            Self::Requests => return None,
        };
        let limit = Duration::try_from_secs_f64(nanos.round() / 1e9).ok()?;
        (!limit.is_zero() && limit <= LONGEST_LIMIT).then_some(limit)
    }
}

/// One indicator of a perfspec as a live rollout sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveIndicator {
    /// The indicator's id.
    pub id: String,
    /// The figure that answers it.
    pub aggregate: Aggregate,
    /// The unit of its values.
    pub unit: Unit,
    /// The response time from which the run fails, all other indicators having full points: 800 ms with the seed's
    /// Dynatrace file. `None` when this indicator has no upper limit that fails the run alone, or counts requests.
    pub fail_line: Option<Duration>,
    /// The `upperSevere` limit; `None` when the file has none, or it counts requests.
    pub severe: Option<Duration>,
}

/// The reason why an indicator cannot be judged live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("indicator \"{indicator}\" cannot be judged from the proxy's own measurements: {reason}")]
pub struct NotLive {
    /// The indicator's id.
    pub indicator: String,
    /// The position of the indicator in the file, from 0.
    pub index: usize,
    /// The path of the key below the indicator, such as `query.timeseriesId`.
    pub key: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

/// Says which figure of the proxy answers an indicator's query, and in which unit.
///
/// # Errors
///
/// Returns why none does.
pub fn recognise(index: usize, indicator: &Indicator) -> Result<(Aggregate, Unit), NotLive> {
    let wrong = |key: &'static str, reason: String, hint: String| NotLive { indicator: indicator.id.clone(), index, key, reason, hint };
    match &indicator.query {
        Query::Promql(query) => match promql::is_mean_response_time(query) {
            Ok(()) => Ok((Aggregate::Mean, Unit::Seconds)),
            Err(reason) => {
                let base = promql::RESPONSE_TIME;
                Err(wrong(
                    "query",
                    format!("the query is not one the proxy can answer, {reason}"),
                    format!("write rate({base}_sum{{job='…'}}[$DURATION])/rate({base}_count{{job='…'}}[$DURATION])"),
                ))
            }
        },
        Query::Timeseries { id, aggregation, .. } if id == DYNATRACE_RESPONSE_TIME => Ok(match aggregation {
            Aggregation::Mean => (Aggregate::Mean, Unit::Microseconds),
            Aggregation::Min => (Aggregate::Min, Unit::Microseconds),
            Aggregation::Max => (Aggregate::Max, Unit::Microseconds),
            Aggregation::Count => (Aggregate::Count, Unit::Requests),
            Aggregation::Percentile(percent) => {
                let above = 100_u32.saturating_sub(u32::from(*percent)) * 10_000;
                let share = Share::from_ppm(above).ok_or_else(|| {
                    wrong("query.aggregation", format!("p{percent} is not a percentile"), Aggregation::EXAMPLES.to_owned())
                })?;
                (Aggregate::Percentile(share), Unit::Microseconds)
            }
        }),
        Query::Timeseries { id, .. } => Err(wrong(
            "query.timeseriesId",
            format!("the proxy does not measure the series \"{id}\""),
            format!("use \"{DYNATRACE_RESPONSE_TIME}\", or leave this indicator out of the live gate"),
        )),
        Query::Smartscape { .. } => Err(wrong(
            "query.smartscape",
            "the proxy does not know the topology of services".to_owned(),
            format!("use the series \"{DYNATRACE_RESPONSE_TIME}\", or leave this indicator out of the live gate"),
        )),
    }
}

/// Returns each indicator with the figure that answers it and its limits, in the order of the file.
///
/// # Errors
///
/// Returns every indicator that cannot be judged live, all at once.
pub fn indicators(spec: &Spec) -> Result<Vec<LiveIndicator>, Vec<NotLive>> {
    let mut live = Vec::new();
    let mut errors = Vec::new();
    for (index, indicator) in spec.indicators.iter().enumerate() {
        match live_indicator(spec, index, indicator) {
            Ok(indicator) => live.push(indicator),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(live) } else { Err(errors) }
}

fn live_indicator(spec: &Spec, index: usize, indicator: &Indicator) -> Result<LiveIndicator, NotLive> {
    let (aggregate, unit) = recognise(index, indicator)?;
    if indicator.relative.needs_baseline() {
        return Err(NotLive {
            indicator: indicator.id.clone(),
            index,
            key: "grading.thresholds",
            reason: "a limit relative to an earlier run has no earlier run in a live rollout".to_owned(),
            hint: "write absolute limits, or \"baseline\": \"optional\" in the grading to go without the relative ones".to_owned(),
        });
    }
    let limit = |value: Option<f64>, key| match value {
        Some(value) if unit != Unit::Requests => unit.duration(value).map(Some).ok_or_else(|| NotLive {
            indicator: indicator.id.clone(),
            index,
            key,
            reason: format!("the limit {value} is not a response time above 0 and at most 1 h"),
            hint: match unit {
                Unit::Microseconds => "write microseconds, for example 1000000 for one second".to_owned(),
                Unit::Seconds | Unit::Requests => "write seconds, for example 0.8".to_owned(),
            },
        }),
        _ => Ok(None),
    };
    let severe = limit(indicator.thresholds.upper_severe, "grading.thresholds.upperSevere")?;
    limit(indicator.thresholds.upper_warning, "grading.thresholds.upperWarning")?;
    let fail_line = limit(reach::fails_from(spec, index), "grading.thresholds")?;
    Ok(LiveIndicator { id: indicator.id.clone(), aggregate, unit, fail_line, severe })
}

/// Compiles a perfspec into the gates of a live rollout.
///
/// A mean becomes a mean gate at its fail line; with `derive_tripwire` also an exceedance gate of 5 % at its severe
/// limit, marked as derived. A percentile becomes an exceedance gate at its fail line and needs no derived one. Limits
/// are inclusive in the file and exclusive in a gate; for a continuous response time that is the same.
///
/// An indicator without a fail line, a minimum, a maximum and a count give no gate: only the file's own arithmetic at
/// the end of a step judges them. So the list may be empty.
///
/// # Errors
///
/// Returns every indicator that cannot be judged live, all at once.
pub fn compile(spec: &Spec, derive_tripwire: bool) -> Result<Vec<Gate>, Vec<NotLive>> {
    Ok(indicators(spec)?.iter().flat_map(|indicator| gates(indicator, derive_tripwire)).collect())
}

/// Returns the gates of one indicator, the compiled one first.
#[must_use]
pub fn gates(indicator: &LiveIndicator, derive_tripwire: bool) -> Vec<Gate> {
    let id = || indicator.id.clone();
    let compiled = |criterion| Gate::new(criterion, Origin::Compiled { indicator: id() });
    match (indicator.aggregate, indicator.fail_line) {
        (Aggregate::Mean, fail_line) => {
            let mean = fail_line.map(|limit| compiled(Criterion::Mean { limit, timing: Timing::ResponseTime }));
            let tripwire = indicator.severe.filter(|_| derive_tripwire).map(|limit| {
                let criterion = Criterion::Latency { share: Share::FIVE_PERCENT, limit, timing: Timing::ResponseTime };
                Gate::new(criterion, Origin::Derived { indicator: id() })
            });
            mean.into_iter().chain(tripwire).collect()
        }
        (Aggregate::Percentile(share), Some(limit)) => vec![compiled(Criterion::Latency { share, limit, timing: Timing::ResponseTime })],
        (Aggregate::Percentile(_), None) | (Aggregate::Min | Aggregate::Max | Aggregate::Count, _) => Vec::new(),
    }
}

/// What the proxy measured of one version over one stretch of time.
pub struct Measured<'a> {
    /// The entity the values are reported under, such as the version's name.
    pub key: &'a str,
    /// The number of finished requests.
    pub count: u64,
    /// The mean response time in nanoseconds; not read when `count` is 0.
    pub mean_ns: f64,
    /// Returns the response time in nanoseconds at a quantile from 0 (fastest) to 1 (slowest); not called when `count`
    /// is 0.
    pub quantile: &'a dyn Fn(f64) -> f64,
    /// The ended requests by class, in the order of [`crate::domain::outcome::Class::ALL`].
    pub classes: [u64; 7],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::perfspec::reach::tests::spec;
    use crate::domain::gate::perfspec::spec::{Entities, Source};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_seeds_dynatrace_file_becomes_a_mean_gate_and_a_derived_tripwire() {
        let carts = spec(90.0, 75.0, &[(100.0, Some(800_000.0), Some(1_000_000.0))]);
        let live = indicators(&carts).unwrap();
        let expected = LiveIndicator {
            id: "i0".into(),
            aggregate: Aggregate::Mean,
            unit: Unit::Microseconds,
            fail_line: Some(MS(800)),
            severe: Some(MS(1000)),
        };
        assert_eq!(live, [expected]);
        let names: Vec<String> = compile(&carts, true).unwrap().iter().map(Gate::name).collect();
        assert_eq!(names, ["i0: mean < 800 ms", "i0: p95 < 1 s (derived)"]);
        assert_eq!(compile(&carts, false).unwrap().len(), 1);
    }

    #[test]
    fn the_seeds_prometheus_file_is_in_seconds_and_fails_from_its_severe_limit() {
        let mut carts = spec(90.0, 75.0, &[(100.0, None, Some(0.8))]);
        carts.indicators[0].source = Source::Prometheus;
        carts.indicators[0].query = Query::Promql(
            "rate(requests_latency_seconds_sum{job='carts-$ENVIRONMENT'}[$DURATION_MINUTESm])/rate(requests_latency_seconds_count{job='carts-$ENVIRONMENT'}[$DURATION_MINUTESm])".into(),
        );
        let names: Vec<String> = compile(&carts, true).unwrap().iter().map(Gate::name).collect();
        assert_eq!(names, ["i0: mean < 800 ms", "i0: p95 < 800 ms (derived)"]);
    }

    #[test]
    fn a_percentile_becomes_an_exceedance_gate_and_a_count_none() {
        let mut one = spec(90.0, 75.0, &[(100.0, None, Some(250_000.0))]);
        let aggregation = |aggregation| Query::Timeseries { id: DYNATRACE_RESPONSE_TIME.into(), aggregation, of: Entities::default() };
        one.indicators[0].query = aggregation(Aggregation::Percentile(99));
        assert_eq!(compile(&one, true).unwrap()[0].name(), "i0: p99 < 250 ms");
        for other in [Aggregation::Count, Aggregation::Min, Aggregation::Max] {
            one.indicators[0].query = aggregation(other);
            assert_eq!(compile(&one, true), Ok(Vec::new()));
        }
    }

    #[test]
    fn every_indicator_that_cannot_be_judged_live_is_named_at_once() {
        let mut two = spec(90.0, 75.0, &[(50.0, None, Some(1.0)), (50.0, None, Some(1.0)), (50.0, None, Some(-1.0))]);
        two.indicators[0].query = Query::Promql("up".into());
        two.indicators[1].query = Query::Timeseries { id: "x".into(), aggregation: Aggregation::Mean, of: Entities::default() };
        two.indicators.push(two.indicators[2].clone());
        two.indicators[3].relative.upper_severe_perc = Some(10.0);
        let errors = compile(&two, true).unwrap_err();
        assert_eq!(
            errors.iter().map(|e| (e.index, e.key)).collect::<Vec<_>>(),
            [(0, "query"), (1, "query.timeseriesId"), (2, "grading.thresholds.upperSevere"), (3, "grading.thresholds")]
        );
    }
}
