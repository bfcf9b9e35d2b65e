//! Reads and writes a criterion in the gate language: `p95 < 1s`, `errors < 1%`, `mean < 300ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::{Criterion, Share, Slack, Timing};
use crate::domain::time;

/// The reason why a text is not a [`Criterion`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a gate: {reason}")]
pub struct InvalidCriterion {
    text: String,
    reason: String,
}

/// What a gate may look like, for error messages.
pub const EXAMPLES: &str = "write for example 'p95 < 1s', 'p99.9 < 3s', 'errors < 1%' or 'mean < 300ms'";

impl FromStr for Criterion {
    type Err = InvalidCriterion;

    fn from_str(text: &str) -> Result<Self, InvalidCriterion> {
        let wrong = |reason: String| InvalidCriterion { text: text.chars().take(80).collect(), reason };
        let (left, right) = text.split_once('<').ok_or_else(|| wrong(format!("there is no '<'; {EXAMPLES}")))?;
        let (left, right) = (left.trim(), right.trim());
        if let Some(rest) = right.strip_prefix('=') {
            return Err(wrong(format!(
                "'<=' is not used, a value exactly at the limit is good with '<' too; write '{left} < {}'",
                rest.trim()
            )));
        }
        if let Some(quantile) = left.strip_prefix('p') {
            let share = exceedance(quantile)
                .ok_or_else(|| wrong(format!("'{left}' is not a quantile between p1 and p99.99 with at most two decimals; {EXAMPLES}")))?;
            return Ok(Self::Latency { share, limit: duration(right).map_err(wrong)?, timing: Timing::ResponseTime });
        }
        match left {
            "errors" => {
                let share = percent(right).ok_or_else(|| {
                    wrong(format!("'{right}' is not a share above 0% and below 100%, in steps of 0.0001%; write for example 'errors < 1%'"))
                })?;
                Ok(Self::Errors { share, kinds: ErrorKinds::DEFAULT })
            }
            "mean" => Ok(Self::Mean { limit: duration(right).map_err(wrong)?, timing: Timing::ResponseTime }),
            _ => Err(wrong(format!("'{left}' is not measured; {EXAMPLES}"))),
        }
    }
}

/// Reads the digits after the `p` of a quantile and returns one minus the quantile.
fn exceedance(text: &str) -> Option<Share> {
    let hundredths = decimal(text, 2)?;
    let ppm = 1_000_000_u32.checked_sub(hundredths.checked_mul(100)?)?;
    if hundredths < 100 { None } else { Share::from_ppm(ppm) }
}

/// Reads `1%`, `0.1 %`.
fn percent(text: &str) -> Option<Share> {
    Share::from_ppm(decimal(text.strip_suffix('%')?.trim_end(), 4)?)
}

/// Reads a plain decimal number with at most `places` decimals and returns it times 10^places.
fn decimal(text: &str, places: usize) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// Reads a positive duration of at most an hour in jiff's friendly format: `1s`, `300ms`, `1.5s`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("'{text}' is not a duration; write a number with a unit, such as 300ms or 1s"))?;
    match Duration::try_from(parsed) {
        Ok(limit) if !limit.is_zero() && limit <= Duration::from_secs(3600) => Ok(limit),
        _ => Err(format!("the limit '{text}' is out of range; it must be above 0 and at most 1h")),
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |timing: &Timing| if *timing == Timing::Duration { "(duration)" } else { "" };
        let counted = |kinds: &ErrorKinds| if *kinds == ErrorKinds::DEFAULT { String::new() } else { format!("({kinds})") };
        match self {
            Self::Latency { share, limit, timing } => write!(f, "{}{} < {}", quantile(*share), of(timing), time::human(*limit)),
            Self::Errors { share, kinds } => write!(f, "errors{} < {share}", counted(kinds)),
            Self::Mean { limit, timing } => write!(f, "mean{} < {}", of(timing), time::human(*limit)),
            Self::Apdex { satisfied, loss } => {
                let score = format!("{:.6}", 1.0 - loss.ratio());
                write!(f, "apdex({}) > {}", time::human(*satisfied), score.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::RelativeLatency { share, ratio, timing } => write!(f, "{}{} <= stable * {ratio}", quantile(*share), of(timing)),
            Self::RelativeErrors { kinds, slack: Slack::Times(ratio) } => write!(f, "errors{} <= stable * {ratio}", counted(kinds)),
            Self::RelativeErrors { kinds, slack: Slack::Plus(share) } => {
                write!(f, "errors{} <= stable + {}pp", counted(kinds), share.to_string().trim_end_matches('%'))
            }
        }
    }
}

/// Writes the quantile that allows this share above it: 5 % is p95.
fn quantile(share: Share) -> String {
    let quantile = format!("{:.2}", 100.0 - share.ratio() * 100.0);
    format!("p{}", quantile.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gates_as_people_write_them() {
        let p95 = Criterion::Latency { share: Share::FIVE_PERCENT, limit: Duration::from_secs(1), timing: Timing::ResponseTime };
        assert_eq!("p95 < 1s".parse(), Ok(p95));
        assert_eq!("p95<1000ms".parse(), Ok(p95));
        assert_eq!("p99.9 < 3s".parse::<Criterion>().unwrap().to_string(), "p99.9 < 3 s");
        assert_eq!("errors < 0.1%".parse::<Criterion>().unwrap().to_string(), "errors < 0.1%");
        assert_eq!("mean < 300ms".parse::<Criterion>().unwrap().to_string(), "mean < 300 ms");
    }

    #[test]
    fn what_it_writes_it_reads() {
        for text in ["p95 < 1 s", "p99.99 < 3 ms", "errors < 0.0001%", "mean < 1.5 s"] {
            assert_eq!(text.parse::<Criterion>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_cannot_fire_and_says_why() {
        for (text, part) in [
            ("p95", "no '<'"),
            ("p95 <= 1s", "p95 < 1s"),
            ("p100 < 1s", "p99.99"),
            ("p0 < 1s", "p99.99"),
            ("p95 < 1", "unit"),
            ("p95 < 0s", "above 0"),
            ("p95 < -1s", "above 0"),
            ("errors < 1", "errors < 1%"),
            ("errors < 0%", "above 0%"),
            ("errors < 100%", "below 100%"),
            ("latency < 1s", "not measured"),
        ] {
            let error = text.parse::<Criterion>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
