//! Connections to versions: one pool per version and worker, so that a sick version cannot starve the other.

mod connect;
mod pool;
mod send;

pub use pool::{Lease, Pool, Pools};
pub use send::{Reply, send};
