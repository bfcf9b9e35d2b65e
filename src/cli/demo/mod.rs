//! `portcullis demo`: the story of a slow version that is taken back and a mended one that is promoted, with real processes.
//!
//! Read [`story`] for what happens on the request path, [`pipeline`] for the way of artifacts through the stages of a project,
//! [`report`] for what must have happened. Everything is measured: nothing here knows
//! in advance how the story ends.

mod admin;
mod children;
mod command;
mod exposition;
mod folder;
mod pipeline;
mod progress;
mod report;
mod scene;
mod story;
mod table;
mod tally;
mod trouble;

pub use command::{DemoArgs, run};
