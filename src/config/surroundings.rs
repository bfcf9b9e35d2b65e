//! What a configuration needs to know of the machine: handed in, so that a test can say otherwise.

use std::cell::Cell;
use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The machine as the configuration sees it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// How many cores there are, the default number of workers.
    pub cores: usize,
    /// Returns an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Resolves `host:port`.
    pub resolve: &'a dyn Fn(&str) -> io::Result<Vec<SocketAddr>>,
    /// Whether a name that cannot be resolved is awaited, as where a process starts that has nothing else in force, or an error.
    pub awaits_names: bool,
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
            resolve: &system,
            awaits_names: false,
            sends_traces: cfg!(feature = "otlp"),
            watches_clusters: cfg!(feature = "kubernetes"),
        }
    }
}

/// What resolves `host:port`, on a thread of its own.
type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// A resolver that is not waited for for long: once it was late, no name is waited for any more. Names it did not resolve are asked for
/// again once the proxy runs.
pub struct Hurried {
    resolve: Arc<Resolver>,
    patience: Duration,
    late: Cell<bool>,
}

impl Hurried {
    /// Hurries a resolver.
    pub fn new(patience: Duration, resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self { resolve: Arc::new(resolve), patience, late: Cell::new(false) }
    }

    /// Hurries the system's resolver: a process that starts waits for it 5 s at most.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Duration::from_secs(5), system)
    }

    /// Resolves `host:port`.
    ///
    /// # Errors
    ///
    /// Fails as the resolver does, and when it is late.
    pub fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer");
        if self.late.get() {
            return Err(late());
        }
        let (answer, answered) = channel();
        let (resolve, address) = (Arc::clone(&self.resolve), address.to_owned());
        // It ends with its answer, or with the process.
        thread::Builder::new().name("resolver".to_owned()).spawn(move || drop(answer.send(resolve(&address))))?;
        answered.recv_timeout(self.patience).unwrap_or_else(|_| {
            self.late.set(true);
            Err(late())
        })
    }
}

fn system(address: &str) -> io::Result<Vec<SocketAddr>> {
    address.to_socket_addrs().map(Iterator::collect)
}
