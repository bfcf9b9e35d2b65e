//! What a verdict rests on: the counts, the e-value and its threshold, what tipped it, and one plain sentence.
//!
//! It holds everything that is needed to compute the e-value again, so that a verdict can be verified from the journal.

use serde::{Deserialize, Serialize};

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::basis::{Basis, Unverifiable};
use crate::domain::gate::criterion::{Criterion, Gate, Origin, Unit};
use crate::domain::gate::verdict::Verdict;
use crate::domain::stats::exceedance;
use crate::domain::time;
use crate::domain::version::Name;

/// How far a recomputed ln E may lie from the recorded one.
pub const TOLERANCE: f64 = 1e-9;

/// Which requests a per-request test counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// All since the trial began, or began again after a brake.
    #[default]
    Cumulative,
    /// Those since the step began.
    Step,
}

/// By which rule a verdict was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Breaches counted on the request path against a table.
    Tripwire {
        /// Which requests were counted.
        test: Test,
    },
    /// Failures in the order in which the requests started, what is in flight counting as good.
    StartOrder {
        /// Which requests were counted.
        test: Test,
    },
    /// Blocks of start time in chains, which pauses up to the burst tolerance do not fool.
    Chained,
    /// The canary against the stable version of the same moment, arrival by arrival.
    TwoArm,
    /// A mean response time.
    Mean,
    /// A mean of losses between 0 and 1.
    Bounded,
    /// A version that turns bad late.
    ChangePoint,
    /// Evidence that the gate is met.
    Pass,
    /// A gate file's own arithmetic.
    File,
    /// Recorded before rules were.
    Unrecorded,
}

/// What was estimated, with bounds that hold at all times together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The share of breaches, the mean in nanoseconds, or the Apdex score.
    pub value: f64,
    /// The anytime-valid lower bound; `None` where it was not recorded.
    #[serde(default)]
    pub lower: Option<f64>,
    /// The anytime-valid upper bound; `None` for a mean, which has none: one rare huge latency can always hide. With a pass it is
    /// that of the latencies counted up to ten times the limit, as the pass test counts them.
    #[serde(default)]
    pub upper: Option<f64>,
}

/// One of the requests that tipped a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tipping {
    /// Its start number.
    pub seq: u64,
    /// When it started, in nanoseconds of the process's clock.
    pub started_ns: u64,
    /// How long it took, or had taken when it counted, in nanoseconds.
    pub latency_ns: u64,
    /// In which ways it failed.
    pub errors: ErrorKinds,
}

/// The evidence of one gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The gate as shown to people.
    pub gate: String,
    /// Where the gate comes from.
    pub origin: Origin,
    /// What the evidence says.
    pub verdict: Verdict,
    /// By which rule.
    #[serde(default = "unrecorded")]
    pub rule: Rule,
    /// The canary's requests looked at.
    pub requests: u64,
    /// How many of them violated the criterion; 0 for a mean.
    pub breaches: u64,
    /// How many of the breaches were still unanswered when they counted.
    pub unanswered: u64,
    /// The stable version's requests of the same time; 0 where they were not looked at.
    #[serde(default)]
    pub stable_requests: u64,
    /// How many of them violated the criterion.
    #[serde(default)]
    pub stable_breaches: u64,
    /// The natural logarithm of the e-value; `None` where arithmetic other than a test decided.
    pub log_e: Option<f64>,
    /// The logarithm at which the test decides.
    pub log_threshold: Option<f64>,
    /// The part of α (or β, for a pass) that this test may use.
    #[serde(default)]
    pub alpha: Option<f64>,
    /// What was estimated.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    /// What the estimate is measured in.
    #[serde(default)]
    pub unit: Unit,
    /// The requests that tipped it, at most ten, the newest last.
    #[serde(default)]
    pub tipped_by: Vec<Tipping>,
    /// The generation of the epoch of the newest of them.
    #[serde(default)]
    pub generation: Option<u64>,
    /// What the e-value is computed from.
    #[serde(default)]
    pub basis: Option<Basis>,
    /// One plain sentence.
    pub sentence: String,
}

