//! Reads a file that a key of the configuration names.

use std::path::Path;

use crate::config::file::read_text;
use crate::config::values::located;
use crate::formats::yaml::place::{At, Report};

/// Returns the name and the text of a file; reports why where that fails.
pub(super) fn content(what: &str, text: &At<String>, base: &Path, report: &Report<'_>) -> Option<(String, String)> {
    let path = located(text, base);
    let name = path.display().to_string();
    match read_text(&path) {
        Ok(content) => Some((name, content)),
        Err(problem) => {
            report.error(&text.place, format!("the {what} {name} is of no use: {}", problem.message), problem.hint.unwrap_or_default());
            None
        }
    }
}
