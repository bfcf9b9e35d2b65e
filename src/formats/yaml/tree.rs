//! Reads YAML into a tree whose every node knows its place; the only file that knows the YAML library.
//!
//! A tree, and not a typed value, because a typed reader stops at its first problem and the user wants all of them.
//! Booleans are `true` and `false` only, numbers keep their spelling (version `1.10` stays `1.10`), repeated keys are
//! kept for the reader to report, and small limits guard against bombs.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, MessageFormatter, NonFiniteFloatPolicy, Options, Spanned, UserMessageFormatter};

use crate::formats::problem::Problem;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The line it begins in, counted from 1.
    pub line: usize,
    /// The column it begins at, counted from 1 in characters.
    pub column: usize,
    /// What stands there.
    pub value: Value,
}

/// What stands at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// `true` or `false` without quotes.
    Bool(bool),
    /// A number without quotes, as it was spelled.
    Number(String),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in its order, repeated keys included.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// Names the kind of the value for an error message.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// How large a document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most nodes, those that an alias repeats included.
    pub nodes: usize,
    /// The most bytes of all texts and numbers together.
    pub bytes: usize,
    /// How deep lists and mappings may stand in each other.
    pub depth: usize,
}

impl Limits {
    /// Enough for a configuration.
    pub const CONFIGURATION: Self = Self { nodes: 50_000, bytes: 1 << 20, depth: 16 };
    /// Enough for a gate file with ten thousand objectives.
    pub const GATES: Self = Self { nodes: 1_000_000, bytes: 16 << 20, depth: 16 };
    /// Enough for an object of Kubernetes, whose schemas in definitions of further kinds lie deep.
    pub const MANIFEST: Self = Self { nodes: 1_000_000, bytes: 16 << 20, depth: 64 };
}

/// Reads one YAML document.
///
/// # Errors
///
/// Fails with the place and the message of the first error of syntax, and when a limit is exceeded.
pub fn parse(file: &str, text: &str, limits: Limits) -> Result<Node, Box<Problem>> {
    read(file, text, options(limits, MergeKeyPolicy::AsOrdinary), Dialect::Ours)
}

/// Reads one YAML document as Kubernetes reads it (YAML 1.1): `yes`, `no`, `on` and `off` without quotes are booleans, and merge
/// keys are merged.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_manifest(file: &str, text: &str, limits: Limits) -> Result<Node, Box<Problem>> {
    read(file, text, options(limits, MergeKeyPolicy::Merge), Dialect::Kubernetes)
}

/// Which words are booleans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Ours,
    Kubernetes,
}

