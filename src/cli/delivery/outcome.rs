//! How a command ends, and what it reads out of an answer.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::cli::remote::RemoteError;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undone {
    /// The proxy did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Something is wrong on this side; the sentence says what and how to mend it.
    #[error("{0}")]
    Here(String),
}

/// Ends a command: prints its sentence, or why there is none.
pub(super) fn end(done: Result<String, Undone>) -> ExitCode {
    match done {
        Ok(text) => match std::io::stdout().lock().write_all(harmless(&text).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: cannot write the answer: {error}");
                exit::REFUSED.end()
            }
        },
        Err(why) => {
            let text = why.to_string();
            // Problems of a file say by themselves that they are errors.
            let word = if text.starts_with("error: ") { "" } else { "error: " };
            eprintln!("{word}{}", harmless(&text));
            exit::REFUSED.end()
        }
    }
}

/// Returns a text of an answer, empty where it is none.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a list of an answer.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
