//! The last seconds of one version: latencies, errors, and their percentiles with confidence bounds.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::domain::distribution::Distribution;

/// The percentiles that are shown over time.
const SHOWN: [f64; 3] = [0.5, 0.95, 0.99];
/// The normal quantile of a two-sided confidence of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// The percentiles of a spectrum: even steps of 1 − q on a logarithmic axis.
const SPECTRUM: [f64; 19] =
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999];

/// A percentile: its lower bound, itself, its upper bound, in microseconds.
///
/// The bounds are order statistics: the ranks n·q ± 1.96·√(n·q·(1−q)) of the n latencies, which hold the true percentile in 95 % of
/// the cases whatever the distribution, by the normal approximation of the binomial distribution. They hold for this one moment, and
/// are for people; a gate's bounds hold at all times together.
pub type Bounded = [u64; 3];

/// How a version answered over the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that ended, without those whose client left.
    pub requests: u64,
    /// How many of them were answered with 500 to 599 or not in full.
    pub errors: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// The median response time; absent without any.
    pub p50_us: Option<Bounded>,
    /// The 95th percentile.
    pub p95_us: Option<Bounded>,
    /// The 99th percentile.
    pub p99_us: Option<Bounded>,
}

/// All latencies of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// How many there are.
    pub requests: u64,
    /// Percentiles as far as there are requests to tell them: q and the latency in microseconds.
    pub points: Vec<(f64, u64)>,
}

impl Spectrum {
    /// Reads the percentiles of a distribution. A percentile beyond the last request would only repeat the maximum.
    #[must_use]
    pub fn of(latencies: &Distribution) -> Self {
        let requests = latencies.len();
        let told = |q: &&f64| requests as f64 * (1.0 - **q) >= 1.0;
        let mut points: Vec<_> = SPECTRUM.iter().filter(told).map(|q| (*q, latencies.value_at_quantile(*q))).collect();
        if requests > 0 {
            points.push((1.0 - 1.0 / (requests as f64 + 1.0), latencies.max()));
        }
        Self { requests, points }
    }
}

/// What was added in one second.
#[derive(Debug, Default)]
struct Second {
    cells: Vec<(u64, u64)>,
    ended: u64,
    errors: u64,
}

/// The last seconds of one version.
#[derive(Debug, Default)]
pub struct Stretch {
    seconds: VecDeque<Second>,
    /// The latencies of all of them: microseconds and how many.
    cells: BTreeMap<u64, u64>,
    in_flight: u64,
}

impl Stretch {
    /// How many seconds it holds.
    pub const SECONDS: usize = 10;

    /// Adds a second, and forgets the oldest when there are too many.
    pub fn push(&mut self, cells: Vec<(u64, u64)>, ended: u64, errors: u64, in_flight: u64) {
        for (value, count) in &cells {
            *self.cells.entry(*value).or_default() += count;
        }
        self.in_flight = in_flight;
        self.seconds.push_back(Second { cells, ended, errors });
        if self.seconds.len() > Self::SECONDS
            && let Some(old) = self.seconds.pop_front()
        {
            for (value, count) in old.cells {
                if let Some(left) = self.cells.get_mut(&value) {
                    *left = left.saturating_sub(count);
                }
            }
            self.cells.retain(|_, left| *left > 0);
        }
    }

    /// Returns the figures; `None` where nothing ended and nothing is in flight.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        let sum = |count: fn(&Second) -> u64| self.seconds.iter().map(count).sum::<u64>();
        let (requests, errors) = (sum(|second| second.ended), sum(|second| second.errors));
        if requests == 0 && self.in_flight == 0 {
            return None;
        }
        let [p50_us, p95_us, p99_us] = SHOWN.map(|q| self.bounded(q));
        Some(Figures { requests, errors, in_flight: self.in_flight, p50_us, p95_us, p99_us })
    }

    fn bounded(&self, q: f64) -> Option<Bounded> {
        let count = self.cells.values().sum::<u64>();
        let (mean, spread) = (count as f64 * q, Z * (count as f64 * q * (1.0 - q)).sqrt());
        let ranks = [(mean - spread).floor(), mean.ceil(), (mean + spread).ceil() + 1.0];
        let mut values = ranks.map(|rank| self.at_rank((rank as u64).clamp(1, count.max(1)))).into_iter();
        Some([values.next()??, values.next()??, values.next()??])
    }

    fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut within = 0;
        self.cells
            .iter()
            .find(|(_, count)| {
                within += **count;
                within >= rank
            })
            .map(|(value, _)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(values: std::ops::RangeInclusive<u64>) -> Vec<(u64, u64)> {
        values.map(|value| (value, 1)).collect()
    }

    #[test]
    fn percentiles_are_those_of_the_last_ten_seconds_alone() {
        let mut stretch = Stretch::default();
        assert_eq!(stretch.figures(), None);
        stretch.push(vec![(9_000_000, 50)], 50, 50, 3);
        for _ in 0..Stretch::SECONDS {
            stretch.push(second(1..=1_000), 1_000, 1, 0);
        }
        let figures = stretch.figures().unwrap();
        assert_eq!((figures.requests, figures.errors, figures.in_flight), (10_000, 10, 0));
        let [lower, median, upper] = figures.p50_us.unwrap();
        assert_eq!((lower, median, upper), (491, 500, 510), "the ranks 4 901, 5 000 and 5 099 of ten of each");
        assert_eq!(figures.p95_us.unwrap()[1], 950);
        for _ in 0..Stretch::SECONDS {
            stretch.push(Vec::new(), 0, 0, 0);
        }
        assert_eq!(stretch.figures(), None, "everything is forgotten");
        assert!(stretch.cells.is_empty());
    }

    #[test]
    fn few_requests_have_wide_bounds_and_none_have_no_percentile() {
        let mut stretch = Stretch::default();
        stretch.push(Vec::new(), 0, 0, 2);
        let hanging = stretch.figures().unwrap();
        assert_eq!((hanging.in_flight, hanging.p95_us), (2, None), "what hangs is seen");
        stretch.push(second(1..=20), 20, 0, 0);
        assert_eq!(stretch.figures().unwrap().p95_us, Some([17, 19, 20]));
    }

    #[test]
    fn a_spectrum_ends_where_the_requests_end() {
        let mut latencies = Distribution::default();
        assert_eq!(Spectrum::of(&latencies), Spectrum::default());
        for value in 1..=100 {
            latencies.record(value, 1);
        }
        let spectrum = Spectrum::of(&latencies);
        assert_eq!((spectrum.requests, spectrum.points.len()), (100, 15));
        assert_eq!(spectrum.points[5], (0.5, 50));
        assert_eq!(spectrum.points[13], (0.99, 99));
        assert_eq!(spectrum.points.last().map(|(_, us)| *us), Some(100));
    }
}
