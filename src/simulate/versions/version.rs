//! One version in one run: what becomes of each request that it gets.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::scenario::{Breaks, ColdStart, Drift, Scenario, Span, VersionSpec};
use crate::simulate::versions::latency::Sampler;
use crate::simulate::versions::pauses::Schedule;
use crate::simulate::versions::queue::Queue;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// From the start to the response head, `None` when it never comes.
    pub head: Option<Duration>,
    /// From the head to the last byte.
    pub body: Duration,
    /// Whether the answer is a 5xx.
    pub fails: bool,
    /// Whether the connection is refused; then `head` says after how long.
    pub refused: bool,
    /// When the client leaves, if it does.
    pub leaves: Option<Duration>,
}

impl Manner {
    /// Says whether its client is harmed: the answer comes after `over`, never, or as a failure where those count.
    #[must_use]
    pub fn harms(&self, over: Option<Duration>, errors: bool) -> bool {
        match self.head {
            None => true,
            Some(_) if self.fails || self.refused => errors,
            Some(head) => over.is_some_and(|limit| head > limit),
        }
    }
}

/// One version in one run.
#[derive(Debug)]
pub struct Version {
    spec: VersionSpec,
    chance: Chance,
    latency: Sampler,
    errors_take: Option<Sampler>,
    body: Option<Sampler>,
    leave_after: Option<Sampler>,
    pauses: Option<Schedule>,
    stalls: Option<Schedule>,
    queue: Option<Queue>,
    answered: u64,
    /// When it got its first request, from which on it warms up.
    first: Option<Duration>,
}

/// How long a refused connection takes.
const REFUSED: Duration = Duration::from_millis(1);

impl Version {
    /// Makes a version of one run. Both versions of a run stall at the same moments.
    #[must_use]
    pub fn new(spec: &VersionSpec, scenario: &Scenario, seed: u64, stream: Stream) -> Self {
        let mut chance = Chance::new(seed, stream);
        let pauses = spec.pauses.as_ref().map(|pauses| {
            let own = u64::from(chance.word()) << 32 | u64::from(chance.word());
            Schedule::new(pauses, Chance::new(own, stream))
        });
        Self {
            latency: Sampler::new(&spec.latency),
            errors_take: spec.errors_take.as_ref().map(Sampler::new),
            body: spec.body.as_ref().map(Sampler::new),
            leave_after: spec.leaves.as_ref().map(|leaves| Sampler::new(&leaves.after)),
            pauses,
            stalls: scenario.stalls.as_ref().map(|stalls| Schedule::new(stalls, Chance::new(seed, Stream::Stalls))),
            queue: spec.scale.as_ref().map(Queue::new),
            spec: spec.clone(),
            chance,
            answered: 0,
            first: None,
        }
    }

    /// Says when the version goes bad by itself, zero for one that is as it is from the beginning; `None` when that depends on
    /// the requests it gets.
    #[must_use]
    pub fn goes_bad(spec: &VersionSpec) -> Option<Duration> {
        match &spec.breaks {
            None => Some(Duration::ZERO),
            Some(Breaks { after_requests: Some(_), .. }) => None,
            Some(breaks) => Some(breaks.after.unwrap_or_default().0),
        }
    }

    /// Returns how many requests it got.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.answered
    }

    /// Draws what becomes of a request that begins at `at` while the canary gets `weight`; `at` never goes back.
    pub fn next(&mut self, at: Timestamp, weight: Weight) -> Manner {
        self.answered += 1;
        let now = Duration::from_nanos(at.as_nanos());
        self.first = self.first.or(Some(now));
        let leaves = self.leaving(at);
        if let Some(restart) = &self.spec.restart
            && now >= restart.at.0
            && now < restart.at.0 + restart.down.0
        {
            return Manner { head: Some(REFUSED), refused: true, leaves, ..Manner::default() };
        }
        let broken = self.is_broken(now, weight);
        let breaks = self.spec.breaks.as_ref().filter(|_| broken);
        let (broken_hangs, broken_fails) = breaks.map_or((false, false), |b| (b.hangs, b.errors));
        let broken_slower = breaks.map_or(Duration::ZERO, |b| b.slower.0);
        let hangs = self.chance.happens(self.spec.hangs.0) || broken_hangs;
        let fails = self.chance.happens(self.spec.errors.0) || broken_fails;
        let slow = self.chance.happens(self.spec.slower_share.map_or(1.0, |share| share.0));
        let mut head = match &mut self.errors_take {
            Some(take) if fails => take.next(at, &mut self.chance),
            _ => self.latency.next(at, &mut self.chance),
        };
        head = head.mul_f64(factor(self.spec.drift.as_ref(), now));
        if slow && !(fails && self.errors_take.is_some()) {
            head += self.spec.slower.0;
        }
        head += broken_slower + self.cold(now);
        let wait = |schedule: &mut Option<Schedule>| schedule.as_mut().map_or(Duration::ZERO, |s| s.wait(at));
        head += wait(&mut self.pauses).max(wait(&mut self.stalls));
        let body = self.body.as_mut().map_or(Duration::ZERO, |body| body.next(at, &mut self.chance));
        if let Some(queue) = &mut self.queue {
            head += queue.wait(at, head + body);
        }
        Manner { head: (!hangs).then_some(head), body, fails, refused: false, leaves }
    }

    fn leaving(&mut self, at: Timestamp) -> Option<Duration> {
        let share = self.spec.leaves.as_ref()?.share;
        let leaves = self.chance.happens(share.0);
        let after = self.leave_after.as_mut()?.next(at, &mut self.chance);
        leaves.then_some(after)
    }

    fn is_broken(&mut self, now: Duration, weight: Weight) -> bool {
        let Some(breaks) = &self.spec.breaks else { return false };
        let due = breaks.above.as_ref().is_none_or(|above| weight > above.0)
            && breaks.after.is_none_or(|Span(after)| now >= after)
            && breaks.after_requests.is_none_or(|requests| self.answered > requests);
        due && self.chance.happens(breaks.share.map_or(1.0, |share| share.0))
    }

    /// Returns by how much a request is slower because the version is cold.
    fn cold(&mut self, now: Duration) -> Duration {
        let Some(ColdStart { share, slower, decay }) = &self.spec.cold_start else { return Duration::ZERO };
        let since = match &self.spec.restart {
            Some(restart) if now >= restart.at.0 => now.saturating_sub(restart.at.0 + restart.down.0),
            _ => now.saturating_sub(self.first.unwrap_or_default()),
        };
        let left = share.0 * (-since.as_secs_f64() / decay.secs().max(1e-9)).exp();
        if self.chance.happens(left) { slower.0 } else { Duration::ZERO }
    }
}

