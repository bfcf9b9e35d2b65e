//! The delivery machine: an artifact goes through the stages of its project, or back; handle(now, event) -> effects.

pub mod artifact;
pub mod course;
pub mod effect;
pub mod event;
pub mod invariants;
pub mod machine;
mod queue;
pub mod record;
pub mod shipyard;
#[cfg(test)]
mod tests;

pub use artifact::{Artifact, InvalidArtifact};
pub use effect::{Announcement, Effect};
pub use event::{Deadlines, Event, RolloutEnd, TestReport, Ticket};
pub use machine::Delivery;
pub use record::{Deployment, Entry, Finished, Lane, Live, Outcome, Phase, Record, Run, Waiting};
pub use shipyard::{
    Approval, Concurrency, Entrance, Gate, InvalidShipyard, Mode, OnWarning, Shipyard, Stage, StageName, Strategy, TestStrategy,
};
