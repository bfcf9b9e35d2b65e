//! What the operator may set of the data plane, with the secure defaults.

use std::time::Duration;

use ipnet::IpNet;

use crate::domain::timeouts::Timeouts;

/// The largest head of a request or response, in bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// The most fields a head may have.
pub const MAX_FIELDS: usize = 100;
/// The longest request target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// The longest field value, in bytes.
pub const MAX_VALUE: usize = 16 * 1024;
/// The most informational answers before a final one.
pub const MAX_INFORMATIONAL: u32 = 16;
/// The longest an idle upstream connection is kept; below the keep-alive of common servers.
pub const POOL_IDLE: Duration = Duration::from_secs(3);
/// The most idle connections per worker and endpoint.
pub const POOL_SIZE: usize = 64;

/// The data plane's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted: Vec<IpNet>,
    /// Whether bare LF, and Content-Length together with Transfer-Encoding, are refused.
    pub strict: bool,
    /// The most client connections per worker.
    pub connections: usize,
    /// The name in `Via` and `Proxy-Status`, different for every instance so that loops are told from chains.
    pub pseudonym: String,
}
