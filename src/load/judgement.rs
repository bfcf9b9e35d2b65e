//! Whether a test run went well, by the rules of keptn's jmeter-service.

use std::fmt;
use std::time::Duration;

use crate::formats::jmeter_conf::Workload;

/// What a run must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Whether a single error fails the run.
    pub functional: bool,
    /// The share of the runs that may be errors, 0 to 1; it allows `int(share × runs)` errors.
    pub error_rate: f64,
    /// The largest average response time, or `None` for no limit, which is all keptn ever uses.
    pub average: Option<Duration>,
}

impl Limits {
    /// The health check: no error at all.
    pub const HEALTH_CHECK: Self = Self { functional: true, error_rate: 0.0, average: None };
    /// The functional test: no error at all.
    pub const FUNCTIONAL: Self = Self { functional: true, error_rate: 0.1, average: None };
    /// The performance test: at most a tenth of the requests may be errors.
    pub const PERFORMANCE: Self = Self { functional: false, error_rate: 0.1, average: None };

    /// Judges a run of `runs` requests, of which `errors` went wrong, with this average response time.
    #[must_use]
    pub fn judge(&self, runs: u64, errors: u64, average: Duration) -> Judgement {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "keptn computes int(rate × runs) in floating point, and so does this"
        )]
        let allowed = (self.error_rate * runs as f64) as u64;
        if runs == 0 {
            Judgement::Unmeasured
        } else if self.functional && errors > 0 {
            Judgement::Fail(Reason::Functional { errors })
        } else if errors > allowed {
            Judgement::Fail(Reason::ErrorRate { errors, allowed })
        } else if let Some(limit) = self.average.filter(|limit| !limit.is_zero() && average > *limit) {
            Judgement::Fail(Reason::Average { average, limit })
        } else {
            Judgement::Pass
        }
    }
}

impl From<&Workload> for Limits {
    fn from(workload: &Workload) -> Self {
        Self { functional: workload.allows_no_error(), error_rate: workload.accepted_error_rate, average: workload.average_limit }
    }
}

/// What is thought of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It kept every limit.
    Pass,
    /// It broke this limit.
    Fail(Reason),
    /// No request ended, so that there is nothing to judge.
    Unmeasured,
}

/// The first limit that was broken, in the order of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A test that allows no errors had some.
    Functional {
        /// How many.
        errors: u64,
    },
    /// Too many errors.
    ErrorRate {
        /// How many.
        errors: u64,
        /// How many were allowed.
        allowed: u64,
    },
    /// Too slow on average.
    Average {
        /// The average.
        average: Duration,
        /// The limit.
        limit: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Functional { errors } => write!(f, "{errors} errors in a test that allows none"),
            Self::ErrorRate { errors, allowed } => write!(f, "too high error rate: {errors} errors, {allowed} allowed"),
            Self::Average { average, limit } => {
                write!(f, "average response time {} ms is over the limit of {} ms", average.as_millis(), limit.as_millis())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(3);

    #[test]
    fn a_functional_test_allows_no_error() {
        assert_eq!(Limits::FUNCTIONAL.judge(10, 0, FAST), Judgement::Pass);
        assert_eq!(Limits::FUNCTIONAL.judge(10, 1, FAST), Judgement::Fail(Reason::Functional { errors: 1 }));
        assert_eq!(Limits::HEALTH_CHECK.judge(1, 1, FAST), Judgement::Fail(Reason::Functional { errors: 1 }));
    }

    #[test]
    fn a_performance_test_of_5000_requests_allows_500_errors() {
        assert_eq!(Limits::PERFORMANCE.judge(5000, 500, FAST), Judgement::Pass);
        assert_eq!(Limits::PERFORMANCE.judge(5000, 501, FAST), Judgement::Fail(Reason::ErrorRate { errors: 501, allowed: 500 }));
        assert_eq!(Limits::PERFORMANCE.judge(9, 1, FAST), Judgement::Fail(Reason::ErrorRate { errors: 1, allowed: 0 }));
    }

    #[test]
    fn the_average_counts_only_when_it_has_a_limit() {
        let slow = Duration::from_secs(10);
        assert_eq!(Limits::PERFORMANCE.judge(10, 0, slow), Judgement::Pass);
        let off = Limits { average: Some(Duration::ZERO), ..Limits::PERFORMANCE };
        assert_eq!(off.judge(10, 0, slow), Judgement::Pass);
        let limited = Limits { average: Some(FAST), ..Limits::PERFORMANCE };
        assert_eq!(limited.judge(10, 0, FAST), Judgement::Pass);
        let Judgement::Fail(reason) = limited.judge(10, 0, slow) else { panic!("10 s kept a limit of 3 ms") };
        assert_eq!(reason.to_string(), "average response time 10000 ms is over the limit of 3 ms");
    }

    #[test]
    fn the_limits_of_the_workloads_by_default_are_the_known_ones() {
        let limits = |strategy: &str| Limits::from(&Workload::by_default(strategy).unwrap());
        assert_eq!(limits("healthcheck"), Limits::HEALTH_CHECK);
        assert_eq!(limits("functional"), Limits::FUNCTIONAL);
        assert_eq!(limits("performance"), Limits::PERFORMANCE);
    }

    #[test]
    fn a_run_without_requests_is_not_judged() {
        assert_eq!(Limits::PERFORMANCE.judge(0, 0, Duration::ZERO), Judgement::Unmeasured);
    }
}
