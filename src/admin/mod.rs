//! The admin listener: health, metrics and the rollout API.
//!
//! It has a thread, a runtime and connections of its own, so that it answers while the data plane is saturated; what it
//! shows it reads from the controller's board, and what it is told it hands to the controller.

pub mod body;
pub mod guard;
pub mod health;
pub mod problem;
pub mod rollouts;
pub mod router;
mod seats;
pub mod server;
pub mod state;

#[cfg(test)]
mod tests;
