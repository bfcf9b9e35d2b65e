//! What the workers count of what no version owns.

use std::sync::atomic::AtomicU64;

use crate::proxy::intercept::{Refused, Spoken};
use crate::proxy::scan::Flood;
use crate::proxy::tunnel::Kind;

/// Counters of the data plane that no version owns; written by workers, read at exposition.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests refused before a version was picked.
    pub refused: AtomicU64,
    /// Workers that accept connections.
    pub accepting: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections that one worker accepted and handed over to another.
    pub handed: AtomicU64,
    /// Connections open.
    pub open: AtomicU64,
    /// Connections that wait for a request and hold nothing that only a request needs.
    pub resting: AtomicU64,
    /// Connections turned away because the worker had too many, or could not be accepted.
    pub rejected: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections cut off for a flood of cheap frames, by kind.
    pub floods: [AtomicU64; Flood::ALL.len()],
    /// What became of the requests that were not left to the draw.
    pub choices: Choices,
    /// Connections that carry bytes of a protocol nobody here looks at.
    pub tunnels: Tunnels,
    /// Connections that were on their way elsewhere.
    pub intercepted: Intercepted,
    /// Guards the runtimes of the workers; written once by each at its start, read at exposition.
    pub runtimes: std::sync::Mutex<Vec<tokio::runtime::RuntimeMetrics>>,
}

/// Counters of connections that carry bytes of a protocol nobody here looks at.
#[derive(Debug, Default)]
pub struct Tunnels {
    /// Those that are open.
    pub open: AtomicU64,
    /// Those that began, by kind.
    pub begun: [AtomicU64; Kind::ALL.len()],
}

/// Counters of connections that were redirected here on their way elsewhere.
#[derive(Debug, Default)]
pub struct Intercepted {
    /// Those of which it is known what they speak, by that.
    pub begun: [AtomicU64; Spoken::ALL.len()],
    /// Those that were not carried on, by reason.
    pub refused: [AtomicU64; Refused::ALL.len()],
    /// Requests that no service answers, passed on to where they were going.
    pub passed: AtomicU64,
}

/// Counters of what goes otherwise than by the draw.
#[derive(Debug, Default)]
pub struct Choices {
    /// Requests that forced a version.
    pub forced: AtomicU64,
    /// Tokens that forced nothing: forged, expired, of another service or rollout, or of a version that gets nothing.
    pub force_refused: AtomicU64,
    /// Cookies that were not signed here.
    pub sticky_forged: AtomicU64,
    /// Copies of requests that were sent.
    pub mirrored: AtomicU64,
    /// Copies that were not sent, because there were too many or the body was too long.
    pub mirror_dropped: AtomicU64,
    /// Copies that were not answered in full and in time.
    pub mirror_failed: AtomicU64,
}
