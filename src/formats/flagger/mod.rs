//! Reads the `analysis` block of a Flagger Canary: its metrics become gates, its weights a plan.

mod metrics;
mod reader;
#[cfg(test)]
mod tests;
mod weights;

pub use reader::{Loaded, read};
