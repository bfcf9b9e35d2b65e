//! The load generator: closed and constant-rate, latency from the intended start.
//!
//! A [`Plan`] says who sends what and how fast, a [`Run`] carries it out on a runtime of the caller, and
//! [`Counters`] can be read from any thread meanwhile. It follows no redirects and speaks HTTP/1.1 in clear.
//!
//! # Conservation
//!
//! Every request that was sent ends as exactly one of answered, failed or abandoned:
//! `sent = answered + failed + abandoned + in flight`. *Abandoned* are those this side cut when it was stopped;
//! nobody is blamed for them.

mod background;
mod connection;
mod counters;
mod hook;
mod judgement;
mod plan;
mod run;
pub mod seed;
mod user;

#[cfg(test)]
mod jmeter_cases_tests;
#[cfg(test)]
mod tests;

pub use background::Background;
pub use counters::{Counters, Failure, Latency, Snapshot};
pub use hook::{Hook, ResponseHead};
pub use judgement::{Judgement, Limits, Reason};
pub use plan::{Accept, InvalidRate, Pace, Plan, Rate, Request};
pub use run::Run;
