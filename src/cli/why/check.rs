//! Computes recorded evidence again and says whether it holds.

use serde::Serialize;

use crate::domain::gate::basis::Unverifiable;
use crate::domain::gate::evidence::{Mismatch, Rule};
use crate::domain::gate::{Evidence, Verdict};
use crate::domain::rollout::Entry;

/// What became of computing one piece of evidence again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Check {
    /// It gives what was recorded, and reaches its threshold where it decided anything.
    Verified {
        /// ln E as computed now.
        log_e: f64,
    },
    /// There is nothing to compute again: a gate file's own arithmetic, what is undecided without any figures, or what programs
    /// wrote before they recorded them.
    Arithmetic {
        /// Why not.
        why: String,
    },
    /// It does not hold.
    Broken {
        /// What does not.
        why: String,
    },
}

impl Check {
    /// Computes evidence again.
    pub fn of(evidence: &Evidence) -> Self {
        match evidence.verify() {
            Ok(()) => evidence.recompute().map_or_else(|error| Self::Broken { why: error.to_string() }, |log_e| Self::Verified { log_e }),
            Err(Mismatch::Unverifiable(why @ Unverifiable::NoBasis))
                if matches!(evidence.rule, Rule::File | Rule::Unrecorded) || evidence.verdict == Verdict::Inconclusive =>
            {
                Self::Arithmetic { why: why.to_string() }
            }
            Err(why) => Self::Broken { why: why.to_string() },
        }
    }

    /// Says whether something is wrong.
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}

/// Returns every piece of evidence of an entry, first what it rests on as a whole, with what became of computing it again.
pub fn all(entry: &Entry) -> impl Iterator<Item = (&Evidence, Check)> {
    entry.evidence.iter().chain(&entry.gates).map(|evidence| (evidence, Check::of(evidence)))
}
