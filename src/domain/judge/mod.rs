//! The judge of a rollout: fed with the requests of both arms, it says what brakes, what is final, what passes and what is missing.
//!
//! It reads no clock and keeps no history: every event of a request updates counts, and a tick looks at open blocks only.

pub mod arms;
mod baseline;
mod blocks;
mod bounds;
mod brake;
pub mod budget;
mod case;
mod confirm;
mod history;
mod judging;
mod order;
mod pairs;
mod pass;
mod rate;
mod score;
mod settle;
mod standing;
pub mod status;
mod terms;
mod words;

pub use arms::Arm;
pub use budget::Budget;
pub use judging::Judge;
pub use score::OVERDUE;
pub use status::{Count, GateStatus, Judgement, WireCount};

#[cfg(test)]
mod chance_tests;
#[cfg(test)]
mod course_tests;
#[cfg(test)]
mod drive;
#[cfg(test)]
mod naive_tests;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod traps_tests;
