//! Connections to versions: an own small HTTP/1.1 client, and one pool per version and worker, so that a sick version cannot
//! starve the other.
//!
//! There is no task and no channel between a request and its upstream socket: the request's own future writes, reads and
//! decodes. Heads are parsed by httparse; what is ambiguous is refused and charged to the version.

mod balance;
mod connect;
mod download;
pub mod endpoints;
mod exchange;
mod head;
mod pool;
mod send;
mod slot;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

pub use download::Download;
pub use pool::{Pool, Pools};
pub use send::{Failed, Parcel, Reply, resend, send};
