//! One rollout in virtual time: the data plane's workers, the network and the disk around the real control plane.
//!
//! [`control`] is the one place that touches `control`'s service, [`flight`] the one that touches the tripwire. What is played
//! here is what sockets, timers and threads do in production.

mod chaos;
mod control;
mod desk;
mod flight;
mod ledger;
mod life;
mod others;
mod plane;
mod witness;

pub use life::{run, run_for_seed, seed_in_progress};
