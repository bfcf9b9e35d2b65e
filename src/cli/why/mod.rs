//! `portcullis why`: tells from the journal what became of a rollout and why, and computes every verdict's evidence again.

pub(super) mod check;
mod command;
pub(super) mod source;
pub(super) mod story;
mod text;

pub use command::{WhyArgs, run};
