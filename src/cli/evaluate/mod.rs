//! `portcullis evaluate`: grades measured values, from a file or from their source, by a gate file and prints the result as JSON.

mod analysis;
mod command;
mod files;
mod live;
mod metrics;
mod perfspec;
mod slo;

pub use command::{EvaluateArgs, run};
