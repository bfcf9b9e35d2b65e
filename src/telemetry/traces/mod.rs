//! Traces of sampled requests for a collector: OTLP over HTTP, in the JSON encoding of the protocol.
//!
//! The encoding is small and documented, and sampled spans are few, so that neither protobuf nor an SDK is worth its crates: nothing
//! here is seen by a request, which has left its record in a bounded queue and gone on.

mod encode;
mod export;

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod export_tests;

pub use encode::Instance;
pub use export::{Exporter, Pace};
