//! How often the bounds on means hold, and that they say what the tests say.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::grid::{log_e_bounded, log_e_bounded_pass, odds_grid};
use crate::domain::stats::mean::{MeanBreach, MeanPass};
use crate::domain::stats::support::Chance;

/// The level at which coverage is measured, the runs, and the 99.9 % point of Binomial(400, 0.05).
const ALPHA: f64 = 0.05;
const RUNS: u64 = 400;
const MOST: usize = 35;

/// Counts the runs in which a bound was ever on the wrong side of the truth.
fn misses(mut ever: impl FnMut(&mut Chance) -> bool) -> usize {
    (0..RUNS).filter(|seed| ever(&mut Chance::new(*seed))).count()
}

#[test]
fn the_bounds_on_a_mean_loss_hold_at_all_times_together() {
    // Half is lost with 0.2 and all with 0.05: the mean loss is 0.15, whatever the limit of the gate is.
    for limit in [0.05, 0.15, 0.4] {
        let (grid, mirror) = (odds_grid(limit).unwrap(), odds_grid(1.0 - limit).unwrap());
        let mut uppers = 0;
        let lowers = misses(|chance| {
            let (mut counts, mut above, mut below) = ([(0.0, 0), (0.5, 0), (1.0, 0)], false, false);
            for request in 1..=400_u64 {
                let draw = chance.next();
                counts[if draw < 0.05 { 2 } else { usize::from(draw < 0.25) }].1 += 1;
                if request.is_power_of_two() || request % 100 == 0 {
                    above |= loss_lower_bound(&counts, &grid, ALPHA) > 0.15;
                    below |= loss_upper_bound(&counts, &mirror, ALPHA) < 0.15;
                }
            }
            uppers += usize::from(below);
            above
        });
        println!("limit {limit}: {lowers} lower and {uppers} upper bounds failed in {RUNS} runs");
        assert!(lowers <= MOST && uppers <= MOST, "limit {limit}: {lowers} lower, {uppers} upper");
    }
}

#[test]
fn the_bounds_on_a_mean_hold_at_all_times_together() {
    // Nine in ten take 10, the others are Pareto with shape 1.5 from 50 on: a mean of 24 with an infinite variance.
    let capped_mean = |cap: f64| 9.0 + 0.1 * (50.0 * 3.0 - 2.0 * 50.0 * (50.0 / cap).sqrt());
    for limit in [12.0, 24.0, 60.0] {
        let (mut uppers, truth) = (0, capped_mean(limit * 10.0));
        let lowers = misses(|chance| {
            let (mut breach, mut pass) = (MeanBreach::new(limit), MeanPass::new(limit));
            let (mut above, mut below) = (false, false);
            for request in 1..=400_u64 {
                let slow = chance.next() < 0.1;
                let latency = if slow { 50.0 * (1.0 - chance.next()).powf(-1.0 / 1.5) } else { 10.0 };
                breach.add(latency);
                pass.add(latency);
                if request.is_power_of_two() || request % 100 == 0 {
                    above |= breach.lower_bound(request, ALPHA) > 24.0;
                    below |= pass.upper_bound(request, ALPHA) < truth;
                }
            }
            uppers += usize::from(below);
            above
        });
        println!("limit {limit}: {lowers} lower and {uppers} upper bounds failed in {RUNS} runs");
        assert!(lowers <= MOST && uppers <= MOST, "limit {limit}: {lowers} lower, {uppers} upper");
    }
}

#[test]
fn bounds_close_in_on_the_mean() {
    let grid = odds_grid(0.1).unwrap();
    let bound = |times: u64| loss_lower_bound(&[(0.0, 80 * times), (1.0, 20 * times)], &grid, 0.001);
    // The smallest bet, 1.5 times the odds, stops short of the mean itself: ln(1 + 0.5 m) = 0.2 ln 1.5.
    assert!(bound(1) < bound(10) && bound(10) < bound(1_000) && (0.165..0.169).contains(&bound(1_000)), "{}", bound(1_000));
    let mut test = MeanBreach::new(1e9);
    (0..10_000).for_each(|_| test.add(3e9));
    let lower = test.lower_bound(10_000, 0.001);
    assert!((2.5e9..3e9).contains(&lower), "{lower}");
}

#[test]
fn without_requests_or_a_level_nothing_is_excluded() {
    let grid = odds_grid(0.1).unwrap();
    assert_eq!((loss_lower_bound(&[], &grid, 0.05), loss_upper_bound(&[], &grid, 0.05)), (0.0, 1.0));
    for alpha in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(loss_lower_bound(&[(1.0, 50)], &grid, alpha), 0.0, "{alpha}");
    }
    let (breach, pass) = (MeanBreach::new(1e9), MeanPass::new(1e9));
    assert_eq!((breach.lower_bound(0, 0.05), pass.upper_bound(0, 0.05)), (0.0, 1e10));
    for limit in [f64::NAN, 0.0, f64::INFINITY] {
        assert_eq!(MeanBreach::new(limit).lower_bound(9, 0.05), 0.0);
    }
}

proptest! {
    #[test]
    fn a_bound_on_a_loss_excludes_the_limit_exactly_when_the_test_decides(
        none in 0..400_u64, half in 0..60_u64, whole in 0..60_u64, limit in 0.01..0.9_f64, alpha in 0.0005..0.3_f64,
    ) {
        let counts = [(0.0, none), (0.5, half), (1.0, whole)];
        let (grid, mirror) = (odds_grid(limit).unwrap(), odds_grid(1.0 - limit).unwrap());
        let (breach, pass, threshold) = (log_e_bounded(&counts, &grid), log_e_bounded_pass(&counts, &mirror), -alpha.ln());
        if (breach - threshold).abs() > 1e-6 {
            prop_assert_eq!(loss_lower_bound(&counts, &grid, alpha) >= limit, breach > threshold);
        }
        if (pass - threshold).abs() > 1e-6 {
            prop_assert_eq!(loss_upper_bound(&counts, &mirror, alpha) <= limit, pass > threshold);
        }
    }

    #[test]
    fn a_bound_on_a_mean_excludes_the_limit_exactly_when_the_test_decides(
        latencies in prop::collection::vec(0.0..400.0_f64, 1..200), limit in 20.0..400.0_f64, alpha in 0.0005..0.3_f64,
    ) {
        let (mut breach, mut pass) = (MeanBreach::new(limit), MeanPass::new(limit));
        latencies.iter().for_each(|latency| {
            breach.add(*latency);
            pass.add(*latency);
        });
        let (requests, threshold) = (latencies.len() as u64, -alpha.ln());
        if (breach.log_e() - threshold).abs() > 1e-6 {
            prop_assert_eq!(breach.lower_bound(requests, alpha) >= limit, breach.log_e() > threshold);
        }
        if (pass.log_e() - threshold).abs() > 1e-6 {
            prop_assert_eq!(pass.upper_bound(requests, alpha) <= limit, pass.log_e() > threshold);
        }
    }
}
