//! File formats as pure functions from text to domain values.

pub mod json;
pub mod perfspec;
pub mod problem;
pub mod yaml;
