//! How a connection is used: whether requests are at hand, since when not, and when it is to end for that or for its age.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// How long the head of a request may take over HTTP/1.1, and how long a connection may lie idle.
pub const IDLE: Duration = Duration::from_secs(30);
/// How old a connection gets, so that API servers come to new pods too.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// When something last happened on a connection.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    /// Requests at hand. Written by the connection's tasks alone.
    flying: AtomicUsize,
    /// When the last one ended. Written by the connection's tasks alone.
    last: ArcSwap<Instant>,
}

impl Pace {
    /// Begins a connection.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { begun: now, flying: AtomicUsize::new(0), last: ArcSwap::from_pointee(now) }
    }

    /// Returns when it began.
    #[must_use]
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns since when nothing is at hand; `None` while something is.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        (self.flying.load(Ordering::Relaxed) == 0).then(|| **self.last.load())
    }

    /// Returns when it has to be looked at again, or, where that is past, that it is to end.
    #[must_use]
    pub fn due(&self, now: Instant) -> Instant {
        (self.idle_since().unwrap_or(now) + IDLE).min(self.begun + LIFETIME)
    }
}

/// A request at hand.
#[derive(Debug)]
pub struct Flight(Arc<Pace>);

impl Flight {
    /// Begins it.
    #[must_use]
    pub fn begin(pace: &Arc<Pace>) -> Self {
        pace.flying.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pace))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.last.store(Arc::new(Instant::now()));
        self.0.flying.fetch_sub(1, Ordering::Relaxed);
    }
}
