//! What became of the requests, counted live and readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use http::StatusCode;

/// Why a request got no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection was closed or reset, or its bytes were not HTTP, before the answer was complete.
    Broken,
    /// The answer was not complete in time.
    Timeout,
}

impl Failure {
    const COUNT: usize = 3;
}

/// Live counts of a run.
///
/// The users of the run write, anybody reads. Outcomes are written with Release after `sent`, and read with
/// Acquire before it, so that a reader never sees more outcomes than requests.
#[derive(Debug)]
pub struct Counters {
    sent: AtomicU64,
    /// By the first digit of the status, 1 to 5.
    answered: [AtomicU64; 5],
    bad: AtomicU64,
    failed: [AtomicU64; Failure::COUNT],
    abandoned: AtomicU64,
    /// Guards the latencies of answers in microseconds; the users record, readers summarise.
    latency: Mutex<Histogram<u64>>,
}

/// The largest latency told apart, in microseconds: one hour.
const HOUR: u64 = 3_600_000_000;

impl Default for Counters {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are constant and valid");
        Self {
            sent: AtomicU64::new(0),
            answered: Default::default(),
            bad: AtomicU64::new(0),
            failed: Default::default(),
            abandoned: AtomicU64::new(0),
            latency: Mutex::new(latency),
        }
    }
}

impl Counters {
    /// Counts a request as sent. The ticket counts how it ends; dropped before, it counts as abandoned.
    pub(super) fn begin(&self) -> Ticket<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ticket { counters: self, open: true }
    }

    /// Returns the counts at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let bad = read(&self.bad);
        let answered = self.answered.each_ref().map(read);
        let failed = self.failed.each_ref().map(read);
        let abandoned = read(&self.abandoned);
        Snapshot { sent: read(&self.sent), answered, bad, failed, abandoned }
    }

    /// Summarises the latencies of the answers so far; `None` before the first answer.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        let histogram = self.histogram();
        let quantile = |q| Duration::from_micros(histogram.value_at_quantile(q));
        (!histogram.is_empty()).then(|| Latency {
            count: histogram.len(),
            mean: Duration::from_secs_f64(histogram.mean() / 1e6),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: Duration::from_micros(histogram.max()),
        })
    }

    /// Returns how many answers took longer than `limit`, to the histogram's precision of 0.1 %.
    #[must_use]
    pub fn slower_than(&self, limit: Duration) -> u64 {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let histogram = self.histogram();
        histogram.len() - histogram.count_between(0, limit.min(HOUR))
    }

    fn histogram(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request between its sending and its end.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    counters: &'a Counters,
    open: bool,
}

impl Ticket<'_> {
    /// Counts a complete answer, a bad one when it was not `good`.
    pub(super) fn answered(mut self, status: StatusCode, latency: Duration, good: bool) {
        self.open = false;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counters.histogram().saturating_record(micros);
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(4);
        if let Some(counter) = self.counters.answered.get(class) {
            counter.fetch_add(1, Ordering::Release);
        }
        if !good {
            self.counters.bad.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts a request that got no complete answer.
    pub(super) fn failed(mut self, failure: Failure) {
        self.open = false;
        if let Some(counter) = self.counters.failed.get(failure as usize) {
            counter.fetch_add(1, Ordering::Release);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.open {
            self.counters.abandoned.fetch_add(1, Ordering::Release);
        }
    }
}

/// The counts of a run at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests that were sent, those included whose connection could not be made.
    pub sent: u64,
    /// Complete answers by the first digit of their status, 1xx to 5xx.
    pub answered: [u64; 5],
    /// Those of the answers that the plan does not accept.
    pub bad: u64,
    failed: [u64; Failure::COUNT],
    /// Requests that were cut by the stop of the run.
    pub abandoned: u64,
}

impl Snapshot {
    /// Returns the number of complete answers.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.iter().sum()
    }

    /// Returns the number of requests without a complete answer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Returns how many requests failed for this reason.
    #[must_use]
    pub fn failed_by(&self, failure: Failure) -> u64 {
        self.failed.get(failure as usize).copied().unwrap_or(0)
    }

    /// Returns the requests that have not ended yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.answered() + self.failed() + self.abandoned)
    }

    /// Returns the requests a judge counts: those that ended on their own.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.answered() + self.failed()
    }

    /// Returns the requests that went wrong: bad answers and none.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.bad + self.failed()
    }
}

/// The latencies of the answers of a run, to three significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// How many answers.
    pub count: u64,
    /// The mean.
    pub mean: Duration,
    /// The median.
    pub p50: Duration,
    /// The 95th percentile.
    pub p95: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The largest, at most one hour.
    pub max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_ends_once() {
        let counters = Counters::default();
        counters.begin().answered(StatusCode::OK, Duration::from_millis(5), true);
        counters.begin().answered(StatusCode::BAD_GATEWAY, Duration::from_millis(7), false);
        counters.begin().failed(Failure::Timeout);
        drop(counters.begin());
        let open = counters.begin();
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.sent, snapshot.answered, snapshot.bad), (5, [0, 1, 0, 0, 1], 1));
        assert_eq!((snapshot.failed(), snapshot.failed_by(Failure::Timeout), snapshot.abandoned, snapshot.in_flight()), (1, 1, 1, 1));
        assert_eq!((snapshot.runs(), snapshot.errors()), (3, 2));
        drop(open);
        assert_eq!(counters.snapshot().in_flight(), 0);
    }

    #[test]
    fn latencies_are_summarised_and_saturate_at_an_hour() {
        let counters = Counters::default();
        assert_eq!(counters.latency(), None);
        for ms in 1..=100 {
            counters.begin().answered(StatusCode::OK, Duration::from_millis(ms), true);
        }
        let latency = counters.latency().unwrap();
        assert_eq!((latency.count, latency.p50.as_millis(), latency.p95.as_millis()), (100, 50, 95));
        assert_eq!((latency.mean.as_micros() / 100, counters.slower_than(Duration::from_millis(90))), (505, 10));
        counters.begin().answered(StatusCode::OK, Duration::from_secs(90_000), true);
        assert_eq!((counters.latency().unwrap().max.as_secs() / 10, counters.slower_than(Duration::from_millis(90))), (360, 11));
    }
}
