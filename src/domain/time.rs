//! Monotonic time as the domain sees it: nanoseconds since an arbitrary start, always handed in from outside.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the process's monotonic clock, in nanoseconds since the process began.
///
/// It has no relation to the wall clock and no meaning in another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// A moment that is never reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// Makes a timestamp from nanoseconds since the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time that passed since `earlier`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", Duration::from_nanos(self.0).as_secs_f64())
    }
}

/// Returns `duration` in whole nanoseconds, saturated at `u64::MAX` (584 years).
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes a duration the way people say it: `1 s`, `800 ms`, `1.5 s`, `250 µs`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let (value, unit) = if ns >= 1_000_000_000 {
        (duration.as_secs_f64(), "s")
    } else if ns >= 1_000_000 {
        (duration.as_secs_f64() * 1e3, "ms")
    } else if ns >= 1_000 {
        (duration.as_secs_f64() * 1e6, "µs")
    } else {
        return format!("{ns} ns");
    };
    let text = format!("{value:.3}");
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        let cases = [(1_000_000_000, "1 s"), (800_000_000, "800 ms"), (1_500_000_000, "1.5 s"), (250_000, "250 µs"), (17, "17 ns")];
        for (ns, text) in cases {
            assert_eq!(human(Duration::from_nanos(ns)), text);
        }
    }

    #[test]
    fn since_never_goes_below_zero() {
        let early = Timestamp::from_nanos(5);
        let late = Timestamp::from_nanos(9);
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
