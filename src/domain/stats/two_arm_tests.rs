//! Properties of the two-arm tests: validity of whole blocks, drift, order of in-flight outcomes, peeks, memory, refusals.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::Chance;

const COMPARISONS: [Comparison; 6] = [
    Comparison::Ratio(1.0),
    Comparison::Ratio(1.1),
    Comparison::Difference(0.002),
    Comparison::Within(1.5),
    Comparison::Within(1.0),
    Comparison::WithinDifference(0.01),
];

fn test(comparison: Comparison) -> TwoArm {
    TwoArm::new(comparison, Guess::of(0.05)).unwrap()
}

#[test]
fn false_alarms_stay_below_alpha_while_both_versions_drift_and_the_weight_changes() {
    let mut alarms = 0;
    for seed in 0..400 {
        let (mut chance, mut test) = (Chance::new(seed), test(Comparison::Ratio(1.0)));
        let alarm = (0..60).any(|block| {
            let w = [0.05, 0.5, 0.2][block % 3];
            // The rate of both triples on the way; a pooled comparison would blame whoever has more traffic late.
            let rate = 0.05 + 0.1 * block as f64 / 60.0;
            let (mut canary, mut stable) = (Counts::default(), Counts::default());
            for _ in 0..40 {
                let arm = if chance.heads(w) { &mut canary } else { &mut stable };
                arm.requests += 1;
                arm.breaches += u64::from(chance.heads(rate));
            }
            test.update(w, canary, stable).unwrap() >= 20_f64.ln()
        });
        alarms += u64::from(alarm);
    }
    // The 99.9 % point of Binomial(400, 0.05).
    assert!(alarms <= 35, "{alarms} of 400");
}

#[test]
fn a_worse_canary_is_found_and_an_equal_one_passes() {
    let mut worse = test(Comparison::Ratio(1.1));
    let mut difference = test(Comparison::Difference(0.01));
    let mut equal = TwoArm::new(Comparison::Within(2.0), Guess::of(0.05)).unwrap();
    for _ in 0..60 {
        worse.update(0.1, Counts::new(10, 3), Counts::new(90, 4)).unwrap();
        difference.update(0.1, Counts::new(10, 3), Counts::new(90, 4)).unwrap();
        equal.update(0.5, Counts::new(50, 2), Counts::new(50, 2)).unwrap();
    }
    assert!(worse.log_e() > 1000_f64.ln() && difference.log_e() > 1000_f64.ln() && equal.log_e() > 20_f64.ln());
    let mut inferior = TwoArm::new(Comparison::Within(2.0), Guess::of(0.05)).unwrap();
    for _ in 0..60 {
        inferior.update(0.5, Counts::new(50, 5), Counts::new(50, 2)).unwrap();
    }
    assert!(inferior.log_e() < 0.0, "{}", inferior.log_e());
}

#[test]
fn peeking_is_the_best_of_the_closings_and_changes_nothing() {
    let mut test = test(Comparison::Ratio(1.0));
    test.update(0.1, Counts::new(10, 1), Counts::new(90, 4)).unwrap();
    let (first, second) = (test.open(0.1).unwrap(), test.open(0.5).unwrap());
    let blocks = [
        OpenBlock { bets: &first, canary: Counts::new(9, 7), stable: Counts::new(91, 3) },
        OpenBlock { bets: &second, canary: Counts::new(50, 0), stable: Counts::new(50, 1).with_in_flight_bad(4) },
    ];
    let before = test.clone();
    let peeked = test.peek(&blocks);
    assert_eq!(test, before);
    let best = blocks.iter().fold(test.log_e(), |best, block| best.max(test.close(block.bets, block.canary, block.stable)));
    assert_eq!(peeked, best);
    assert!(peeked > test.log_e());
}

#[test]
fn a_memory_forgets_and_an_idle_one_does_not_lose_its_guess() {
    let guess = Guess { memory: 0.5, ..Guess::of(0.2) };
    let (mut short, mut long) = (TwoArm::new(Comparison::Ratio(1.0), guess).unwrap(), test(Comparison::Ratio(1.0)));
    for _ in 0..50 {
        short.update(0.5, Counts::default(), Counts::new(20, 2)).unwrap();
        long.update(0.5, Counts::default(), Counts::new(20, 2)).unwrap();
    }
    assert!((short.requests - 40.0).abs() < 1e-6 && long.requests == 1020.0);
    for _ in 0..5_000 {
        short.update(0.5, Counts::default(), Counts::default()).unwrap();
    }
    assert_eq!(short.requests, 0.0, "all forgotten");
    assert_eq!(short.open(0.5).unwrap(), TwoArm::new(Comparison::Ratio(1.0), guess).unwrap().open(0.5).unwrap());
}

