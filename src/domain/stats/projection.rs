//! The reverse information projection: the point of a two-arm null nearest to an alternative.
//!
//! One arrival is a draw (arm, X): the arm is the canary with the known chance w, X says whether the request is a breach. The nulls
//! p_c ≤ ρ p_b and p_c ≤ p_b + δ are convex sets of distributions of (arm, X), so with (a, b) the point of the null that minimises
//! w KL(θ_c ‖ a) + (1−w) KL(θ_b ‖ b), the ratio of the alternative's likelihood to the projection's has an expectation of at most 1
//! at every point of the null (Li 1999; Grünwald, de Heide and Koolen 2024; Turner, Ly and Grünwald 2024).
//!
//! All arguments are shares; w lies strictly between 0 and 1. Outside of that results are numbers without a meaning, or none.

/// Returns the projection (a, b) on the boundary a = ρ b, in closed form.
///
/// The derivative of the objective is zero at the smaller root of a quadratic in b, which lies in (0, min(1, 1/ρ)).
#[must_use]
pub fn boundary_ratio(theta_c: f64, theta_b: f64, w: f64, rho: f64) -> (f64, f64) {
    let t = w * theta_c + (1.0 - w) * theta_b;
    let u = w * rho * (1.0 - theta_c);
    let v = (1.0 - w) * (1.0 - theta_b);
    // −t (1−ρb)(1−b) + u b (1−b) + v b (1−ρb) = 0. In this form of the discriminant, and of the root, nothing cancels: where
    // practically every request is bad, what is left of the good ones would be rounded away.
    let apart = t * (rho - 1.0) + u - v;
    let discriminant = (apart * apart + 4.0 * u * v).sqrt();
    let b = 2.0 * t / (t * (1.0 + rho) + u + v + discriminant);
    ((rho * b).min(1.0), b)
}

/// Returns the projection (a, b) on the null p_c ≤ ρ p_b; an alternative inside the null stays where it is.
#[must_use]
pub fn project_ratio(theta_c: f64, theta_b: f64, w: f64, rho: f64) -> (f64, f64) {
    if theta_c <= rho * theta_b { (theta_c, theta_b) } else { boundary_ratio(theta_c, theta_b, w, rho) }
}

/// Returns the projection (a, b) on the null p_c ≤ p_b + δ; an alternative inside the null stays where it is.
#[must_use]
pub fn project_diff(theta_c: f64, theta_b: f64, w: f64, delta: f64) -> (f64, f64) {
    if theta_c <= theta_b + delta { (theta_c, theta_b) } else { boundary_diff(theta_c, theta_b, w, delta) }
}

