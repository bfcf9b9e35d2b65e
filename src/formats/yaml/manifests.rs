//! Streams of objects of Kubernetes, in YAML or JSON: taken apart into documents, read as Kubernetes reads them, and written.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value as Json};

use crate::formats::problem::Problem;
use crate::formats::unique::Unique;
use crate::formats::yaml::meaning;
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// One document of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'t> {
    /// Its text, from its line `---` on where it has one; JSON may follow JSON without.
    pub text: &'t str,
    /// How many lines of the stream stand before it.
    pub before: usize,
}

/// Takes a stream apart. The texts put together are the stream.
#[must_use]
pub fn documents(stream: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut begin, mut before) = (0, 0);
    let (mut at, mut number) = (0, 0);
    for line in stream.split_inclusive('\n') {
        // No content, not even a block of text, has such a line (YAML 1.2, 9.1.2).
        if at > begin && line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            documents.extend(stream.get(begin..at).into_iter().flat_map(|text| Document { text, before }.objects()));
            (begin, before) = (at, number);
        }
        at += line.len();
        number += 1;
    }
    let last = stream.get(begin..).filter(|text| !text.is_empty());
    documents.extend(last.into_iter().flat_map(|text| Document { text, before }.objects()));
    documents
}

impl<'t> Document<'t> {
    /// Takes apart objects of JSON that follow one another, as `kubectl` does; everything else is one document.
    fn objects(self) -> Vec<Self> {
        let start = self.head().len();
        let Some(body) = self.text.get(start..).filter(|body| body.starts_with('{')) else { return vec![self] };
        let mut values = Deserializer::from_str(body).into_iter::<IgnoredAny>();
        let mut objects = Vec::new();
        let (mut begin, mut before) = (0, self.before);
        while let Some(read) = values.next() {
            let rest = read.ok().and_then(|_| body.get(values.byte_offset()..));
            let Some(rest) = rest.map(str::trim_ascii_start).filter(|rest| rest.is_empty() || rest.starts_with('{')) else {
                return vec![self];
            };
            let end = self.text.len() - rest.len();
            let Some(text) = self.text.get(begin..end) else { return vec![self] };
            objects.push(Self { text, before });
            (begin, before) = (end, before + text.matches('\n').count());
        }
        objects
    }

    /// Returns what stands before the content: the line `---`, comments and blank lines.
    fn head(self) -> &'t str {
        let mut end = 0;
        for line in self.text.split_inclusive('\n') {
            let bare = line.trim();
            let marker = end == 0
                && line.starts_with("---")
                && matches!(bare.trim_start_matches("---").trim_start().chars().next(), None | Some('#'));
            if !bare.is_empty() && !bare.starts_with('#') && !line.starts_with('%') && !marker {
                break;
            }
            end += line.len();
        }
        self.text.get(..end).unwrap_or_default()
    }

    /// Reads the document; `None` where nothing stands in it.
    ///
    /// # Errors
    ///
    /// Returns everything that is wrong with its syntax, with the place in the stream.
    pub fn read(self, file: &str) -> Result<Option<Object>, Vec<Problem>> {
        let body = self.text.get(self.head().len()..).unwrap_or_default();
        if body.is_empty() {
            return Ok(None);
        }
        let moved = |mut problem: Problem| {
            problem.line = problem.line.map(|line| line.saturating_add(self.before));
            problem
        };
        if body.starts_with(['{', '[']) {
            match serde_json::from_str::<Unique>(body) {
                Ok(Unique(value)) => return Ok(Some(Object { value, root: None, before: self.before })),
                Err(error) if error.is_data() => {
                    let message = error.to_string();
                    let message = message.split(" at line ").next().unwrap_or_default();
                    let line = self.head().matches('\n').count() + error.line();
                    let problem = Problem::error(file, "", message).with_hint("leave one of them out");
                    return Err(vec![moved(problem.at(self.text, line, error.column()))]);
                }
                // What only looks like JSON is YAML.
                Err(_) => {}
            }
        }
        let root = tree::parse_manifest(file, self.text, Limits::MANIFEST).map_err(|problem| vec![moved(*problem)])?;
        let value = meaning::json(file, self.text, &root).map_err(|problems| problems.into_iter().map(moved).collect::<Vec<_>>())?;
        Ok(if value.is_null() { None } else { Some(Object { value, root: Some(root), before: self.before }) })
    }

    /// Writes another object in the place of this one, in the same language, with the comments that stand before it.
    ///
    /// # Errors
    ///
    /// Says what cannot be written.
    pub fn with(self, object: &Object, value: &Json) -> Result<String, String> {
        let head = self.head();
        let mut text = head.to_owned();
        // A document that begins in the line of its marker has lost that.
        if !head.starts_with("---") && self.text.starts_with("---") {
            text.push_str("---\n");
        }
        match object.root {
            Some(_) => text.push_str(&written(value)?),
            None => text.push_str(&serde_json::to_string_pretty(value).map_err(|error| error.to_string())?),
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// An object as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The object.
    pub value: Json,
    /// The tree with its places; JSON has none.
    root: Option<Node>,
    before: usize,
}

impl Object {
    /// Returns line and column in the stream of a path such as `spec.containers[0].name`, or of as much of it as there is.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<(usize, usize)> {
        let mut node = self.root.as_ref()?;
        let mut path = path;
        while let Some((below, rest)) = step(node, path) {
            (node, path) = (below, rest);
        }
        Some((node.line.saturating_add(self.before), node.column))
    }
}

