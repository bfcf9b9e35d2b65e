//! Where a value was written, and the collection of everything that is wrong with it.

use std::cell::RefCell;

use crate::formats::problem::Problem;

/// The name of the "file" that flags stand in.
pub const COMMAND_LINE: &str = "command line";

/// The most problems that are kept of one configuration; a file with more is no configuration.
const MAX_PROBLEMS: usize = 500;

/// Where a value was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The path of the key, such as `services[0].canary.endpoints[1]`, or the flag, such as `--canary`.
    pub path: String,
    /// Line and column in the file, counted from 1; `None` for a flag.
    pub spot: Option<(usize, usize)>,
}

impl Place {
    /// Makes the place of a flag.
    pub fn flag(name: &str) -> Self {
        Self { path: name.to_owned(), spot: None }
    }

    /// Makes the place of a key that is missing in the mapping at this place.
    pub fn missing(&self, key: &str) -> Self {
        Self { path: child(&self.path, key), spot: self.spot }
    }
}

/// Returns the path of a key below a path.
pub fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A value with the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value as written.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> At<T> {
    /// Pairs a value with its place.
    pub const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// A collector of the problems of one configuration.
#[derive(Debug)]
pub struct Report<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Report<'a> {
    /// Starts without problems; `file` and `text` are empty where there are only flags.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// Adds an error and how to mend it.
    pub fn error(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        self.push(place, |file, path| Problem::error(file, path, message).with_hint(hint));
    }

    /// Adds an error at a character of a text, counted from 1, and how to mend it.
    ///
    /// The place is that of the text itself where the text is not written there as it is, perhaps in quotes.
    pub fn error_inside(&self, text: &At<String>, character: usize, message: impl Into<String>, hint: impl Into<String>) {
        let mut place = text.place.clone();
        if let Some((line, column)) = text.place.spot
            && self.problems.borrow().len() < MAX_PROBLEMS
        {
            let written = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let start = written.char_indices().nth(column.saturating_sub(1)).and_then(|(at, _)| written.get(at..)).unwrap_or_default();
            let quotes = usize::from(start.starts_with(['"', '\'']));
            if start.get(quotes..).is_some_and(|rest| rest.starts_with(text.value.as_str())) {
                place.spot = Some((line, column + quotes + character.saturating_sub(1)));
            }
        }
        self.error(&place, message, hint);
    }

    /// Adds something the reader should know.
    pub fn note(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        self.push(place, |file, path| Problem::note(file, path, message).with_hint(hint));
    }

    /// Adds problems of another file, such as a perfspec.
    pub fn extend(&self, problems: Vec<Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    /// Says whether any problem stops the configuration from being used.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(Problem::is_error)
    }

    /// Returns what was read with what its reader should know.
    ///
    /// # Errors
    ///
    /// Returns every problem, where there is an error among them or nothing was read.
    pub fn close<T>(self, read: Option<T>) -> Result<(T, Vec<Problem>), Vec<Problem>> {
        let failed = self.has_errors();
        let problems = self.into_problems();
        match read {
            Some(read) if !failed => Ok((read, problems)),
            _ => Err(problems),
        }
    }

    /// Returns the problems in the order of the file, flags first, those of one place in the order they were found.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let group = |problem: &Problem| (problem.file != COMMAND_LINE, problem.file != self.file);
        problems.sort_by(|a, b| {
            let (a_place, b_place) = ((&a.file, a.line, a.column), (&b.file, b.line, b.column));
            group(a).cmp(&group(b)).then_with(|| a_place.cmp(&b_place))
        });
        problems
    }

    fn push(&self, place: &Place, make: impl FnOnce(&str, &str) -> Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() > MAX_PROBLEMS {
            return;
        }
        if problems.len() == MAX_PROBLEMS {
            problems.push(Problem::error(self.file, "", format!("there are more than {MAX_PROBLEMS} problems, the rest is not shown")));
            return;
        }
        problems.push(match place.spot {
            Some((line, column)) => make(self.file, &place.path).at(self.text, line, column),
            None => make(COMMAND_LINE, &place.path),
        });
    }
}
