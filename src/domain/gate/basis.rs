//! What an e-value is computed from, complete enough to compute it again from the journal.

use serde::{Deserialize, Serialize};

use crate::domain::stats::exceedance;

/// What the evidence of one test rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The k-th breach was request number n, against a share p0.
    Exceedance {
        /// The share that may be bad.
        p0: f64,
        /// n.
        requests: u64,
        /// k.
        breaches: u64,
    },
    /// Of n resolved requests k were bad, as evidence that fewer than a share p1 are.
    Pass {
        /// The share below which a version passes, the gate's margin included.
        p1: f64,
        /// n.
        requests: u64,
        /// k.
        breaches: u64,
    },
}

/// Why evidence cannot be computed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverifiable {
    /// It was recorded without what it rests on, by arithmetic other than a test or by an older program.
    #[error("the evidence was recorded without the figures it rests on")]
    NoBasis,
    /// No test has such parameters.
    #[error("the evidence rests on impossible figures: {0}")]
    Impossible(String),
}

impl Basis {
    /// Computes ln E.
    ///
    /// # Errors
    ///
    /// Fails for parameters that no test has.
    pub fn log_e(&self) -> Result<f64, Unverifiable> {
        match self {
            Self::Exceedance { p0, requests, breaches } => Ok(exceedance::log_e_breach(*requests, *breaches, *p0)),
            Self::Pass { p1, requests, breaches } => Ok(exceedance::log_e_pass(*requests, *breaches, *p1)),
        }
    }

    /// Returns the requests and the breaches the e-value is computed from, where it is computed from such counts alone.
    #[must_use]
    pub const fn counts(&self) -> Option<(u64, u64)> {
        match self {
            Self::Exceedance { requests, breaches, .. } | Self::Pass { requests, breaches, .. } => Some((*requests, *breaches)),
        }
    }
}
