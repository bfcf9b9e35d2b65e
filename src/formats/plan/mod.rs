//! How a canary's share grows, as configurations and shipyards have it: a ramp, or steps one by one.

mod approval;
mod compile;
mod spec;

pub use compile::compile;
pub use spec::{PlanSpec, RampSpec};
