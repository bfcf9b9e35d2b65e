//! The rollout machine: a plan, phases, and handle(now, event) -> effects.

pub mod event;
pub mod machine;
pub mod outlook;
pub mod plan;
pub mod record;
#[cfg(test)]
mod record_tests;
pub mod schedule;

pub use event::{Arming, Dated, Effect, Event, View};
pub use machine::Rollout;
pub use plan::{Approval, Plan, Step};
pub use record::{Entry, Phase, Record, ServiceState};
pub use schedule::{Ramp, Schedule, Start};
