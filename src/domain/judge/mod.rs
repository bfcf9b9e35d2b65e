//! The judge of a rollout: fed with the requests of both arms, it says what brakes, what is final, what passes and what is missing.
//!
//! It reads no clock and keeps no history: every event of a request updates counts, and a tick looks at open blocks only.

pub mod arms;
pub mod budget;
mod judging;
pub mod status;

pub use arms::Arm;
pub use budget::Budget;
pub use judging::Judge;
pub use status::{Count, GateStatus, Judgement, WireCount};
