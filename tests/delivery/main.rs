//! The delivery of artifacts from outside, by the built program: its story, its ways to deploy, its refusals, its events, and a kill at every step.
#![cfg(test)]

mod cluster;
mod decide;
mod events;
mod external;
mod files;
mod images;
mod keptn;
mod kill;
mod kubernetes;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
mod ramps;
mod refusals;
mod restart;
mod site;
mod sources;
mod story;
mod succession;
