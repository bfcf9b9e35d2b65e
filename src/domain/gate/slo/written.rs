//! An `slo.yaml` as keptn's reader leaves it: defaults filled in, criteria still texts, nothing judged.

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slo {
    /// Free text; nothing reads it.
    pub spec_version: String,
    /// The placeholders of SLI queries and their values; `None` when the key is absent or null.
    pub filter: Option<Vec<(String, String)>>,
    /// What is compared with.
    pub comparison: Comparison,
    /// The objectives in the order of the file.
    pub objectives: Vec<Objective>,
    /// The points that are needed; `None` when the key is absent.
    pub total_score: Option<TotalScore>,
}

/// Which earlier evaluations relative criteria are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// `single_result` or `several_results`; anything else takes three.
    pub compare_with: String,
    /// `pass`, `pass_or_warn` or `all`.
    pub include_result_with_score: String,
    /// How many, with `several_results`.
    pub number_of_comparison_results: i64,
    /// `avg`, `p50`, `p90` or `p95`; anything else gives the base value 0.
    pub aggregate_function: String,
}

impl Default for Comparison {
    /// What a file without `comparison` gets.
    fn default() -> Self {
        Self {
            compare_with: "single_result".to_owned(),
            include_result_with_score: "all".to_owned(),
            number_of_comparison_results: 1,
            aggregate_function: "avg".to_owned(),
        }
    }
}

/// One objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// The name of the indicator.
    pub sli: String,
    /// A name for people; may be empty.
    pub display_name: String,
    /// Criteria sets of which one must hold; `None` when the key is absent, which is not the same as an empty list.
    pub pass: Option<Vec<CriteriaSet>>,
    /// Criteria sets of which one must hold for half the points.
    pub warning: Option<Vec<CriteriaSet>>,
    /// The points.
    pub weight: i64,
    /// The whole evaluation fails when this objective does.
    pub key_sli: bool,
}

/// Criteria that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CriteriaSet {
    /// The texts as written; `None` when the key is absent.
    pub criteria: Option<Vec<String>>,
}

/// The percentages of the maximum that are needed, with or without a percent sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TotalScore {
    /// From here on the result is pass.
    pub pass: String,
    /// From here on the result is warning; empty for none.
    pub warning: String,
}
