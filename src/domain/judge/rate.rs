//! How many requests per second there are of late, over both arms.

use std::collections::VecDeque;

use crate::domain::time::Timestamp;

/// Over how many full seconds the rate is measured.
const SECONDS: u64 = 10;
const SECOND: u64 = 1_000_000_000;

/// The starts of the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    /// The seconds in which something began and how much, growing.
    starts: VecDeque<(u64, u64)>,
    first: Option<u64>,
}

impl Rate {
    /// Notes a start.
    pub fn started(&mut self, at: Timestamp) {
        let second = at.as_nanos() / SECOND;
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        match self.starts.binary_search_by_key(&second, |(second, _)| *second) {
            Ok(place) => {
                if let Some((_, count)) = self.starts.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.starts.insert(place, (second, 1)),
        }
    }

    /// Returns the requests per second over the last full seconds before `known_until`; 0 before the first is full.
    pub fn per_second(&mut self, known_until: Timestamp) -> f64 {
        let now = known_until.as_nanos() / SECOND;
        let from = now.saturating_sub(SECONDS).max(self.first.unwrap_or(now));
        while self.starts.front().is_some_and(|(second, _)| *second < from) {
            self.starts.pop_front();
        }
        let count: u64 = self.starts.iter().filter(|(second, _)| *second < now).map(|(_, count)| count).sum();
        if now > from { count as f64 / (now - from) as f64 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_full_seconds_and_forgets_old_ones() {
        let mut rate = Rate::default();
        let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        (0..40).for_each(|index| rate.started(at(5_000 + index * 100)));
        assert_eq!(rate.per_second(at(5_900)), 0.0);
        assert_eq!(rate.per_second(at(7_500)), 10.0);
        assert_eq!(rate.per_second(at(9_000)), 10.0);
        assert_eq!(rate.per_second(at(12_000)), 40.0 / 7.0);
        assert_eq!(rate.per_second(at(60_000)), 0.0);
    }
}
