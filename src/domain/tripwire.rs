//! The table n_max: roll back iff the k-th breach is request number n ≤ n_max\[k\].
//!
//! E(n, k) of the breach test grows in k and falls in n, so the whole test shrinks to one integer compare per breach
//! and to nothing at all for a good request.

use crate::domain::gate::Share;
use crate::domain::stats::exceedance::BetaMixture;

/// How many breaches the table covers; beyond it the controller evaluates the formula on its tick.
pub const TABLE_LENGTH: u64 = 400;

/// Computes the table for a share that may be bad and the bound α on false alarms.
///
/// Entry k−1 is the largest request number at which the k-th breach suffices, 0 where none does.
#[must_use]
pub fn n_max_table(share: Share, alpha: f64) -> Box<[u64]> {
    BetaMixture::new(share.ratio()).map_or_else(|_| Box::default(), |test| test.n_max_table(log_threshold(alpha), TABLE_LENGTH))
}

/// Returns ln(1/α), the evidence at which a test of level α decides.
#[must_use]
pub fn log_threshold(alpha: f64) -> f64 {
    -alpha.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stats::exceedance;

    #[test]
    fn the_p95_table_is_that_of_the_design() {
        let table = n_max_table(Share::FIVE_PERCENT, 0.001);
        assert_eq!(table[..12], [0, 0, 3, 6, 10, 14, 20, 26, 33, 40, 48, 56]);
    }

    #[test]
    fn galloping_finds_what_the_search_from_scratch_finds() {
        for (ppm, alpha) in [(50_000, 0.001), (10_000, 0.0005), (1_000, 0.001), (100_000, 0.01)] {
            let share = Share::from_ppm(ppm).unwrap();
            let table = n_max_table(share, alpha);
            for k in 1..=TABLE_LENGTH {
                let expected = exceedance::breach_n_max(k, share.ratio(), log_threshold(alpha));
                assert_eq!(table[usize::try_from(k).unwrap() - 1], expected, "{share} {alpha} {k}");
            }
        }
    }
}
