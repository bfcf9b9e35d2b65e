//! The two articles that make a POST slow once they are in the cart, depending on the release.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The article that makes a POST expensive, from 0.9 on.
pub const FAULTY: &str = "03fef6ac-1896-4ce8-bd69-b798f85c6e0f";
/// The article that makes a POST slow, from 0.10 on.
pub const SLOW: &str = "03fef6ac-1896-4ce8-bd69-b798f86c6fac";

/// What an article costs beyond the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing.
    None,
    /// Time without work.
    Sleep(Duration),
    /// Work on a core.
    Work,
}

/// Decides what the article costs when it is already in the cart.
///
/// Up to 0.8 nothing; 0.9 works for FAULTY; from 0.10 on FAULTY sleeps by the number `r` of POSTs in the last
/// minute (1200 ms above 70, else r² − r³/100 ms, and half of that up to 50), and SLOW sleeps for 2 s.
pub fn cost(release: (u32, u32), item_id: &str, per_minute: usize) -> Cost {
    match item_id {
        FAULTY if release >= (0, 10) => Cost::Sleep(faulty_sleep(per_minute)),
        FAULTY if release >= (0, 9) => Cost::Work,
        SLOW if release >= (0, 10) => Cost::Sleep(Duration::from_secs(2)),
        _ => Cost::None,
    }
}

fn faulty_sleep(per_minute: usize) -> Duration {
    let Some(r) = u32::try_from(per_minute).ok().filter(|r| *r <= 70).map(f64::from) else {
        return Duration::from_millis(1200);
    };
    let curve = r.powi(2) - r.powi(3) / 100.0;
    let ms = if r <= 50.0 { curve / 2.0 } else { curve };
    Duration::from_secs_f64(ms.round() / 1000.0)
}

/// Looks for primes up to `limit` the slow way, twice, and returns how many it found each time.
///
/// The original's limit is [`WORK_LIMIT`], which takes in the order of a second of one core.
pub fn work(limit: u32) -> usize {
    let prime = |i: &u32| (2..=i / 2).all(|j| !i.is_multiple_of(j));
    (0..2).map(|_| std::hint::black_box((3..=std::hint::black_box(limit)).filter(prime).count())).max().unwrap_or(0)
}

/// How far [`work`] looks.
pub const WORK_LIMIT: u32 = 50_000;

/// Counts the POSTs of the last minute; it stops counting where [`cost`] stops asking.
#[derive(Debug, Default)]
pub struct LastMinute(VecDeque<Instant>);

impl LastMinute {
    const ENOUGH: usize = 71;

    /// Notes a POST at `now` and returns how many there were in the minute before, this one included, at most 71.
    pub fn note(&mut self, now: Instant) -> usize {
        if self.0.len() == Self::ENOUGH {
            self.0.pop_front();
        }
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.duration_since(*first) > Duration::from_secs(60)) {
            self.0.pop_front();
        }
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_an_article_depends_on_the_release() {
        let sleep = |ms| Cost::Sleep(Duration::from_millis(ms));
        assert_eq!(cost((0, 8), FAULTY, 100), Cost::None);
        assert_eq!(cost((0, 9), FAULTY, 100), Cost::Work);
        assert_eq!(cost((0, 9), SLOW, 100), Cost::None);
        assert_eq!(cost((0, 10), SLOW, 1), sleep(2000));
        assert_eq!(cost((1, 0), FAULTY, 71), sleep(1200));
        assert_eq!(cost((0, 10), FAULTY, 70), sleep(1470));
        assert_eq!(cost((0, 10), FAULTY, 50), sleep(625));
        assert_eq!(cost((0, 12), "03fef6ac-1896-4ce8-bd69-b798f85c6e0b", 71), Cost::None);
    }

    #[test]
    fn the_work_is_really_done() {
        assert_eq!(work(100), 24);
    }

    #[test]
    fn the_minute_slides_and_stays_bounded() {
        let start = Instant::now();
        let mut minute = LastMinute::default();
        for n in 1..=71 {
            assert_eq!(minute.note(start), n);
        }
        assert_eq!(minute.note(start + Duration::from_secs(60)), 71);
        assert_eq!(minute.note(start + Duration::from_secs(61)), 2);
    }
}
