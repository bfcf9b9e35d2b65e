//! Properties of the odds grid: martingale, order, merging, rates that vary, losses, degenerate parameters.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::binomial_mean;

fn grid(p0: f64) -> OddsGrid {
    odds_grid(p0).unwrap()
}

#[test]
fn the_expected_evidence_is_one_at_the_null_and_less_inside() {
    for p0 in [0.05, 0.01, 0.3] {
        for n in [1, 2, 5, 9, 40] {
            let at = binomial_mean(n, p0, |k| log_e_grid(n, k, &grid(p0)).exp());
            assert!((at - 1.0).abs() < 1e-9, "{p0} {n}: {at}");
            assert!(binomial_mean(n, p0 / 2.0, |k| log_e_grid(n, k, &grid(p0)).exp()) < 1.0);
        }
    }
}

#[test]
fn a_mean_loss_at_the_limit_has_expected_evidence_one() {
    let chances = [(0.0, 0.8), (0.5, 0.1), (1.0, 0.1)];
    let mean: f64 = chances.iter().map(|(loss, chance)| chance * log_e_bounded(&[(*loss, 1)], &grid(0.15)).exp()).sum();
    assert!((mean - 1.0).abs() < 1e-12, "{mean}");
    let pass: f64 = chances.iter().map(|(loss, chance)| chance * log_e_bounded_pass(&[(*loss, 1)], &grid(0.85)).exp()).sum();
    assert!((pass - 1.0).abs() < 1e-12, "{pass}");
}

#[test]
fn parameters_outside_their_range_are_refused_and_losses_outside_it_count_against_the_conclusion() {
    for p in [f64::NAN, -0.5, 0.0, 1.0, f64::INFINITY] {
        assert!(odds_grid(p).is_err() && VaryingGrid::new(grid(0.05)).update(p, 1, 1).is_err(), "{p}");
        assert!(ApdexCounts::default().log_e_breach(p).is_err() && ApdexCounts::default().log_e_pass(p).is_err());
        assert!(serde_json::from_value::<OddsGrid>(serde_json::json!(p)).is_err());
    }
    let (breach, pass) = (|loss| log_e_bounded(&[(loss, 3)], &grid(0.15)), |loss| log_e_bounded_pass(&[(loss, 3)], &grid(0.85)));
    assert_eq!((breach(f64::NAN), breach(-7.0), breach(f64::INFINITY)), (breach(0.0), breach(0.0), breach(1.0)));
    assert_eq!((pass(f64::NAN), pass(-7.0), pass(f64::INFINITY)), (pass(1.0), pass(0.0), pass(1.0)));
    assert_eq!(log_e_grid(3, 9, &grid(0.05)), log_e_grid(3, 3, &grid(0.05)));
    for p0 in [f64::MIN_POSITIVE, 1e-300, 1.0 - f64::EPSILON] {
        let extreme = grid(p0);
        assert!([(0, 0), (9, 3), (9, 9), (u64::MAX, 0)].iter().all(|(n, k)| !log_e_grid(*n, *k, &extreme).is_nan()), "{p0}");
    }
}

#[test]
fn a_grid_is_written_as_its_rate() {
    assert_eq!(serde_json::to_string(&grid(0.05)).unwrap(), "0.05");
    assert_eq!(serde_json::from_str::<OddsGrid>("0.05").unwrap(), grid(0.05));
    let mut test = VaryingGrid::new(grid(0.05));
    test.update(0.6, 10, 7).unwrap();
    let read: VaryingGrid = serde_json::from_str(&serde_json::to_string(&test).unwrap()).unwrap();
    assert!((read.log_e() - test.log_e()).abs() < 1e-12);
}

#[test]
fn a_looser_rate_while_warming_up_forgives_what_the_rate_itself_would_not() {
    let (mut loose, mut strict) = (VaryingGrid::new(grid(0.05)), VaryingGrid::new(grid(0.05)));
    for _ in 0..10 {
        loose.update(0.6, 2, 1).unwrap();
        strict.update(0.05, 2, 1).unwrap();
    }
    assert!(loose.log_e() < 0.0 && strict.log_e() > 10.0, "{} {}", loose.log_e(), strict.log_e());
    // A dead version is found all the same.
    for _ in 0..60 {
        loose.update(0.6, 1, 1).unwrap();
    }
    assert!(loose.log_e() > 1000_f64.ln(), "{}", loose.log_e());
}

