//! Rollouts in the hands of people and other systems: the real program, real versions behind it, and the command line in front.
#![cfg(test)]

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of commands that print an answer")]
mod process;

mod approval;
mod listener;
mod notifications;
mod stand;
mod way_back;
mod webhooks;
