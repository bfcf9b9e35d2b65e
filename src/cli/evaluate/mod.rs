//! `portcullis evaluate`: grades a file of measured values by a gate file and prints the result as JSON.

mod analysis;
mod command;
mod files;
mod metrics;
mod perfspec;
mod slo;

pub use command::{EvaluateArgs, run};
