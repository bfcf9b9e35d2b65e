//! The rollout machine: a plan, phases, and handle(now, event) -> effects.

pub mod plan;

pub use plan::{InvalidPlan, Plan, Step};
