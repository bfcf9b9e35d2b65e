//! A perfspec as typed values: indicators with limits and points, and the points a run needs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::gate::perfspec::js::Js;

/// Which of two complete behaviours judges a gate file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// Every mistake is an error at load, missing data is inconclusive.
    #[default]
    Strict,
    /// The arithmetic and the leniency of the original, to the bit.
    Keptn,
}

/// The system an indicator names as the origin of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// A Prometheus server; the query is a line of PromQL.
    Prometheus,
    /// A Dynatrace tenant; the query names a time series.
    Dynatrace,
}

impl Source {
    /// The registered names; they are case-sensitive.
    pub const NAMES: [&'static str; 2] = ["Prometheus", "Dynatrace"];

    /// Finds a source by its exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Prometheus" => Some(Self::Prometheus),
            "Dynatrace" => Some(Self::Dynatrace),
            _ => None,
        }
    }
}

/// What the values of one entity are condensed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The arithmetic mean.
    Mean,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The number of values.
    Count,
    /// A percentile, 1 to 99.
    Percentile(u8),
}

impl Aggregation {
    /// What an aggregation may look like, for error messages.
    pub const EXAMPLES: &'static str = "write AVG, MIN, MAX, COUNT or a percentile such as p95";

    /// Reads the free text of a Dynatrace query: a lower-case `p` with digits anywhere in it is a percentile, the
    /// words are read in any case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if let Some(percent) = percentile_in(text) {
            return percent.parse().ok().filter(|p| (1..=99).contains(p)).map(Self::Percentile);
        }
        match text.to_ascii_lowercase().as_str() {
            "avg" => Some(Self::Mean),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            "count" => Some(Self::Count),
            _ => None,
        }
    }
}

/// Returns the digits that follow the first `p` which has any.
fn percentile_in(text: &str) -> Option<&str> {
    text.match_indices('p').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).filter(|digits| !digits.is_empty())
    })
}

/// Which entities a Dynatrace query is about; without any it is about the service of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entities {
    /// Their ids, such as `SERVICE-64F930D2B8E888FF`.
    pub ids: Vec<String>,
    /// Tags that each of them has, as `key`, `key:value` or `[context]key:value`, placeholders unreplaced.
    pub tags: Vec<String>,
}

/// What an indicator asks its source for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// A line of PromQL, placeholders unreplaced.
    Promql(String),
    /// A Dynatrace time series, one value per entity.
    Timeseries {
        /// The name of the series.
        id: String,
        /// What its values are condensed to.
        aggregation: Aggregation,
        /// Of which entities.
        of: Entities,
    },
    /// The number of related entities in a Dynatrace topology.
    Smartscape {
        /// `Service`, `Application` or `Process`.
        entity_type: String,
        /// The relation that is counted, such as `toRelationships:calls`.
        relation: String,
        /// Of which entities.
        of: Entities,
    },
}

/// The limits of one indicator in the unit of its query; a value on a limit violates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// From here on no points.
    pub upper_severe: Option<f64>,
    /// From here on half the points.
    pub upper_warning: Option<f64>,
    /// Down from here no points.
    pub lower_severe: Option<f64>,
    /// Down from here half the points.
    pub lower_warning: Option<f64>,
}

/// The limits relative to an earlier run, in percent of its value; known to later graders only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelativeThresholds {
    /// Overrides `upperSevere` with base · (100 + this) / 100.
    pub upper_severe_perc: Option<f64>,
    /// Overrides `upperWarning` with base · (100 + this) / 100.
    pub upper_warning_perc: Option<f64>,
    /// Overrides `lowerSevere` with base · (100 − this) / 100.
    pub lower_severe_perc: Option<f64>,
    /// Overrides `lowerWarning` with base · (100 − this) / 100.
    pub lower_warning_perc: Option<f64>,
    /// The file says that a run without anything earlier is judged without these limits.
    pub baseline_optional: bool,
}

impl RelativeThresholds {
    /// Says whether a baseline is needed and could change the score.
    #[must_use]
    pub fn needs_baseline(&self) -> bool {
        let any = [self.upper_severe_perc, self.upper_warning_perc, self.lower_severe_perc, self.lower_warning_perc];
        !self.baseline_optional && any.iter().any(Option::is_some)
    }
}

/// One indicator with its limits and points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Indicator {
    /// Its name, unique in the file.
    pub id: String,
    /// The system its values come from.
    pub source: Source,
    /// What that system is asked.
    pub query: Query,
    /// The absolute limits.
    pub thresholds: Thresholds,
    /// The limits relative to an earlier run.
    pub relative: RelativeThresholds,
    /// The points it can earn, finite and at least 0.
    pub metric_score: f64,
    /// Gives full points when there is no value at all.
    pub ignore_empty: bool,
    /// Copied into each violation; [`Js::Undefined`] when absent.
    pub metadata: Js,
}

/// The points a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Objectives {
    /// From here on the run passes.
    pub pass: f64,
    /// From here on the run passes with a warning; without it there is no warning.
    pub warning: Option<f64>,
}

/// The score word of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Fewer points than either objective asks for.
    Fail,
    /// Enough for `warning`, not for `pass`.
    Warning,
    /// Enough for `pass`.
    Pass,
}

impl Outcome {
    /// Returns the word used in the report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warning => "warning",
            Self::Pass => "pass",
        }
    }
}

impl Objectives {
    /// Returns the score word of a total; both comparisons are inclusive.
    #[must_use]
    pub fn outcome(&self, total: f64) -> Outcome {
        if self.pass <= total {
            Outcome::Pass
        } else if self.warning.is_some_and(|warning| warning <= total) {
            Outcome::Warning
        } else {
            Outcome::Fail
        }
    }
}

/// A whole gate file, loaded strictly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// The indicators in the order of the file; at least one, ids unique.
    pub indicators: Vec<Indicator>,
    /// The points the run needs.
    pub objectives: Objectives,
}

/// One value a source gave, with the entity it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceResult {
    /// The entity, such as a service id or a label set.
    pub key: Js,
    /// The value: a number, a number as text, or anything a broken source says.
    pub value: Js,
}

impl SourceResult {
    /// Makes a result with a numeric value.
    #[must_use]
    pub fn number(key: &str, value: f64) -> Self {
        Self { key: Js::Text(key.to_owned()), value: Js::Number(value) }
    }
}

/// What a source said to one indicator's query.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Its values, perhaps none.
    Values(Vec<SourceResult>),
    /// It could not answer; the text says why.
    Unavailable(String),
}

/// What was measured, by indicator id; an indicator that is not in it has no values.
pub type Answers = BTreeMap<String, Answer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregations_are_read_in_any_case_and_percentiles_anywhere() {
        assert_eq!(Aggregation::from_text("AVG"), Some(Aggregation::Mean));
        assert_eq!(Aggregation::from_text("avg"), Some(Aggregation::Mean));
        assert_eq!(Aggregation::from_text("percentile p95"), Some(Aggregation::Percentile(95)));
        assert_eq!(Aggregation::from_text("P95"), None);
        assert_eq!(Aggregation::from_text("p100"), None);
        assert_eq!(Aggregation::from_text("p0"), None);
        assert_eq!(Aggregation::from_text("median"), None);
    }

    #[test]
    fn both_objectives_are_inclusive() {
        let objectives = Objectives { pass: 90.0, warning: Some(75.0) };
        assert_eq!(objectives.outcome(90.0), Outcome::Pass);
        assert_eq!(objectives.outcome(75.0), Outcome::Warning);
        assert_eq!(objectives.outcome(74.999), Outcome::Fail);
    }
}
