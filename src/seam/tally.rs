//! Latencies as a worker notes them: one after the other, and sorted into cells when they are handed over.

use std::time::Duration;

use crate::domain::observation::{Latencies, cell};
use crate::domain::time::nanos;

/// How many latencies wait to be sorted at most, 4 bytes each: few enough that no request waits long for it, many enough that it is
/// seldom. A histogram would need no sorting, but 136 KiB that every tick reads and clears, which is more than a second-level cache gives
/// away lightly.
const MOST_UNSORTED: usize = 1_024;

/// Latencies since the last report.
#[derive(Default)]
pub(in crate::seam) struct Tally {
    count: u64,
    sum_ns: u64,
    /// As they came, in microseconds.
    unsorted: Vec<u32>,
    cells: Vec<(u64, u64)>,
}

impl Tally {
    /// Says whether nothing was noted.
    pub(in crate::seam) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Notes a latency; what is under a microsecond counts as one.
    pub(in crate::seam) fn note(&mut self, latency: Duration) {
        let ns = nanos(latency);
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        if self.unsorted.len() >= MOST_UNSORTED {
            self.sort();
        }
        self.unsorted.push(u32::try_from((ns / 1_000).max(1)).unwrap_or(u32::MAX));
    }

    /// Hands over what was noted and begins anew.
    pub(in crate::seam) fn take(&mut self) -> Latencies {
        self.sort();
        Latencies {
            count: std::mem::take(&mut self.count),
            sum_ns: std::mem::take(&mut self.sum_ns),
            cells: std::mem::take(&mut self.cells),
        }
    }

    /// Sorts what waits into the cells, which stay sorted.
    fn sort(&mut self) {
        self.unsorted.sort_unstable();
        let known = std::mem::take(&mut self.cells);
        let mut known = known.into_iter().peekable();
        for us in self.unsorted.drain(..) {
            let cell = cell(u64::from(us));
            while let Some(earlier) = known.next_if(|(value, _)| *value <= cell) {
                add(&mut self.cells, earlier);
            }
            add(&mut self.cells, (cell, 1));
        }
        self.cells.extend(known);
    }
}

/// Adds to the last cell, or behind it.
fn add(cells: &mut Vec<(u64, u64)>, (value, count): (u64, u64)) {
    match cells.last_mut() {
        Some((last, known)) if *last == value => *known += count,
        _ => cells.push((value, count)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::distribution::histogram;

    /// The cells of a histogram that saw the same; it would count what is longer than its last cell before that one.
    fn cells(latencies: &[u64]) -> Vec<(u64, u64)> {
        let mut seen = histogram();
        let last = (1 << 26) - 1;
        latencies.iter().for_each(|us| seen.record((*us).clamp(1, last)).unwrap());
        seen.iter_recorded().map(|cell| (cell.value_iterated_to(), cell.count_at_value())).collect()
    }

    proptest! {
        #[test]
        fn the_cells_are_those_of_a_histogram(latencies in prop::collection::vec((0_u32..40).prop_flat_map(|bits| 0..(1_u64 << bits)), 0..300)) {
            let mut tally = Tally::default();
            latencies.iter().for_each(|us| tally.note(Duration::from_micros(*us)));
            let taken = tally.take();
            prop_assert_eq!(&taken.cells, &cells(&latencies));
            prop_assert_eq!(taken.count, latencies.len() as u64);
            prop_assert_eq!(taken.sum_ns, latencies.iter().sum::<u64>() * 1_000);
            prop_assert!(tally.is_empty() && tally.take() == Latencies::default());
        }
    }

    #[test]
    fn what_was_sorted_before_is_joined() {
        let latencies: Vec<u64> = (0..3 * MOST_UNSORTED as u64 + 5).map(|n| n * 7_919 % 5_000).collect();
        let mut tally = Tally::default();
        for us in &latencies {
            tally.note(Duration::from_micros(*us));
            assert!(tally.unsorted.len() <= MOST_UNSORTED);
        }
        assert_eq!(tally.take().cells, cells(&latencies));
    }
}
