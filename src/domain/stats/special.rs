//! The incomplete beta function in log space, accurate in both tails.
//!
//! The log-gamma function comes from the `libm` crate (a port of musl's), whose error is below 1e-9 up to arguments of
//! 10⁵; the continued fraction is the modified Lentz method (Numerical Recipes, section 6.4).

/// Returns ln B(a, b) for positive a and b.
#[must_use]
pub fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// Evaluates the continued fraction of I_x(a, b) = x^a (1-x)^b / (a B(a, b)) · `beta_fraction(a, b, x)`.
///
/// It converges in O(√max(a, b)) steps for x ≤ (a+1)/(a+b+2); call it only there.
#[must_use]
pub fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const EPSILON: f64 = 3e-16;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (qab, qap, qam) = (a + b, a + 1.0, a - 1.0);
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - qab * x / qap);
    let mut h = d;
    for step in 1..200_000_u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((qam + 2.0 * m) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (qab + m) * x / ((a + 2.0 * m) * (qap + 2.0 * m));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let delta = d * c;
        h *= delta;
        if (delta - 1.0).abs() < EPSILON {
            break;
        }
    }
    h
}

/// Returns (ln I_x(a, b), ln (1 − I_x(a, b))) without underflow in either tail.
#[must_use]
pub fn ln_inc_beta(a: f64, b: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (f64::NEG_INFINITY, 0.0);
    }
    if x >= 1.0 {
        return (0.0, f64::NEG_INFINITY);
    }
    let front = a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b);
    let complement = |tail: f64| if tail < 0.0 { (-tail.exp()).ln_1p() } else { f64::NEG_INFINITY };
    if x <= (a + 1.0) / (a + b + 2.0) {
        let lower = (front - a.ln() + beta_fraction(a, b, x).ln()).min(0.0);
        (lower, complement(lower))
    } else {
        let upper = (front - b.ln() + beta_fraction(b, a, 1.0 - x).ln()).min(0.0);
        (complement(upper), upper)
    }
}
