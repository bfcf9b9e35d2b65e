//! Argo Rollouts (9f8d111d): a measurement per interval; the run fails when more than the limit have failed. An empty result
//! is an error of the measurement and no failure.

use crate::simulate::peers::judge::{Check, Judge};

/// Argo's state.
#[derive(Debug)]
pub struct Argo {
    failure_limit: u32,
    failed: u32,
}

impl Argo {
    /// Makes one that fails when more than so many measurements fail.
    pub const fn new(failure_limit: u32) -> Self {
        Self { failure_limit, failed: 0 }
    }
}

impl Judge for Argo {
    fn tick(&mut self, check: Check) -> bool {
        self.failed += u32::from(check == Check::Bad);
        self.failed > self.failure_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_failure_fails_with_a_limit_of_three() {
        let mut argo = Argo::new(3);
        let ticks = (1..).find(|_| argo.tick(Check::Bad)).unwrap();
        assert_eq!(ticks, 4, "the fourth measurement of five minutes: 1200 s");
        let mut argo = Argo::new(0);
        assert!(!argo.tick(Check::NoValues) && argo.tick(Check::Bad), "an empty result is no failure");
    }
}
