//! What became of the requests, counted live and readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use http::StatusCode;

use crate::domain::time::nanos;

/// Why a request got no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// No TLS could be agreed on, or the server's certificate is not trusted.
    Tls,
    /// The connection was closed or reset, or its bytes were not HTTP, before the answer was complete.
    Broken,
    /// The answer was not complete in time.
    Timeout,
    /// A redirect was one too many, or leads nowhere.
    Redirect,
}

impl Failure {
    const COUNT: usize = 5;

    /// All of them, in the order in which they are told.
    pub const ALL: [Self; Self::COUNT] = [Self::Connect, Self::Tls, Self::Broken, Self::Timeout, Self::Redirect];

    /// Returns the word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::Redirect => "redirect",
        }
    }
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
    redirects: AtomicU64,
    /// Guards the latencies of answers in nanoseconds; the users record, readers summarise.
    latency: Mutex<Histogram<u64>>,
    /// Guards the words for the first failure of each kind; users that fail write.
    firsts: Mutex<[Option<String>; Failure::COUNT]>,
}

/// The largest latency told apart, in nanoseconds: one hour.
const HOUR: u64 = 3_600_000_000_000;

impl Default for Counters {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are constant and valid");
        Self {
            sent: AtomicU64::new(0),
            answered: Default::default(),
            bad: AtomicU64::new(0),
            failed: Default::default(),
            abandoned: AtomicU64::new(0),
            redirects: AtomicU64::new(0),
            latency: Mutex::new(latency),
            firsts: Mutex::default(),
        }
    }
}

impl Counters {
    /// Counts a request as sent. The ticket counts how it ends; dropped before, it counts as abandoned.
    pub(super) fn begin(&self) -> Ticket<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ticket { counters: self, open: true }
    }

    /// Counts a redirect that is followed; it is part of its request.
    pub(super) fn redirected(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let bad = read(&self.bad);
        let answered = self.answered.each_ref().map(read);
        let failed = self.failed.each_ref().map(read);
        let abandoned = read(&self.abandoned);
        Snapshot { sent: read(&self.sent), answered, bad, failed, abandoned, redirects: read(&self.redirects) }
    }

    /// Summarises the latencies of the answers so far; `None` before the first answer.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        let histogram = self.histogram();
        let quantile = |q| Duration::from_nanos(histogram.value_at_quantile(q));
        (!histogram.is_empty()).then(|| Latency {
            count: histogram.len(),
            mean: Duration::from_secs_f64(histogram.mean() / 1e9),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Duration::from_nanos(histogram.max()),
        })
    }

    /// Returns how many answers took longer than `limit`, to the histogram's precision of 0.1 %.
    #[must_use]
    pub fn slower_than(&self, limit: Duration) -> u64 {
        let limit = nanos(limit);
        let histogram = self.histogram();
        histogram.len() - histogram.count_between(0, limit.min(HOUR))
    }

    /// Returns a copy of the latencies of the answers so far, in nanoseconds, to three significant digits.
    #[must_use]
    pub fn distribution(&self) -> Histogram<u64> {
        self.histogram().clone()
    }

    /// Returns the words for the first failure of each kind that occurred.
    #[must_use]
    pub fn first_failures(&self) -> Vec<(Failure, String)> {
        let firsts = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        Failure::ALL.into_iter().zip(firsts.iter()).filter_map(|(failure, why)| Some((failure, why.clone()?))).collect()
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
        self.counters.histogram().saturating_record(nanos(latency));
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(4);
        if let Some(counter) = self.counters.answered.get(class) {
            counter.fetch_add(1, Ordering::Release);
        }
        if !good {
            self.counters.bad.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts a request that got no complete answer, and keeps the words for it when it is the first of its kind.
    pub(super) fn failed(mut self, failure: Failure, why: String) {
        self.open = false;
        if let Some(first) = self.counters.firsts.lock().unwrap_or_else(PoisonError::into_inner).get_mut(failure as usize) {
            first.get_or_insert(why);
        }
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
    /// Redirects that were followed, each as part of its request.
    pub redirects: u64,
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
    /// The 90th percentile.
    pub p90: Duration,
    /// The 95th percentile.
    pub p95: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The 99.9th percentile.
    pub p999: Duration,
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
        counters.begin().failed(Failure::Timeout, "late".to_owned());
        counters.redirected();
        drop(counters.begin());
        let open = counters.begin();
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.sent, snapshot.answered, snapshot.bad), (5, [0, 1, 0, 0, 1], 1));
        assert_eq!((snapshot.failed(), snapshot.failed_by(Failure::Timeout), snapshot.abandoned, snapshot.in_flight()), (1, 1, 1, 1));
        assert_eq!((snapshot.runs(), snapshot.errors(), snapshot.redirects), (3, 2, 1));
        drop(open);
        assert_eq!(counters.snapshot().in_flight(), 0);
    }

    #[test]
    fn the_first_failure_of_each_kind_is_told_in_words() {
        let counters = Counters::default();
        for (failure, why) in [(Failure::Tls, "one"), (Failure::Connect, "two"), (Failure::Tls, "three")] {
            counters.begin().failed(failure, why.to_owned());
        }
        assert_eq!(counters.first_failures(), [(Failure::Connect, "two".to_owned()), (Failure::Tls, "one".to_owned())]);
        assert_eq!(counters.snapshot().failed_by(Failure::Tls), 2);
        assert!(Failure::ALL.iter().enumerate().all(|(at, failure)| *failure as usize == at));
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
        assert_eq!((latency.p90.as_millis(), latency.p99.as_millis(), latency.p999.as_millis()), (90, 99, 100));
        // The mean is that of the histogram's buckets.
        assert!((50_450..=50_550).contains(&latency.mean.as_micros()), "{latency:?}");
        assert_eq!(counters.slower_than(Duration::from_millis(90)), 10);
        counters.begin().answered(StatusCode::OK, Duration::from_secs(90_000), true);
        assert_eq!((counters.latency().unwrap().max.as_secs() / 10, counters.slower_than(Duration::from_millis(90))), (360, 11));
    }
}
