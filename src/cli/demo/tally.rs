//! Counts what the load generator's own counters do not tell apart: answers over the limit, and those lost to a hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::outcome::Failure;
use crate::load::{Hook, ResponseHead};

/// From which latency on a client counts as harmed: the severe limit of the seed's gate file.
pub const HARMED_OVER: Duration = Duration::from_secs(1);

/// Live counts; the load generator writes, the story reads, and each count stands for itself.
#[derive(Debug, Default)]
pub struct Tally {
    slow: AtomicU64,
    errors: AtomicU64,
    timed_out: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Answers that took longer than [`HARMED_OVER`], of any status.
    pub slow: u64,
    /// Answers of 400 and above that came sooner.
    pub quick_errors: u64,
    /// Answers in which the proxy says that the version did not answer in time.
    pub timed_out: u64,
}

impl Tally {
    /// Returns what the load generator must call.
    pub fn hook(self: &Arc<Self>) -> Hook {
        let tally = Arc::clone(self);
        Arc::new(move |answer| tally.take(answer))
    }

    /// Returns the counts at this moment.
    pub fn read(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted { slow: read(&self.slow), quick_errors: read(&self.errors), timed_out: read(&self.timed_out) }
    }

    fn take(&self, answer: &ResponseHead) {
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        if answer.finished.duration_since(answer.started) > HARMED_OVER {
            add(&self.slow);
        } else if answer.status.as_u16() >= 400 {
            add(&self.errors);
        }
        let token = Failure::ResponseTimeout.proxy_status();
        let says_so = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.ends_with(&format!("error={token}")));
        if answer.status == http::StatusCode::GATEWAY_TIMEOUT && answer.headers.get_all("proxy-status").iter().any(says_so) {
            add(&self.timed_out);
        }
    }
}

impl Counted {
    /// Returns what was added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            slow: self.slow.saturating_sub(earlier.slow),
            quick_errors: self.quick_errors.saturating_sub(earlier.quick_errors),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(status: u16, took: Duration, proxy_status: Option<&'static str>) -> ResponseHead {
        let mut headers = HeaderMap::new();
        if let Some(value) = proxy_status {
            headers.insert("proxy-status", HeaderValue::from_static(value));
        }
        let started = Instant::now();
        let status = StatusCode::from_u16(status).unwrap();
        ResponseHead { user: 0, status, headers, intended: started, started, finished: started + took }
    }

    #[test]
    fn exactly_the_limit_is_not_slow_and_only_the_proxys_word_makes_a_time_out() {
        let tally = Arc::new(Tally::default());
        let hook = tally.hook();
        let before = tally.read();
        hook(&answer(201, HARMED_OVER, None));
        hook(&answer(201, HARMED_OVER + Duration::from_nanos(1), None));
        hook(&answer(502, Duration::ZERO, Some("portcullis-1; error=connection_refused")));
        hook(&answer(504, Duration::from_secs(5), Some("portcullis-1; error=connection_read_timeout")));
        hook(&answer(504, Duration::from_secs(5), None));
        assert_eq!(tally.read().since(before), Counted { slow: 3, quick_errors: 1, timed_out: 1 });
    }
}
