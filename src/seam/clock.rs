//! The only reader of clocks: monotonic time for decisions, wall time for people.

use std::time::{Duration, Instant};

use crate::domain::time::Timestamp;

/// The process's monotonic clock; every copy counts from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self { base: Instant::now() }
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.base.elapsed()
    }

    /// Returns the instant at which the clock shows `at`, for timers; far in the future when it never does.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        let far = Duration::from_secs(365 * 86_400);
        let offset = Duration::from_nanos(at.as_nanos()).min(far);
        self.base.checked_add(offset).unwrap_or(self.base)
    }
}

/// Returns the wall clock in seconds since 1970, for people and for the expiry of what was signed elsewhere.
#[must_use]
pub fn unix_seconds() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

/// Returns the wall clock in milliseconds since 1970, for charts that people look at.
#[must_use]
pub fn unix_millis() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Returns the wall clock in nanoseconds since 1970, for what is put beside others' records of the same moment.
#[must_use]
pub fn unix_nanos() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// Returns the wall clock as RFC 3339 text in UTC with milliseconds, for logs and the journal only.
#[must_use]
pub fn wall() -> String {
    wall_before(Duration::ZERO)
}

/// Returns what [`wall`] would have returned so long ago, by the present clock.
#[must_use]
pub fn wall_before(ago: Duration) -> String {
    let now = jiff::Timestamp::now();
    format!("{:.3}", now.checked_sub(ago).unwrap_or(now))
}
