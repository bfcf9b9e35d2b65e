//! Flagger (fluxcd/flagger 15bd6ad5): a check per interval over what completed in it; failed checks add up and are never
//! forgiven; no values is a failed check; the rollback comes on the tick after the threshold was reached.

use crate::simulate::peers::judge::{Check, Judge};

/// Flagger's state.
#[derive(Debug)]
pub struct Flagger {
    threshold: u64,
    failed: u64,
}

impl Flagger {
    /// Makes one that rolls back after so many failed checks.
    pub const fn new(threshold: u64) -> Self {
        Self { threshold, failed: 0 }
    }
}

impl Judge for Flagger {
    fn tick(&mut self, check: Check) -> bool {
        if self.failed >= self.threshold {
            return true;
        }
        self.failed += u64::from(check != Check::Good);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_after_the_threshold_rolls_back() {
        let mut flagger = Flagger::new(5);
        let ticks = (1..).find(|_| flagger.tick(Check::Bad)).unwrap();
        assert_eq!(ticks, 6, "five failed checks of a minute and the tick after them: 360 s");
        let mut flagger = Flagger::new(2);
        let checks = [Check::Bad, Check::Good, Check::NoValues, Check::Good];
        assert_eq!(checks.map(|check| flagger.tick(check)), [false, false, false, true], "no values fail, and nothing is forgiven");
    }
}
