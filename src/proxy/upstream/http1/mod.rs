//! The HTTP/1.1 client: one exchange after the other over a connection, read and written by the request's own future.

pub mod download;
pub mod exchange;
pub mod head;
