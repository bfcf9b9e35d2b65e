//! What a version has shown that it can take, per usable endpoint, and whether that is enough for what is to come.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::observation::Observation;
use crate::domain::outcome::Class;
use crate::domain::time::Timestamp;

/// How many answers a stretch needs before it says something, unless [`LONGEST`] has passed.
const ENOUGH: u64 = 20;
/// After how long a stretch ends, however few answers there were.
const LONGEST: Duration = Duration::from_secs(10);
/// Which quantile of the response times is compared.
const SLOW: f64 = 0.9;
/// So many times the usual response time is still as usual.
const AS_USUAL: f64 = 2.0;
/// From so many times the usual response time on a version is overrun.
const OVERRUN: f64 = 3.0;
/// How much larger than usual the share of failed requests may be, and from where on a version is overrun.
const FAILING: [f64; 2] = [0.05, 0.2];
/// What one stretch weighs in what is usual.
const WEIGHT: f64 = 1.0 / 16.0;
/// How much of what was shown is left after a stretch in which less went badly.
const WANING: f64 = 0.9;
/// So much more than was shown is believed.
const SLACK: f64 = 1.25;

/// What was seen of a version in one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// How long it was.
    pub length: Duration,
    /// Requests that it answered.
    pub answered: u64,
    /// Of those, and of those that it did not answer, the ones that failed.
    pub failed: u64,
    /// How many requests it held on average: the sum of their durations over the length (Little's law).
    pub in_flight: f64,
    /// The 90th percentile of the response times, in seconds.
    pub slow: f64,
}

impl Stretch {
    fn rate(&self) -> f64 {
        self.answered as f64 / self.length.as_secs_f64()
    }

    fn failing(&self) -> f64 {
        self.failed as f64 / (self.answered + self.failed).max(1) as f64
    }
}

/// Gathers what workers saw of a version until it makes a stretch.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    since: Option<Timestamp>,
    answered: u64,
    /// Answers of 5xx, which are among the answered.
    erred: u64,
    /// Requests without an answer, those that were refused here included.
    unanswered: u64,
    busy_ns: u64,
    /// Response times: a cell in microseconds and how many fell there.
    cells: BTreeMap<u64, u64>,
}

impl Tape {
    /// Adds what a worker saw.
    pub fn add(&mut self, seen: &Observation) {
        let of = |class: Class| seen.classes.get(class.index()).copied().unwrap_or_default();
        self.answered += seen.answered;
        self.erred += of(Class::ServerError);
        self.unanswered += of(Class::Error);
        self.busy_ns = self.busy_ns.saturating_add(seen.duration.sum_ns);
        for (us, count) in &seen.response_time.cells {
            *self.cells.entry(*us).or_default() += count;
        }
    }

    /// Ends the stretch when it has lasted for `least` and has enough answers. `refused` of its requests were refused here, which says
    /// nothing of the version.
    pub fn cut(&mut self, now: Timestamp, least: Duration, refused: u64) -> Option<Stretch> {
        let length = now.since(*self.since.get_or_insert(now));
        let unanswered = self.unanswered.saturating_sub(refused);
        if length < least || (self.answered + unanswered < ENOUGH && length < LONGEST) {
            return None;
        }
        let failed = self.erred + unanswered;
        let count: u64 = self.cells.values().sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
        let rank = (count as f64 * SLOW).ceil() as u64;
        let mut before = 0;
        let slow = self.cells.iter().find(|(_, count)| {
            before += **count;
            before >= rank
        });
        let slow = slow.map_or(0.0, |(us, _)| *us as f64 * 1e-6);
        let in_flight = self.busy_ns as f64 * 1e-9 / length.as_secs_f64();
        let answered = self.answered;
        *self = Self { since: Some(now), ..Self::default() };
        (count > 0).then_some(Stretch { length, answered, failed, in_flight, slow })
    }
}

/// How a version usually answers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usual {
    /// The 90th percentile of its response times, in seconds.
    slow: f64,
    /// The share of its requests that fail.
    failing: f64,
}

/// The most that went well.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Best {
    /// Requests per second and usable endpoint.
    rate: f64,
    /// Requests in flight per usable endpoint.
    in_flight: f64,
    /// How many endpoints were usable then.
    endpoints: u32,
    /// Whether less went badly since.
    waned: bool,
}

/// Whether a version can take what is to come, as far as it has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// It has shown that it can.
    Enough,
    /// It was never asked for so much, and nothing says that it cannot.
    Unproven,
    /// It has fewer usable endpoints than when it took its most, or less went badly since: it cannot.
    Short,
    /// It has answered nothing yet.
    Unknown,
}

