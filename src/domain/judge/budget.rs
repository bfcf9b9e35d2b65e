//! How the bounds on false alarms are shared out over gates and tests.

use crate::domain::gate::Policy;

/// What of α each test of one gate may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// All brake tests of one gate together: the whole of a gate without a wire.
    pub brake: f64,
    /// The count of a wire since the trial began.
    pub cumulative: f64,
    /// One fresh count of a wire: of one step, or of the warm-up.
    pub step: f64,
    /// The fresh count of a wire while the version is watched at 100 %, which shares a step's part with the change-point test.
    pub watch: f64,
    /// The change-point test of the watch.
    pub change_point: f64,
    /// The confirming test of one gate.
    pub confirm: f64,
}

impl Budget {
    /// Shares the bounds of a policy over `gates` gates and a plan of `steps` steps, after so many halvings by resumes.
    ///
    /// The gates share evenly (Bonferroni). Of a wired gate's part half goes to the count since the trial began; the other half
    /// is spread over the fresh tests, one for each step, one for the watch and one for the warm-up. Confirming is never halved.
    ///
    /// A share that an operator chooses, and a resume of what was held, begin one more fresh test with a step's part each: whoever does
    /// that often raises the bound on false brakes by those parts, not that on false confirmations.
    #[must_use]
    pub fn of(policy: &Policy, gates: usize, steps: usize, halvings: u32) -> Self {
        let gates = gates.max(1) as f64;
        let brake = policy.alpha_brake / gates * 0.5_f64.powi(halvings.min(64) as i32);
        let step = brake / 2.0 / (steps + 2) as f64;
        Self { brake, cumulative: brake / 2.0, step, watch: step / 2.0, change_point: step / 2.0, confirm: policy.alpha / gates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let policy = Policy { alpha: 0.01, alpha_brake: 0.02, ..Policy::default() };
        for (gates, steps, halvings) in [(1, 1, 0), (4, 6, 0), (3, 5, 3)] {
            let budget = Budget::of(&policy, gates, steps, halvings);
            let of_one = budget.cumulative + budget.step * (steps + 1) as f64 + budget.watch + budget.change_point;
            assert!((of_one - budget.brake).abs() < 1e-15);
            assert!((budget.brake * gates as f64 - 0.02 / 2_f64.powi(halvings as i32)).abs() < 1e-15);
            assert!((budget.confirm * gates as f64 - 0.01).abs() < 1e-15, "confirming is never halved");
        }
    }
}
