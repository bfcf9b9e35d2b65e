//! Anytime-valid sequential tests of a version's requests, alone and against the stable version, and what plans rest on.
//!
//! All evidence is kept as the natural logarithm of an e-value (`log_e`). An e-process E satisfies E\[E_τ\] ≤ 1 at
//! every stopping time under its null, so by Ville's inequality P(ever E ≥ 1/α) ≤ α, whatever the stopping.

pub mod binomial;
pub mod bounds;
pub mod censored;
pub mod chained;
pub mod chained_mean;
pub mod changepoint;
pub mod counts;
mod crossing;
pub mod exceedance;
pub mod gates;
pub mod grid;
pub mod mean;
pub mod parameter;
pub mod planning;
pub mod projection;
pub mod quantile;
pub mod special;
pub mod two_arm;

#[cfg(test)]
mod false_alarms;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vectors;

pub use counts::Counts;
pub use parameter::ParameterError;
