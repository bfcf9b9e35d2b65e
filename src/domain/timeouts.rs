//! How long things may take on the way of a request, with the secure defaults.

use std::time::Duration;

/// The time-outs of the data plane. A configuration gives each at most one hour, and all but `drain` above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to an upstream.
    pub connect: Duration,
    /// From the request sent in full to the response head.
    pub response: Duration,
    /// Between two pieces of a body, in either direction.
    pub body_idle: Duration,
    /// From the first byte of a request head to its last; also for a TLS handshake.
    pub header: Duration,
    /// While the client of a redirected connection says nothing; where it was going is connected to then, and may speak first.
    pub detect: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// While a client takes nothing of what is sent to it.
    pub write_stall: Duration,
    /// How long a connection that carries many requests at once may live; it then ends after those it is at.
    pub connection_age: Duration,
    /// From SIGTERM to the end; 0 cuts requests in flight off.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            body_idle: Duration::from_secs(30),
            header: Duration::from_secs(10),
            detect: Duration::from_millis(100),
            keep_alive: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            connection_age: Duration::from_secs(3600),
            drain: Duration::from_secs(30),
        }
    }
}
