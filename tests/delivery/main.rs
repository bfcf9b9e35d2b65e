//! The delivery of artifacts from outside, by the built program: its story, its refusals, its events, and a kill at every step.
#![cfg(test)]

mod events;
mod files;
mod images;
mod keptn;
mod kill;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
mod refusals;
mod site;
mod sources;
mod story;
