//! Anytime-valid bounds on means, by inversion of the tests that bet on them: a bound excludes a limit exactly when the test decides.
//!
//! A bet of size κ on a value x ≥ 0 against the mean m has the factor (1 + κ x) / (1 + κ m), which is the factor of the
//! [bounded tests](crate::domain::stats::grid) with κ = ω − 1 and that of the [mean](crate::domain::stats::mean) with
//! κ = λ / ((1 − λ) limit). The sum of ln (1 + κ x) over the requests does not hold m, so one counter for each bet gives the
//! evidence against every m at once; with the bets fixed it falls in m, and where it falls below ln(1/α) is the bound. That the
//! bets are those of the gate's limit costs sharpness far from it: of a mean loss the bounds stop short by up to a fifth.

use crate::domain::stats::grid::OddsGrid;
use crate::domain::stats::special::log_sum_exp;

/// How close to each other, relatively, two means may come before the search for a bound ends.
const RESOLUTION: f64 = 1e-12;

/// One bet of a mixture with what it has won.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bet {
    /// ln of its weight, and the sum of ln (1 + κ x) over the requests.
    pub won: f64,
    /// Its size κ, above 0.
    pub size: f64,
}

/// Returns the largest mean up to `most` that the bets reject at level `alpha`; 0 when they reject none.
///
/// `requests` are how many there were, each group with what a mean counts in it: 1, or less where the group was allowed more.
pub(super) fn largest_rejected(bets: &[Bet], requests: &[(u64, f64)], alpha: f64, most: f64) -> f64 {
    // NaN for an alpha below 0, which no evidence reaches.
    let threshold = -alpha.ln();
    let paid = |size: f64, mean: f64| requests.iter().map(|(count, scale)| *count as f64 * (size * mean * scale).ln_1p()).sum::<f64>();
    let rejected = |mean: f64| log_sum_exp(bets.iter().map(|bet| bet.won - paid(bet.size, mean))) >= threshold;
    if requests.iter().all(|(count, _)| *count == 0) || threshold <= 0.0 || !rejected(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, most.min(1.0));
    while high < most && rejected(high) {
        (low, high) = (high, (high * 2.0).min(most));
    }
    while high - low > RESOLUTION * high {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if rejected(middle) { low = middle } else { high = middle }
    }
    low
}

/// Returns the anytime-valid lower bound on a mean loss, from pairs of a loss from 0 to 1 and how often it occurred.
///
/// The chance that the mean loss is ever below it is at most `alpha`. With the grid of a gate's limit it lies above that limit
/// exactly when `log_e_bounded` reaches ln(1/α). 0 when nothing is rejected, and for an `alpha` outside (0, 1).
#[must_use]
pub fn loss_lower_bound(counts: &[(f64, u64)], grid: &OddsGrid, alpha: f64) -> f64 {
    let total = counts.iter().map(|(_, count)| count).sum();
    let won = |size: f64| counts.iter().map(|(loss, count)| *count as f64 * (size * loss.clamp(0.0, 1.0)).ln_1p()).sum::<f64>();
    let bets = grid.alternatives().map(|bet| {
        let size = bet.omega - 1.0;
        Bet { won: bet.weight.ln() + won(size), size }
    });
    largest_rejected(&bets, &[(total, 1.0)], alpha, 1.0)
}

/// Returns the anytime-valid upper bound on a mean loss: one minus the lower bound on the mean gain 1 − loss.
///
/// `mirror` is the grid of one minus the loss that passes; the bound lies below that loss exactly when `log_e_bounded_pass`
/// reaches ln(1/α). 1 when nothing is rejected.
#[must_use]
pub fn loss_upper_bound(counts: &[(f64, u64)], mirror: &OddsGrid, alpha: f64) -> f64 {
    let gains: Vec<(f64, u64)> = counts.iter().map(|(loss, count)| (1.0 - loss, *count)).collect();
    1.0 - loss_lower_bound(&gains, mirror, alpha)
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
