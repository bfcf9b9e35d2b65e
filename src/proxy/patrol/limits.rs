//! How many rounds things may take.

use std::time::Duration;

use crate::domain::timeouts::Timeouts;
use crate::proxy::settings::{LEAST_UPLOAD, UPLOAD_GRACE};
use crate::proxy::tunnel;

/// The time between two rounds.
pub const ROUND: Duration = Duration::from_millis(100);

/// How many rounds a connection that we closed waits for the client to stop sending, so that it can read our last answer.
pub(super) const LINGER: u32 = 10;

/// The same for a round.
pub(super) const LEAST_PER_ROUND: u64 = LEAST_UPLOAD * ROUND.as_millis() as u64 / 1000;

/// How many rounds an idle connection has to end after it was told that it will.
pub(super) const LAST_WORDS: u32 = 20;

/// Limits in rounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(super) response: u32,
    pub(super) body_idle: u32,
    pub(super) header: u32,
    pub(super) keep_alive: u32,
    pub(super) write_stall: u32,
    /// How long a client may owe its body before it must keep a rate.
    pub(super) upload_grace: u32,
    pub(super) age: u32,
}

impl Limits {
    /// Returns them for a request that may rest as long as a tunnel.
    pub(super) fn of_a_tunnel(&self) -> Self {
        let silence = u32::try_from(tunnel::IDLE.as_millis() / ROUND.as_millis()).unwrap_or(u32::MAX);
        Self { response: silence, body_idle: silence, ..*self }
    }

    /// Converts time-outs into rounds, rounded up.
    #[must_use]
    pub fn new(timeouts: &Timeouts) -> Self {
        let rounds = |d: Duration| u32::try_from(d.as_millis().div_ceil(ROUND.as_millis())).unwrap_or(u32::MAX);
        Self {
            response: rounds(timeouts.response),
            body_idle: rounds(timeouts.body_idle),
            header: rounds(timeouts.header),
            keep_alive: rounds(timeouts.keep_alive),
            write_stall: rounds(timeouts.write_stall),
            upload_grace: rounds(timeouts.body_idle.min(UPLOAD_GRACE)),
            age: rounds(timeouts.connection_age),
        }
    }
}
