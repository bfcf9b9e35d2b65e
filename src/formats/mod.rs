//! File formats as pure functions from text to domain values.

pub mod access_log;
pub mod json;
pub mod perfspec;
pub mod problem;
