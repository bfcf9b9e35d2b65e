//! `portcullis why`: tells from the journal what became of a rollout and why, and computes every verdict's evidence again.

mod check;
mod command;
mod source;
mod story;
mod text;

pub use command::{WhyArgs, run};
