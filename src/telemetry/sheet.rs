//! The families of one exposition while they are filled in, never more than a fixed number of series.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::telemetry::metrics::{self, Definition};

/// The upper bounds of every latency histogram in seconds: those of OpenTelemetry's `http.server.request.duration`.
pub const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The series of one histogram: a bucket per bound, the infinite one, the sum and the count.
pub const HISTOGRAM_SERIES: usize = BOUNDS.len() + 3;

/// The latencies of one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
    /// How many were at most each of [`BOUNDS`].
    pub buckets: [u64; BOUNDS.len()],
}

/// The families of one exposition.
pub struct Sheet {
    families: BTreeMap<&'static str, MetricFamily>,
    room: usize,
    omitted: usize,
}

impl Sheet {
    /// Makes an empty sheet for at most `room` series, besides the one that counts what was left out.
    pub const fn new(room: usize) -> Self {
        Self { families: BTreeMap::new(), room, omitted: 0 }
    }

    /// Reserves room for series that belong together; false, and they count as left out, when there is not enough.
    pub const fn reserve(&mut self, series: usize) -> bool {
        if self.room < series {
            self.omitted += series;
            return false;
        }
        self.room -= series;
        true
    }

    /// The same where what finds no room is shown in another way, and does not count as left out.
    pub const fn reserve_quietly(&mut self, series: usize) -> bool {
        self.room >= series && self.reserve(series)
    }

    /// Adds a value for which room was reserved.
    pub fn value(&mut self, definition: &'static Definition, labels: &[&str], value: f64) {
        let mut metric = labelled(definition, labels);
        if definition.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.add(definition, metric);
    }

    /// Adds a histogram for which room was reserved.
    pub fn histogram(&mut self, definition: &'static Definition, labels: &[&str], latency: &Latency) {
        self.buckets(definition, labels, (latency.count, latency.sum), BOUNDS.into_iter().zip(latency.buckets));
    }

    /// Adds a histogram of any buckets for which room was reserved; `all` are the count and the sum.
    pub fn buckets(
        &mut self,
        definition: &'static Definition,
        labels: &[&str],
        all: (u64, f64),
        buckets: impl Iterator<Item = (f64, u64)>,
    ) {
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_sample_count(all.0);
        histogram.set_sample_sum(all.1);
        histogram.set_bucket(buckets.map(bucket).collect());
        let mut metric = labelled(definition, labels);
        metric.set_histogram(histogram);
        self.add(definition, metric);
    }

    /// Returns the families, and among them how many series were left out.
    pub fn finish(mut self) -> Vec<MetricFamily> {
        let omitted = self.omitted as f64;
        self.value(&metrics::OMITTED, &[], omitted);
        self.families.into_values().collect()
    }

    fn add(&mut self, definition: &'static Definition, metric: Metric) {
        let family = self.families.entry(definition.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(definition.name.to_owned());
            family.set_help(definition.help.to_owned());
            family.set_field_type(definition.kind);
            family
        });
        family.mut_metric().push(metric);
    }
}

fn labelled(definition: &Definition, values: &[&str]) -> Metric {
    debug_assert_eq!(definition.labels.len(), values.len(), "{}", definition.name);
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(definition.labels.iter().zip(values).map(pair).collect())
}
