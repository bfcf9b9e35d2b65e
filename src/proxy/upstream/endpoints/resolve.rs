//! Who is asked for the addresses of a name: the system, or a test's own resolver.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

/// The addresses of a name, some time later.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

/// Resolves a host name with a port.
pub type Resolve = Rc<dyn Fn(&str, u16) -> Answer>;

/// Returns the system's resolver, which asks on threads of its own.
#[must_use]
pub fn system() -> Resolve {
    Rc::new(|host, port| {
        let name = (host.to_owned(), port);
        Box::pin(async move { tokio::net::lookup_host(name).await.map(Iterator::collect) })
    })
}
