//! The second part of the demo: the seed's pipeline. Three artifacts go from dev to production, or back, by the commands of the
//! README, while ordinary users are in every stage.

mod crowd;
mod report;
mod stage;
mod story;

#[cfg(test)]
pub use report::{Delivered, PROMISED, Users};
pub use report::{Pipeline, Stages, broken};
pub use story::{Course, play};
