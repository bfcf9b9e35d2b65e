//! False alarms of every breach test over seeded runs of a version exactly at its limit.
#![cfg(test)]

use crate::domain::stats::chained::{Block, ChainedBlocks};
use crate::domain::stats::changepoint::ChangepointGrid;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::BetaMixture;
use crate::domain::stats::grid::{log_e_grid, odds_grid};
use crate::domain::stats::support::Chance;

const P0: f64 = 0.05;
const RUNS: u64 = 2_000;

/// The 99.9 % point of Binomial(2000, 0.05): with more false alarms the bound of 5 % is broken.
const MOST: usize = 131;

/// Claims that few runs ever reach ln(1/0.05); `run` says whether one did.
fn demand(name: &str, run: impl Fn(&mut Chance, f64) -> bool) {
    let alarms = (0..RUNS).filter(|seed| run(&mut Chance::new(*seed), 20_f64.ln())).count();
    println!("{name}: {alarms} false alarms of {RUNS} (at most {MOST})");
    assert!(alarms <= MOST, "{name}: {alarms}");
    // A test that never decides would pass as well.
    assert!(alarms > 0, "{name} never alarms");
}

/// Says whether the evidence after some breach of 300 requests reaches the threshold.
fn on_counts(chance: &mut Chance, threshold: f64, log_e: impl Fn(u64, u64) -> f64) -> bool {
    let mut k = 0;
    (1..=300).any(|n| {
        let breach = chance.heads(P0);
        k += u64::from(breach);
        breach && log_e(n, k) >= threshold
    })
}

#[test]
fn the_mixture_of_betas_keeps_to_alpha() {
    let test = BetaMixture::new(P0).unwrap();
    demand("mixture of betas", |chance, threshold| on_counts(chance, threshold, |n, k| test.log_e(n, k)));
}

#[test]
fn the_odds_grid_keeps_to_alpha() {
    let grid = odds_grid(P0).unwrap();
    demand("odds grid", |chance, threshold| on_counts(chance, threshold, |n, k| log_e_grid(n, k, &grid)));
}

#[test]
fn the_change_point_keeps_to_alpha() {
    demand("change point", |chance, threshold| {
        let mut test = ChangepointGrid::new(P0).unwrap();
        (0..40).any(|_| test.update(5, (0..5).filter(|_| chance.heads(P0)).count() as u64) >= threshold)
    });
}

#[test]
fn the_chained_blocks_keep_to_alpha_though_whole_seconds_are_bad() {
    demand("chained blocks", |chance, threshold| {
        let mut test = ChainedBlocks::new(P0, 5).unwrap();
        // A pause of five blocks, in which every request is a breach, begins with a chance of 1.02 % in each block, so that a block
        // lies in a pause with a chance of 1 − (1 − 0.0102)^5 = 5 %, and blocks five apart do not depend on each other.
        let mut left = 0_u64;
        let mut pauses = |chance: &mut Chance| {
            left = if chance.heads(0.0102) { 5 } else { left.saturating_sub(1) };
            left > 0
        };
        for _ in 0..5 {
            pauses(chance);
        }
        (0..60).any(|index| {
            let bad = if pauses(chance) { 4 } else { 0 };
            let block = Block { index, p0: None, canary: Counts::new(4, bad), stable: Counts::default() };
            test.update(&block).unwrap() >= threshold
        })
    });
}
