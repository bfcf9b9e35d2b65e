//! The commands of the pipeline, as keptn had them: `create project`, `onboard service`, `add-resource`, `send event`, `get`.
//!
//! Each asks the admin listener of a running proxy and prints what it answered. Exit code: 0 when it was done, 2 when the proxy
//! did not answer or refused, 3 when an artifact that was waited for did not pass.

mod files;
mod get;
mod project;
mod send;
mod story;

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::figures::harmless;
use crate::cli::remote::RemoteError;

pub use files::{AddResourceArgs, add_resource};
pub use get::{Get, get};
pub use project::{Create, DecideArgs, Onboard, create, decide, onboard};
pub use send::{Send, send};

/// The exit code when nothing was done.
const FAILED: u8 = 2;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
enum Undone {
    /// The proxy did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Something is wrong on this side; the sentence says what and how to mend it.
    #[error("{0}")]
    Here(String),
}

/// Ends a command: prints its sentence, or why there is none.
fn end(done: Result<String, Undone>) -> ExitCode {
    match done {
        Ok(text) => match std::io::stdout().lock().write_all(harmless(&text).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: cannot write the answer: {error}");
                ExitCode::from(FAILED)
            }
        },
        Err(why) => {
            eprintln!("error: {}", harmless(&why.to_string()));
            ExitCode::from(FAILED)
        }
    }
}

/// Returns a text of an answer, empty where it is none.
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a list of an answer.
fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