impl Room {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Enough, Self::Unproven, Self::Short, Self::Unknown];

    /// Returns the label used in metrics and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Unproven => "unproven",
            Self::Short => "short",
            Self::Unknown => "unknown",
        }
    }
}

/// What a version has shown beside what it is to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Whether it can take it.
    pub room: Room,
    /// What it is to take, in requests per second.
    pub asked: f64,
    /// What so many endpoints have shown that they take, in requests per second; absent where nothing is known.
    pub shown: Option<f64>,
    /// How many of its endpoints are usable now.
    pub endpoints: u32,
}

impl fmt::Display for Forecast {
    /// Says it as a sentence that begins with the version's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, asked, shown, endpoints } = self;
        let with = format!("{endpoints} usable endpoint{}", if *endpoints == 1 { "" } else { "s" });
        let shown = shown.unwrap_or_default();
        match room {
            Room::Enough => write!(f, "can take the {asked:.0} requests/s: {with} have shown {shown:.0}"),
            Room::Unproven => write!(f, "was never asked for {asked:.0} requests/s: {with} have shown {shown:.0}"),
            Room::Short => write!(f, "cannot take the {asked:.0} requests/s: {with} have shown no more than {shown:.0}"),
            Room::Unknown => write!(f, "has answered too little to say whether it can take {asked:.0} requests/s with {with}"),
        }
    }
}

/// What a version has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capacity {
    usual: Option<Usual>,
    best: Option<Best>,
}

impl Capacity {
    /// Learns from a stretch in which `endpoints` were usable.
    pub fn learn(&mut self, stretch: &Stretch, endpoints: u32) {
        let each = 1.0 / f64::from(endpoints.max(1));
        let (rate, in_flight) = (stretch.rate() * each, stretch.in_flight * each);
        let was_well = self.is_as_usual(stretch);
        let usual = self.usual.get_or_insert(Usual { slow: stretch.slow, failing: stretch.failing() });
        usual.slow += (stretch.slow.min(usual.slow * AS_USUAL) - usual.slow) * WEIGHT;
        usual.failing += (stretch.failing() - usual.failing) * WEIGHT;
        let best = self.best.get_or_insert(Best { rate, in_flight, endpoints, waned: false });
        if was_well {
            if rate > best.rate {
                (best.rate, best.endpoints, best.waned) = (rate, endpoints, false);
            }
            best.in_flight = best.in_flight.max(in_flight);
        } else if rate < best.rate {
            (best.rate, best.waned) = (rate.max(best.rate * WANING), true);
        }
    }

    /// Says whether a version answers about as it usually does; what is usual is not known before the first stretch.
    #[must_use]
    pub fn is_as_usual(&self, stretch: &Stretch) -> bool {
        let [failing, _] = FAILING;
        self.usual.is_none_or(|usual| stretch.slow <= usual.slow * AS_USUAL && stretch.failing() <= usual.failing + failing)
    }

    /// Says whether a version is overrun.
    #[must_use]
    pub fn is_overrun(&self, stretch: &Stretch) -> bool {
        let [_, failing] = FAILING;
        self.usual.is_some_and(|usual| stretch.slow > usual.slow * OVERRUN || stretch.failing() > usual.failing + failing)
    }

    /// Says whether so many endpoints can take `asked` requests per second.
    #[must_use]
    pub fn forecast(&self, asked: f64, endpoints: u32) -> Forecast {
        let shown = self.best.map(|best| best.rate * f64::from(endpoints));
        let room = match (self.best, shown) {
            (Some(_), Some(shown)) if asked <= shown * SLACK => Room::Enough,
            (Some(best), Some(_)) if endpoints < best.endpoints || best.waned => Room::Short,
            (Some(_), Some(_)) => Room::Unproven,
            _ => Room::Unknown,
        };
        Forecast { room, asked, shown, endpoints }
    }

    /// Returns how many requests so many endpoints may hold at once: twice as many as they held on average when they took their most,
    /// so that none waits for longer than it is served, and room for chance; `None` where nothing is known.
    #[must_use]
    pub fn most(&self, endpoints: u32) -> Option<u32> {
        let mean = self.best?.in_flight * f64::from(endpoints);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let most = (AS_USUAL * mean + 4.0 * mean.sqrt()).ceil() as u32;
        Some(most.max(endpoints).max(1))
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
