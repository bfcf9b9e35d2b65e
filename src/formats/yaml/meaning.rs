//! What a tree of YAML means to Kubernetes: the JSON that its API server takes it for (YAML 1.1, and keys that are texts).

use serde_json::{Map, Number, Value as Json};

use crate::formats::problem::Problem;
use crate::formats::yaml::tree::{Node, Value};

/// Makes JSON of a tree.
///
/// # Errors
///
/// Returns keys that are no texts, and those that stand twice.
pub fn json(file: &str, text: &str, root: &Node) -> Result<Json, Vec<Problem>> {
    let mut reader = Reader { file, text, problems: Vec::new() };
    let value = reader.json(root, "");
    if reader.problems.is_empty() { Ok(value) } else { Err(reader.problems) }
}

/// Returns the text of a key; numbers and booleans are written as Kubernetes writes them.
#[must_use]
pub fn key(key: &Node) -> Option<String> {
    match &key.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(spelled) => Some(match number(spelled) {
            Json::Number(number) if !number.is_f64() => number.to_string(),
            Json::Number(number) => number.as_f64().map_or_else(|| spelled.clone(), |number| number.to_string()),
            _ => spelled.clone(),
        }),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Nothing | Value::List(_) | Value::Map(_) => None,
    }
}

/// Makes a number of how it is spelled: `0644` is octal, `0x1f` hexadecimal, `1_000` a thousand.
#[must_use]
pub fn number(text: &str) -> Json {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefix: &str, radix: u32| {
        let digits =
            digits.strip_prefix(prefix).filter(|digits| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)))?;
        i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
    };
    let marked = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(|| radix("0", 8));
    let plain = format!("{sign}{digits}");
    let whole = || match (digits.starts_with('0') && digits.len() > 1, plain.parse::<i64>(), plain.parse::<u64>()) {
        (true, ..) => None,
        (_, Ok(whole), _) => Some(Number::from(whole)),
        (_, _, Ok(whole)) => Some(Number::from(whole)),
        _ => None,
    };
    let number = marked.map(Number::from).or_else(whole).or_else(|| plain.parse().ok().and_then(Number::from_f64));
    number.map_or_else(|| text.into(), Json::Number)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, path: &str, message: String, hint: &str) {
        self.problems.push(Problem::error(self.file, path, message).with_hint(hint).at(self.text, node.line, node.column));
    }

    fn json(&mut self, node: &Node, path: &str) -> Json {
        match &node.value {
            Value::Nothing => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(text) => number(text),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => {
                let items = items.iter().enumerate();
                Json::Array(items.map(|(index, item)| self.json(item, &format!("{path}[{index}]"))).collect())
            }
            Value::Map(pairs) => {
                let mut fields = Map::new();
                for (node, value) in pairs {
                    let Some(name) = key(node) else {
                        self.wrong(node, path, format!("a key is {}", node.value.kind()), "write a text");
                        continue;
                    };
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let value = self.json(value, &path);
                    if fields.insert(name, value).is_some() {
                        self.wrong(node, &path, format!("{path} stands here twice"), "leave one of them out");
                    }
                }
                Json::Object(fields)
            }
        }
    }
}
