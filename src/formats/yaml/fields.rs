//! Takes a mapping apart: each key once, unknown keys with the nearest known one, wrong kinds with what was meant.

use std::collections::HashSet;

use crate::formats::yaml::place::{At, Place, Report, child};
use crate::formats::yaml::tree::{Node, Value};

/// How alike two keys must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.6;

/// A mapping that is being read. Every key that is asked for counts as known; [`Fields::close`] reports the others.
pub struct Fields<'n> {
    report: &'n Report<'n>,
    place: Place,
    entries: &'n [(Node, Node)],
    known: Vec<&'static str>,
    required: Vec<(&'static str, &'static str)>,
}

/// Returns the place of a node that stands at a path.
pub fn place_of(node: &Node, path: String) -> Place {
    Place { path, spot: Some((node.line, node.column)) }
}

impl<'n> Fields<'n> {
    /// Begins to read a mapping; reports anything else and returns `None`.
    pub fn open(node: &'n Node, path: String, report: &'n Report<'n>) -> Option<Self> {
        let place = place_of(node, path);
        if let Value::Map(entries) = &node.value {
            return Some(Self { report, place, entries, known: Vec::new(), required: Vec::new() });
        }
        let subject = if place.path.is_empty() { "the file" } else { "this" };
        report.error(
            &place,
            format!("{subject} must be a mapping, not {}", node.value.kind()),
            "write keys with values, such as 'key: value'",
        );
        None
    }

    /// Returns where the mapping stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the value of a key and its path; reports a key without a value.
    pub fn get(&mut self, key: &'static str) -> Option<(&'n Node, String)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (_, node) = self.entries.iter().find(|(found, _)| spelling(found) == Some(key))?;
        let path = child(&self.place.path, key);
        if node.value == Value::Nothing {
            self.report.error(&place_of(node, path), format!("{key} has no value"), "give it a value, or leave the key out");
            return None;
        }
        Some((node, path))
    }

    /// Returns the value of a key, nothing included, and its path.
    pub fn peek(&mut self, key: &'static str) -> Option<(&'n Node, String)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (_, node) = self.entries.iter().find(|(found, _)| spelling(found) == Some(key))?;
        Some((node, child(&self.place.path, key)))
    }

    /// Accepts keys that have no effect, each with a note.
    pub fn inert(&mut self, keys: &[&'static str]) {
        for key in keys {
            if let Some((node, path)) = self.peek(key) {
                self.report.note(&place_of(node, path), format!("\"{key}\" has no effect"), "leave it out, or keep it for other readers");
            }
        }
    }

    /// Says whether a key is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(found, _)| spelling(found) == Some(key))
    }

    /// Says whether a key is there with anything but an empty list.
    pub fn has_items(&self, key: &str) -> bool {
        let empty = |node: &Node| matches!(&node.value, Value::List(items) if items.is_empty());
        self.entries.iter().any(|(found, node)| spelling(found) == Some(key) && !empty(node))
    }

    /// Says that a key must be there, and how to write it.
    pub fn require(&mut self, key: &'static str, hint: &'static str) {
        self.required.push((key, hint));
    }

    /// Returns a text or a number as it was spelled.
    pub fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let (node, path) = self.get(key)?;
        text_of(node, path, self.report)
    }

    /// Returns `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        let (node, path) = self.get(key)?;
        let place = place_of(node, path);
        if let Value::Bool(value) = node.value {
            return Some(At::new(value, place));
        }
        self.report.error(&place, format!("{key} must be true or false, not {}", node.value.kind()), "write true or false without quotes");
        None
    }

    /// Returns the items of a list; `None` when the key is not there or no list.
    pub fn list(&mut self, key: &'static str) -> Option<At<Vec<(&'n Node, String)>>> {
        let (node, path) = self.get(key)?;
        let place = place_of(node, path);
        let Value::List(items) = &node.value else {
            self.report.error(&place, format!("{key} must be a list, not {}", node.value.kind()), format!("write {key}: [ … ]"));
            return None;
        };
        let items = items.iter().enumerate().map(|(index, item)| (item, format!("{}[{index}]", place.path))).collect();
        Some(At::new(items, place))
    }

    /// Returns the texts of a list.
    pub fn texts(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let At { value, place } = self.list(key)?;
        let texts = value.into_iter().filter_map(|(item, path)| text_of(item, path, self.report)).collect();
        Some(At::new(texts, place))
    }

    /// Returns one text or the texts of a list.
    pub fn one_or_more(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let (node, _) = self.get(key)?;
        if matches!(node.value, Value::List(_)) {
            return self.texts(key);
        }
        let text = self.text(key)?;
        let place = text.place.clone();
        Some(At::new(vec![text], place))
    }

    /// Reports the keys nobody asked for, those that occur twice and those that are missing. A missing key that was
    /// only misspelt is reported once.
    pub fn close(self) {
        let mut seen = HashSet::new();
        let mut misspelt = Vec::new();
        for (key, _) in self.entries {
            let Some(name) = spelling(key) else {
                let place = place_of(key, self.place.path.clone());
                self.report.error(&place, format!("a key must be a text, not {}", key.value.kind()), self.known_keys());
                continue;
            };
            let place = place_of(key, child(&self.place.path, name));
            if !seen.insert(name) {
                self.report.error(&place, format!("the key {name:?} occurs twice"), "keep one of the two");
            } else if name == "<<" {
                self.report.error(&place, "merge keys are not supported", "write the keys out, or use an anchor for single values");
            } else if !self.known.contains(&name) {
                let meant = nearest(name, &self.known);
                misspelt.extend(meant);
                let hint = meant.map_or_else(|| self.known_keys(), |key| format!("did you mean {key:?}?"));
                self.report.error(&place, format!("unknown key {name:?}"), hint);
            }
        }
        for (key, hint) in self.required {
            if !seen.contains(key) && !misspelt.contains(&key) {
                self.report.error(&self.place.missing(key), format!("{key} is missing"), hint);
            }
        }
    }

    fn known_keys(&self) -> String {
        format!("the keys here are {}", self.known.join(", "))
    }
}

/// Returns a text or a number as it was spelled; reports anything else.
pub fn text_of(node: &Node, path: String, report: &Report<'_>) -> Option<At<String>> {
    let place = place_of(node, path);
    match &node.value {
        Value::Text(text) | Value::Number(text) => return Some(At::new(text.clone(), place)),
        Value::Bool(value) => {
            report.error(
                &place,
                format!("this must be a text, not {value}"),
                format!("if the text is meant, write it in quotes: \"{value}\""),
            );
        }
        Value::Nothing | Value::List(_) | Value::Map(_) => {
            report.error(&place, format!("this must be a single value, not {}", node.value.kind()), "write one text or number");
        }
    }
    None
}

fn spelling(key: &Node) -> Option<&str> {
    match &key.value {
        Value::Text(text) | Value::Number(text) => Some(text),
        Value::Nothing | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// Returns the known key that was probably meant.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let lower = name.to_lowercase().replace('-', "_");
    let likeness = |key: &str| strsim::normalized_damerau_levenshtein(&lower, key);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}
