//! Whole rollouts in virtual time: the domain's machine and judge, the seam's trial, a shell that plays workers, network and disk.
//!
//! No socket, no thread, no clock: a run is a function of its set-up and its seed, and every failure prints the seed.
//! `PORTCULLIS_SEED=N` replays one seed in each scenario in place of all.

#![cfg(test)]

#[path = "simulation/alarms.rs"]
mod alarms;
#[path = "simulation/chaos.rs"]
mod chaos;
#[path = "simulation/controller.rs"]
mod controller;
#[path = "simulation/restart.rs"]
mod restart;
#[path = "simulation/scenarios.rs"]
mod scenarios;
#[path = "simulation/setup.rs"]
mod setup;
#[path = "simulation/spread.rs"]
mod spread;
#[path = "simulation/world.rs"]
mod world;
