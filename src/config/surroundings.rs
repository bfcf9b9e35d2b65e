//! What a configuration needs to know of the machine: handed in, so that a test can say otherwise.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;

/// The machine as the configuration sees it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// How many cores there are, the default number of workers.
    pub cores: usize,
    /// Returns an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Resolves `host:port`.
    pub resolve: &'a dyn Fn(&str) -> io::Result<Vec<SocketAddr>>,
    /// Whether the program was built so that it can send traces.
    pub sends_traces: bool,
    /// Whether the program was built so that it can watch a cluster.
    pub watches_clusters: bool,
}

impl Surroundings<'static> {
    /// Returns this machine. Resolving blocks for as long as the system's resolver does.
    #[must_use]
    pub fn real() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            variable: &|name| env::var_os(name),
            resolve: &|address| address.to_socket_addrs().map(Iterator::collect),
            sends_traces: cfg!(feature = "otlp"),
            watches_clusters: cfg!(feature = "kubernetes"),
        }
    }
}
