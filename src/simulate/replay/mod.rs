//! Replays recorded requests through gates: would they have fired, when, at which request, and what would it have cost.
//!
//! Requests count in the order of their starts, and a breach counts when it would have been known: when the limit passed, or
//! with the failure. That is what the proxy does; only requests still in flight at the end of the log are missing from it.
//! Each gate has its share of α in one cumulative test, without a warm-up, without steps, and final at the first trip.

mod answerable;
mod judged;
mod log;
mod replayed;
#[cfg(test)]
mod tests;
mod wired;

pub use answerable::Refused;
pub use log::{Log, MOST};
pub use replayed::{Fired, Replayed};
