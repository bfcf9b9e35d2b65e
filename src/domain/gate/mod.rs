//! What is measured, the bound on it, and the verdict: criteria, the arithmetic of foreign gate files, verdicts and evidence.

pub mod analysis;
pub mod basis;
pub mod criterion;
pub mod evidence;
pub mod foreign;
pub mod foreign_slo;
pub mod graded;
pub mod language;
#[cfg(test)]
mod language_tests;
pub mod live;
pub mod metrics;
pub mod occasion;
pub mod overlap;
pub mod perfspec;
pub mod policy;
mod quantity;
pub mod query;
pub mod scan;
pub mod slo;
pub mod verdict;

pub use criterion::{Criterion, Gate, Origin, Share};
pub use evidence::Evidence;
pub use policy::{Inconclusive, Policy};
pub use verdict::Verdict;
