//! Which gates a log can answer, and why not the others.

use crate::domain::gate::Criterion;
use crate::domain::gate::criterion::Timing;
use crate::domain::outcome::Role;
use crate::simulate::replay::judged;
use crate::simulate::replay::log::Log;
use crate::simulate::replay::replayed::Replayed;
use crate::simulate::replay::wired;

/// A gate that the log cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gate {gate} cannot be replayed: {why}\n  hint: {hint}")]
pub struct Refused {
    /// The gate.
    pub gate: String,
    /// What the log lacks.
    pub why: String,
    /// How to mend it.
    pub hint: &'static str,
}

impl Log {
    /// Replays every gate; `alpha` is shared evenly by them.
    ///
    /// # Errors
    ///
    /// Returns every gate that the log cannot answer.
    pub fn replay(mut self, gates: &[Criterion], alpha: f64, beta: f64) -> Result<Vec<Replayed>, Vec<Refused>> {
        let refused: Vec<Refused> = gates.iter().filter_map(|gate| self.refuses(gate)).collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        self.sort();
        let each = alpha / gates.len().max(1) as f64;
        let replay = |gate: &Criterion| match gate {
            Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => wired::replay(&self, *gate, *share, each, beta),
            _ => judged::replay(&self, *gate, each, beta),
        };
        Ok(gates.iter().map(replay).collect())
    }

    fn refuses(&self, gate: &Criterion) -> Option<Refused> {
        let refuse = |why: &str, hint| Some(Refused { gate: gate.to_string(), why: why.to_owned(), hint });
        let of_intervals = self.is_of_intervals(Role::Canary) || (gate.is_relative() && self.is_of_intervals(Role::Stable));
        match gate {
            _ if gate.is_relative() && self.counts().1 == 0 => refuse(
                "it compares with the stable version, of which the log has no request",
                "name the stable version's log with --stable, or give an access log that was written while both had traffic",
            ),
            Criterion::Errors { .. } | Criterion::RelativeErrors { .. } if of_intervals => refuse(
                "an interval log (.hlog) has response times only, no failures",
                "replay an access log of Portcullis for it, or leave this gate out",
            ),
            Criterion::Latency { timing: Timing::Duration, .. }
            | Criterion::Mean { timing: Timing::Duration, .. }
            | Criterion::RelativeLatency { timing: Timing::Duration, .. }
                if of_intervals =>
            {
                refuse(
                    "an interval log (.hlog) has one time for each request, which is taken as its response time",
                    "write the gate without (duration); it then judges whatever time the log's writer measured",
                )
            }
            _ => None,
        }
    }
}