#[test]
fn parameters_outside_their_range_are_refused() {
    for odd in [f64::NAN, f64::INFINITY, -1.0] {
        for comparison in [Comparison::Ratio(odd), Comparison::Difference(odd), Comparison::Within(odd)] {
            assert!(TwoArm::new(comparison, Guess::of(0.05)).is_err(), "{comparison:?}");
        }
        for guess in [Guess::of(odd), Guess { requests: odd, ..Guess::of(0.1) }, Guess { memory: odd, ..Guess::of(0.1) }] {
            assert!(TwoArm::new(Comparison::Ratio(1.0), guess).is_err(), "{guess:?}");
        }
    }
    assert!(TwoArm::new(Comparison::Within(0.99), Guess::of(0.1)).is_err());
    assert!(TwoArm::new(Comparison::WithinDifference(0.0), Guess::of(0.1)).is_err());
    assert!(TwoArm::new(Comparison::Difference(1.0), Guess::of(0.1)).is_err());
    for w in [f64::NAN, 0.0, 1.0, 2.0] {
        assert!(test(Comparison::Ratio(1.0)).open(w).is_err(), "{w}");
    }
}

#[test]
fn a_state_that_was_written_and_read_goes_on_alike() {
    for comparison in COMPARISONS {
        let mut test = test(comparison);
        for k in [0, 5, 2] {
            let text = serde_json::to_string(&test).unwrap();
            let mut read: TwoArm = serde_json::from_str(&text).unwrap();
            let next = |test: &mut TwoArm| test.update(0.2, Counts::new(20, k), Counts::new(80, 3)).unwrap();
            assert!((next(&mut read) - next(&mut test)).abs() < 1e-10, "{text}");
        }
    }
}

proptest! {
    #[test]
    fn a_block_of_one_arrival_expects_at_most_one_anywhere_in_the_null(
        comparison in prop::sample::select(COMPARISONS.to_vec()),
        (w, guess) in (0.005..0.95_f64, 0.0..0.9_f64),
        (p_b, inside) in (0.0..=1.0_f64, 0.0..=1.0_f64),
    ) {
        let (p_c, p_b) = match comparison {
            Comparison::Ratio(rho) => ((rho * p_b).min(1.0) * inside, p_b),
            Comparison::Difference(delta) => ((p_b + delta).min(1.0) * inside, p_b),
            Comparison::Within(rho) => (p_b + (1.0 - p_b) * inside, p_b / rho),
            Comparison::WithinDifference(delta) => {
                let edge = p_b * (1.0 - delta) + delta;
                (edge + (1.0 - edge) * inside, edge - delta)
            }
        };
        let e = |canary: Counts, stable: Counts| {
            TwoArm::new(comparison, Guess::of(guess)).unwrap().update(w, canary, stable).unwrap().exp()
        };
        let none = Counts::default();
        let arm = |p: f64, one: &dyn Fn(Counts) -> f64| p * one(Counts::new(1, 1)) + (1.0 - p) * one(Counts::new(1, 0));
        let expected = w * arm(p_c, &|counts| e(counts, none)) + (1.0 - w) * arm(p_b, &|counts| e(none, counts));
        prop_assert!(expected <= 1.0 + 1e-7, "{expected}");
    }

    #[test]
    fn what_is_in_flight_only_lowers_the_evidence_of_a_breach(
        comparison in prop::sample::select(COMPARISONS[..3].to_vec()),
        (w, guess) in (0.005..0.95_f64, 0.0..0.9_f64),
        (n_c, k_c, n_b, k_b) in (1..50_u64, 0..50_u64, 1..50_u64, 0..50_u64),
        hidden in 1..9_u64,
    ) {
        let test = TwoArm::new(comparison, Guess::of(guess)).unwrap();
        let bets = test.open(w).unwrap();
        let (canary, stable) = (Counts::new(n_c, k_c), Counts::new(n_b, k_b));
        let peek = |canary, stable| {
            let mut test = test.clone();
            test.close(&bets, canary, stable)
        };
        let known = peek(canary, stable);
        prop_assert!(peek(Counts::new(n_c, canary.bad().saturating_sub(hidden)), stable) <= known + 1e-9);
        prop_assert!(peek(canary, stable.with_in_flight_bad(hidden)) <= known + 1e-9);
    }

    #[test]
    fn the_blocks_of_a_fleet_merge(parts in prop::collection::vec((0..9_u64, 0..9_u64, 0..90_u64, 0..9_u64), 1..9)) {
        let counts: Vec<(Counts, Counts)> = parts.iter().map(|(n_c, k_c, n_b, k_b)| {
            (Counts::new(*n_c + k_c, *k_c), Counts::new(*n_b + k_b, *k_b))
        }).collect();
        let bets = test(Comparison::Ratio(1.1)).open(0.1).unwrap();
        let (mut one, mut all) = (test(Comparison::Ratio(1.1)), test(Comparison::Ratio(1.1)));
        let merge = |pick: &dyn Fn(&(Counts, Counts)) -> Counts| crate::domain::stats::counts::merge_counts(counts.iter().map(pick));
        one.close(&bets, merge(&|part| part.0), merge(&|part| part.1));
        counts.iter().for_each(|(canary, stable)| { all.close(&bets, *canary, *stable); });
        prop_assert!((one.log_e() - all.log_e()).abs() < 1e-9);
    }
}
