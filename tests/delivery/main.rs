//! The delivery of artifacts from outside, by the built program: its story, its refusals, its events, and a kill at every step.
#![cfg(test)]

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
mod site;
mod story;
