//! Where a rising function crosses zero, in a third of the evaluations that halving takes.
//!
//! Source: I. F. D. Oliveira and R. H. C. Takahashi, An Enhancement of the Bisection Method Average Performance Preserving
//! Minmax Optimality, ACM Transactions on Mathematical Software 47(1), 2020.

/// How far the interpolated point is moved towards the middle: this share of the bracket's width at first, with its square later.
const TRUNCATION: f64 = 0.2;
/// How many evaluations more than halving the worst case may take.
const SLACK: i32 = 1;

/// Narrows the bracket from `low` to `high` until it is no wider than `resolution`, and returns it.
///
/// `of` rises; it is below zero at `low`, where it is `at_low`, and not at `high`, where it is `at_high`. Both hold for what
/// is returned. It is asked at most twice more often than halving would, the second time for what rounding leaves; where it is smooth, about a third as often.
pub(super) fn crossing((low, at_low): (f64, f64), (high, at_high): (f64, f64), resolution: f64, of: impl Fn(f64) -> f64) -> (f64, f64) {
    let ((mut low, mut at_low), (mut high, mut at_high)) = ((low, at_low), (high, at_high));
    let (width, half) = (high - low, resolution / 2.0);
    // As wide as what halving would have left, and SLACK evaluations more: beyond it the point is not moved off the middle.
    let mut allowed = half * (width / resolution).log2().ceil().exp2() * 2_f64.powi(SLACK);
    while high - low > resolution {
        let middle = f64::midpoint(low, high);
        let interpolated = (high * at_low - low * at_high) / (at_low - at_high);
        let towards = (middle - interpolated).signum();
        let moved = TRUNCATION * (high - low).powi(2) / width;
        let truncated = if moved <= (middle - interpolated).abs() { interpolated + towards * moved } else { middle };
        let reach = (allowed - (high - low) / 2.0).max(0.0);
        let point = if (truncated - middle).abs() <= reach { truncated } else { middle - towards * reach };
        // Infinite values interpolate to nothing, and a point on the edge narrows nothing.
        let point = if point > low && point < high { point } else { middle };
        if point <= low || point >= high {
            break;
        }
        let value = of(point);
        if value >= 0.0 {
            (high, at_high) = (point, value)
        } else {
            (low, at_low) = (point, value)
        }
        allowed /= 2.0;
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::crossing;

    fn narrow(low: f64, high: f64, resolution: f64, of: impl Fn(f64) -> f64) -> (f64, f64, u32) {
        let asked = Cell::new(0);
        let counted = |x| {
            asked.set(asked.get() + 1);
            of(x)
        };
        let (low, high) = crossing((low, of(low)), (high, of(high)), resolution, counted);
        assert!(high - low <= resolution, "{low} to {high} is wider than {resolution}");
        assert!(of(low) < 0.0 && of(high) >= 0.0, "{low} to {high} holds no crossing");
        (low, high, asked.get())
    }

    #[test]
    fn a_smooth_crossing_takes_a_third_of_halving() {
        for steepness in [1.0, 30.0, 1e4] {
            let (_, high, asked) = narrow(0.01, 1.0, 1e-13, |x| steepness * (x.powi(3) - 0.008));
            assert!((high - 0.2).abs() < 2e-13, "{high}");
            assert!(asked <= 15, "{asked} evaluations, halving takes 44");
        }
    }

    #[test]
    fn no_shape_takes_more_than_two_evaluations_beyond_halving() {
        let most = 2 + (1e13_f64).log2().ceil() as u32;
        for at in [1e-9, 0.2, 0.5, 0.999_999] {
            let (_, high, asked) = narrow(0.0, 1.0, 1e-13, |x| if x < at { -1e-300 } else { 1e300 });
            assert!((high - at).abs() < 2e-13 && asked <= most, "{high} after {asked} evaluations");
            let (_, high, asked) = narrow(0.0, 1.0, 1e-13, |x| if x < at { f64::NEG_INFINITY } else { f64::INFINITY });
            assert!((high - at).abs() < 2e-13 && asked <= most, "{high} after {asked} evaluations");
        }
    }

    #[test]
    fn a_bracket_narrower_than_the_float_ends() {
        let (low, high) = crossing((1.0, -1.0), (1.0_f64.next_up(), 1.0), 0.0, |_| 0.0);
        assert!(low < high, "nothing lies between, so nothing can be narrowed");
    }
}
