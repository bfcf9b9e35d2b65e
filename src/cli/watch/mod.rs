//! `portcullis watch`: follows a rollout live until it is over.

mod command;
mod feed;
mod lines;
mod picture;
mod view;

pub use command::{WatchArgs, run};
