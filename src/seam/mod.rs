//! Where the planes meet: the clock, the routing table, samples, recorders and the tripwire cell.
//!
//! Routes go down: the controller publishes a [`table::Table`] through [`routes::Routes`]. Measurements come up: workers
//! send [`report::Report`]s. Between evidence and effect stands only [`tripwire::Trial`], shared by all.

pub mod access;
pub mod choice;
pub mod clock;
pub mod endpoints;
pub mod keys;
pub mod reach;
pub mod record;
pub mod recorder;
pub mod report;
pub mod routes;
pub mod sample;
pub mod spacing;
pub mod sync;
pub mod table;
mod tally;
pub mod token;
pub mod trace;
pub mod tripwire;
pub mod valve;
