//! The seam's tripwire and spacing of probes exactly as they are compiled into the proxy, but over loom's atomics.

/// What `src/seam/sync.rs` is for the proxy.
pub mod sync {
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

#[path = "../../../src/seam/spacing.rs"]
pub mod spacing;
#[path = "../../../src/seam/tripwire.rs"]
pub mod tripwire;

/// Runs a model under every interleaving with at most `preemptions` preemptions, or under all without a bound.
pub fn check(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}
