//! Keeps the certificates of the listeners current: reads their files again and again, and swaps what has changed.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::formats::problem::Problem;
use crate::formats::tls::{self, TlsFiles};

/// The configuration that new connections of a listener are encrypted with.
pub type TlsSlot = Arc<ArcSwap<ServerConfig>>;

/// When the first certificate of a listener expires, in seconds since 1970; `u64::MAX` where that is unknown. Written when files
/// were read, read at exposition.
pub type Expiry = Arc<AtomicU64>;

/// How often the files are looked at without being asked to.
const PERIOD: Duration = Duration::from_secs(5);

/// A listener's files and what was made of them.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    slot: TlsSlot,
    expiry: Expiry,
    /// Of the contents that were last tried, good or bad.
    tried: Option<u64>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Returns the first file that cannot be used, and how to mend it.
    pub fn load(files: TlsFiles) -> Result<Self, Box<Problem>> {
        let tried = Some(digest(&files));
        let slot = Arc::new(ArcSwap::from_pointee(tls::server(&files)?));
        let expiry = Arc::new(AtomicU64::new(expiry(&files)));
        Ok(Self { files, slot, expiry, tried })
    }

    /// Returns where the current configuration is found.
    #[must_use]
    pub fn slot(&self) -> TlsSlot {
        Arc::clone(&self.slot)
    }

    /// Returns where it is found when the first certificate in use expires.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        Arc::clone(&self.expiry)
    }

    /// Lets the next refresh read the files whatever is in them.
    pub fn forget(&mut self) {
        self.tried = None;
    }

    /// Reads the files again if their contents have changed; says whether new ones are in use.
    ///
    /// # Errors
    ///
    /// Returns the first file that cannot be used; what was in use stays so.
    pub fn refresh(&mut self) -> Result<bool, Box<Problem>> {
        let now = Some(digest(&self.files));
        if now == self.tried {
            return Ok(false);
        }
        self.tried = now;
        self.slot.store(Arc::new(tls::server(&self.files)?));
        self.expiry.store(expiry(&self.files), Ordering::Relaxed);
        Ok(true)
    }
}

fn expiry(files: &TlsFiles) -> u64 {
    tls::expiry(files).unwrap_or(u64::MAX)
}

/// Sums up the contents of the files; one that cannot be read counts as such.
fn digest(files: &TlsFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in files.paths() {
        std::fs::read(path).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Refreshes every few seconds and whenever asked to, until nobody can ask any more.
pub fn watch(mut all: Vec<Certificates>, asked: &Receiver<()>) {
    loop {
        let forced = match asked.recv_timeout(PERIOD) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for certificates in &mut all {
            if forced {
                certificates.forget();
            }
            match certificates.refresh() {
                Ok(true) => tracing::info!("new certificates are in use"),
                Ok(false) => {}
                Err(problem) => tracing::error!("the certificates in use stay: {problem}"),
            }
        }
    }
}
