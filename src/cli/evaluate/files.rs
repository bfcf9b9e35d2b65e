//! The files of one evaluation, why there may be no result, and what a result is.

use std::path::Path;

use serde::Serialize;

use crate::domain::gate::verdict::Verdict;
use crate::formats::problem::Problem;

/// Why there is no result.
pub enum Stop {
    /// A file cannot be read, or the result cannot be written; the text says why.
    Unreadable(String),
    /// The arguments do not fit the gate file; the text says why.
    Usage(String),
    /// Files have errors.
    BadFile(Vec<Problem>),
}

/// A result and what may be worth knowing about the files.
pub struct Outcome {
    /// The verdict, which becomes the exit code.
    pub verdict: Verdict,
    /// The result as JSON.
    pub json: String,
    /// Notes about the files.
    pub notes: Vec<Problem>,
}

impl Outcome {
    /// Makes an outcome of a report.
    ///
    /// # Errors
    ///
    /// Fails when the report cannot be written as JSON.
    pub fn new(verdict: Verdict, report: &impl Serialize, notes: Vec<Problem>) -> Result<Self, Stop> {
        let json = serde_json::to_string_pretty(report);
        let json = json.map_err(|error| Stop::Unreadable(format!("error: cannot write the result: {error}")))?;
        Ok(Self { verdict, json, notes })
    }
}

/// A file that was read.
pub struct File {
    /// Its name as the user gave it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl File {
    /// Reads a file; `what` says in a message what it was wanted for.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read.
    pub fn read(path: &Path, what: &str) -> Result<Self, Stop> {
        let bytes = std::fs::read(path).map_err(|error| {
            Stop::Unreadable(format!(
                "error: cannot read the {what} {}: {error}\n  hint: name a file that exists and that this user may read",
                path.display()
            ))
        })?;
        Ok(Self { name: path.display().to_string(), bytes })
    }

    /// Returns the text of the file.
    ///
    /// # Errors
    ///
    /// Fails with the first place that is not UTF-8.
    pub fn text(&self) -> Result<&str, Vec<Problem>> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let line = self.bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            let message = format!("byte {} is not UTF-8 text", error.valid_up_to() + 1);
            let mut problem = Problem::error(&self.name, "", message).with_hint("save the file as UTF-8");
            problem.line = Some(line);
            vec![problem]
        })
    }
}

/// Adds up the problems of several files: the value of the first, or all problems of both.
pub fn both<A, B>(one: Result<A, Vec<Problem>>, other: Result<B, Vec<Problem>>) -> Result<(A, B), Stop> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err(Stop::BadFile(one.err().into_iter().chain(other.err()).flatten().collect())),
    }
}
