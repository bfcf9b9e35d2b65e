//! Properties of the one-arm tests: martingale, order, mirror, tables, bounds, degenerate parameters.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::binomial_mean;

#[test]
fn the_tables_are_those_of_the_design() {
    let table = |p0: f64, alpha: f64| (1..=12).map(|k| breach_n_max(k, p0, (1.0 / alpha).ln())).collect::<Vec<_>>();
    assert_eq!(table(0.05, 0.001), [0, 0, 3, 6, 10, 14, 20, 26, 33, 40, 48, 56]);
    assert_eq!(table(0.05, 0.0005), [0, 0, 3, 5, 9, 13, 18, 24, 31, 37, 45, 53]);
    assert_eq!(table(0.05, 0.000_125), [0, 0, 0, 4, 7, 11, 16, 21, 26, 33, 40, 47]);
    assert_eq!(table(0.10, 0.001), [0, 0, 0, 4, 6, 9, 12, 15, 19, 23, 27, 31]);
    assert_eq!(table(0.01, 0.001), [0, 2, 8, 19, 35, 55, 79, 106, 136, 169, 204, 242]);
    assert_eq!(table(0.001, 0.001), [0, 12, 54, 140, 269, 439, 646, 886, 1157, 1454, 1776, 2119]);
    let pass = |p1: f64, beta: f64| [0, 1, 2, 5, 10].map(|k| pass_n_min(k, p1, (1.0 / beta).ln()));
    assert_eq!(pass(0.05, 0.05), [74, 131, 174, 284, 442]);
    assert_eq!(pass(0.05, 0.001), [158, 223, 272, 396, 571]);
    assert_eq!(pass(0.01, 0.05), [377, 663, 883, 1436, 2233]);
    assert_eq!(pass(0.001, 0.05), [3787, 6655, 8859, 14401, 22385]);
}

proptest! {
    #[test]
    fn a_search_ends_at_the_edge_wherever_it_begins(from in 0..50_u64, beyond in 0..3_000_u64, guess in 0..4_000_u64) {
        let last = from + beyond;
        prop_assert_eq!(gallop(from, guess, |n| n <= last), last);
        prop_assert_eq!(gallop(from, guess, |_| true), CAP);
        prop_assert_eq!(gallop(CAP - 1 - from, CAP + guess, |n| n < CAP), CAP - 1);
        prop_assert_eq!(gallop(CAP - 1 - from, guess, |n| n <= CAP + beyond), CAP);
    }
}

#[test]
fn a_table_is_found_in_few_steps() {
    let (test, looks) = (BetaMixture::new(0.01).unwrap(), std::cell::Cell::new(0));
    let found = edges(400, |n, k| {
        looks.set(looks.get() + 1);
        test.log_e(n, k) >= f64::ln(1_000.0)
    });
    assert_eq!(found, test.n_max_table(f64::ln(1_000.0), 400));
    // From the entry before alone it would be some thirteen for each.
    assert!(looks.get() < 5 * 400, "{}", looks.get());
}

#[test]
fn each_entry_of_a_table_lies_on_the_edge() {
    for (p0, alpha) in [(0.05, 0.001), (0.01, 0.0005), (0.001, 0.001), (0.4, 0.01)] {
        let (test, threshold) = (BetaMixture::new(p0).unwrap(), -f64::ln(alpha));
        let table = test.n_max_table(threshold, 60);
        for (k, n) in (1..).zip(&table) {
            assert_eq!(*n, breach_n_max(k, p0, threshold));
            assert!(*n == 0 || (test.log_e(*n, k) >= threshold && test.log_e(*n + 1, k) < threshold), "{p0} {k} {n}");
        }
        for (k, n) in (0..).zip(&pass_n_min_table(p0, threshold, 30)) {
            assert_eq!(*n, pass_n_min(k, p0, threshold));
            assert!(log_e_pass(*n, k, p0) >= threshold && log_e_pass(*n - 1, k, p0) < threshold, "{p0} {k} {n}");
        }
    }
}

#[test]
fn the_expected_evidence_is_one_at_the_null_and_less_inside() {
    for p0 in [0.05, 0.01, 0.3] {
        for n in [1, 2, 5, 9, 40] {
            let at = binomial_mean(n, p0, |k| log_e_breach(n, k, p0).exp());
            assert!((at - 1.0).abs() < 1e-9, "{p0} {n}: {at}");
            assert!(binomial_mean(n, p0 / 2.0, |k| log_e_breach(n, k, p0).exp()) < 1.0);
            let pass = binomial_mean(n, p0, |k| log_e_pass(n, k, p0).exp());
            assert!((pass - 1.0).abs() < 1e-9, "{p0} {n}: {pass}");
            assert!(binomial_mean(n, p0 * 1.5, |k| log_e_pass(n, k, p0).exp()) < 1.0);
        }
    }
}

#[test]
fn evidence_grows_with_breaches_and_falls_with_good_requests() {
    for p0 in [0.05, 0.01] {
        for n in [1, 7, 60, 800] {
            assert!((0..n).all(|k| log_e_breach(n, k, p0) < log_e_breach(n, k + 1, p0)), "{p0} {n}");
        }
        for k in [0_u64, 1, 5, 40] {
            assert!((k.max(1)..k + 400).all(|n| log_e_breach(n, k, p0) > log_e_breach(n + 1, k, p0)), "{p0} {k}");
        }
    }
}