/// Why recorded evidence does not hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// It cannot be computed again.
    #[error(transparent)]
    Unverifiable(#[from] Unverifiable),
    /// The recorded value is another than the computed one.
    #[error("the evidence is recorded as ln E = {recorded}, but its basis gives {computed}")]
    Differs {
        /// What the journal says.
        recorded: f64,
        /// What the basis gives.
        computed: f64,
    },
    /// The counts that are shown are not those the value is computed from.
    #[error("the evidence shows {} breaches of {} requests, but rests on {} of {}", .shown.1, .shown.0, .counted.1, .counted.0)]
    Counts {
        /// Requests and breaches as shown.
        shown: (u64, u64),
        /// Requests and breaches of the basis.
        counted: (u64, u64),
    },
    /// The recorded threshold is not that of the recorded bound on false verdicts.
    #[error("the evidence is held against ln E = {threshold}, but its bound of {alpha} asks for {}", -.alpha.ln())]
    Threshold {
        /// What the evidence was held against.
        threshold: f64,
        /// The bound on false verdicts.
        alpha: f64,
    },
    /// The recorded value does not reach the recorded threshold.
    #[error("the evidence of ln E = {log_e} does not reach the threshold {threshold} at which the test decides")]
    Insufficient {
        /// The evidence.
        log_e: f64,
        /// What it should have reached.
        threshold: f64,
    },
}

const fn unrecorded() -> Rule {
    Rule::Unrecorded
}

impl Evidence {
    /// Begins the evidence of a gate: nothing looked at, nothing said.
    #[must_use]
    pub fn new(gate: &Gate, verdict: Verdict, rule: Rule) -> Self {
        Self {
            gate: gate.name(),
            origin: gate.origin.clone(),
            verdict,
            rule,
            requests: 0,
            breaches: 0,
            unanswered: 0,
            stable_requests: 0,
            stable_breaches: 0,
            log_e: None,
            log_threshold: None,
            alpha: None,
            estimate: None,
            unit: gate.criterion.unit(),
            tipped_by: Vec::new(),
            generation: None,
            basis: None,
            sentence: String::new(),
        }
    }

    /// Notes the evidence reached, the bound on false alarms of the test, and what the evidence is computed from.
    #[must_use]
    pub fn reaching(self, log_e: f64, alpha: f64, basis: Basis) -> Self {
        Self { log_e: Some(log_e), log_threshold: Some(-alpha.ln()), alpha: Some(alpha), basis: Some(basis), ..self }
    }

    /// Computes ln E again from the basis.
    ///
    /// # Errors
    ///
    /// Fails where nothing was recorded to compute it from, or what was recorded is impossible.
    pub fn recompute(&self) -> Result<f64, Unverifiable> {
        self.basis.as_ref().ok_or(Unverifiable::NoBasis)?.log_e()
    }

    /// Checks that the basis gives the recorded evidence, within [`TOLERANCE`], that the counts shown are those of the basis, and
    /// that the evidence reached the threshold its bound asks for, where it decided anything.
    ///
    /// # Errors
    ///
    /// Says what does not hold.
    pub fn verify(&self) -> Result<(), Mismatch> {
        let computed = self.recompute()?;
        let recorded = self.log_e.ok_or(Unverifiable::NoBasis)?;
        let close = (computed - recorded).abs() <= TOLERANCE * recorded.abs().max(1.0);
        if !close {
            return Err(Mismatch::Differs { recorded, computed });
        }
        let shown = (self.requests, self.breaches);
        if let Some(counted) = self.basis.as_ref().and_then(Basis::counts).filter(|counted| *counted != shown) {
            return Err(Mismatch::Counts { shown, counted });
        }
        if let (Some(threshold), Some(alpha)) = (self.log_threshold, self.alpha)
            && (threshold + alpha.ln()).abs() > TOLERANCE * threshold.abs().max(1.0)
        {
            return Err(Mismatch::Threshold { threshold, alpha });
        }
        match self.log_threshold {
            Some(threshold) if self.verdict != Verdict::Inconclusive && recorded < threshold => {
                Err(Mismatch::Insufficient { log_e: recorded, threshold })
            }
            _ => Ok(()),
        }
    }

