//! How reading the configuration again went; written by whoever reads it, read at exposition.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::seam::clock::unix_seconds;

/// How reading the configuration again went. The start counts as the first success.
#[derive(Debug)]
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// In seconds since 1970.
    last_success: AtomicU64,
    /// 1 while the last one was a success.
    good: AtomicU64,
}

impl Default for Reloads {
    fn default() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_success: AtomicU64::new(unix_seconds()),
            good: AtomicU64::new(1),
        }
    }
}

impl Reloads {
    /// Counts one that replaced the configuration, or found nothing to replace.
    pub fn succeeded(&self) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.last_success.store(unix_seconds(), Ordering::Relaxed);
        self.good.store(1, Ordering::Relaxed);
    }

    /// Counts one that changed nothing, because the configuration could not be used.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.good.store(0, Ordering::Relaxed);
    }

    /// Returns how many succeeded, how many failed, when the last one succeeded in seconds since 1970, and 1 if it was the last.
    #[must_use]
    pub fn figures(&self) -> [u64; 4] {
        [&self.succeeded, &self.failed, &self.last_success, &self.good].map(|count| count.load(Ordering::Relaxed))
    }
}
