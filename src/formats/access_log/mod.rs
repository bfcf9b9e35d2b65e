//! Reads lines of Portcullis's own access log: one JSON object per line, as the proxy writes them.
//!
//! The log is not read whole: a caller hands in line after line, so that memory does not grow with the file. Keys that are not
//! needed are skipped; what is needed and cannot be understood is an error that says which key and why.

mod line;

pub use line::{Recorded, read_line};
