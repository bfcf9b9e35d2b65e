//! Reads a small text file, and says how to mend it where that fails.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::formats::problem::Problem;

/// The largest configuration or gate file, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Reads a text file of at most 1 MiB, without the byte order mark some editors write.
///
/// # Errors
///
/// Fails with the problem and how to mend it.
pub fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let name = path.display().to_string();
    let wrong = |message: String, hint: &str| Box::new(Problem::error(&name, "", message).with_hint(hint));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let hint = match error.kind() {
            ErrorKind::NotFound => "see that the path is right; it is relative to the working directory",
            ErrorKind::PermissionDenied => "make the file readable for this user",
            ErrorKind::IsADirectory => "name a file in the folder",
            _ => "see that the file can be read",
        };
        return Err(wrong(format!("cannot read the file: {error}"), hint));
    }
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(wrong("the file is larger than 1 MiB".to_owned(), "see that it is the right file"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).map(String::from_utf8_lossy).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
            let problem = wrong("the file is not UTF-8".to_owned(), "save it as UTF-8");
            Err(Box::new(problem.at(&String::from_utf8_lossy(error.as_bytes()), line, column)))
        }
    }
}
