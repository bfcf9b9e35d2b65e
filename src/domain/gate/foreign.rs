//! Turns a bound that a foreign gate file puts on one of the proxy's figures into a criterion of a live rollout.
//!
//! It neither reads files nor recognises queries; see [`crate::domain::gate::slo::live`] for the figures.

use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::{Criterion, Ratio, Share, Slack, Timing};
use crate::domain::gate::slo::criterion::Operator;
use crate::domain::gate::slo::live::{Failure, Figure, Measured, Unit};

/// The longest limit of a gate, in nanoseconds.
const LONGEST: f64 = 3.6e12;

/// A bound on a figure that must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A number in the unit of the figure.
    Fixed(f64),
    /// So many percent above the figure of stable; below 0 for less.
    Percent(f64),
    /// So much above the figure of stable, in the unit of the figure.
    Above(f64),
}

/// The reason why a bound cannot be judged while a canary runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotAGate {
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

impl NotAGate {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }
}

/// Makes the criterion that holds when `figure operator bound` does.
///
/// Whether the limit itself is allowed makes no difference for a continuous time, and none that a test could tell for a
/// share; so `<` and `<=` are the same here.
///
/// # Errors
///
/// Fails for a lower limit, for equality, for figures that depend on the clients, and for a bound that no version or
/// every version would break.
pub fn criterion(measured: Measured, operator: Operator, bound: Bound) -> Result<Criterion, NotAGate> {
    let (Bound::Fixed(number) | Bound::Percent(number) | Bound::Above(number)) = bound;
    if !number.is_finite() {
        return Err(NotAGate::new(format!("{number} is no limit, every comparison with it says the same"), "write a finite number"));
    }
    if let Figure::Throughput | Figure::Requests = measured.figure {
        let hint = "leave it out of the live gate; 'portcullis evaluate' judges the file as it is";
        return Err(NotAGate::new("the number of requests depends on the clients, not on the version alone", hint));
    }
    match operator {
        Operator::Below | Operator::AtMost => {}
        Operator::Above | Operator::AtLeast => {
            let what = if let Figure::ErrorRate(_) = measured.figure { "more errors" } else { "a slower version" };
            return Err(NotAGate::new(format!("a lower limit asks for {what}"), "write an upper limit, with < or <="));
        }
        Operator::Equal => {
            return Err(NotAGate::new("no number of requests shows that a figure is exactly so", "write an upper limit, with < or <="));
        }
    }
    match (measured.figure, bound) {
        (Figure::ErrorRate(failure), Bound::Fixed(value)) => {
            Ok(Criterion::Errors { share: share(measured.unit.to_base(value), value)?, kinds: kinds(failure) })
        }
        (Figure::ErrorRate(failure), Bound::Above(value)) => {
            Ok(Criterion::RelativeErrors { kinds: kinds(failure), slack: Slack::Plus(share(measured.unit.to_base(value), value)?) })
        }
        (Figure::ErrorRate(failure), Bound::Percent(percent)) => {
            Ok(Criterion::RelativeErrors { kinds: kinds(failure), slack: Slack::Times(ratio(percent)?) })
        }
        (Figure::ResponseTime(share), Bound::Fixed(value)) => {
            Ok(Criterion::Latency { share, limit: limit(measured.unit, value)?, timing: Timing::ResponseTime })
        }
        (Figure::ResponseTime(share), Bound::Percent(percent)) => {
            Ok(Criterion::RelativeLatency { share, ratio: ratio(percent)?, timing: Timing::ResponseTime })
        }
        (Figure::MeanResponseTime, Bound::Fixed(value)) => {
            Ok(Criterion::Mean { limit: limit(measured.unit, value)?, timing: Timing::ResponseTime })
        }
        (Figure::MeanResponseTime, _) => {
            Err(NotAGate::new("a mean is not compared with the live stable version", "compare a quantile, such as the p50 or the p95"))
        }
        (_, _) => Err(NotAGate::new("a response time is compared with stable by a factor, not by a sum", "write percent, such as <=+10%")),
    }
}

/// Returns what differs between the gate and what the file asks for, one sentence without a full stop; `None` when
/// nothing does.
#[must_use]
pub fn difference(measured: Measured, bound: Bound) -> Option<&'static str> {
    match (measured.figure, bound) {
        (_, Bound::Percent(_) | Bound::Above(_)) => {
            Some("it is compared with the stable version of the same moment instead of earlier runs")
        }
        (Figure::ErrorRate(Failure::NotSuccess), _) => {
            Some("answers of 4xx count as errors, because the file counts all that are not 2xx; redirects do not")
        }
        _ => None,
    }
}

/// The kinds of errors that stand for what a source counts as failed: with a proxy's own eyes a request without an answer
/// is one as well.
const fn kinds(failure: Failure) -> ErrorKinds {
    match failure {
        Failure::NotSuccess => ErrorKinds::DEFAULT.and(ErrorKinds::CLIENT),
        Failure::ServerError | Failure::Service => ErrorKinds::DEFAULT,
    }
}

