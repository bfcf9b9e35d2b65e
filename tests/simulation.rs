//! Every scenario file with few runs of each: whole rollouts in virtual time, against the figures its file states.
//!
//! `portcullis simulate tests/simulation/scenarios/*.toml` runs them in full. `PORTCULLIS_SEED=N` replays the runs of one seed,
//! `PORTCULLIS_RUNS=N` makes so many of each. A million runs of chaos:
//! `portcullis simulate tests/simulation/scenarios/chaos.toml --runs 1000000`. Where each invariant is checked:
//! `tests/simulation/invariants.md`.

#![cfg(test)]

#[path = "simulation/files.rs"]
mod files;
#[path = "simulation/invariants.rs"]
mod invariants;
#[path = "simulation/spread.rs"]
mod spread;
