//! The requests of a run at a fixed share, and what completed of them in each interval.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::outcome::Role;
use crate::domain::split::Draw;
use crate::domain::time::Timestamp;
use crate::domain::timeouts::Timeouts;
use crate::domain::weight::Weight;
use crate::simulate::chance::{Chance, Stream as Source};
use crate::simulate::scenario::Scenario;
use crate::simulate::traffic::Traffic;
use crate::simulate::versions::{Manner, Version};

/// A request as a controller beside the path sees it, once it has completed.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// When its answer went out.
    pub at: Timestamp,
    /// How long it took.
    pub latency: Duration,
    /// Whether it failed.
    pub fails: bool,
}

/// One request of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When it began.
    pub started: Timestamp,
    /// The version that got it.
    pub role: Role,
    /// Whether its client is harmed.
    pub harmed: bool,
    /// Its completion; `None` when it never completes.
    pub completion: Option<Completion>,
}

/// The requests of a run at a fixed share, in the order of their starts. Closed-loop clients are not supported and yield
/// nothing beyond their first requests.
pub struct Stream {
    traffic: Traffic,
    stable: Version,
    canary: Version,
    draw: Draw,
    chance: Chance,
    weight: Weight,
    harm: (Option<Duration>, bool),
    timeout: Duration,
}

impl Stream {
    /// Makes the stream of a seed.
    pub fn new(scenario: &Scenario, weight: Weight, harm: (Option<Duration>, bool), seed: u64) -> Self {
        let mut chance = Chance::new(seed, Source::Peer);
        Self {
            traffic: Traffic::new(scenario, scenario.traffic.rate.map_or(0.0, |rate| rate.0), seed),
            stable: Version::new(&scenario.stable, scenario, seed, Source::Stable),
            canary: Version::new(&scenario.canary, scenario, seed, Source::Canary),
            draw: Draw::new(chance.word()),
            chance,
            weight,
            harm,
            timeout: Timeouts::default().response,
        }
    }

    /// Draws the next request that begins before `end`.
    pub fn next(&mut self, end: Timestamp) -> Option<Request> {
        let started = self.traffic.next();
        if started >= end {
            return None;
        }
        self.traffic.take();
        let role = self.draw.next(self.weight, self.chance.word());
        let version = if role == Role::Canary { &mut self.canary } else { &mut self.stable };
        let manner = version.next(started, self.weight);
        let harmed = role == Role::Canary && manner.harms(self.harm.0, self.harm.1);
        Some(Request { started, role, harmed, completion: self.completion(started, manner) })
    }

    /// A request without an answer completes as a failure with the proxy's time-out, which is much for many proxies.
    fn completion(&self, started: Timestamp, manner: Manner) -> Option<Completion> {
        let whole = manner.head.map(|head| head + manner.body);
        if manner.leaves.is_some_and(|leaves| whole.is_none_or(|whole| leaves < whole)) {
            return None;
        }
        let head = manner.head?;
        if head > self.timeout {
            return Some(Completion { at: started + self.timeout, latency: self.timeout, fails: true });
        }
        Some(Completion { at: started + head + manner.body, latency: head, fails: manner.fails || manner.refused })
    }
}

/// What completed within one interval.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// How many completed.
    pub count: u64,
    /// How many of them took longer than the limit.
    pub over: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// What a metrics store holds of the canary, by interval.
#[derive(Debug, Default)]
pub struct Buckets {
    open: BTreeMap<u64, Bucket>,
}

impl Buckets {
    /// Counts a completion.
    pub fn add(&mut self, completion: &Completion, interval: Duration, limit: Option<Duration>) {
        let index = index(completion.at, interval);
        let bucket = self.open.entry(index).or_default();
        bucket.count += 1;
        bucket.over += u64::from(limit.is_some_and(|limit| completion.latency > limit));
        bucket.failed += u64::from(completion.fails);
    }

    /// Takes what completed in one interval.
    pub fn take(&mut self, index: u64) -> Bucket {
        self.open.remove(&index).unwrap_or_default()
    }
}

/// Returns the number of the interval in which a moment lies, from 0.
pub fn index(at: Timestamp, interval: Duration) -> u64 {
    at.as_nanos() / crate::domain::time::nanos(interval).max(1)
}
