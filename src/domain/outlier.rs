//! When an endpoint that fails is left out, for how long, and how many may be; told the counts and the time.

use std::time::Duration;

/// So many failures in a row make an endpoint an outlier.
pub const FAILURES: u32 = 5;
/// How long the first ejection lasts; each further one twice as long.
pub const FIRST_TERM: Duration = Duration::from_secs(5);
/// The longest ejection; who behaved for as long begins anew.
pub const LONGEST_TERM: Duration = Duration::from_secs(300);

/// Returns how long the ejection lasts that is the `times`-th in a row, from 1.
#[must_use]
pub fn term(times: u32) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    FIRST_TERM.saturating_mul(1 << doublings).min(LONGEST_TERM)
}

/// Says whether one more endpoint may be left out of a version that has `of` and leaves `out` of them out: at most one half.
#[must_use]
pub const fn may_leave(out: usize, of: usize) -> bool {
    (out + 1) * 2 <= of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_double_from_five_seconds_to_five_minutes() {
        let seconds: Vec<u64> = (0..10).map(|times| term(times).as_secs()).collect();
        assert_eq!(seconds, [5, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(term(u32::MAX), LONGEST_TERM);
    }

    #[test]
    fn at_most_one_half_is_left_out() {
        for of in 0..20 {
            let out = (0..of).take_while(|out| may_leave(*out, of)).count();
            assert_eq!(out, of / 2, "{of}");
        }
    }
}
