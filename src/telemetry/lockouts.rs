//! Wrong tokens that were brought to the admin listener; counted there, read at exposition.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of wrong tokens and of what came of them.
#[derive(Debug, Default)]
pub struct Lockouts {
    wrong: AtomicU64,
    lockouts: AtomicU64,
    refused: AtomicU64,
}

impl Lockouts {
    /// Counts a wrong token.
    pub fn wrong(&self) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a source that is locked out, or for longer.
    pub fn locked_out(&self) {
        self.lockouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request of a source that is locked out.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many tokens were wrong, how often a source was locked out, and how many requests were refused for it.
    #[must_use]
    pub fn figures(&self) -> [u64; 3] {
        [&self.wrong, &self.lockouts, &self.refused].map(|count| count.load(Ordering::Relaxed))
    }
}
