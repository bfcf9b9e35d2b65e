//! What is known of the stable version beside the canary: its share of breaches and the quantile of its latencies.
//!
//! Both are taken from blocks all of whose stable requests are resolved, over the last half minute to minute. A block's
//! thresholds are frozen from it when the block begins, so that they depend on the past alone.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::rate_upper_bound;
use crate::domain::time::Timestamp;

/// How long one of the two windows gathers before it takes the place of the older one.
const WINDOW: Duration = Duration::from_secs(30);

/// Without so many requests of the stable version nothing is known of it.
const ENOUGH: u64 = 20;

/// The chance that the bound on the stable version's share fails, and that of a surprise that is not reckoned with.
const DOUBT: f64 = 0.05;

/// How many requests a guess of the stable version's share is worth; affects how soon a test decides, never its validity.
const GUESS_WORTH: f64 = 20.0;

/// Returns after how many requests without a bad one a share as large as this is unlikely.
pub(super) fn telling(share: f64) -> u64 {
    (DOUBT.ln() / (-share).ln_1p()).ceil().max(1.0) as u64
}

/// The stable version of the last half minute to minute.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    since: Option<Timestamp>,
    counts: [Counts; 2],
    latencies: [Histogram<u32>; 2],
    /// The quantile's share above it; `None` where latencies are not compared.
    share: Option<f64>,
    quantile: Option<Duration>,
}

impl Baseline {
    /// Begins without knowledge. With `share`, the latency that this share of the requests exceeds is of interest.
    pub fn new(share: Option<f64>) -> Self {
        // Two digits over the microseconds of an hour: about 20 KiB.
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are constants that hdrhistogram accepts");
        Self { since: None, counts: [Counts::default(); 2], latencies: [histogram(), histogram()], share, quantile: None }
    }

    /// Takes in a block whose stable requests are all resolved: their counts and their latencies in microseconds.
    pub fn absorb(&mut self, counts: Counts, latencies: &[u32], now: Timestamp) {
        if now.since(*self.since.get_or_insert(now)) >= WINDOW {
            self.since = Some(now);
            self.counts.swap(0, 1);
            self.latencies.swap(0, 1);
            let [newer, _] = &mut self.counts;
            *newer = Counts::default();
            let [newer, _] = &mut self.latencies;
            newer.reset();
        }
        let [newer, _] = &mut self.counts;
        *newer = Counts::new(newer.requests + counts.requests, newer.breaches + counts.breaches);
        let [newer, _] = &mut self.latencies;
        latencies.iter().for_each(|latency| newer.saturating_record(u64::from(*latency).max(1)));
    }

    /// Works out the quantile again, after blocks were taken in.
    pub fn refresh(&mut self) {
        let (Some(share), [newer, older]) = (self.share, &self.latencies) else { return };
        let mut both = newer.clone();
        // Same bounds, so there is always room.
        let _ = both.add(older);
        let known = both.len() >= ENOUGH;
        self.quantile = known.then(|| Duration::from_micros(both.value_at_quantile(1.0 - share)));
    }

    /// Returns the latency that the share of the stable version's requests exceeds, `None` while too little is known.
    pub const fn quantile(&self) -> Option<Duration> {
        self.quantile
    }

    fn counts(&self) -> Counts {
        let [newer, older] = self.counts;
        Counts::new(newer.requests + older.requests, newer.breaches + older.breaches)
    }

    /// Returns an upper bound on the stable version's share of breaches, `None` while too little is known.
    pub fn upper_rate(&self) -> Option<f64> {
        let Counts { requests, breaches } = self.counts();
        (requests >= ENOUGH).then(|| rate_upper_bound(requests, breaches, DOUBT))
    }

    /// Returns the best guess of the stable version's share of breaches, beginning with `guess`.
    pub fn rate(&self, guess: f64) -> f64 {
        let Counts { requests, breaches } = self.counts();
        (breaches as f64 + GUESS_WORTH * guess) / (requests as f64 + GUESS_WORTH)
    }

    /// Returns how many more requests of the stable version must be known before anything is compared: a quantile must be one of
    /// enough requests, a share begins with a guess.
    pub fn awaits(&self) -> u64 {
        let [newer, older] = &self.latencies;
        match self.share {
            Some(_) => ENOUGH.saturating_sub(newer.len() + older.len()),
            None => u64::from(self.counts().requests == 0),
        }
    }

    /// Returns the stable version's share of breaches as counted, `None` without requests.
    pub fn share(&self) -> Option<f64> {
        let counts = self.counts();
        (counts.requests > 0).then(|| counts.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn too_few_requests_say_nothing_and_enough_give_the_quantile() {
        let mut baseline = Baseline::new(Some(0.05));
        let latencies: Vec<u32> = (1..=19).map(|ms| ms * 1_000).collect();
        baseline.absorb(Counts::new(19, 1), &latencies, at(0));
        baseline.refresh();
        assert_eq!((baseline.quantile(), baseline.upper_rate()), (None, None));
        baseline.absorb(Counts::new(181, 8), &[5_000; 181], at(1));
        baseline.refresh();
        let quantile = baseline.quantile().unwrap();
        assert!((Duration::from_millis(5)..Duration::from_millis(11)).contains(&quantile), "{quantile:?}");
        assert!(baseline.upper_rate().unwrap() > 9.0 / 200.0 && baseline.rate(0.05) > 0.04);
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let mut baseline = Baseline::new(Some(0.05));
        baseline.absorb(Counts::new(100, 100), &[900_000; 100], at(0));
        for second in [30, 60, 90] {
            baseline.absorb(Counts::new(100, 0), &[1_000; 100], at(second));
        }
        baseline.refresh();
        assert_eq!(baseline.share(), Some(0.0));
        assert!(baseline.quantile().unwrap() < Duration::from_millis(2));
    }
}