/// Goes one step down a path. Keys may hold dots themselves, so the longest that fits is taken.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, &'p str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    match &node.value {
        Value::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            Some((items.get(index.parse::<usize>().ok()?)?, rest))
        }
        Value::Map(pairs) => {
            let rest_of = |key: &Node| {
                let rest = path.strip_prefix(meaning::key(key)?.as_str())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
            };
            let fitting = pairs.iter().filter_map(|(key, value)| Some((value, rest_of(key)?)));
            fitting.filter(|_| !path.is_empty()).min_by_key(|(_, rest)| rest.len())
        }
        _ => None,
    }
}

/// Writes a value as YAML that readers of 1.1 and 1.2 read alike.
fn written(value: &Json) -> Result<String, String> {
    let options = serde_saphyr::ser_options! {
        // No line is folded: a long text is easier to find again as it is.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Json {
        let documents = documents(text);
        assert_eq!(documents.len(), 1, "{text}");
        documents[0].read("f.yaml").unwrap().unwrap().value
    }

    #[test]
    fn a_stream_is_taken_apart_and_nothing_is_lost() {
        let stream = "# one\na: 1\n---\n# two\nb: |\n  text\n  --- no\n--- {c: 3}\n---\n\n---   # four\r\nd: 4\n---";
        let parts = documents(stream);
        assert_eq!(parts.iter().map(|part| part.text).collect::<String>(), stream);
        assert_eq!(parts.iter().map(|part| part.before).collect::<Vec<_>>(), [0, 2, 7, 8, 10, 12]);
        let values: Vec<Option<Json>> = parts.iter().map(|part| part.read("f").unwrap().map(|object| object.value)).collect();
        assert_eq!(
            values,
            [Some(json!({"a": 1})), Some(json!({"b": "text\n--- no\n"})), Some(json!({"c": 3})), None, Some(json!({"d": 4})), None]
        );
        assert_eq!(documents(""), []);
        assert_eq!(documents("--- x\n----\n").len(), 1);
    }

    #[test]
    fn numbers_are_what_kubernetes_takes_them_for() {
        let value =
            read("a: 0644\nb: 0o644\nc: 0x1f\nd: 1_000\ne: 1e3\nf: 08\ng: -5\nh: 18446744073709551615\ni: '1'\nj: 1.10\nk: 0\n80: x\n");
        let wanted = json!({"a": 420, "b": 420, "c": 31, "d": 1000, "e": 1000.0, "f": 8.0, "g": -5, "h": u64::MAX, "i": "1", "j": 1.1, "k": 0, "80": "x"});
        assert_eq!(value, wanted);
    }

    #[test]
    fn tags_and_keys_mean_what_kubernetes_takes_them_for() {
        let text =
            "a: !!int \"8080\"\nb: !!str &x yes\nc: &y yes\nd: !!float '1.5'\ne: *y\nf: !!bool 'true'\n80: g\n0x50: h\n1.50: i\nyes: j\n";
        let wanted = json!({"a": 8080, "b": "yes", "c": true, "d": 1.5, "e": true, "f": true, "80": "g", "1.5": "i", "true": "j"});
        // 0x50 is 80: one key, twice.
        let problems = documents(text)[0].read("f").unwrap_err();
        assert_eq!((problems.len(), problems[0].line), (1, Some(8)), "{problems:?}");
        assert_eq!(read(&text.replace("0x50: h\n", "")), wanted);
    }

    #[test]
    fn a_key_that_stands_twice_in_json_is_told_with_its_place() {
        for text in ["{\"a\": 1,\n\t\"a\": 2}", "{\"x\": [{\"a\": 1,\n \"b\": {}, \"a\": 2}]}"] {
            let problems = documents(&format!("b: 1\n---\n{text}"))[1].read("f").unwrap_err();
            assert!(problems[0].line == Some(4) && problems[0].message.contains("twice"), "{problems:?}");
        }
    }

    #[test]
    fn several_objects_of_json_may_follow_one_another() {
        let stream = "{\"a\": 1}\n{\"b\": \"}{\"} {\"c\":\n3}\n---\nd: 4\n---\n{e: 5}\n";
        let parts = documents(stream);
        assert_eq!(parts.iter().map(|part| part.text).collect::<String>(), stream);
        let values: Vec<Json> = parts.iter().map(|part| part.read("f").unwrap().unwrap().value).collect();
        assert_eq!(values, [json!({"a": 1}), json!({"b": "}{"}), json!({"c": 3}), json!({"d": 4}), json!({"e": 5})]);
        assert_eq!(parts.iter().map(|part| part.before).collect::<Vec<_>>(), [0, 1, 1, 3, 5]);
        // What is no stream of JSON stays one document, and its problem is told.
        assert_eq!(documents("{\"a\": 1}\n{\"b\": \n").len(), 1);
    }

    #[test]
    fn a_problem_has_its_place_in_the_stream() {
        let stream = "a: 1\n---\n# c\nb: 1\nb: 2\n";
        let problems = documents(stream)[1].read("f.yaml").unwrap_err();
        assert_eq!((problems[0].line, problems[0].snippet.as_deref()), (Some(5), Some("b: 2")), "{problems:?}");
        assert!(documents("a: 1\n---\na: [\n")[1].read("f.yaml").unwrap_err()[0].line >= Some(3));
    }

    #[test]
    fn places_are_found_by_paths_even_where_keys_hold_dots() {
        let stream = "x: 1\n---\nmetadata:\n  annotations:\n    config.portcullis/mode: a\n    config: b\nspec:\n- {name: c}\n- name: d\n";
        let object = documents(stream)[1].read("f").unwrap().unwrap();
        for (path, line) in
            [("metadata.annotations.config.portcullis/mode", 5), ("spec[1].name", 9), ("spec[1].image", 9), ("spec[7]", 8), ("", 3)]
        {
            assert_eq!(object.place(path).map(|(line, _)| line), Some(line), "{path}");
        }
    }

    #[test]
    fn what_stands_before_an_object_is_kept() {
        let write = |text: &str| {
            let document = documents(text)[0];
            document.with(&document.read("f").unwrap().unwrap(), &json!({"a": ["yes", "0644", "1.0", null, "x\ny\n"]})).unwrap()
        };
        let body = "a:\n- 'yes'\n- '0644'\n- '1.0'\n- null\n- |\n  x\n  y\n";
        let written = write("---\n# why\n\na: 1 # lost\n");
        assert_eq!(written.replace('"', "'"), format!("---\n# why\n\n{body}"));
        assert!(write("--- {a: 1}\n").starts_with("---\na:\n"));
        assert!(write("{\"a\": 1}").starts_with("{\n  \"a\": ["));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let word = prop_oneof![
            any::<String>(),
            "[ -~\n]{0,40}",
            prop::sample::select(vec![
                "yes",
                "on",
                "~",
                "null",
                "0644",
                "1_0",
                "1:30",
                "0x1",
                ".inf",
                "2020-01-01",
                "- a",
                "a: b",
                "#",
                "|",
                "<<",
                "=",
                " x ",
                "x\n\n",
                "\n",
                "\t",
                "\u{85}",
                "---",
                "..."
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            word.clone().prop_map(Json::String),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::vec((word.clone(), inner), 0..6).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_json()) {
            let text = format!("---\n{}", written(&value).unwrap());
            let documents = documents(&text);
            prop_assert_eq!(documents.len(), 1, "{}", text);
            let again = Document { text: &text, before: 0 }.read("f").unwrap().map_or(Json::Null, |object| object.value);
            prop_assert_eq!(again, value, "{}", text);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            for document in documents(&text) {
                let _ = document.read("f");
            }
        }
    }
}
