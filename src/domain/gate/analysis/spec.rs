//! An `AnalysisDefinition` as typed values, and what comparing one value with one target gives.

use std::fmt;

use serde::Serialize;

use crate::domain::gate::analysis::quantity::Quantity;

/// How a target compares a value. The original takes the first of them that is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operator {
    /// Equal to the limit.
    EqualTo(Quantity),
    /// At most the limit.
    LessThanOrEqual(Quantity),
    /// Below the limit.
    LessThan(Quantity),
    /// At least the limit.
    GreaterThanOrEqual(Quantity),
    /// Above the limit.
    GreaterThan(Quantity),
    /// Within both bounds, each included.
    InRange(Quantity, Quantity),
    /// Outside of both bounds.
    NotInRange(Quantity, Quantity),
}

impl Operator {
    /// The keys, in the order in which the original looks for them.
    pub const KEYS: [&'static str; 7] =
        ["equalTo", "lessThanOrEqual", "lessThan", "greaterThanOrEqual", "greaterThan", "inRange", "notInRange"];

    /// Says whether a value fulfils the criterion; false for a value that is not a number.
    ///
    /// `limit` says which double a quantity stands for.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "the original compares doubles for equality, and a count may well be equal")]
    pub fn fulfilled(&self, value: f64, limit: fn(&Quantity) -> f64) -> bool {
        match self {
            Self::EqualTo(at) => value == limit(at),
            Self::LessThanOrEqual(at) => value <= limit(at),
            Self::LessThan(at) => value < limit(at),
            Self::GreaterThanOrEqual(at) => value >= limit(at),
            Self::GreaterThan(at) => value > limit(at),
            Self::InRange(low, high) => value >= limit(low) && value <= limit(high),
            Self::NotInRange(low, high) => value < limit(low) || value > limit(high),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EqualTo(at) => write!(f, "equalTo {at}"),
            Self::LessThanOrEqual(at) => write!(f, "lessThanOrEqual {at}"),
            Self::LessThan(at) => write!(f, "lessThan {at}"),
            Self::GreaterThanOrEqual(at) => write!(f, "greaterThanOrEqual {at}"),
            Self::GreaterThan(at) => write!(f, "greaterThan {at}"),
            Self::InRange(low, high) => write!(f, "inRange {low} to {high}"),
            Self::NotInRange(low, high) => write!(f, "notInRange {low} to {high}"),
        }
    }
}

/// What makes an objective fail or warn; without either it always passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// A value that fulfils this gives no points.
    pub failure: Option<Operator>,
    /// A value that fulfils this, and not the failure, gives half the points.
    pub warning: Option<Operator>,
}

/// What a target says of a value, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No points.
    Fail,
    /// Half the points.
    Warning,
    /// All points.
    Pass,
}

impl Outcome {
    /// Returns the points of an objective with this outcome.
    #[must_use]
    pub fn points(self, weight: f64) -> f64 {
        match self {
            Self::Fail => 0.0,
            Self::Warning => weight / 2.0,
            Self::Pass => weight,
        }
    }
}

impl Target {
    /// Compares a value: the failure first, then the warning.
    #[must_use]
    pub fn outcome(&self, value: f64, limit: fn(&Quantity) -> f64) -> Outcome {
        let fulfils = |operator: &Option<Operator>| operator.as_ref().is_some_and(|operator| operator.fulfilled(value, limit));
        if fulfils(&self.failure) {
            Outcome::Fail
        } else if fulfils(&self.warning) {
            Outcome::Warning
        } else {
            Outcome::Pass
        }
    }

    /// Says whether the target asks for nothing, so that every value passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failure.is_none() && self.warning.is_none()
    }
}

/// The name of an `AnalysisValueTemplate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The namespace; empty for the one of the definition.
    pub namespace: String,
}

impl Reference {
    /// Returns the key under which the measured value is stored: `name` or `name-namespace`.
    #[must_use]
    pub fn value_key(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}-{}", self.name, self.namespace) }
    }
}

/// One objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// What is measured.
    #[serde(rename = "analysisValueTemplateRef")]
    pub reference: Reference,
    /// What makes it fail or warn.
    pub target: Target,
    /// The points.
    pub weight: i64,
    /// The whole analysis is neither pass nor warning when this objective has no points.
    pub key_objective: bool,
}

/// The share of the points that is needed, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalScore {
    /// From here on the analysis passes.
    pub pass_percentage: i64,
    /// From here on it passes with a warning.
    pub warning_percentage: i64,
}

/// A whole definition.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// The objectives in the order of the file.
    pub objectives: Vec<Objective>,
    /// The points that are needed.
    pub total_score: TotalScore,
}