/// Returns the factor of a drift: a triangle from 1 to the largest and back within one period.
fn factor(drift: Option<&Drift>, now: Duration) -> f64 {
    let Some(Drift { factor, period }) = drift else { return 1.0 };
    let phase = (now.as_secs_f64() / period.secs().max(1e-9)).fract();
    let height = 1.0 - (2.0 * phase - 1.0).abs();
    1.0 + (factor.0 - 1.0) * height
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::scenario::load;

    fn version(canary: &str) -> Version {
        let text = format!(
            "title = \"t\"\nruns = 1\nlength = \"1s\"\ngates = [\"p95 < 1s\"]\ntraffic = {{ rate = 1 }}\n[stable]\nlatency = {{ constant = \"1ms\" }}\n[canary]\nlatency = {{ constant = \"100ms\" }}\n{canary}\n"
        );
        let scenario = load("t", &text).unwrap().remove(0);
        Version::new(&scenario.canary, &scenario, 9, Stream::Canary)
    }

    /// Counts the harmed among 10 000 requests, one per millisecond from `from` on.
    fn harmed(version: &mut Version, from: u64, weight: &str) -> usize {
        let at = |n: u64| Timestamp::ZERO + Duration::from_millis(from + n);
        (0..10_000).filter(|n| version.next(at(*n), weight.parse().unwrap()).harms(Some(Duration::from_secs(1)), true)).count()
    }

    #[test]
    fn every_fault_harms_as_many_as_it_should() {
        for (text, from, weight, low, high) in [
            ("", 0, "10%", 0, 0),
            ("slower = \"1s\"", 0, "10%", 10_000, 10_000),
            ("slower = \"1s\"\nslower_share = 0.2", 0, "10%", 1_850, 2_150),
            ("hangs = 0.3", 0, "10%", 2_850, 3_150),
            ("errors = 0.01", 0, "10%", 60, 140),
            ("breaks = { above = \"30%\", slower = \"1s\" }", 0, "30%", 0, 0),
            ("breaks = { above = \"30%\", slower = \"1s\" }", 0, "31%", 10_000, 10_000),
            ("breaks = { after = \"5s\", errors = true }", 0, "10%", 5_000, 5_000),
            ("breaks = { after_requests = 1000, hangs = true, share = 0.5 }", 0, "10%", 4_300, 4_700),
            // The integral of 0.5 exp(-t/5s) over 10 s is 2.16 s.
            ("cold_start = { share = 0.5, slower = \"1s\", decay = \"5s\" }", 0, "10%", 2_000, 2_320),
            ("restart = { at = \"3s\", down = \"2s\" }", 0, "10%", 2_000, 2_000),
            ("drift = { factor = 11, period = \"10s\" }", 0, "10%", 900, 1_100),
            ("pauses = { from = \"2s\", to = \"2s\", every = \"10s\" }", 0, "10%", 900, 1_200),
        ] {
            let mut version = version(text);
            let count = harmed(&mut version, from, weight);
            assert!((low..=high).contains(&count), "{text} at {weight}: {count}");
        }
    }

    #[test]
    fn failures_may_be_quick_and_clients_may_leave() {
        let mut version =
            version("errors = 1.0\nerrors_take = { constant = \"5ms\" }\nleaves = { share = 1.0, after = { constant = \"2s\" } }");
        let manner = version.next(Timestamp::ZERO, Weight::FULL);
        assert_eq!((manner.head, manner.fails, manner.leaves), (Some(Duration::from_millis(5)), true, Some(Duration::from_secs(2))));
    }
}
