//! Chooses between endpoints: the better of two drawn at random, by requests in flight and the peak-sensitive mean of their
//! answers' times.
//!
//! The estimate follows a slower answer at once and a faster one with time, and fades without answers, so that an endpoint
//! which was slow once is tried again (the idea of Finagle's peak EWMA). Told the time and dealt the cards.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// After this time an answer counts for 1/e of a fresh one.
const DECAY: Duration = Duration::from_secs(10);

/// What is expected of an endpoint's answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    nanos: f64,
    at: Timestamp,
}

impl Estimate {
    /// Takes in that an answer began at `now` after so long.
    pub(super) fn answer(self, now: Timestamp, latency: Duration) -> Self {
        let (latency, weight) = (latency.as_nanos() as f64, self.fading(now));
        let nanos = if latency > self.nanos { latency } else { self.nanos * weight + latency * (1.0 - weight) };
        Self { nanos, at: self.at.max(now) }
    }

    /// Returns the cost of one more request beside so many in flight.
    pub(super) fn cost(self, now: Timestamp, in_flight: u32) -> f64 {
        // Without an answer so far, requests in flight alone decide.
        (self.nanos * self.fading(now)).max(1.0) * f64::from(in_flight + 1)
    }

    fn fading(self, now: Timestamp) -> f64 {
        (-now.since(self.at).as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

/// Draws two different positions below `count`, which is 2 at least, from one random number.
pub(super) fn two(count: usize, random: u64) -> (usize, usize) {
    let count = (count as u64).clamp(2, u64::from(u32::MAX));
    let first = ((random & u64::from(u32::MAX)) * count) >> 32;
    let other = ((random >> 32) * (count - 1)) >> 32;
    (first as usize, (if other >= first { other + 1 } else { other }) as usize)
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn every_pair_is_drawn_as_often_and_never_one_with_itself() {
        let mut random = SmallRng::seed_from_u64(7);
        let mut drawn = [[0_u32; 4]; 4];
        for _ in 0..120_000 {
            let (one, other) = two(4, random.random());
            drawn[one][other] += 1;
        }
        for (one, row) in drawn.iter().enumerate() {
            for (other, count) in row.iter().enumerate() {
                let expected = if one == other { 0 } else { 10_000 };
                assert!(count.abs_diff(expected) < 500, "{one} {other} {count}");
            }
        }
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fades_in_time() {
        let quick = (0..100).fold(Estimate::default(), |e, i| e.answer(at(i * 100), Duration::from_millis(10)));
        let slow = quick.answer(at(10_000), Duration::from_secs(1));
        assert!(slow.cost(at(10_000), 0) >= 1e9);
        assert!(slow.cost(at(10_000), 0) > quick.cost(at(10_000), 50));
        let later = slow.cost(at(70_000), 0);
        assert!(later < quick.cost(at(10_000), 0), "a minute without an answer: {later}");
        let recovered = (1..100).fold(slow, |e, i| e.answer(at(10_000 + i * 1_000), Duration::from_millis(10)));
        assert!(recovered.cost(at(109_000), 0) < 2e7);
    }

    /// Four endpoints in virtual time, one of them ten times as slow, all under a load that they can bear together.
    #[test]
    fn the_slow_one_of_four_gets_less_than_its_share() {
        let seed = 11;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut estimates = [Estimate::default(); 4];
        let mut ends: [Vec<u64>; 4] = Default::default();
        let mut given = [0_u32; 4];
        for now in 0..60_000_u64 {
            for (ends, estimate) in ends.iter_mut().zip(&mut estimates) {
                ends.retain(|end| {
                    if *end <= now {
                        let latency = if *end % 2 == 0 { 10 } else { 101 };
                        *estimate = estimate.answer(at(now), Duration::from_millis(latency));
                    }
                    *end > now
                });
            }
            let (one, other) = two(4, random.random());
            let cost = |i: usize| estimates[i].cost(at(now), u32::try_from(ends[i].len()).unwrap());
            let chosen = if cost(one) <= cost(other) { one } else { other };
            given[chosen] += 1;
            // Ends of the slow one are odd, so that its answers are known by them.
            ends[chosen].push(if chosen == 3 { now + 100 + (now + 101) % 2 } else { now + 10 + now % 2 });
        }
        let share = f64::from(given[3]) / 60_000.0;
        assert!(share < 0.1, "seed {seed}: {given:?}");
        assert!(given[3] > 30, "it is tried again from time to time: {given:?}");
    }
}
