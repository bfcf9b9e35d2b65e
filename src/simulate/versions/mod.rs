//! How versions behave in a run: what becomes of each request, drawn in the order in which requests begin.

mod latency;
mod pauses;
mod queue;
mod version;

pub use version::{Manner, Version};