    /// Explains a tripped exceedance gate: the `breaches`-th breach was request number `requests`.
    #[must_use]
    pub fn of_trip(gate: &Gate, canary: &Name, alpha: f64, requests: u64, breaches: u64, unanswered: u64) -> Self {
        let p0 = match gate.criterion {
            Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => share.ratio(),
            _ => 1.0 - f64::EPSILON,
        };
        let log_e = exceedance::log_e_breach(requests, breaches, p0);
        let basis = Basis::Exceedance { p0, requests, breaches };
        let what = breached(gate, breaches, unanswered);
        let sentence =
            format!("rolled back after {breaches} of {requests} requests {what}{}; {}", derived(gate), had_it_met_the_gate(canary, log_e));
        let rule = Rule::Tripwire { test: Test::Cumulative };
        Self { requests, breaches, unanswered, sentence, ..Self::new(gate, Verdict::Fail, rule) }.reaching(log_e, alpha, basis)
    }

    /// Says what happened where the trip was only a brake.
    #[must_use]
    pub fn braked(&self) -> String {
        self.sentence.replacen("rolled back", "braked", 1)
    }

    /// Explains a mean gate that was breached on the tick.
    #[must_use]
    pub fn of_mean_breach(gate: &Gate, canary: &Name, alpha: f64, requests: u64, mean: std::time::Duration, log_e: f64) -> Self {
        let sentence = format!(
            "rolled back after {requests} requests took {} on average ({}); {}",
            time::human(mean),
            gate.criterion,
            had_it_met_the_gate(canary, log_e)
        );
        let estimate = Some(Estimate { value: time::nanos(mean) as f64, lower: None, upper: None });
        let (log_e, log_threshold, alpha) = (Some(log_e), Some(-alpha.ln()), Some(alpha));
        Self { requests, sentence, estimate, log_e, log_threshold, alpha, ..Self::new(gate, Verdict::Fail, Rule::Mean) }
    }
}

/// Says in what way the requests violated the criterion: `exceeded 1 s`, `were still unanswered after 1 s`, `failed`.
#[must_use]
pub fn breached(gate: &Gate, breaches: u64, unanswered: u64) -> String {
    match gate.criterion {
        Criterion::Latency { limit, .. } if breaches > 0 && unanswered >= breaches => {
            format!("were still unanswered after {}", time::human(limit))
        }
        Criterion::Latency { limit, .. } if unanswered > 0 => {
            format!("exceeded {} ({unanswered} of them still unanswered then)", time::human(limit))
        }
        Criterion::Latency { limit, .. } => format!("exceeded {}", time::human(limit)),
        Criterion::RelativeLatency { ratio, .. } => format!("exceeded {ratio} times the stable version's quantile"),
        Criterion::Apdex { satisfied, .. } => format!("took longer than {} or failed", time::human(satisfied)),
        Criterion::Mean { limit, .. } => format!("took longer than {}", time::human(limit)),
        Criterion::Errors { .. } | Criterion::RelativeErrors { .. } => "failed".to_owned(),
    }
}

/// Says which file's limit a derived gate comes from; nothing for others.
#[must_use]
pub fn derived(gate: &Gate) -> String {
    match &gate.origin {
        Origin::Derived { indicator } => format!(" (gate derived from the severe limit of {indicator})"),
        _ => String::new(),
    }
}

/// Says how rare evidence this strong would be, which holds although it was looked at after every request.
#[must_use]
pub fn had_it_met_the_gate(canary: &Name, log_e: f64) -> String {
    format!("had {canary} met the gate, the chance of ever seeing evidence this strong would be below 1 in {}", odds(log_e))
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
#[path = "evidence_tests.rs"]
mod tests;
