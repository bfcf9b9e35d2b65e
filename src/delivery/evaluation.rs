//! Grades what was measured of a candidate by its stage's gate file.

use crate::control::setup::Grader;
use crate::domain::gate::Verdict;
use crate::domain::gate::live::Measured;
use crate::domain::observation::Window;

/// How many requests are waited for where nobody tests a version that is to be judged.
pub(super) const ENOUGH: u64 = 20;

/// Grades a window of one version.
pub(super) fn grade(grader: &Grader, version: &str, window: &Window) -> (Verdict, String) {
    let count = window.response_time.len();
    if count == 0 {
        return (Verdict::Inconclusive, format!("nothing was measured of {version}"));
    }
    let quantile = |q: f64| window.response_time.value_at_quantile(q) as f64 * 1e3;
    let mean_ns = window.mean_response_time_ns().unwrap_or_default();
    let measured = Measured { key: version, count, mean_ns, quantile: &quantile, classes: window.classes };
    let (verdict, reason) = grader(&measured, None);
    (verdict, format!("{reason} ({count} requests)"))
}