/// Returns the projection (a, b) on the boundary a = b + δ.
///
/// The derivative of the objective in b grows, so its zero is found by Newton's steps as long as each at least halves the one before and
/// stays between the bounds, and by bisection else, until b is as exact as the rounding of the derivative lets it be.
#[must_use]
pub fn boundary_diff(theta_c: f64, theta_b: f64, w: f64, delta: f64) -> (f64, f64) {
    // The derivative of one arm's divergence, and its derivative.
    let pull = |theta: f64, p: f64| {
        let (good, bad) = ((1.0 - theta) / (1.0 - p), theta / p);
        (good - bad, good / (1.0 - p) + bad / p)
    };
    let (mut low, mut high) = (theta_b.min(theta_c - delta).max(1e-15), theta_b.max(theta_c - delta).min(1.0 - delta - 1e-15));
    // Were both arms' variances alike, this would be it.
    let (guess, mut step) = (w * (theta_c - delta) + (1.0 - w) * theta_b, high - low);
    let mut b = if low < guess && guess < high { guess } else { f64::midpoint(low, high) };
    // Also ends on numbers that are none.
    while low < b && b < high {
        let (canary, stable) = (pull(theta_c, b + delta), pull(theta_b, b));
        let slope = w * canary.0 + (1.0 - w) * stable.0;
        if slope > 0.0 {
            high = b
        } else {
            low = b
        }
        let ahead = b - slope / (w * canary.1 + (1.0 - w) * stable.1);
        if (ahead - b).abs() <= f64::EPSILON * b {
            break;
        }
        let next = if low < ahead && ahead < high && (ahead - b).abs() <= step / 2.0 { ahead } else { f64::midpoint(low, high) };
        (b, step) = (next, (next - b).abs());
    }
    (b + delta, b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// E\[S\] of one arrival at the point (p_c, p_b), for the likelihood ratio of (θ_c, θ_b) to (a, b).
    fn expectation(w: f64, (theta_c, theta_b): (f64, f64), (a, b): (f64, f64), (p_c, p_b): (f64, f64)) -> f64 {
        let arm = |p: f64, theta: f64, q: f64| p * theta / q + (1.0 - p) * (1.0 - theta) / (1.0 - q);
        w * arm(p_c, theta_c, a) + (1.0 - w) * arm(p_b, theta_b, b)
    }

    /// As [`boundary_diff`], by bisection alone.
    fn bisected(theta_c: f64, theta_b: f64, w: f64, delta: f64) -> f64 {
        let pull = |theta: f64, p: f64| (1.0 - theta) / (1.0 - p) - theta / p;
        let (mut low, mut high) = (theta_b.min(theta_c - delta).max(1e-15), theta_b.max(theta_c - delta).min(1.0 - delta - 1e-15));
        for _ in 0..2_000 {
            let b = f64::midpoint(low, high);
            if w * pull(theta_c, b + delta) + (1.0 - w) * pull(theta_b, b) > 0.0 { high = b } else { low = b }
        }
        f64::midpoint(low, high)
    }

    #[test]
    fn where_practically_every_request_is_bad_the_good_ones_are_not_rounded_away() {
        for w in [0.1, 0.9, 0.999, 0.999_99] {
            for (good_c, good_b) in [(1e-8, 1e-6), (1e-9, 1e-6), (1e-7, 1e-3)] {
                let (a, b) = boundary_ratio(1.0 - good_c, 1.0 - good_b, w, 1.0);
                let expected = w * good_c + (1.0 - w) * good_b;
                assert!(a == b && ((1.0 - b) / expected - 1.0).abs() < 1e-6, "{w} {good_c} {good_b}: {} is not {expected}", 1.0 - b);
            }
        }
    }

    #[test]
    fn alternatives_inside_the_null_stay() {
        assert_eq!(project_ratio(0.05, 0.05, 0.1, 1.0), (0.05, 0.05));
        assert_eq!(project_diff(0.05, 0.05, 0.1, 0.01), (0.05, 0.05));
    }

    #[test]
    fn numbers_without_a_meaning_do_not_hang_or_panic() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1.0, 2.0];
        for a in odd {
            for b in odd {
                for w in odd {
                    for margin in odd {
                        let _ = (project_ratio(a, b, w, margin), project_diff(a, b, w, margin), boundary_ratio(a, b, w, margin));
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_ratio_expects_at_most_one_at_every_point_of_the_null(
            w in 0.005..0.9_f64, theta_b in 0.0005..0.6_f64, theta_c in 0.001..0.999_f64,
            rho in prop::sample::select(vec![1.0, 1.1, 2.0]), p_b in 0.0..=1.0_f64, inside in 0.0..=1.0_f64,
        ) {
            let projection = project_ratio(theta_c, theta_b, w, rho);
            let limit = (rho * p_b).min(1.0);
            for p_c in [limit, limit * inside] {
                let e = expectation(w, (theta_c, theta_b), projection, (p_c, p_b));
                prop_assert!(e <= 1.0 + 1e-7, "{e}");
                prop_assert!(rho > 1.0 || p_c < p_b || projection == (theta_c, theta_b) || (e - 1.0).abs() < 1e-7, "{e}");
            }
            prop_assert!(projection.0 <= theta_c + 1e-15 && projection.1 >= theta_b - 1e-15);
        }

        #[test]
        fn a_difference_expects_at_most_one_at_every_point_of_the_null(
            w in 0.005..0.9_f64, theta_b in 0.0005..0.6_f64, theta_c in 0.001..0.999_f64,
            delta in prop::sample::select(vec![0.0, 0.002, 0.05]), p_b in 0.0..=1.0_f64, inside in 0.0..=1.0_f64,
        ) {
            let projection = project_diff(theta_c, theta_b, w, delta);
            let limit = (p_b + delta).min(1.0);
            for p_c in [limit, limit * inside] {
                let e = expectation(w, (theta_c, theta_b), projection, (p_c, p_b));
                prop_assert!(e <= 1.0 + 1e-7, "{e}");
            }
            prop_assert!(projection.0 <= theta_c + 1e-15 && projection.1 >= theta_b - 1e-15);
        }

        #[test]
        fn the_boundary_of_a_difference_is_where_bisection_finds_it(
            w in prop_oneof![1e-4..0.01_f64, 0.01..0.999_f64], theta_b in prop_oneof![1e-6..1e-3_f64, 1e-3..0.999_f64],
            theta_c in prop_oneof![1e-6..1e-3_f64, 1e-3..0.999_f64, 0.999..0.999_999_f64], delta in prop_oneof![Just(0.0), 1e-6..0.5_f64],
        ) {
            let (a, b) = boundary_diff(theta_c, theta_b, w, delta);
            let expected = bisected(theta_c, theta_b, w, delta);
            prop_assert!((b - expected).abs() <= 1e-11 * expected && a == b + delta, "{b} is not {expected}");
        }

        #[test]
        fn an_alternative_of_the_pass_test_expects_at_most_one_at_every_point_of_its_null(
            w in 0.005..0.9_f64, theta_b in 0.0005..0.3_f64, kappa in prop::sample::select(vec![1.0, 0.5, 0.1]),
            rho in prop::sample::select(vec![1.1, 1.5, 2.0]), share in 0.0..=1.0_f64, beyond in 1.0..1.3_f64,
        ) {
            let theta_c = kappa * theta_b;
            let p_b = share / rho;
            let projection = boundary_ratio(theta_c, theta_b, w, rho);
            for p_c in [rho * p_b, (rho * p_b * beyond).min(1.0)] {
                let e = expectation(w, (theta_c, theta_b), projection, (p_c, p_b));
                prop_assert!(e <= 1.0 + 1e-7, "{e}");
            }
        }

        #[test]
        fn no_point_of_the_boundary_is_nearer(w in 0.01..0.99_f64, theta_b in 0.001..0.4_f64, theta_c in 0.5..0.999_f64, other in 0.001..0.49_f64) {
            use crate::domain::stats::special::kl_bernoulli;
            let distance = |(a, b)| w * kl_bernoulli(theta_c, a) + (1.0 - w) * kl_bernoulli(theta_b, b);
            prop_assert!(distance(project_ratio(theta_c, theta_b, w, 1.1)) <= distance((1.1 * other, other)) + 1e-12);
            prop_assert!(distance(project_diff(theta_c, theta_b, w, 0.01)) <= distance((other + 0.01, other)) + 1e-12);
        }
    }
}
