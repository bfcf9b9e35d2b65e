//! JSON text as a tree that remembers where each key and value stands, and keeps duplicate keys.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use crate::domain::gate::perfspec::js::Js;
use crate::formats::problem::Problem;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// A value and the byte at which it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The byte at which the value begins.
    pub start: usize,
    /// The value.
    pub value: Value,
}

/// A JSON value; a number too large for a double is infinite.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object with its members as written, duplicates included.
    Object(Vec<Member>),
}

/// A key of an object with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// The byte at which the key begins.
    pub start: usize,
    /// The value.
    pub node: Node,
}

impl Node {
    /// Returns the members of an object.
    #[must_use]
    pub fn members(&self) -> Option<&[Member]> {
        match &self.value {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Returns the items of a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text of a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a key of an object, the last one where there are several.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.members()?.iter().rev().find(|member| member.key == key).map(|member| &member.node)
    }

    /// Says what the value is, for error messages: `a text`, `null`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Converts to the value the original's parser makes: of duplicate keys the last value counts, at the first place.
    #[must_use]
    pub fn to_js(&self) -> Js {
        match &self.value {
            Value::Null => Js::Null,
            Value::Bool(b) => Js::Bool(*b),
            Value::Number(n) => Js::Number(*n),
            Value::Text(t) => Js::Text(t.clone()),
            Value::List(items) => Js::List(items.iter().map(Self::to_js).collect()),
            Value::Object(members) => {
                let mut last: HashMap<&str, &Self> = members.iter().map(|member| (member.key.as_str(), &member.node)).collect();
                let first = members.iter().filter_map(|member| last.remove_entry(member.key.as_str()));
                Js::Object(first.map(|(key, node)| (key.to_owned(), node.to_js())).collect())
            }
        }
    }
}

impl From<&serde_json::Value> for Js {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(n.as_f64().unwrap_or(f64::NAN)),
            Value::String(s) => Self::Text(s.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(entries) => Self::Object(entries.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect()),
        }
    }
}

/// Reads JSON text.
///
/// # Errors
///
/// Returns the first place where the text is not JSON, or is nested too deeply.
pub fn parse(file: &str, text: &str) -> Result<Node, Box<Problem>> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(Box::new(syntax_problem(file, text, &error)));
    }
    let mut parser = Parser { text, at: 0 };
    parser.node(0).ok_or_else(|| {
        let (line, column) = place(text, parser.at);
        let problem = Problem::error(file, "", format!("the file is nested more than {MAX_DEPTH} levels deep"))
            .with_hint("a gate file needs no more than six levels");
        Box::new(problem.at(text, line, column))
    })
}

/// Returns the line and column of a byte, both from 1, the column in characters.
#[must_use]
pub fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn syntax_problem(file: &str, text: &str, error: &serde_json::Error) -> Problem {
    let whole = error.to_string();
    let message = whole.split(" at line ").next().unwrap_or(&whole);
    let hint = if text.trim().is_empty() {
        "the file is empty; write an object with \"indicators\" and \"objectives\""
    } else if message.contains("trailing comma") {
        "remove the comma before the closing bracket"
    } else if message.contains("EOF") {
        "the file ends too early; close every quote, bracket and brace"
    } else if text.starts_with('\u{feff}') {
        "remove the byte order mark at the start of the file"
    } else {
        "JSON wants double quotes around keys and texts, a comma between entries and no comments"
    };
    // serde_json counts the column in bytes; a line break itself is column 0.
    let line = error.line().max(1);
    let bytes = error.column().saturating_sub(1);
    let row = text.split('\n').nth(line - 1).unwrap_or_default();
    let column = row.char_indices().take_while(|(at, _)| *at < bytes).count() + 1;
    Problem::error(file, "", format!("this is not JSON: {message}")).with_hint(hint).at(text, line, column)
}

