//! The table n_max: roll back iff the k-th breach is request number n ≤ n_max\[k\].
//!
//! E(n, k) of the breach test grows in k and falls in n, so the whole test shrinks to one integer compare per breach
//! and to nothing at all for a good request.

use crate::domain::gate::Share;
use crate::domain::stats::exceedance;

/// How many breaches the table covers; beyond it the controller evaluates the formula on its tick.
pub const TABLE_LENGTH: u64 = 400;

/// Computes the table for a share that may be bad and the bound α on false alarms.
///
/// Entry k−1 is the largest request number at which the k-th breach suffices, 0 where none does.
#[must_use]
pub fn n_max_table(share: Share, alpha: f64) -> Box<[u64]> {
    let (p0, threshold) = (share.ratio(), log_threshold(alpha));
    let mut previous = 0;
    (1..=TABLE_LENGTH)
        .map(|k| {
            previous = if previous == 0 { exceedance::breach_n_max(k, p0, threshold) } else { next(k, previous, p0, threshold) };
            previous
        })
        .collect()
}

/// Returns ln(1/α), the evidence at which a test of level α decides.
#[must_use]
pub fn log_threshold(alpha: f64) -> f64 {
    -alpha.ln()
}

/// Finds n_max\[k\] by galloping up from n_max\[k−1\], which it always exceeds.
fn next(k: u64, previous: u64, p0: f64, threshold: f64) -> u64 {
    let enough = |n: u64| exceedance::log_e_breach(n, k, p0) >= threshold;
    let (mut low, mut step) = (previous, 1_u64);
    while enough(low + step) {
        low += step;
        step *= 2;
    }
    let mut high = low + step;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

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
            for k in [1, 2, 3, 5, 17, 100, TABLE_LENGTH] {
                let expected = exceedance::breach_n_max(k, share.ratio(), log_threshold(alpha));
                assert_eq!(table[usize::try_from(k).unwrap() - 1], expected, "{share} {alpha} {k}");
            }
        }
    }
}
