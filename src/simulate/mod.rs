//! Whole rollouts in virtual time: thousands of runs of a scenario through the control and domain code that runs in production.
//!
//! Nothing here opens a socket, starts an upstream or reads a clock. A run is a function of its scenario and its seed; the
//! same seed gives the same bytes, whatever the number of threads. Read [`scenario`] for what can be described, [`world`]
//! for what is simulated, [`report`] for what is told.

pub mod aa;
pub mod chance;
pub mod expect;
pub mod outcome;
pub mod peers;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod traffic;
pub mod versions;
pub mod world;
