//! The figures of one version in one role, as the exposition writes them.

use crate::control::status::{Totals, TotalsKey};
use crate::domain::distribution::Distribution;
use crate::domain::outcome::{Class, Role};
use crate::telemetry::metrics as m;
use crate::telemetry::sheet::{BOUNDS, HISTOGRAM_SERIES, Latency, Sheet};

/// The series of a version in one role.
pub const SERIES: usize = Class::ALL.len() + 1 + 2 * HISTOGRAM_SERIES;

/// The figures of one version in one role, copied while the totals were held.
#[derive(Clone, Debug)]
pub struct VersionFigures {
    /// The service, the version and its role.
    pub key: TotalsKey,
    /// Requests that ended, by class.
    pub classes: [u64; Class::ALL.len()],
    /// Requests that have not ended.
    pub in_flight: u64,
    response_time: Latency,
    duration: Latency,
    /// How many durations were at most each of the bounds asked for.
    pub fine: Vec<u64>,
}

impl Default for VersionFigures {
    fn default() -> Self {
        Self {
            key: (String::new(), String::new(), Role::Stable),
            classes: Default::default(),
            in_flight: 0,
            response_time: Latency::default(),
            duration: Latency::default(),
            fine: Vec::new(),
        }
    }
}

impl VersionFigures {
    /// Copies them; `fine` are bounds in milliseconds.
    pub fn of(key: TotalsKey, totals: &Totals, fine: &[f64]) -> Self {
        let window = totals.windows.get(&key);
        Self {
            classes: window.map_or_else(Default::default, |w| w.classes),
            in_flight: totals.in_flight.get(&key).map_or(0, |flights| flights.values().sum()),
            response_time: window.map_or_else(Latency::default, |w| latency(&w.response_time, w.response_time_sum_ns)),
            duration: window.map_or_else(Latency::default, |w| latency(&w.duration, w.duration_sum_ns)),
            fine: match window {
                Some(window) if !fine.is_empty() => within(&window.response_time, fine, 1e3),
                _ => vec![0; fine.len()],
            },
            key,
        }
    }

    /// Returns the figures of what counted nothing yet.
    pub fn nothing(key: TotalsKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Returns the count and the sum in seconds of the response times.
    pub const fn response_times(&self) -> (u64, f64) {
        (self.response_time.count, self.response_time.sum)
    }

    /// Adds what `now` has more than `before`.
    pub fn add(&mut self, now: &Self, before: &Self) {
        for ((sum, now), before) in self.classes.iter_mut().zip(now.classes).zip(before.classes) {
            *sum += now.saturating_sub(before);
        }
        for (sum, now, before) in
            [(&mut self.response_time, &now.response_time, &before.response_time), (&mut self.duration, &now.duration, &before.duration)]
        {
            sum.count += now.count.saturating_sub(before.count);
            sum.sum += (now.sum - before.sum).max(0.0);
            for ((sum, now), before) in sum.buckets.iter_mut().zip(now.buckets).zip(before.buckets) {
                *sum += now.saturating_sub(before);
            }
        }
    }

    /// Writes them, for which room was reserved.
    pub fn write(&self, sheet: &mut Sheet) {
        let (service, version, role) = (self.key.0.as_str(), self.key.1.as_str(), self.key.2.as_str());
        for (class, count) in Class::ALL.iter().zip(self.classes) {
            sheet.value(&m::REQUESTS, &[service, version, role, class.as_str()], count as f64);
        }
        let labels = [service, version, role];
        sheet.value(&m::IN_FLIGHT, &labels, self.in_flight as f64);
        sheet.histogram(&m::RESPONSE_TIME, &labels, &self.response_time);
        sheet.histogram(&m::DURATION, &labels, &self.duration);
    }
}

/// Sums a distribution's cells into buckets; count and sum are exact.
fn latency(distribution: &Distribution, sum_ns: u128) -> Latency {
    let mut latency = Latency { count: distribution.len(), sum: sum_ns as f64 / 1e9, buckets: [0; BOUNDS.len()] };
    for (bucket, count) in latency.buckets.iter_mut().zip(within(distribution, &BOUNDS, 1e6)) {
        *bucket = count;
    }
    latency
}

/// Counts the microseconds of a distribution that are at most each bound, of which one is so many microseconds. The cell that holds a
/// bound (at most 0.1 % wide) counts as within it.
fn within(distribution: &Distribution, bounds: &[f64], unit: f64) -> Vec<u64> {
    let mut counts = vec![0; bounds.len()];
    let mut buckets = counts.iter_mut().zip(bounds).peekable();
    let mut within = 0;
    // Cells come in ascending order, so each bound is passed once.
    for cell in distribution.cells() {
        let from = cell.from as f64 / unit;
        while let Some((bucket, _)) = buckets.next_if(|(_, bound)| from > **bound) {
            *bucket = within;
        }
        within += cell.count;
    }
    buckets.for_each(|(bucket, _)| *bucket = within);
    counts
}
