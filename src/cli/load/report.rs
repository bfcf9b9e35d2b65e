//! What became of the requests, for files and for the table.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::load::{Counters, Failure, Latency, Snapshot};

/// Everything that is told of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// What was asked for.
    pub(super) url: String,
    /// The plan that was run, if one was.
    pub(super) plan: Option<String>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub(super) protocol: &'static str,
    /// How many users there were.
    pub(super) users: usize,
    /// When it began (RFC 3339).
    pub(super) begun: String,
    /// How long it took, to the last answer, in seconds.
    pub(super) elapsed_s: f64,
    /// Whether it was ended by an interrupt.
    pub(super) interrupted: bool,
    /// What became of the requests.
    pub(super) requests: Requests,
    /// Answers per second.
    pub(super) answers_per_s: f64,
    /// The rate that was asked for.
    pub(super) intended_per_s: Option<f64>,
    /// Answers by the class of their status.
    pub(super) status: BTreeMap<&'static str, u64>,
    /// Requests without a complete answer, by the reason.
    pub(super) failures: BTreeMap<&'static str, Failures>,
    /// From when latency counts: `sending`, or `intended_start` at a constant rate.
    pub(super) latency_from: &'static str,
    /// The latencies of all answers; `None` when there was none.
    pub(super) latency_ms: Option<LatencyMs>,
    /// The share of the requests that ended which went wrong; `None` when none ended.
    pub(super) error_share: Option<f64>,
    /// The share that may go wrong.
    pub(super) accepted_error_share: f64,
    /// What is thought of it.
    pub(super) verdict: Verdict,
}

/// Counts of requests: `sent = answered + failed + abandoned`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Requests {
    /// How many were to be sent, where that was known.
    pub(super) planned: Option<u64>,
    /// How many were sent.
    pub(super) sent: u64,
    /// How many got a complete answer.
    pub(super) answered: u64,
    /// Those of the answers that were not good.
    pub(super) bad: u64,
    /// How many got no complete answer.
    pub(super) failed: u64,
    /// How many were cut at the end.
    pub(super) abandoned: u64,
    /// Redirects that were followed.
    pub(super) redirects: u64,
}

/// Failures for one reason.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failures {
    /// How many.
    pub(super) count: u64,
    /// The words for the first one.
    pub(super) first: String,
}

/// Latencies in milliseconds, to three significant digits.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LatencyMs {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

impl From<Latency> for LatencyMs {
    fn from(latency: Latency) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let Latency { mean, p50, p90, p95, p99, p999, max, .. } = latency;
        Self { mean: ms(mean), p50: ms(p50), p90: ms(p90), p95: ms(p95), p99: ms(p99), p99_9: ms(p999), max: ms(max) }
    }
}

/// What is thought of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// No more went wrong than is accepted.
    Pass,
    /// More went wrong.
    Fail,
    /// No request ended, so that there is nothing to judge.
    Inconclusive,
}

/// What was asked of a run.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) plan: Option<String>,
    pub(super) protocol: &'static str,
    pub(super) users: usize,
    pub(super) planned: Option<u64>,
    pub(super) intended_per_s: Option<f64>,
    pub(super) accepted_error_share: f64,
}

impl Report {
    /// Sums a run up that has ended.
    pub(super) fn new(asked: Asked, begun: SystemTime, elapsed: Duration, interrupted: bool, end: Snapshot, counters: &Counters) -> Self {
        let Asked { url, plan, protocol, users, planned, intended_per_s, accepted_error_share } = asked;
        let names = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let first: BTreeMap<&str, String> = counters.first_failures().into_iter().map(|(kind, why)| (kind.as_str(), why)).collect();
        let failures = |failure: &Failure| Failures {
            count: end.failed_by(*failure),
            first: first.get(failure.as_str()).cloned().unwrap_or_default(),
        };
        let (answered, failed) = (end.answered(), end.failed());
        let error_share = (end.runs() > 0).then(|| as_f64(end.errors()) / as_f64(end.runs()));
        let verdict = match error_share {
            None => Verdict::Inconclusive,
            Some(_) if as_f64(end.errors()) > accepted_error_share * as_f64(end.runs()) => Verdict::Fail,
            Some(_) => Verdict::Pass,
        };
        let begun = jiff::Timestamp::try_from(begun).map_or_else(|_| String::new(), |at| format!("{at:.3}"));
        Self {
            url,
            plan,
            protocol,
            users,
            begun,
            elapsed_s: elapsed.as_secs_f64(),
            interrupted,
            requests: Requests {
                planned,
                sent: end.sent,
                answered,
                bad: end.bad,
                failed,
                abandoned: end.abandoned,
                redirects: end.redirects,
            },
            answers_per_s: as_f64(answered) / elapsed.as_secs_f64().max(1e-9),
            intended_per_s,
            status: names.into_iter().zip(end.answered).filter(|(_, count)| *count > 0).collect(),
            failures: Failure::ALL.iter().map(|kind| (kind.as_str(), failures(kind))).filter(|(_, of)| of.count > 0).collect(),
            latency_from: if intended_per_s.is_some() { "intended_start" } else { "sending" },
            latency_ms: counters.latency().map(LatencyMs::from),
            error_share,
            accepted_error_share,
            verdict,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 requests are more than anybody sends")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
