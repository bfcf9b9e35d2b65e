//! What the webhook counts, in the text format of Prometheus. Every label has a closed set of values.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus::{Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use tokio::time::Instant;

use crate::kube::review::Outcome;
use crate::proxy::certificates::Expiry;

/// The bounds of the time an answer takes, in seconds.
const BUCKETS: [f64; 9] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2.0];

/// The series that is left out where nobody knows when the certificate expires.
const EXPIRES: &str = "portcullis_webhook_certificate_expiry_timestamp_seconds";
/// How long after one connection that did not come through TLS was logged others are only counted.
const SILENCE: Duration = Duration::from_secs(60);

/// When a connection that did not come through TLS was last logged, and how many were not since. Written by whoever counts one.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    silent: u64,
}

/// The counters.
#[derive(Debug)]
pub struct Figures {
    registry: Registry,
    reviews: IntCounterVec,
    refused: IntCounterVec,
    seconds: Histogram,
    missed: IntCounter,
    told: Mutex<Told>,
    expires: IntGauge,
    expiry: Expiry,
}

impl Figures {
    /// Makes them, all 0.
    ///
    /// # Errors
    ///
    /// Fails when a name is none for Prometheus, which a test would see.
    pub fn new(expiry: Expiry) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reviews =
            IntCounterVec::new(Opts::new("portcullis_webhook_reviews_total", "Reviews answered, by what was decided."), &["outcome"])?;
        let refused =
            IntCounterVec::new(Opts::new("portcullis_webhook_refused_total", "Requests that were no review, by status."), &["code"])?;
        let help = "Time from the last byte of a review to its answer.";
        let seconds = Histogram::with_opts(HistogramOpts::new("portcullis_webhook_review_seconds", help).buckets(BUCKETS.to_vec()))?;
        let missed =
            IntCounter::new("portcullis_webhook_handshakes_failed_total", "Connections that ended before TLS began, whatever the reason.")?;
        let expires = IntGauge::new(EXPIRES, "When the certificate in use expires, since 1970.")?;
        registry.register(Box::new(reviews.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(missed.clone()))?;
        registry.register(Box::new(expires.clone()))?;
        for outcome in Outcome::ALL {
            reviews.with_label_values(&[outcome.word()]).reset();
        }
        Ok(Self { registry, reviews, refused, seconds, missed, told: Mutex::default(), expires, expiry })
    }

    /// Counts an answer.
    pub fn reviewed(&self, outcome: Outcome, took: Duration) {
        self.reviews.with_label_values(&[outcome.word()]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that was no review.
    pub fn refused(&self, status: StatusCode) {
        self.refused.with_label_values(&[status.as_str()]).inc();
    }

    /// Counts a connection that did not come through TLS. Returns how many were not logged before it where it is time to log one.
    pub fn missed(&self) -> Option<u64> {
        self.missed.inc();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < SILENCE) {
            told.silent += 1;
            return None;
        }
        let before = std::mem::replace(&mut *told, Told { last: Some(Instant::now()), silent: 0 });
        Some(before.silent)
    }

    /// Writes them.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        // One that never expires, or whose end cannot be read, has no such time.
        let expires = i64::try_from(self.expiry.load(Ordering::Relaxed)).ok();
        self.expires.set(expires.unwrap_or_default());
        let mut families = self.registry.gather();
        families.retain(|family| expires.is_some() || family.name() != EXPIRES);
        let mut text = Vec::new();
        // It writes into memory, and the families are its own.
        let _ = TextEncoder::new().encode(&families, &mut text);
        text
    }
}
