//! The control plane: drains observations, judges, decides and applies effects in the safe order.
//!
//! One thread, no async. It wakes on reports and commands and at least every 100 ms; the data plane does not wait for it, and
//! takes a share back without it.

mod active;
mod arming;
pub mod bequest;
pub mod command;
pub mod controller;
pub mod endpoints;
pub mod inquiry;
mod offers;
mod orders;
mod queue;
pub mod quiet;
mod reconfigure;
pub mod restore;
pub mod service;
pub mod setup;
pub mod shell;
mod shown;
pub mod status;
pub mod terms;
mod traffic;
pub mod way_back;
