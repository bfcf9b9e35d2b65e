//! File formats as pure functions from text to domain values.

pub mod problem;
