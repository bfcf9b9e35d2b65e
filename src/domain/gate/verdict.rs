//! The four verdicts; never a bool, and inconclusive is not a pass.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a gate says of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence says the version meets the gate.
    Pass,
    /// The version meets the gate's warning bound but not its pass bound.
    Warning,
    /// The evidence says the version misses the gate.
    Fail,
    /// The evidence does not suffice, or there is none.
    Inconclusive,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Warning, Self::Fail, Self::Inconclusive];

    /// Returns the word used in files, metrics and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warning => "warning",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
