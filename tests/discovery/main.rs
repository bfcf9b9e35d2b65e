//! What a cluster tells of the endpoints of versions: followed, lost and found again, by the part alone and by the whole program.
#![cfg(test)]

mod api;
mod follows;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
mod program;
mod routes;
