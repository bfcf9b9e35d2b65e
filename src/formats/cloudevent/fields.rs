//! Takes the data of an event apart and collects everything that is wrong with them, each with its path.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::formats::json;
use crate::formats::problem::Problem;

/// The longest name of a project, stage or service.
const LONGEST_NAME: usize = 253;

/// A collector of the problems of one event; it finds their places where it has the text.
pub struct Problems<'a> {
    file: &'a str,
    text: Option<&'a str>,
    found: RefCell<Vec<Problem>>,
}

impl<'a> Problems<'a> {
    /// Starts without problems.
    pub fn new(file: &'a str, text: Option<&'a str>) -> Self {
        Self { file, text, found: RefCell::default() }
    }

    /// Adds an error at a path, such as `data.canary.action`.
    pub fn error(&self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(self.file, path, message).with_hint(hint);
        let place = self.text.and_then(|text| {
            let root = json::parse(self.file, text).ok()?;
            let mut node = &root;
            for step in path.split('.') {
                match node.get(step) {
                    Some(next) => node = next,
                    None => break,
                }
            }
            Some((text, json::place(text, node.start)))
        });
        self.found.borrow_mut().push(match place {
            Some((text, (line, column))) => problem.at(text, line, column),
            None => problem,
        });
    }

    /// Returns what was read.
    ///
    /// # Errors
    ///
    /// Returns the problems where there are any, or nothing was read.
    pub fn close<T>(self, read: Option<T>) -> Result<T, Vec<Problem>> {
        match (read, self.found.into_inner()) {
            (Some(read), found) if found.is_empty() => Ok(read),
            (_, found) => Err(found),
        }
    }
}

/// An object in the data of an event; what nobody asks for is left alone.
#[derive(Clone)]
pub struct Fields<'v> {
    problems: &'v Problems<'v>,
    path: String,
    entries: &'v Map<String, Value>,
}

impl<'v> Fields<'v> {
    /// Begins with an object; reports anything else.
    pub fn open(problems: &'v Problems<'v>, path: &str, value: &'v Value) -> Option<Self> {
        if let Value::Object(entries) = value {
            return Some(Self { problems, path: path.to_owned(), entries });
        }
        problems.error(path, format!("{path} must be an object, not {}", kind(value)), "write { … } with its fields");
        None
    }

    /// Returns the path of a field.
    pub fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Adds an error about a field.
    pub fn error(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.error(&self.path_of(key), message, hint);
    }

    /// Returns the value of a field; `null` is none.
    pub fn get(&self, key: &str) -> Option<&'v Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// Returns an object inside.
    pub fn object(&self, key: &str) -> Option<Self> {
        Self::open(self.problems, &self.path_of(key), self.get(key)?)
    }

    /// Returns a text that is not empty.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            other => {
                self.error(key, format!("{key} must be a text, not {}", kind(other)), "write it in quotes");
                None
            }
        }
    }

    /// Returns a text that must be there.
    pub fn required(&self, key: &str, hint: &str) -> Option<String> {
        let text = self.text(key);
        if text.is_none() && self.get(key).is_none_or(Value::is_string) {
            self.error(key, format!("{key} is missing"), hint);
        }
        text
    }

    /// Returns the name of a project, stage or service.
    pub fn name(&self, key: &str) -> Option<String> {
        let name = self.text(key)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.len() <= LONGEST_NAME && name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Some(name);
        }
        let shown: String = name.chars().take(80).collect();
        self.error(
            key,
            format!("{shown:?} is no name of a {key}"),
            "a name has letters, digits, '-', '_' and '.', and begins with one of the first two",
        );
        None
    }

    /// Returns the name of a project, stage or service that must be there.
    pub fn required_name(&self, key: &str) -> Option<String> {
        if self.get(key).is_none_or(|value| value.as_str() == Some("")) {
            self.error(key, format!("{key} is missing"), format!("say which {key} is meant"));
            return None;
        }
        self.name(key)
    }

    /// Returns a moment in RFC 3339.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        let text = self.text(key)?;
        let time = text.parse().ok();
        if time.is_none() {
            let shown: String = text.chars().take(80).collect();
            self.error(key, format!("{key} is {shown:?}, which is no time"), "write it as in 2026-01-31T12:00:00.000Z");
        }
        time
    }

    /// Returns one of some words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let shown: String = text.chars().take(80).collect();
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.error(key, format!("{key} is {shown:?}"), format!("write one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Returns the texts of a list, or of a single text.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().filter(|text| !text.is_empty())).map(str::to_owned).collect()
            }
            Some(_) => self.text(key).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Returns labels: texts, numbers and booleans by name.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.object("labels");
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        labels.map(|labels| labels.entries.iter().map(|(name, value)| (name.clone(), text(value))).collect()).unwrap_or_default()
    }
}

/// Names the kind of a value for an error message.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
