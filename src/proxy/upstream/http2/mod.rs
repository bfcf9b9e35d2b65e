//! The HTTP/2 client: a few connections for each endpoint, which all requests of a worker share.
//!
//! Each connection is a task of its own; a request's own future sends and receives on its stream, as far as the flow control of both
//! sides lets it.

pub mod download;
pub mod exchange;
pub mod lane;
pub mod lanes;
