//! Where the values of an indicator come from.
//!
//! A source that is down, slow, broken or empty gives no value and says why; what that is worth is the gate's to say.

pub mod builtin;
pub mod cluster;
pub mod credential;
pub mod dynatrace;
#[cfg(test)]
mod dynatrace_tests;
pub mod endpoint;
#[cfg(test)]
mod endpoint_tests;
mod entity;
mod exchange;
#[cfg(test)]
mod fake;
pub mod judgement;
pub mod mailbox;
mod metric;
pub mod perfspec;
#[cfg(test)]
mod perfspec_tests;
pub mod prometheus;
#[cfg(test)]
mod prometheus_tests;
pub mod registry;
pub mod sli;
#[cfg(test)]
mod sli_tests;
pub mod trouble;
