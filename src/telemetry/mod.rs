//! What is shown to other systems: logs, the access log and the Prometheus exposition.

pub mod access_log;
pub mod compat;
#[cfg(test)]
mod deploy_tests;
pub mod exposition;
mod figures;
pub mod history;
pub mod lockouts;
pub mod logs;
mod metrics;
mod reach;
pub mod reading;
pub mod reloads;
mod sheet;
pub mod stretch;
#[cfg(feature = "otlp")]
pub mod traces;
mod versions;
