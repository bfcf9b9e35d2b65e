//! The load generator: closed and constant-rate, HTTP/1.1 and HTTP/2, in clear and over TLS, latency from the intended start.
//!
//! A [`Script`] says who sends what, how fast, and what follows when it goes wrong; a [`Plan`] is a script without the details, and
//! [`script`] makes one of a JMeter plan. A [`Target`] says where it goes. A [`Run`] carries it out on a runtime of the caller, and
//! [`Counters`] can be read from any thread meanwhile. Each user has a connection of its own to each server.
//!
//! # Conservation
//!
//! Every request that was sent ends as exactly one of answered, failed or abandoned:
//! `sent = answered + failed + abandoned + in flight`. *Abandoned* are those this side cut when it was stopped;
//! nobody is blamed for them. A request with the redirects it was led through counts once, by its last answer.

mod background;
mod client;
mod connection;
mod cookies;
mod counters;
mod endpoint;
mod hook;
mod jmx;
mod judgement;
mod plan;
mod redirect;
mod run;
mod script;
pub mod seed;
mod target;
pub mod tls;
mod user;

#[cfg(test)]
mod jmeter_cases_tests;
#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_server;
#[cfg(test)]
mod wire_tests;

pub use background::Background;
pub use counters::{Counters, Failure, Latency, Snapshot};
pub use endpoint::{Patience, Unreachable, reach};
pub use hook::{Hook, ResponseHead};
pub use jmx::{Terms, Unsupported, script};
pub use judgement::{Judgement, Limits, Reason};
pub use plan::{Accept, InvalidRate, Pace, Plan, Rate, Request};
pub use run::Run;
pub use script::{Group, Numbered, Script, Step};
pub use target::{Origin, Target};
