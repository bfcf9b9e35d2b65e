//! How many requests a stable version that gets everything back may hold at once, while that is bounded.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::domain::way_back::capacity::{Capacity, Stretch};
use crate::domain::way_back::rule::Terms;

/// What an overrun version may still hold, as a share of what it might before.
const LESS: f64 = 0.7;
/// What a version that answers as usual while requests are refused may hold, likewise.
const MORE: f64 = 1.25;
/// After how long without a refusal nothing need be refused any more.
const QUIET: Duration = Duration::from_secs(10);

/// How the shedding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing had to be refused for a while.
    Quiet,
    /// Its time was over, and requests were refused until then.
    Late,
}

/// The bound on what stable holds, for a while.
///
/// It begins with what the version has shown. Where that is learned it follows what happens: less while the version is overrun, more
/// while it answers as usual although requests are refused, as when it is scaled up again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shedding {
    most: u32,
    least: u32,
    is_learned: bool,
    ends: Timestamp,
    last_refusal: Timestamp,
}

impl Shedding {
    /// Begins at `now` for a version of which so many endpoints are usable; `None` where nothing is known to bound it by.
    #[must_use]
    pub fn begin(terms: Terms, capacity: &Capacity, endpoints: u32, now: Timestamp) -> Option<Self> {
        let most = terms.most.or_else(|| capacity.most(endpoints))?;
        let least = endpoints.max(1);
        Some(Self { most, least, is_learned: terms.most.is_none(), ends: now + terms.lasts, last_refusal: now })
    }

    /// Goes on at `now` as it was elsewhere, for so much longer. What the version has shown is not known here, so the bound stays as it is.
    #[must_use]
    pub fn inherited(most: u32, left: Duration, now: Timestamp) -> Self {
        Self { most, least: 1, is_learned: false, ends: now + left, last_refusal: now }
    }

    /// Returns how many requests the version may hold.
    #[must_use]
    pub const fn most(&self) -> u32 {
        self.most
    }

    /// Returns when it is over at the latest.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Takes in that so many requests were refused until now since the last time.
    pub fn refused(&mut self, refused: u64, now: Timestamp) {
        if refused > 0 {
            self.last_refusal = now;
        }
    }

    /// Follows what the version did in a stretch in which so many requests were refused.
    pub fn follow(&mut self, stretch: &Stretch, refused: u64, capacity: &Capacity) {
        if !self.is_learned {
            return;
        }
        let factor = match (capacity.is_overrun(stretch), capacity.is_as_usual(stretch)) {
            (true, _) => LESS,
            (false, true) if refused > 0 => MORE,
            _ => return,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let next = (f64::from(self.most) * factor) as u32;
        self.most = if factor > 1.0 { next.max(self.most.saturating_add(1)) } else { next.max(self.least).min(self.most) };
    }

    /// Says whether and how it is over.
    #[must_use]
    pub fn end(&self, now: Timestamp) -> Option<End> {
        let quiet = now.since(self.last_refusal);
        match now >= self.ends {
            true if quiet < Duration::from_secs(1) => Some(End::Late),
            true => Some(End::Quiet),
            false => (quiet >= QUIET).then_some(End::Quiet),
        }
    }
}

#[cfg(test)]
#[path = "shedding_tests.rs"]
mod tests;
