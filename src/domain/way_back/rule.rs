//! What the operator wants done for a stable version that gets everything back.

use std::time::Duration;

/// What is done for a stable version that gets everything back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WayBack {
    /// Nothing: it gets everything at once.
    #[default]
    AtOnce,
    /// It gets everything at once, and what is beyond what it can take is refused for a while.
    Shed(Terms),
    /// It gets everything in steps within this time ([`Recession`]) where people or clocks end a rollout, at once where a gate or the
    /// canary's endpoints do.
    ///
    /// [`Recession`]: crate::domain::way_back::Recession
    Ramp(Duration),
}

/// On what terms requests are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many requests stable may hold over all workers; `None` where that is learned from what it has shown.
    pub most: Option<u32>,
    /// How long requests are refused at most.
    pub lasts: Duration,
}

impl Terms {
    /// How long requests are refused at most where nothing else is configured.
    pub const LASTS: Duration = Duration::from_secs(60);
    /// The shortest and the longest time that may be configured.
    pub const BOUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(600)];
}

impl WayBack {
    /// Returns the word used in the configuration and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::Shed(_) => "shed",
            Self::Ramp(_) => "ramp",
        }
    }

    /// Returns within which time a share goes back in steps; `None` where it never does.
    #[must_use]
    pub const fn recedes_within(self) -> Option<Duration> {
        match self {
            Self::Ramp(within) => Some(within),
            Self::AtOnce | Self::Shed(_) => None,
        }
    }
}
