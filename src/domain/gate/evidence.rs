//! What a verdict rests on: the counts, the e-value and its threshold, and one plain sentence.

use serde::{Deserialize, Serialize};

use crate::domain::gate::criterion::{Criterion, Gate, Origin};
use crate::domain::gate::verdict::Verdict;
use crate::domain::stats::exceedance;
use crate::domain::time;
use crate::domain::version::Name;

/// The evidence of one gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The gate as shown to people.
    pub gate: String,
    /// Where the gate comes from.
    pub origin: Origin,
    /// What the evidence says.
    pub verdict: Verdict,
    /// The requests looked at.
    pub requests: u64,
    /// How many of them violated the criterion; 0 for a mean.
    pub breaches: u64,
    /// How many of the breaches were still unanswered when they counted.
    pub unanswered: u64,
    /// The natural logarithm of the e-value; `None` where arithmetic other than a test decided.
    pub log_e: Option<f64>,
    /// The logarithm at which the test decides.
    pub log_threshold: Option<f64>,
    /// One plain sentence.
    pub sentence: String,
}

impl Evidence {
    /// Explains a tripped exceedance gate: the `breaches`-th breach was request number `requests`.
    #[must_use]
    pub fn of_trip(gate: &Gate, canary: &Name, alpha: f64, requests: u64, breaches: u64, unanswered: u64) -> Self {
        let share = match gate.criterion {
            Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => share.ratio(),
            _ => 1.0 - f64::EPSILON,
        };
        let log_e = exceedance::log_e_breach(requests, breaches, share);
        let what = match gate.criterion {
            Criterion::Latency { limit, .. } if unanswered >= breaches => format!("were still unanswered after {}", time::human(limit)),
            Criterion::Latency { limit, .. } if unanswered > 0 => {
                format!("exceeded {} ({unanswered} of them still unanswered then)", time::human(limit))
            }
            Criterion::Latency { limit, .. } => format!("exceeded {}", time::human(limit)),
            _ => "failed".to_owned(),
        };
        let derived = match &gate.origin {
            Origin::Derived { indicator } => format!(" (gate derived from the severe limit of {indicator})"),
            _ => String::new(),
        };
        Self {
            gate: gate.name(),
            origin: gate.origin.clone(),
            verdict: Verdict::Fail,
            requests,
            breaches,
            unanswered,
            log_e: Some(log_e),
            log_threshold: Some(-alpha.ln()),
            sentence: format!(
                "rolled back after {breaches} of {requests} requests {what}{derived}; had {canary} met the gate, the chance of ever seeing evidence this strong would be below 1 in {}",
                odds(log_e)
            ),
        }
    }

    /// Says what happened where the trip was only a brake.
    #[must_use]
    pub fn braked(&self) -> String {
        self.sentence.replacen("rolled back", "braked", 1)
    }

    /// Explains a mean gate that was breached on the tick.
    #[must_use]
    pub fn of_mean_breach(gate: &Gate, canary: &Name, alpha: f64, requests: u64, mean: std::time::Duration, log_e: f64) -> Self {
        Self {
            gate: gate.name(),
            origin: gate.origin.clone(),
            verdict: Verdict::Fail,
            requests,
            breaches: 0,
            unanswered: 0,
            log_e: Some(log_e),
            log_threshold: Some(-alpha.ln()),
            sentence: format!(
                "rolled back after {requests} requests took {} on average ({}); had {canary} met the gate, the chance of ever seeing evidence this strong would be below 1 in {}",
                time::human(mean),
                gate.criterion,
                odds(log_e)
            ),
        }
    }
}

/// Writes the whole number e^`log_e`, rounded down to two digits from 1 000 on, with thousands separators.
#[must_use]
pub fn odds(log_e: f64) -> String {
    let mut odds = (log_e.clamp(0.0, 43.0).exp() + 1e-9).floor() as u64;
    if odds >= 1000 {
        let unit = 10_u64.pow(odds.ilog10().saturating_sub(1));
        odds = odds / unit * unit;
    }
    thousands(odds)
}

/// Writes a whole number with separators, such as 12,345.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_that_of_the_design() {
        let gate = Gate::written("p95 < 1s".parse().unwrap());
        let evidence = Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0);
        assert_eq!(
            evidence.sentence,
            "rolled back after 3 of 3 requests exceeded 1 s; had v2 met the gate, the chance of ever seeing evidence this strong would be below 1 in 2,900"
        );
        let hung = Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 3);
        assert!(hung.sentence.contains("3 of 3 requests were still unanswered after 1 s"), "{}", hung.sentence);
    }

    #[test]
    fn odds_are_rounded_down_to_two_digits() {
        for (log_e, text) in
            [(7.979, "2,900"), (5.683_067, "293"), (8.295_4, "4,000"), (21.653_028_3, "2,500,000,000"), (0.0, "1"), (-3.0, "1")]
        {
            assert_eq!(odds(log_e), text);
        }
    }
}
