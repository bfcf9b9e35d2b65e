//! The delivery of artifacts through the stages of their projects: carries out what the pure machine of
//! [`crate::domain::delivery`] decides.
//!
//! One thread with an engine that owns a machine per service. What takes time runs beside it and comes back as an event:
//! deployments, health checks, tests, rollouts. What was decided is durable before anything goes forward, so a kill at any
//! moment is followed by the same steps again or by the way back, never by a promotion that nothing has earned.

mod answer;
mod beside;
mod deployer;
mod digest;
mod effects;
mod engine;
mod evaluation;
mod external;
mod gate_file;
mod http;
mod intake;
mod judge;
mod kept;
mod kubernetes;
mod letters;
mod life;
mod logs;
mod message;
mod monitoring;
mod opened;
mod past;
mod plane;
mod process;
mod processes;
mod projects;
mod pulse;
mod registries;
mod replays;
mod resource;
mod restore;
mod script;
mod sinks;
mod sourced;
mod spot;
mod telling;
mod token;
mod trial;
mod wanted;
mod workload;
mod yard;

pub use engine::{Engine, Parts};
pub use life::Told;
pub use message::{Ask, Asked, Authorization, Desk, Envelope, Monitor, Problem, Provider, Scheme, Spotted};
pub use plane::{Ground, Maker};
pub use pulse::Pulse;
pub use wanted::Wanted;
