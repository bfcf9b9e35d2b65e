//! `portcullis report`: one rollout as a page that stands alone, and `portcullis history`: the same as tables.

mod command;
mod growth;
mod html;
mod page;
mod past;
mod plot;
mod tables;

pub use command::{HistoryArgs, ReportArgs, history, report};
