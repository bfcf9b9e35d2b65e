//! One problem of an input file, with its place, a snippet and a hint; how problems are shown to people.

use std::fmt;

use serde::Serialize;

/// Whether a problem stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; the reader should know this.
    Note,
}

/// One thing that is wrong with, or worth knowing about, an input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: String,
    /// The line, counted from 1, where known.
    pub line: Option<usize>,
    /// The column, counted from 1 in characters, where known.
    pub column: Option<usize>,
    /// The path of the key, such as `indicators[0].grading.metricScore`; empty for the whole file.
    pub path: String,
    /// The text of that line, where known.
    pub snippet: Option<String>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// How to mend it, one sentence without a full stop.
    pub hint: Option<String>,
}

impl Problem {
    /// Makes an error about a whole file.
    #[must_use]
    pub fn error(file: &str, path: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: None,
            column: None,
            path: path.to_owned(),
            snippet: None,
            message: message.into(),
            hint: None,
        }
    }

    /// Makes a note about a whole file.
    #[must_use]
    pub fn note(file: &str, path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(file, path, message) }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place, taking the snippet from the file's text. Line and column count from 1.
    #[must_use]
    pub fn at(mut self, text: &str, line: usize, column: usize) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self.snippet = line.checked_sub(1).and_then(|n| text.lines().nth(n)).map(str::to_owned);
        self
    }

    /// Says whether this problem stops the file from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_error() { "error" } else { "note" };
        write!(f, "{word}: {}", self.message)?;
        write!(f, "\n  --> {}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if !self.path.is_empty() {
            write!(f, " ({})", self.path)?;
        }
        if let (Some(line), Some(snippet)) = (self.line, &self.snippet) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let shown: String = snippet.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
            write!(f, "\n {margin} |\n {number} | {shown}")?;
            if let Some(column) = self.column.filter(|c| *c <= 160) {
                write!(f, "\n {margin} | {}^", " ".repeat(column.saturating_sub(1)))?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_what_where_and_how_to_mend_it() {
        let text = "a: 1\nweigth: 10%\n";
        let problem =
            Problem::error("portcullis.yaml", "weigth", "unknown key \"weigth\"").with_hint("did you mean \"weight\"?").at(text, 2, 1);
        assert_eq!(
            problem.to_string(),
            "error: unknown key \"weigth\"\n  --> portcullis.yaml:2:1 (weigth)\n   |\n 2 | weigth: 10%\n   | ^\n  hint: did you mean \"weight\"?"
        );
    }
}
