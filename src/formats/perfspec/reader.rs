//! Walks a JSON tree, collects every problem with its place, and knows the nearest known key.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::formats::json::{self, Member, Node, Value};
use crate::formats::problem::Problem;

/// How alike two keys must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.6;

/// The most problems that are kept of one file; a file with more is no gate file.
const MAX_PROBLEMS: usize = 500;

/// A collector of the problems of one file.
pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    /// Starts without problems.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// Returns the problems, in the order of the file, those of one place in the order they were found.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line.unwrap_or(usize::MAX), problem.column));
        problems
    }

    /// Says whether any problem stops the file from being used.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(Problem::is_error)
    }

    /// Adds an error at a byte.
    pub fn error(&self, at: usize, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.push(at, Problem::error(self.file, path, message).with_hint(hint));
    }

    /// Adds a note at a byte.
    pub fn note(&self, at: usize, path: &str, message: impl Into<String>) {
        self.push(at, Problem::note(self.file, path, message));
    }

    fn push(&self, at: usize, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            let (line, column) = json::place(self.text, at);
            problems.push(problem.at(self.text, line, column));
        } else if problems.len() == MAX_PROBLEMS {
            problems.push(Problem::error(self.file, "", format!("there are more than {MAX_PROBLEMS} problems, the rest is not shown")));
        }
    }

    /// Returns an object's view after checking its keys against those that are known; `None` when it is no object.
    ///
    /// A key in `inert` is accepted with a note that it has no effect.
    pub fn object<'n>(&'n self, node: &'n Node, path: String, known: &[&str], inert: &[&str]) -> Option<Object<'n>> {
        let Some(members) = node.members() else {
            let keys = known.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
            self.error(node.start, &path, format!("this must be an object, not {}", node.kind()), format!("write {{ … }} with {keys}"));
            return None;
        };
        let mut seen = HashSet::new();
        for member in members {
            let key = &member.key;
            let here = child(&path, key);
            if !seen.insert(key.as_str()) {
                self.error(member.start, &here, format!("the key \"{key}\" occurs twice"), "keep one of the two");
            } else if inert.contains(&key.as_str()) {
                self.note(member.start, &here, format!("\"{key}\" has no effect"));
            } else if !known.contains(&key.as_str()) {
                self.error(member.start, &here, format!("unknown key \"{key}\""), nearest(key, known));
            }
        }
        Some(Object { reader: self, start: node.start, path, members })
    }
}

/// An object whose keys have been checked.
pub struct Object<'n> {
    reader: &'n Reader<'n>,
    start: usize,
    members: &'n [Member],
    /// The path of the object.
    pub path: String,
}

impl<'n> Object<'n> {
    /// Returns the path of a key in this object.
    pub fn path_of(&self, key: &str) -> String {
        child(&self.path, key)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.members.iter().rev().find(|member| member.key == key).map(|member| &member.node)
    }

    /// Returns where the value of a key stands, or the object where there is none.
    pub fn place_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.start, |node| node.start)
    }

    /// Returns the value of a key that must be there.
    pub fn require(&self, key: &str, hint: &str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let object = self.path.rsplit('.').next().filter(|name| !name.is_empty() && !name.ends_with(']'));
            let message = object.map_or_else(|| format!("{key} is missing"), |object| format!("{object}.{key} is missing"));
            self.reader.error(self.start, &self.path_of(key), message, hint);
        }
        found
    }

    /// Reads a number that need not be there.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.number_at(key, self.get(key)?)
    }

    /// Reads a number that must be there.
    pub fn required_number(&self, key: &str, hint: &str) -> Option<f64> {
        self.number_at(key, self.require(key, hint)?)
    }

    fn number_at(&self, key: &str, node: &Node) -> Option<f64> {
        match &node.value {
            Value::Number(number) if number.is_finite() => Some(*number),
            Value::Number(_) => {
                self.wrong(key, node, format!("{key} is too large a number"), "write a number below 1e308".to_owned());
                None
            }
            Value::Text(text) => {
                let hint = match text.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => format!("write {number} without quotes"),
                    _ => "write a number without quotes".to_owned(),
                };
                self.wrong(key, node, format!("{key} is not a number but the text {text:?}"), hint);
                None
            }
            _ => {
                self.wrong(key, node, format!("{key} is not a number but {}", node.kind()), "write a number".to_owned());
                None
            }
        }
    }

    /// Reads a text that must be there and hold something.
    pub fn required_text(&self, key: &str, hint: &str) -> Option<&'n str> {
        let node = self.require(key, hint)?;
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.wrong(key, node, format!("{key} is empty"), hint.to_owned());
                None
            }
            Value::Text(text) => Some(text),
            _ => {
                self.wrong(key, node, format!("{key} must be a text, not {}", node.kind()), hint.to_owned());
                None
            }
        }
    }

    /// Reads `true` or `false`, which need not be there.
    pub fn flag(&self, key: &str) -> bool {
        match self.get(key).map(|node| (&node.value, node)) {
            None => false,
            Some((Value::Bool(flag), _)) => *flag,
            Some((_, node)) => {
                self.wrong(key, node, format!("{key} must be true or false, not {}", node.kind()), "write true or false".to_owned());
                false
            }
        }
    }

    fn wrong(&self, key: &str, node: &Node, message: String, hint: String) {
        self.reader.error(node.start, &self.path_of(key), message, hint);
    }
}

/// Returns the path of a key; a key that is no plain word is quoted.
fn child(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Offers the most similar known word, or all of them when none is similar.
pub fn nearest(word: &str, known: &[&str]) -> String {
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(&word.trim().to_lowercase(), &candidate.to_lowercase());
    let best = known.iter().map(|candidate| (likeness(candidate), *candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((alike, candidate)) if alike >= ALIKE => format!("did you mean \"{candidate}\"?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}
