//! What the operator may set of the data plane, with the secure defaults.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

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

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to an upstream.
    pub connect: Duration,
    /// From the request sent in full to the response head.
    pub response: Duration,
    /// Between two pieces of a body, in either direction.
    pub body_idle: Duration,
    /// From the first byte of a request head to its last.
    pub header: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// While a client takes nothing of what is sent to it.
    pub write_stall: Duration,
    /// From SIGTERM to the end.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            body_idle: Duration::from_secs(30),
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// The data plane's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
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
