//! How far the evidence of each gate had come at one moment, as charts and reports show it.

use serde::{Deserialize, Serialize};

use crate::control::status::RolloutStatus;
use crate::domain::judge::GateStatus;

/// The most gates whose evidence is kept.
pub const GATES: usize = 16;

/// The evidence of one gate: pairs of ln E and the ln E that decides, both rounded to hundredths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The gate as shown to people.
    pub gate: Box<str>,
    /// For passing the step, since it began.
    pub pass: [f32; 2],
    /// For braking, since the trial began.
    pub brake: [f32; 2],
    /// For the final rollback, since the rollout began; absent where nothing is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<[f32; 2]>,
}

impl Reading {
    /// Reads the gates of a rollout; none once it is over, since nothing is judged any more.
    #[must_use]
    pub fn all(rollout: &RolloutStatus) -> Vec<Self> {
        let judged = rollout.gates.iter().filter(|_| !rollout.phase.is_terminal());
        judged.take(GATES).map(Self::of).collect()
    }

    fn of(gate: &GateStatus) -> Self {
        Self {
            gate: gate.gate.as_str().into(),
            pass: [gate.log_e, gate.log_threshold].map(rounded),
            brake: [gate.brake_log_e, gate.brake_log_threshold].map(rounded),
            confirm: gate.confirm_log_threshold.map(|threshold| [gate.confirm_log_e, threshold].map(rounded)),
        }
    }

    /// Says how far evidence has come: 0 where it says nothing yet, 1 where it decides, and never more.
    #[must_use]
    pub fn part([log_e, threshold]: [f64; 2]) -> f64 {
        if threshold > 0.0 && !log_e.is_nan() { (log_e / threshold).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Rounds to hundredths, within what JSON can say: a number.
fn rounded(log_e: f64) -> f32 {
    const MOST: f64 = 10_000.0;
    let log_e = if log_e.is_nan() { 0.0 } else { log_e.clamp(-MOST, MOST) };
    ((log_e * 100.0).round() / 100.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_rounded_to_numbers_that_json_can_say() {
        for (log_e, told) in [(2.995_732, "3.0"), (8.699_51, "8.7"), (0.004, "0.0"), (f64::INFINITY, "10000.0"), (f64::NAN, "0.0")] {
            assert_eq!(serde_json::to_string(&rounded(log_e)).unwrap(), told, "{log_e}");
        }
    }

    #[test]
    fn evidence_goes_from_nothing_to_its_threshold() {
        for (pair, part) in [
            ([1.5, 3.0], 0.5),
            ([-1.0, 3.0], 0.0),
            ([9.0, 3.0], 1.0),
            ([f64::INFINITY, 3.0], 1.0),
            ([1.0, 0.0], 0.0),
            ([f64::NAN, 3.0], 0.0),
            ([1.0, f64::NAN], 0.0),
        ] {
            assert!((Reading::part(pair) - part).abs() < 1e-12, "{pair:?}");
        }
    }
}
