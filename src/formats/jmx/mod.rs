//! Reads a JMeter plan (`.jmx`) into what is sent: groups of users, their requests, headers, cookies and pauses.
//!
//! What it does not know is named in an error and never left out in silence. It runs nothing.

mod dynatrace;
mod element;
mod expression;
mod group;
mod plan;
mod reader;
mod sampler;
mod scope;

#[cfg(test)]
mod tests;

pub use plan::{Cookies, DynatraceTest, Group, Loops, OnError, Plan, Sampler};
pub use reader::{Options, read};
