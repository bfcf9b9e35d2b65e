//! `portcullis load`: sends requests to a server and says how it answered.
//!
//! [`args`] is what was asked for, [`job`] what is sent, [`work`] sends it, [`report`] says what became of it.

mod args;
mod command;
mod hlog;
mod job;
mod progress;
mod report;
mod table;
mod work;

pub use args::LoadArgs;
pub use command::run;
