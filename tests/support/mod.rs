//! What tests on real sockets share: a strict reader, a scripted upstream, a raw client, and the real workers in this process.

pub mod client;
pub mod frames;
pub mod message;
pub mod multiplexed;
pub mod proxy;
pub mod upstream;

use std::time::{Duration, Instant};

/// The longest a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `ready` returns something, trying again after short pauses, and fails with `what` after [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
