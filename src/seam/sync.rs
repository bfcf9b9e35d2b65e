//! The atomics of the seam, in one place so that a model checker can put its own in their stead.

pub use std::sync::Arc;
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
