//! How much traffic a service gets: the requests of its last ten seconds, by the controller's ticks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::observation::Observation;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// From how long a stretch on the rate counts as known.
const ENOUGH: Duration = Duration::from_secs(3);

/// Says what a rollout waits for whose first share the traffic decides.
pub(super) fn waits_for_traffic(canary: &Version) -> String {
    format!("{} begins in a few seconds, once it is known how much traffic there is: its first share is 'auto'", canary.name)
}

/// The traffic of one service.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    decided: u64,
    /// When a tick was, and what had been decided until then; a second apart, the oldest first.
    ticks: VecDeque<(Timestamp, u64)>,
    now: Option<Timestamp>,
}

impl Traffic {
    /// Takes in what a worker saw.
    pub(super) fn count(&mut self, observations: &[Observation]) {
        self.decided += observations.iter().map(|o| o.decided).sum::<u64>();
    }

    /// Notes the time.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.now = Some(now);
        if self.ticks.back().is_none_or(|(last, _)| now.since(*last) >= Duration::from_secs(1)) {
            self.ticks.push_back((now, self.decided));
        }
        while self.ticks.len() > 2 && self.ticks.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.ticks.pop_front();
        }
    }

    /// Says whether it was looked at for long enough to say how much it is.
    pub(super) fn is_known(&self) -> bool {
        self.stretch().is_some_and(|(length, _)| length >= ENOUGH)
    }

    /// Returns the requests per second; 0 while nothing is known.
    pub(super) fn rate(&self) -> f64 {
        self.stretch().filter(|(length, _)| !length.is_zero()).map_or(0.0, |(length, count)| count as f64 / length.as_secs_f64())
    }

    fn stretch(&self) -> Option<(Duration, u64)> {
        let (from, before) = self.ticks.front()?;
        Some((self.now?.since(*from), self.decided - before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Role;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut traffic = Traffic::default();
        let mut seen = Observation::new(Role::Stable);
        let at = |tenth: u64| Timestamp::ZERO + Duration::from_millis(100 * tenth);
        for tenth in 0..600 {
            traffic.tick(at(tenth));
            assert_eq!(traffic.is_known(), tenth >= 30, "{tenth}");
            seen.decided = if tenth < 300 { 100 } else { 5 };
            traffic.count(&[seen.clone()]);
        }
        assert!((traffic.rate() - 50.0).abs() < 1.0, "{}", traffic.rate());
        assert!(traffic.ticks.len() <= 12);
    }
}
