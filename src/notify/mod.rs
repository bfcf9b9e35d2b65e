//! Tells people and other systems of each change of a rollout, once each, in the order in which they came about, and asks its
//! webhooks.
//!
//! It reads the journal behind the controller's back and keeps what is still to be told on disk. No decision waits for it, and what
//! it cannot tell is tried again without end, within bounds; a kill at any moment loses nothing and tells nothing twice but the one
//! message that was on its way.

mod courier;
mod message;
mod notifier;
#[cfg(test)]
mod tests;
pub mod webhooks;

pub use courier::{Pace, Receiver};
pub use notifier::Notifier;
