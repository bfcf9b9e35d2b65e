//! Where the results of simulations and replays go, and why there may be none.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::formats::problem::Problem;

/// Why nothing was simulated, or not all of it.
pub(super) enum Stop {
    /// Files have errors.
    BadFile(Vec<Problem>),
    /// Something else failed; the text says what and how to mend it.
    Failed(String),
}

/// Opens the file before anything runs, so that a wrong path costs no time; what it holds is kept until then.
pub(super) fn open(path: &Path) -> Result<File, Stop> {
    File::options().create(true).append(true).open(path).map_err(|error| unwritable(path, &error))
}

/// Replaces what the file holds.
pub(super) fn write_json(path: &Path, mut file: File, value: &impl serde::Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value).map_err(|error| unwritable(path, &error.into()))?;
    file.set_len(0).and_then(|()| writeln!(file, "{text}")).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Stop {
    Stop::Failed(format!("error: cannot write {}: {error}\n  hint: choose a file in a writable folder with --json", path.display()))
}

pub(super) fn print(text: &str) -> Result<(), Stop> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| {
        Stop::Failed(format!("error: cannot write the result: {error}\n  hint: send the output to a file or a reader that stays"))
    })
}
