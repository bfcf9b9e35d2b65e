//! An `slo.yaml` that was loaded strictly: every criterion read, every number checked.

use serde::Serialize;

use crate::domain::gate::slo::criterion::Criterion;

/// A whole file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// The placeholders of SLI queries and their values.
    pub filter: Vec<(String, String)>,
    /// What relative criteria are compared with.
    pub comparison: Comparison,
    /// The objectives in the order of the file; at least one.
    pub objectives: Vec<Objective>,
    /// The points that are needed.
    pub total: TotalScore,
}

impl Spec {
    /// Says whether any objective counts; otherwise the file judges nothing.
    #[must_use]
    pub fn judges(&self) -> bool {
        self.objectives.iter().any(|objective| !objective.is_informational())
    }
}

/// Which earlier evaluations relative criteria are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// How many, at least one.
    pub count: usize,
    /// Which results they may have.
    pub include: Include,
    /// How their values become one.
    pub aggregate: Aggregate,
}

/// Which results an earlier evaluation may have had; an inconclusive one never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Include {
    /// Pass only.
    Pass,
    /// Pass and warning.
    PassOrWarning,
    /// Pass, warning and fail.
    All,
}

impl Include {
    /// The names in a file.
    pub const NAMES: [&'static str; 3] = ["pass", "pass_or_warn", "all"];

    /// Finds it by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "pass" => Some(Self::Pass),
            "pass_or_warn" => Some(Self::PassOrWarning),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

/// How several earlier values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The arithmetic mean.
    Average,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
}

impl Aggregate {
    /// The names in a file.
    pub const NAMES: [&'static str; 4] = ["avg", "p50", "p90", "p95"];

    /// Finds it by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "avg" => Some(Self::Average),
            "p50" => Some(Self::P50),
            "p90" => Some(Self::P90),
            "p95" => Some(Self::P95),
            _ => None,
        }
    }
}

/// One criterion as written and as read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clause {
    /// The text of the file.
    pub text: String,
    /// What it means.
    pub criterion: Criterion,
}

/// Criteria sets: one of them must hold, a set holds when all of its criteria do. No set is empty.
pub type Sets = Vec<Vec<Clause>>;

/// One objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objective {
    /// The name of the indicator.
    pub sli: String,
    /// A name for people; may be empty.
    pub display_name: String,
    /// What must hold for all points; empty for an informational objective.
    pub pass: Sets,
    /// What must hold for half the points.
    pub warning: Sets,
    /// The points, at least 1.
    pub weight: u32,
    /// The whole evaluation fails when this objective does.
    pub key: bool,
    /// Relative criteria hold when there is nothing earlier to compare with.
    pub baseline_optional: bool,
}

impl Objective {
    /// Says whether it is shown only.
    #[must_use]
    pub fn is_informational(&self) -> bool {
        self.pass.is_empty()
    }

    /// Returns the name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.display_name.is_empty() { &self.sli } else { &self.display_name }
    }
}

/// The share of the points that is needed, in percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TotalScore {
    /// From here on the result is pass.
    pub pass: f64,
    /// From here on the result is warning; without it there is no warning.
    pub warning: Option<f64>,
}
