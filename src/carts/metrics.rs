//! The metrics of one carts process, with the names and buckets of the original.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder, exponential_buckets,
};
use tokio::time::Instant;

/// The default buckets of the original's Prometheus client, in seconds.
const JAVA_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const LABELS: [&str; 3] = ["method", "handler", "status"];

/// The metrics and the registry that holds them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounter,
    latency: Histogram,
    http_requests: IntCounterVec,
    http_time: HistogramVec,
}

impl Metrics {
    /// Makes the metrics in a registry of their own.
    pub fn new() -> Self {
        Self::registered().expect("the names are constant, valid and registered once in a new registry")
    }

    fn registered() -> prometheus::Result<Self> {
        let latency = HistogramOpts::new("requests_latency_seconds", "Request latency in seconds.").buckets(JAVA_BUCKETS.to_vec());
        let http_time = HistogramOpts::new("http_response_time_milliseconds", "Request completed time in milliseconds")
            .buckets(exponential_buckets(1.0, 1.5, 20)?);
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounter::new("requests_total", "Total number of requests.")?,
            latency: Histogram::with_opts(latency)?,
            http_requests: IntCounterVec::new(Opts::new("http_requests_total", "Http Request Total"), &LABELS)?,
            http_time: HistogramVec::new(http_time, &LABELS)?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.latency.clone()))?;
        metrics.registry.register(Box::new(metrics.http_requests.clone()))?;
        metrics.registry.register(Box::new(metrics.http_time.clone()))?;
        Ok(metrics)
    }

    /// Counts a POST of an item; its latency is taken when the guard is dropped, be it answered or given up.
    pub fn posting(&self) -> Posting<'_> {
        self.requests.inc();
        Posting { latency: &self.latency, started: Instant::now() }
    }

    /// Counts an answered request. `handler` is `Class.method` of the original.
    pub fn answered(&self, method: &str, handler: &str, status: u16, started: Instant) {
        let status = status.to_string();
        let labels = [method, handler, status.as_str()];
        self.http_requests.with_label_values(&labels).inc();
        self.http_time.with_label_values(&labels).observe(started.elapsed().as_secs_f64() * 1e3);
    }

    /// Writes the Prometheus text format, version 0.0.4.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Returns the media type of [`Metrics::text`].
    pub fn media_type() -> String {
        TextEncoder::new().format_type().to_owned()
    }
}

/// A POST of an item in progress.
#[derive(Debug)]
pub struct Posting<'a> {
    latency: &'a Histogram,
    started: Instant,
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.latency.observe(self.started.elapsed().as_secs_f64());
    }
}