proptest! {
    #[test]
    fn each_factor_expects_at_most_one_at_and_inside_the_null(p0 in 0.0005..0.9_f64, inside in 0.0..=1.0_f64, other in 0.001..0.999_f64) {
        for alternative in grid(p0).alternatives() {
            let mean = |null: f64, p: f64| {
                p * alternative.log_increment_at(null, 1, 1).exp() + (1.0 - p) * alternative.log_increment_at(null, 1, 0).exp()
            };
            prop_assert!((mean(p0, p0) - 1.0).abs() < 1e-9 && mean(p0, p0 * inside) <= 1.0 + 1e-9);
            // Any rate chosen before the request is as good.
            prop_assert!((mean(other, other) - 1.0).abs() < 1e-9 && mean(other, other * inside) <= 1.0 + 1e-9);
            prop_assert!(alternative.lambda > 0.0 && alternative.lambda < 1.0 / p0);
            // The betting form is the same factor.
            prop_assert!((alternative.log_increment(1, 1) - (alternative.lambda * (1.0 - p0)).ln_1p()).abs() < 1e-9);
        }
    }

    #[test]
    fn a_bounded_loss_expects_at_most_one_whatever_its_distribution(
        m in 0.01..0.9_f64,
        losses in prop::collection::vec((0.0..=1.0_f64, 0.01..1.0_f64), 1..6),
    ) {
        let total: f64 = losses.iter().map(|(_, weight)| weight).sum();
        let mean: f64 = losses.iter().map(|(loss, weight)| loss * weight / total).sum();
        // Scaled so that the mean loss is at most m.
        let scale = (m / mean.max(1e-9)).min(1.0);
        let expected: f64 =
            losses.iter().map(|(loss, weight)| weight / total * log_e_bounded(&[(loss * scale, 1)], &grid(m)).exp()).sum();
        prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
    }

    #[test]
    fn evidence_is_monotone_and_depends_on_counts_alone(p0 in 0.001..0.5_f64, throws in prop::collection::vec(any::<bool>(), 1..200)) {
        let (n, k) = (throws.len() as u64, throws.iter().filter(|breach| **breach).count() as u64);
        let test = grid(p0);
        let streamed = log_e_grid_varying(throws.iter().rev().map(|breach| (p0, *breach)), &test).unwrap();
        prop_assert!((streamed - log_e_grid(n, k, &test)).abs() < 1e-8);
        let (mut merged, half) = (VaryingGrid::new(test), throws.len() / 2);
        for part in [&throws[half..], &throws[..half]] {
            merged.update(p0, part.len() as u64, part.iter().filter(|breach| **breach).count() as u64).unwrap();
        }
        prop_assert!((merged.log_e() - log_e_grid(n, k, &test)).abs() < 1e-8);
        prop_assert!(log_e_grid(n + 1, k, &test) < log_e_grid(n, k, &test));
        prop_assert!(k == n || log_e_grid(n, k + 1, &test) > log_e_grid(n, k, &test));
        prop_assert!((log_e_bounded(&[(0.0, n - k), (1.0, k)], &test) - log_e_grid(n, k, &test)).abs() < 1e-8);
    }

    #[test]
    fn a_worse_class_is_more_evidence(satisfied in 1..500_u64, tolerating in 1..50_u64, frustrated in 0..50_u64, target in 0.5..0.99_f64) {
        let counts = ApdexCounts { satisfied, tolerating, frustrated };
        let worse = ApdexCounts { satisfied: satisfied - 1, tolerating: tolerating + 1, frustrated };
        let worst = ApdexCounts { satisfied: satisfied - 1, tolerating, frustrated: frustrated + 1 };
        let breach = |counts: ApdexCounts| counts.log_e_breach(target).unwrap();
        let pass = |counts: ApdexCounts| counts.log_e_pass(target).unwrap();
        prop_assert!(breach(counts) < breach(worse) && breach(worse) < breach(worst));
        prop_assert!(pass(counts) > pass(worse) && pass(worse) > pass(worst));
    }
}
