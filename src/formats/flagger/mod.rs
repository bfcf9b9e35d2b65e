//! Reads the `analysis` block of a Flagger Canary: its metrics become gates or ranges of measured values, its weights a plan.

mod evaluation;
mod metrics;
mod reader;
#[cfg(test)]
mod tests;
mod weights;

pub use evaluation::{Evaluated, read_ranges};
pub use reader::{Loaded, read};