/// A reader of text that is known to be JSON; `None` only where it is nested too deeply.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn node(&mut self, depth: usize) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        if depth >= MAX_DEPTH {
            return None;
        }
        let value = match first {
            b'{' => Value::Object(self.object(depth)?),
            b'[' => Value::List(self.list(depth)?),
            b'"' => Value::Text(self.string()?),
            b't' => self.word(4, Value::Bool(true)),
            b'f' => self.word(5, Value::Bool(false)),
            b'n' => self.word(4, Value::Null),
            _ => Value::Number(self.number()?),
        };
        Some(Node { start, value })
    }

    fn object(&mut self, depth: usize) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        self.at += 1;
        while self.peek()? != b'}' {
            if self.peek()? == b',' {
                self.at += 1;
                self.peek()?;
            }
            let start = self.at;
            let key = self.string()?;
            self.peek()?;
            self.at += 1;
            let node = self.node(depth + 1)?;
            members.push(Member { key, start, node });
        }
        self.at += 1;
        Some(members)
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        self.at += 1;
        while self.peek()? != b']' {
            if self.peek()? == b',' {
                self.at += 1;
            }
            items.push(self.node(depth + 1)?);
        }
        self.at += 1;
        Some(items)
    }

    fn string(&mut self) -> Option<String> {
        let raw = self.take(|bytes| {
            let mut escaped = false;
            let inside = bytes.iter().skip(1).take_while(|b| {
                let ends = **b == b'"' && !escaped;
                escaped = **b == b'\\' && !escaped;
                !ends
            });
            inside.count() + 2
        })?;
        // Half a surrogate pair is the one thing that is JSON but no text; it is kept as it is written.
        Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.trim_matches('"').to_owned()))
    }

    fn number(&mut self) -> Option<f64> {
        self.take(|bytes| bytes.iter().take_while(|b| b.is_ascii_digit() || b"+-.eE".contains(b)).count())?.parse().ok()
    }

    fn word(&mut self, length: usize, value: Value) -> Value {
        self.at += length;
        value
    }

    fn take(&mut self, length: impl FnOnce(&[u8]) -> usize) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let taken = rest.get(..length(rest.as_bytes()))?;
        self.at += taken.len();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_place_and_duplicates_are_kept() {
        let text = "{\n  \"ä\\n\": [1, -2.5e3],\n  \"b\": true, \"b\": null }";
        let root = parse("f", text).unwrap();
        let members = root.members().unwrap();
        assert_eq!(members.iter().map(|m| m.key.as_str()).collect::<Vec<_>>(), ["ä\n", "b", "b"]);
        assert_eq!(place(text, members[0].start), (2, 3));
        assert_eq!(place(text, members[0].node.items().unwrap()[1].start), (2, 14));
        assert_eq!(members[0].node.items().unwrap()[1].value, Value::Number(-2500.0));
        assert_eq!(root.get("b").unwrap().value, Value::Null);
        assert_eq!(serde_json::to_string(&root.to_js()).unwrap(), "{\"ä\\n\":[1,-2500],\"b\":null}");
    }

    #[test]
    fn what_serde_json_reads_is_read_the_same() {
        for text in ["{}", " [ ] ", "[[],{}]", r#"{"a":{"b":[null,false,"x\"\\"]}}"#, "-0.5", r#""\ud83d\ude00""#, "[1,[2,[3]]]"] {
            let expected = Js::from(&serde_json::from_str::<serde_json::Value>(text).unwrap());
            assert_eq!(parse("f", text).unwrap().to_js(), expected, "{text}");
        }
        assert_eq!(parse("f", "1e400").unwrap().value, Value::Number(f64::INFINITY));
        assert_eq!(parse("f", r#""\ud800""#).unwrap().value, Value::Text(r"\ud800".to_owned()));
    }

    #[test]
    fn syntax_errors_have_a_place_in_characters_and_a_hint() {
        for (text, line, column, hint) in [
            ("{\n \"ä\": x}", 2, 7, "double quotes"),
            ("{\"a\": 1,}", 1, 9, "comma"),
            ("{\"a\": ", 1, 6, "too early"),
            ("", 1, 1, "empty"),
            ("\u{feff}{}", 1, 1, "byte order mark"),
        ] {
            let problem = parse("f", text).unwrap_err();
            assert_eq!((problem.line, problem.column), (Some(line), Some(column)), "{text:?}: {problem}");
            assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse("f", &deep(MAX_DEPTH)).is_ok());
        assert!(parse("f", &deep(MAX_DEPTH + 1)).unwrap_err().message.contains("deep"));
        assert!(parse("f", &deep(100_000)).is_err());
    }
}
