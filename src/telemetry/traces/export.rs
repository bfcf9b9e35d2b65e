//! Brings traces to a collector, in batches, on a thread of its own.
//!
//! No request waits for it. While the collector cannot be reached a batch is tried again for a while, the queue fills, and what does not
//! fit is dropped by who sends it; everything that is lost is counted. Redirections are not followed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use crate::seam::trace::{Finished, SpanCounts, TraceReceiver};
use crate::sources::mailbox::Mailbox;
use crate::telemetry::traces::encode::{self, Instance};

/// How patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a trace waits for others, so that they go together.
    pub gather: Duration,
    /// The most traces that go together.
    pub most: usize,
    /// How long one attempt to bring them may take.
    pub within: Duration,
    /// The pause after the first failed attempt; it doubles with each.
    pub first: Duration,
    /// The most attempts.
    pub attempts: u32,
}

impl Default for Pace {
    fn default() -> Self {
        let (gather, within, first) = (Duration::from_secs(1), Duration::from_secs(5), Duration::from_millis(500));
        Self { gather, most: 256, within, first, attempts: 5 }
    }
}

/// The longest pause that a collector may ask for.
const LONGEST: Duration = Duration::from_secs(30);

/// A running exporter. It ends by itself when every worker is gone.
#[derive(Debug)]
pub struct Exporter {
    counts: Arc<SpanCounts>,
    ended: Receiver<()>,
}

impl Exporter {
    /// Begins to bring traces to a collector.
    ///
    /// # Errors
    ///
    /// Fails when the thread or its runtime cannot be made.
    pub fn start(receiver: TraceReceiver, collector: Mailbox, instance: Instance, pace: Pace) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let counts = Arc::clone(&receiver.counts);
        let (end, ended) = channel();
        let mut courier = Courier { collector, instance, pace, counts: Arc::clone(&counts), losing: false };
        thread::Builder::new().name("traces".to_owned()).spawn(move || {
            while let Some(batch) = gather(&receiver.traces, pace) {
                courier.bring(&runtime, &batch);
            }
            // Nobody waits as a rule.
            let _ = end.send(());
        })?;
        Ok(Self { counts, ended })
    }

    /// Returns what becomes of the spans, for the exposition.
    #[must_use]
    pub fn counts(&self) -> Arc<SpanCounts> {
        Arc::clone(&self.counts)
    }

    /// Waits until every worker is gone and every trace was brought or given up, at most for `patience`; says whether it came to that.
    #[must_use]
    pub fn finish(self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience).is_ok()
    }
}

/// Waits for a trace and then for others that go with it; `None` when no more will come.
fn gather(traces: &Receiver<Box<Finished>>, pace: Pace) -> Option<Vec<Finished>> {
    let mut batch = vec![*traces.recv().ok()?];
    let until = Instant::now() + pace.gather;
    while batch.len() < pace.most {
        match traces.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(trace) => batch.push(*trace),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

struct Courier {
    collector: Mailbox,
    instance: Instance,
    pace: Pace,
    counts: Arc<SpanCounts>,
    /// Whether the last batch was lost, which is told once.
    losing: bool,
}

/// What became of one attempt.
enum Brought {
    /// The collector has taken them, but for so many.
    Taken(u64),
    /// It never will.
    Refused(String),
    /// It may take them later, not before the time it says.
    Later(String, Option<Duration>),
}

/// The part of an `ExportTraceServiceResponse` that matters. 64-bit numbers are texts in this encoding; some write numbers.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answered {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    rejected_spans: serde_json::Value,
}

impl Courier {
    /// Brings a batch, or counts it as lost.
    fn bring(&mut self, runtime: &Runtime, batch: &[Finished]) {
        let (body, spans) = encode::request(&self.instance, batch);
        let (lost, why) = match runtime.block_on(self.attempts(&body)) {
            Brought::Taken(rejected) => {
                let rejected = rejected.min(spans);
                add(&self.counts.sent, spans - rejected);
                add(&self.counts.refused, rejected);
                if rejected == 0 && std::mem::take(&mut self.losing) {
                    tracing::info!(collector = %self.collector, "traces are taken again");
                }
                (rejected, "it took some of them only".to_owned())
            }
            Brought::Refused(why) => {
                add(&self.counts.refused, spans);
                (spans, why)
            }
            Brought::Later(why, _) => {
                add(&self.counts.undelivered, spans);
                (spans, why)
            }
        };
        if lost > 0 && !std::mem::replace(&mut self.losing, true) {
            tracing::warn!(collector = %self.collector, "traces are lost and counted: {why}");
        }
    }

    /// Tries it until it is taken, refused for good, or has been tried often enough.
    async fn attempts(&self, body: &str) -> Brought {
        let mut pause = self.pace.first;
        for _ in 1..self.pace.attempts {
            match self.attempt(body).await {
                Brought::Later(why, wanted) => {
                    tracing::debug!(collector = %self.collector, "traces wait: {why}");
                    tokio::time::sleep(wanted.unwrap_or(pause).min(LONGEST)).await;
                    pause *= 2;
                }
                brought => return brought,
            }
        }
        self.attempt(body).await
    }

    async fn attempt(&self, body: &str) -> Brought {
        match self.collector.send("application/json", body.to_owned(), self.pace.within).await {
            Ok(answer) => judged(&answer),
            Err(why) => Brought::Later(why, None),
        }
    }
}

/// Says what an answer means (OTLP/HTTP, "Failures"): 429, 502, 503 and 504 are to be tried again, all else that is no success is not.
fn judged(answer: &Response<bytes::Bytes>) -> Brought {
    let status = answer.status();
    if status.is_success() {
        let partial = serde_json::from_slice::<Answered>(answer.body()).unwrap_or_default().partial_success.rejected_spans;
        let rejected = partial.as_u64().or_else(|| partial.as_str().and_then(|text| text.parse().ok()));
        return Brought::Taken(rejected.unwrap_or(0));
    }
    let why = format!("it answered with {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let wanted = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Brought::Later(why, wanted.map(Duration::from_secs))
        }
        _ => Brought::Refused(why),
    }
}

fn add(counter: &AtomicU64, spans: u64) {
    counter.fetch_add(spans, Ordering::Relaxed);
}
