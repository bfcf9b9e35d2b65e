//! Writes the reference of the configuration from its schema, as a page in Markdown.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;

/// Writes the page: a table for the file and one for each mapping in it, in the order in which they are first named.
pub fn page(schema: &Value) -> String {
    let mut page = Page { root: schema, waiting: VecDeque::new(), known: BTreeSet::new() };
    let mut text = String::from(
        "# Configuration reference\n\nEvery key of a configuration file, written by `portcullis schema --markdown`. \
         [config/example.yaml](../config/example.yaml) shows them in use, with what lies behind them. Durations carry their unit (`300ms`, \
         `10s`, `1m 30s`), shares are percentages, and paths are relative to the file. `portcullis check FILE` tells every mistake at once.\n",
    );
    page.waiting.push_back(("The file".to_owned(), schema));
    while let Some((title, mapping)) = page.waiting.pop_front() {
        page.section(&title, mapping, &mut text);
    }
    text
}

struct Page<'s> {
    root: &'s Value,
    waiting: VecDeque<(String, &'s Value)>,
    known: BTreeSet<String>,
}

impl<'s> Page<'s> {
    fn section(&mut self, title: &str, mapping: &'s Value, text: &mut String) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n## {title}\n\n{}\n", words(&mapping["description"]));
        text.push_str("| key | what | value | default |\n|---|---|---|---|\n");
        let needed: Vec<&str> = mapping["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, property) in mapping["properties"].as_object().into_iter().flatten() {
            let below = if title == "The file" { key.clone() } else { format!("{title}.{key}") };
            let what = words(&self.resolved(property)["description"]).replace('|', "\\|");
            let what = if property.get("$ref").is_some() { property.get("description").map_or(what, words) } else { what };
            let default = match property.get("default") {
                Some(default) => format!("`{}`", bare(default)),
                None if needed.contains(&key.as_str()) => "**required**".to_owned(),
                None => String::new(),
            };
            let _ = writeln!(text, "| `{key}` | {what} | {} | {default} |", self.kind(property, &below).replace('|', "\\|"));
        }
    }

    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let to = schema.get("$ref").and_then(Value::as_str);
        to.and_then(|to| self.root.pointer(to.trim_start_matches('#'))).unwrap_or(schema)
    }

    /// Says what a value may be; a mapping gets a section of its own.
    fn kind(&mut self, schema: &'s Value, path: &str) -> String {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.rsplit('/').next()) {
            return self.link(name, self.resolved(schema));
        }
        if schema.get("properties").is_some() {
            return self.link(path, schema);
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let mut kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice, path)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return words.iter().map(|word| format!("`{}`", bare(word))).collect::<Vec<_>>().join(", ");
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.kind(&schema["items"], path)),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("object") => "mapping".to_owned(),
            _ => schema.pointer("/examples/0").map_or_else(|| "text".to_owned(), |example| format!("such as `{}`", bare(example))),
        }
    }

    fn link(&mut self, title: &str, mapping: &'s Value) -> String {
        if self.known.insert(title.to_owned()) {
            self.waiting.push_back((title.to_owned(), mapping));
        }
        // As GitHub makes anchors of headings.
        let anchor: String = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
        format!("[{title}](#{})", anchor.to_lowercase())
    }
}

/// Returns a text, on one line.
fn words(text: &Value) -> String {
    text.as_str().unwrap_or_default().replace('\n', " ")
}

/// Writes a value as it stands in YAML.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_mapping_has_a_section_and_every_key_a_row() {
        let schema = json!({
            "description": "All.", "required": ["a"],
            "properties": {
                "a": {"description": "One.", "type": ["string", "number"], "examples": ["x|y"]},
                "b": {"description": "Two.", "anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/c"}}], "default": false},
            },
            "$defs": {"c": {"description": "Three.", "properties": {
                "d.e": {"description": "Four.", "properties": {"f": {"description": "A|B", "enum": ["g", "h"]}}}}}},
        });
        let page = page(&schema);
        for line in [
            "| `a` | One. | such as `x\\|y` | **required** |",
            "| `b` | Two. | text or list of [c](#c) | `false` |",
            "## c",
            "| `d.e` | Four. | [c.d.e](#cde) |  |",
            "## c.d.e",
            "| `f` | A\\|B | `g`, `h` |  |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
