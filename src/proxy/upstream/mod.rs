//! Connections to versions: an own small HTTP/1.1 client, HTTP/2 by the h2 crate, TLS and Unix sockets, and one pool per version and
//! worker, so that a sick version cannot starve the other.
//!
//! Over HTTP/1.1 there is no task and no channel between a request and its upstream socket: the request's own future writes, reads
//! and decodes. Heads are parsed by httparse; what is ambiguous is refused and charged to the version. Over HTTP/2 requests share
//! connections, each of which is a task.

mod balance;
mod bound;
mod connect;
mod dial;
mod download;
pub mod endpoints;
mod exchange;
mod http1;
mod http2;
mod pool;
mod secure;
mod send;
mod slot;
mod socket;
mod tunnel;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

pub use download::Download;
pub use http1::head;
pub use pool::{Pool, Pools};
pub use send::{Parcel, Reply, send};
pub use tunnel::{Tunnel, open};
