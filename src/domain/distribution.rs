//! A distribution of latencies that takes no memory until something is recorded in it.

use hdrhistogram::Histogram;

/// The shortest and longest latency a histogram tells apart, in microseconds; what lies outside is counted at the edge.
const LOWEST_US: u64 = 1;
pub(super) const HIGHEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// Makes an empty latency histogram: microseconds, 1 µs to 60 s, three digits, never resized.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS).expect("the bounds are constants that hdrhistogram accepts")
}

/// Latencies in microseconds in a [`histogram`] of 136 KiB, which is made for the first of them: a version that nobody asks needs none.
#[derive(Clone, Debug, Default)]
pub struct Distribution(Option<Histogram<u64>>);

/// The latencies that a histogram does not tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The shortest of them, in microseconds.
    pub from: u64,
    /// The longest of them, in microseconds.
    pub to: u64,
    /// How many were recorded.
    pub count: u64,
}

impl Distribution {
    /// Records a latency in microseconds so many times; what lies outside the histogram's bounds is counted at the edge.
    pub fn record(&mut self, us: u64, count: u64) {
        if count > 0 {
            self.0.get_or_insert_with(histogram).saturating_record_n(us, count);
        }
    }

    /// Returns how many were recorded.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// Says whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the longest, in microseconds; 0 where nothing was recorded.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::max)
    }

    /// Returns the latency that a share from 0 to 1 of them does not exceed, in microseconds; 0 where nothing was recorded.
    #[must_use]
    pub fn value_at_quantile(&self, share: f64) -> u64 {
        self.0.as_ref().map_or(0, |latencies| latencies.value_at_quantile(share))
    }

    /// Returns how many of the cell of a latency in microseconds were recorded.
    #[must_use]
    pub fn count_at(&self, us: u64) -> u64 {
        self.0.as_ref().map_or(0, |latencies| latencies.count_at(us))
    }

    /// Iterates over the cells in which something was recorded, the shortest latencies first.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.0.iter().flat_map(|latencies| {
            latencies.iter_recorded().map(|cell| {
                let to = cell.value_iterated_to();
                Cell { from: latencies.lowest_equivalent(to), to, count: cell.count_at_value() }
            })
        })
    }

    /// Returns what was recorded since an earlier state of the same distribution.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut added = Self::default();
        self.cells().for_each(|cell| added.record(cell.to, cell.count.saturating_sub(before.count_at(cell.to))));
        added
    }
}

impl PartialEq for Distribution {
    /// One that is empty equals any other that is.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => one == other,
            _ => self.is_empty() && other.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_a_histogram_does_and_holds_none_while_nothing_was_recorded() {
        let (mut distribution, mut told) = (Distribution::default(), histogram());
        distribution.record(5, 0);
        assert!(distribution.0.is_none() && distribution.is_empty() && distribution == Distribution::default());
        assert_eq!(
            (distribution.max(), distribution.value_at_quantile(0.5), distribution.count_at(5), distribution.cells().count()),
            (0, 0, 0, 0)
        );
        let mut before = Distribution::default();
        for (us, count) in [(0, 1), (17, 3), (900, 2), (4_999, 5), (50_000_000, 1)] {
            before = distribution.clone();
            distribution.record(us, count);
            told.saturating_record_n(us, count);
        }
        assert_eq!((distribution.len(), distribution.max(), distribution.count_at(17)), (12, told.max(), 3));
        assert_eq!(distribution.value_at_quantile(0.9), told.value_at_quantile(0.9));
        let cells: Vec<Cell> = distribution.cells().collect();
        assert_eq!(cells.iter().map(|cell| cell.count).sum::<u64>(), 12);
        assert!(cells.contains(&Cell { from: 4_996, to: 4_999, count: 5 }), "{cells:?}");
        let added = distribution.since(&before);
        assert_eq!((added.len(), added.count_at(50_000_000)), (1, 1));
        assert!(added != distribution && distribution == distribution.clone());
    }
}