#[test]
fn parameters_outside_their_range_give_no_evidence_and_no_test() {
    for p in [f64::NAN, f64::NEG_INFINITY, -0.5, 0.0, 1.0, 2.0, f64::INFINITY] {
        assert!(BetaMixture::new(p).is_err());
        assert_eq!((log_e_breach(9, 5, p), log_e_pass(9, 5, p)), (0.0, 0.0));
        assert_eq!((breach_n_max(3, p, 1.0), pass_n_min(3, p, 1.0)), (0, u64::MAX));
        assert_eq!((rate_upper_bound(100, 1, p), rate_lower_bound(100, 9, p)), (1.0, 0.0), "{p}");
    }
    for (a, b) in [(0.0, 0.5), (0.5, f64::NAN), (f64::INFINITY, 1.0)] {
        assert!(BetaMixture::with_prior(0.05, a, b).is_err());
        assert_eq!(log_e_breach_with(9, 5, 0.05, (a, b)), 0.0);
    }
    assert_eq!((breach_n_max(3, 0.05, f64::NAN), pass_n_min(3, 0.05, f64::NAN)), (0, u64::MAX));
    assert_eq!((breach_n_max(3, 0.05, f64::INFINITY), pass_n_min(3, 0.05, f64::INFINITY)), (0, u64::MAX));
    assert_eq!((breach_n_max(u64::MAX, 0.05, 1.0), pass_n_min(u64::MAX, 0.05, 1.0)), (0, u64::MAX));
    assert_eq!(log_e_breach(3, 9, 0.05), log_e_breach(3, 3, 0.05));
    assert_eq!((rate_upper_bound(0, 0, 0.05), rate_lower_bound(0, 0, 0.05)), (1.0, 0.0));
    for count in [u64::MAX, 1 << 50] {
        assert!(log_e_breach(count, count, 0.05) > 1e15);
        assert!(log_e_breach(count, 0, 0.05) < 0.0);
    }
}

#[test]
fn a_mixture_is_written_by_its_parameters_and_read_with_a_check() {
    let test = BetaMixture::with_prior(0.05, 1.0, 2.0).unwrap();
    let text = serde_json::to_string(&test).unwrap();
    assert_eq!(text, r#"{"p0":0.05,"a":1.0,"b":2.0}"#);
    assert_eq!(serde_json::from_str::<BetaMixture>(&text).unwrap(), test);
    let error = serde_json::from_str::<BetaMixture>(r#"{"p0":1.5,"a":1.0,"b":2.0}"#).unwrap_err();
    assert!(error.to_string().contains("p0 is 1.5"), "{error}");
}

proptest! {
    #[test]
    fn evidence_is_monotone_anywhere(p0 in 0.0005..0.9_f64, n in 1..5_000_u64, share in 0.0..=1.0_f64) {
        let k = ((n as f64 * share) as u64).min(n - 1);
        let test = BetaMixture::new(p0).unwrap();
        // Neighbours differ by far more than the error of the formula as long as n is below some thousands.
        prop_assert!(test.log_e(n, k) < test.log_e(n, k + 1));
        prop_assert!(test.log_e(n, k) > test.log_e(n + 1, k));
    }

    #[test]
    fn passing_mirrors_breaching(p in 0.001..0.999_f64, n in 0..5_000_u64, share in 0.0..=1.0_f64) {
        let k = (n as f64 * share) as u64;
        prop_assert!((log_e_pass(n, k, p) - log_e_breach(n, n - k, 1.0 - p)).abs() < 1e-12);
    }

    #[test]
    fn bounds_invert_the_tests(n in 1..20_000_u64, share in 0.0..=1.0_f64, alpha in 0.0001..0.2_f64) {
        let k = (n as f64 * share) as u64;
        let threshold = -alpha.ln();
        let (lower, upper) = (rate_lower_bound(n, k, alpha), rate_upper_bound(n, k, alpha));
        prop_assert!((0.0..=1.0).contains(&lower) && lower <= upper && upper <= 1.0);
        prop_assert!(lower <= k as f64 / n as f64 && k as f64 / n as f64 <= upper);
        if upper < 1.0 {
            prop_assert!(log_e_pass(n, k, upper) >= threshold && log_e_pass(n, k, upper - 1e-9) < threshold);
        }
        if lower > 1e-9 {
            prop_assert!(log_e_breach(n, k, lower) >= threshold && log_e_breach(n, k, lower + 1e-9) < threshold);
        }
    }

    #[test]
    fn nothing_panics(n in any::<u64>(), k in any::<u64>(), p0 in any::<f64>(), a in any::<f64>(), b in any::<f64>()) {
        let evidence = [log_e_breach(n, k, p0), log_e_pass(n, k, p0), log_e_breach_with(n, k, p0, (a, b))];
        prop_assert!(n > 1 << 32 || k > n || a > 1e6 || b > 1e6 || evidence.iter().all(|e| !e.is_nan()), "{evidence:?}");
    }
}
