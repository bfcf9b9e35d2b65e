//! The releases of lighthouse whose behaviour differs, and what differs.
//!
//! The order of the releases is their order in time, so that "since 0.12" is a comparison. Most rows come from the
//! change history of keptn; where a row says "inferred", the release is the earliest one that fits what is known.

use serde::Serialize;

/// A release of keptn's lighthouse-service; each stands for itself and all later ones before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Lighthouse {
    /// 0.6.0, January 2020: `<=1%` without a sign is absolute.
    #[serde(rename = "0.6.0")]
    V0_6_0,
    /// 0.6.1 to 0.7.0.
    #[serde(rename = "0.6.1")]
    V0_6_1,
    /// 0.7.1.
    #[serde(rename = "0.7.1")]
    V0_7_1,
    /// 0.8 to 0.11.
    #[serde(rename = "0.8")]
    V0_8,
    /// 0.12 to 0.18.
    #[serde(rename = "0.12")]
    V0_12,
    /// 0.19.
    #[serde(rename = "0.19")]
    V0_19,
    /// 1.0 and 1.1.
    #[serde(rename = "1.0")]
    V1_0,
    /// 1.2 to 1.4.5, the last one.
    #[default]
    #[serde(rename = "1")]
    V1,
}

impl Lighthouse {
    /// All of them, the oldest first.
    pub const ALL: [Self; 8] = [Self::V0_6_0, Self::V0_6_1, Self::V0_7_1, Self::V0_8, Self::V0_12, Self::V0_19, Self::V1_0, Self::V1];

    /// Returns the name used on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V0_6_0 => "0.6.0",
            Self::V0_6_1 => "0.6.1",
            Self::V0_7_1 => "0.7.1",
            Self::V0_8 => "0.8",
            Self::V0_12 => "0.12",
            Self::V0_19 => "0.19",
            Self::V1_0 => "1.0",
            Self::V1 => "1",
        }
    }

    /// Finds a release by that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|release| release.name() == name)
    }

    /// A percent sign makes a criterion relative, with or without plus or minus before the number.
    #[must_use]
    pub fn percent_is_relative(self) -> bool {
        self >= Self::V0_6_1
    }

    /// `pass: []` is an informational objective, as an absent `pass` is.
    #[must_use]
    pub fn empty_pass_is_informational(self) -> bool {
        self >= Self::V0_7_1
    }

    /// `include_result_with_score` filters on the result of the whole evaluation; before, on the SLI's own status.
    #[must_use]
    pub fn filters_by_result(self) -> bool {
        self >= Self::V0_8
    }

    /// A row has `passTargets`, `warningTargets` and `displayName`; before, one list `targets`, and warning criteria were
    /// only looked at when the pass criteria were not met.
    #[must_use]
    pub fn separates_targets(self) -> bool {
        self >= Self::V0_8
    }

    /// A value answers one objective only; a row has `comparedValue`, and the event a message with the values that no
    /// objective asked for. `keySli` and the sentences about the score are inferred to be as old.
    #[must_use]
    pub fn takes_values(self) -> bool {
        self >= Self::V0_12
    }

    /// `total_score` is checked even when no objective counts (inferred: 0.8 still looked at it afterwards).
    #[must_use]
    pub fn checks_total_score_first(self) -> bool {
        self >= Self::V0_12
    }

    /// A provider that failed makes the event fail without any evaluation.
    #[must_use]
    pub fn skips_when_provider_failed(self) -> bool {
        (Self::V0_12..Self::V0_19).contains(&self)
    }

    /// An objective without a value has a row; before, it only counted in the maximum. A provider that failed makes
    /// the event fail, after the evaluation.
    #[must_use]
    pub fn shows_missing_values(self) -> bool {
        self >= Self::V0_19
    }

    /// A pass criterion that cannot be read fails the evaluation, and so does a file without objectives.
    #[must_use]
    pub fn fails_on_bad_criteria(self) -> bool {
        self >= Self::V1_0
    }

    /// A value without success is a failed row, a key SLI without a value fails the evaluation, and only rows with a
    /// pass target add points.
    #[must_use]
    pub fn fails_missing_keys(self) -> bool {
        self >= Self::V1
    }
}
