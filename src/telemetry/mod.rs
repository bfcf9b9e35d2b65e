//! What is shown to other systems: logs, the access log and the Prometheus exposition.

pub mod access_log;
pub mod exposition;
pub mod history;
pub mod logs;
mod metrics;
mod reach;
pub mod reloads;
mod sheet;
pub mod stretch;