fn limit(unit: Unit, value: f64) -> Result<Duration, NotAGate> {
    let nanos = unit.to_base(value).round();
    if !(1.0..=LONGEST).contains(&nanos) {
        let example = match unit {
            Unit::Milliseconds => "write milliseconds, such as 500",
            Unit::Microseconds => "write microseconds, such as 500000",
            _ => "write seconds, such as 0.5",
        };
        return Err(NotAGate::new(format!("the limit {value} is not a response time above 0 and at most 1 h"), example));
    }
    Ok(Duration::from_nanos(nanos as u64))
}

fn share(fraction: f64, written: f64) -> Result<Share, NotAGate> {
    let ppm = (fraction * 1e6).round();
    let whole = if (1.0..=999_999.0).contains(&ppm) { Share::from_ppm(ppm as u32) } else { None };
    whole.ok_or_else(|| {
        if fraction > 0.5 {
            NotAGate::new(
                format!("the limit {written} allows every request to fail, so the gate could never fire"),
                "write a smaller share",
            )
        } else {
            NotAGate::new(
                format!("no number of requests shows that at most {written} of them fail"),
                "allow a few, such as one in a thousand",
            )
        }
    })
}

fn ratio(percent: f64) -> Result<Ratio, NotAGate> {
    let thousandths = ((100.0 + percent) * 10.0).round();
    let whole = if (1_000.0..=1e6).contains(&thousandths) { Ratio::from_thousandths(thousandths as u32) } else { None };
    whole.ok_or_else(|| {
        let reason = if percent < 0.0 {
            format!("a version just like stable would miss a limit {} % below it", -percent)
        } else {
            format!("a limit {percent} % above stable could hardly fire")
        };
        NotAGate::new(reason, "allow some percent above stable, such as <=+10%")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const P95: Measured = Measured { figure: Figure::ResponseTime(Share::FIVE_PERCENT), unit: Unit::Milliseconds };
    const MEAN: Measured = Measured { figure: Figure::MeanResponseTime, unit: Unit::Seconds };
    const ERRORS: Measured = Measured { figure: Figure::ErrorRate(Failure::ServerError), unit: Unit::Share };
    const OTHERS: Measured = Measured { figure: Figure::ErrorRate(Failure::NotSuccess), unit: Unit::Percent };

    #[test]
    fn upper_limits_become_gates_in_their_units() {
        for (measured, operator, bound, gate) in [
            (P95, Operator::Below, Bound::Fixed(600.0), "p95 < 600 ms"),
            (P95, Operator::AtMost, Bound::Percent(10.0), "p95 <= stable * 1.1"),
            (MEAN, Operator::AtMost, Bound::Fixed(0.5), "mean < 500 ms"),
            (ERRORS, Operator::Below, Bound::Fixed(0.01), "errors < 1%"),
            (OTHERS, Operator::Below, Bound::Fixed(1.0), "errors(5xx, 4xx, connect, reset, timeout, invalid) < 1%"),
            (ERRORS, Operator::AtMost, Bound::Percent(50.0), "errors <= stable * 1.5"),
            (ERRORS, Operator::AtMost, Bound::Above(0.002), "errors <= stable + 0.2pp"),
        ] {
            assert_eq!(criterion(measured, operator, bound).unwrap().to_string(), gate);
        }
    }

    #[test]
    fn what_cannot_be_judged_live_is_refused_with_the_way_out() {
        let throughput = Measured { figure: Figure::Throughput, unit: Unit::PerSecond };
        for (measured, operator, bound, reason) in [
            (P95, Operator::Above, Bound::Fixed(600.0), "slower version"),
            (ERRORS, Operator::AtLeast, Bound::Fixed(0.1), "more errors"),
            (P95, Operator::Equal, Bound::Fixed(600.0), "exactly so"),
            (P95, Operator::Below, Bound::Fixed(f64::NAN), "no limit"),
            (P95, Operator::Below, Bound::Fixed(f64::INFINITY), "no limit"),
            (P95, Operator::Below, Bound::Fixed(0.0), "above 0"),
            (P95, Operator::Below, Bound::Fixed(-1.0), "above 0"),
            (P95, Operator::Below, Bound::Fixed(1e300), "at most 1 h"),
            (P95, Operator::Below, Bound::Above(50.0), "by a factor"),
            (P95, Operator::Below, Bound::Percent(-10.0), "just like stable"),
            (P95, Operator::Below, Bound::Percent(1e6), "could hardly fire"),
            (MEAN, Operator::Below, Bound::Percent(10.0), "a mean is not compared"),
            (ERRORS, Operator::AtMost, Bound::Fixed(0.0), "no number of requests"),
            (ERRORS, Operator::Below, Bound::Fixed(1.0), "never fire"),
            (throughput, Operator::Below, Bound::Fixed(1.0), "clients"),
        ] {
            let error = criterion(measured, operator, bound).unwrap_err();
            assert!(error.reason.contains(reason), "{reason} is not in {error}");
            assert!(!error.hint.is_empty());
        }
    }
}
