//! What was recorded gives the evidence again.
#![cfg(test)]

use super::*;

#[test]
fn a_warm_up_without_requests_leaves_the_bounded_test_of_the_reference() {
    let losses = Losses { none: 10, half: 4, whole: 7 };
    let found = log_e_of_losses((0.1, losses), (0.6, Losses::default())).unwrap();
    let expected = crate::domain::stats::grid::log_e_bounded(&losses.counts(), &odds_grid(0.1).unwrap());
    assert!((found - expected).abs() < 1e-12);
    let warm = log_e_of_losses((0.1, Losses::default()), (0.6, losses)).unwrap();
    assert!(warm < 1.0, "half of the requests may be bad while it warms up: {warm}");
    assert!(log_e_of_losses((1.0, losses), (0.6, losses)).is_err());
}

#[test]
fn each_basis_survives_being_written_and_read() {
    let mut start = ChainedBlocks::new(0.05, 5).unwrap();
    let block = |index| chained::Block { index, p0: Some(0.05), canary: Counts::new(3, 3), stable: Counts::default() };
    start.update(&block(1)).unwrap();
    let arms = ArmBlock { weight: 0.1, rate: 0.02, canary: Counts::new(4, 3), stable: Counts::new(30, 1) };
    let comparison = Comparison::Ratio(1.0);
    let mut mean = MeanPass::new(1e9);
    (1..=20).for_each(|n| mean.add(f64::from(n) * 1e7));
    let all = [
        Basis::Exceedance { p0: 0.05, requests: 3, breaches: 3 },
        Basis::Pass { p1: 0.05, requests: 90, breaches: 1 },
        Basis::BoundedPass { share: 0.1, losses: Losses { none: 90, half: 2, whole: 1 } },
        Basis::MeanPass { test: Box::new(mean) },
        Basis::Chained { start, blocks: vec![block(9), block(17)] },
        Basis::ChainedMean { start: ChainedMean::new(5).unwrap(), blocks: vec![MeanBlock { index: 3, ratio: 2.5 }] },
        Basis::ChangePoint { start: ChangepointGrid::new(0.05).unwrap(), blocks: vec![Counts::new(7, 5)] },
        Basis::TwoArm { comparison, start: TwoArm::new(comparison, Guess::of(0.05)).unwrap(), blocks: vec![arms] },
        Basis::Mean { logs: vec![1.0; LAMBDAS.len()], requests: [9, 1] },
        Basis::Bounded { loss: 0.1, losses: Losses { none: 1, half: 2, whole: 3 }, warm_loss: 0.6, warm: Losses::default() },
    ];
    for basis in all {
        let read: Basis = serde_json::from_str(&serde_json::to_string(&basis).unwrap()).unwrap();
        let (written, read) = (basis.log_e().unwrap(), read.log_e().unwrap());
        assert!((written - read).abs() < 1e-12 && written != 0.0, "{basis:?}: {written} {read}");
    }
}
