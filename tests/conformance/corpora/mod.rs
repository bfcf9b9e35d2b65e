//! The corpora of `tests/data/corpora` against the built program: 216 requests, the same split in every way, and 50 answers.
//!
//! Each test keeps its column of [`RESULTS.md`](../RESULTS.md) current; the README beside that file says how to renew it.

mod answers;
mod data;
mod judge;
pub mod lane;
mod requests;
mod splits;
mod table;