impl Dialect {
    /// Returns what a word without quotes means, where it is more than a text.
    fn boolean(self, word: &str) -> Option<bool> {
        if self == Self::Ours {
            return None;
        }
        match word {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }
}

fn read(file: &str, text: &str, options: Options, dialect: Dialect) -> Result<Node, Box<Problem>> {
    match serde_saphyr::from_str_with_options::<Raw>(text, options) {
        Ok(raw) => Ok(raw.finish(text, dialect)),
        Err(error) => {
            let error = error.without_snippet();
            let problem = Problem::error(file, "", UserMessageFormatter.format_message(error));
            let problem = problem.with_hint("mend this first: the rest of the file cannot be read before");
            Err(Box::new(match error.location() {
                Some(location) => problem.at(text, count(location.line()), count(location.column())),
                None => problem,
            }))
        }
    }
}

fn options(limits: Limits, merge_keys: MergeKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: limits.nodes,
            max_nodes: limits.nodes,
            max_depth: limits.depth,
            max_documents: 2,
            max_anchors: 100,
            max_aliases: 1_000,
            max_total_scalar_bytes: limits.bytes,
            max_recorded_anchor_events: limits.nodes,
            max_recorded_anchor_bytes: limits.bytes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits.nodes,
            max_replay_stack_depth: 8,
        },
        // The reader of the tree reports repeated keys and merge keys, each with its place.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: merge_keys,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// A node as the library gives it: numbers have lost their spelling, which the span finds again.
struct Raw(Spanned<RawValue>);

enum RawValue {
    Nothing,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

impl Raw {
    fn finish(self, text: &str, dialect: Dialect) -> Node {
        let Spanned { value, referenced, defined } = self.0;
        let spelled = || {
            let span = defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let length = usize::try_from(span.byte_len()?).ok()?;
            text.get(start..start.checked_add(length)?).map(|spelled| spelled.trim().to_owned())
        };
        // `!!str yes` is a text; the span begins behind the tag and the anchor, which stand in any order.
        let tagged = || {
            let start = usize::try_from(defined.span().byte_offset()?).ok()?;
            let mut words = text.get(..start)?.split_whitespace().rev().take_while(|word| word.starts_with(['!', '&']));
            Some(words.any(|word| word.starts_with('!')))
        };
        // `!!int "8080"` is a number.
        let unquoted = |spelled: String| {
            let within = |quote: char| spelled.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned);
            within('"').or_else(|| within('\'')).unwrap_or(spelled.clone())
        };
        let value = match value {
            RawValue::Nothing => Value::Nothing,
            RawValue::Bool(value) => Value::Bool(value),
            RawValue::Number => Value::Number(spelled().map(unquoted).unwrap_or_default()),
            RawValue::Text(value) => match dialect.boolean(&value) {
                Some(flag) if spelled().as_deref() == Some(value.as_str()) && tagged() != Some(true) => Value::Bool(flag),
                _ => Value::Text(value),
            },
            RawValue::List(items) => Value::List(items.into_iter().map(|item| item.finish(text, dialect)).collect()),
            RawValue::Map(entries) => {
                Value::Map(entries.into_iter().map(|(key, value)| (key.finish(text, dialect), value.finish(text, dialect))).collect())
            }
        };
        Node { line: count(referenced.line()), column: count(referenced.column()), value }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).max(1)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number)
    }

    fn visit_i128<E: Error>(self, _value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Number)
    }

    fn visit_u64<E: Error>(self, _value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number)
    }

    fn visit_u128<E: Error>(self, _value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Number)
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Value {
        parse("f.yaml", text, Limits::CONFIGURATION).unwrap().value
    }

    fn entry<'v>(value: &'v Value, key: &str) -> &'v Node {
        let Value::Map(entries) = value else { panic!("{value:?} is no mapping") };
        &entries.iter().find(|(found, _)| found.value == Value::Text(key.to_owned())).unwrap().1
    }

    #[test]
    fn every_node_knows_its_place() {
        let value = tree("a: 1\nünder:\n  - x\n  - {b: true}\n");
        assert_eq!((entry(&value, "a").line, entry(&value, "a").column), (1, 4));
        let Value::List(items) = &entry(&value, "ünder").value else { panic!() };
        assert_eq!((items[0].line, items[0].column), (3, 5));
        let Value::Map(entries) = &items[1].value else { panic!() };
        assert_eq!((entries[0].0.column, entries[0].1.column), (6, 9));
    }

    #[test]
    fn numbers_keep_their_spelling_and_words_are_no_booleans() {
        let value = tree("a: 1.10\nb: 0x1f\nc: 007\nd: 1e999\ne: 1_000\nf: '2'\ng: off\nh: no\ni: true\nj:\nk: &x 0.30\nl: *x\n");
        for (key, wanted) in [
            ("a", Value::Number("1.10".into())),
            ("b", Value::Number("0x1f".into())),
            ("c", Value::Number("007".into())),
            ("d", Value::Text(".inf".into())),
            ("e", Value::Number("1_000".into())),
            ("f", Value::Text("2".into())),
            ("g", Value::Text("off".into())),
            ("h", Value::Text("no".into())),
            ("i", Value::Bool(true)),
            ("j", Value::Nothing),
            ("l", Value::Number("0.30".into())),
        ] {
            assert_eq!(entry(&value, key).value, wanted, "{key}");
        }
    }

    #[test]
    fn manifests_are_read_as_kubernetes_reads_them() {
        let text = "a: yes\nb: 'yes'\nc: \"off\"\nd: off\ne: !!str no\nf: &x {g: 1, h: 2}\ni: {<<: *x, h: 3}\nj: |\n  yes\nk: 0644\n";
        let value = parse_manifest("f.yaml", text, Limits::MANIFEST).unwrap().value;
        for (key, wanted) in [
            ("a", Value::Bool(true)),
            ("b", Value::Text("yes".into())),
            ("c", Value::Text("off".into())),
            ("d", Value::Bool(false)),
            ("e", Value::Text("no".into())),
            ("j", Value::Text("yes\n".into())),
            ("k", Value::Number("0644".into())),
        ] {
            assert_eq!(entry(&value, key).value, wanted, "{key}");
        }
        let merged = &entry(&value, "i").value;
        assert_eq!((&entry(merged, "g").value, &entry(merged, "h").value), (&Value::Number("1".into()), &Value::Number("3".into())));
        let Value::Map(entries) = merged else { panic!() };
        assert_eq!(entries.len(), 2, "{entries:?}");
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(
            parse_manifest("f.yaml", &deep(63), Limits::MANIFEST).is_ok() && parse_manifest("f.yaml", &deep(65), Limits::MANIFEST).is_err()
        );
    }

    #[test]
    fn repeated_keys_are_kept() {
        let Value::Map(entries) = tree("a: 1\na: 2\n") else { panic!() };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_error_of_syntax_has_its_place_and_snippet() {
        for (text, line, column) in [
            ("a: [1", 1, 4),
            ("a: 1\n b: 2", 2, 3),
            ("a: \"unclosed\n", 1, 4),
            ("a: *nope\n", 1, 4),
            ("a:\n  - b: 1\n   c: 2\n", 3, 4),
            ("a: 1\u{0}", 1, 5),
        ] {
            let problem = parse("f.yaml", text, Limits::CONFIGURATION).unwrap_err();
            assert_eq!((problem.line, problem.column), (Some(line), Some(column)), "{text:?}: {problem}");
            assert_eq!(problem.snippet.as_deref(), text.lines().nth(line - 1), "{text:?}");
        }
    }

    #[test]
    fn bombs_and_second_documents_are_refused() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let mut laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for (name, before) in ["b", "c", "d", "e", "f"].into_iter().zip(["a", "b", "c", "d", "e"]) {
            laughs.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", ")));
        }
        let wide = "- 1\n".repeat(60_000);
        for text in [deep.as_str(), &laughs, &wide, "a: 1\n---\nb: 2\n"] {
            assert!(parse("f.yaml", text, Limits::CONFIGURATION).is_err(), "{}", &text[..40.min(text.len())]);
        }
    }
}
