//! Holds config/schema.json to the reader: the same keys, the same kinds, the same required keys, the same words, at every place.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::*;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../config/schema.json")).unwrap()
}

/// Follows a reference.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(to) => root.pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{to} leads nowhere")),
        None => schema,
    }
}

fn required(schema: &Value) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).map_or_else(Vec::new, |keys| keys.iter().map(|key| key.as_str().unwrap()).collect())
}

/// Makes the smallest value that a schema takes.
fn sample(root: &Value, schema: &Value) -> Value {
    let schema = resolved(root, schema);
    if let Some(example) = schema.pointer("/examples/0").or_else(|| schema.pointer("/enum/0")) {
        return example.clone();
    }
    if let Some(first) = schema.pointer("/anyOf/0").filter(|_| schema.get("properties").is_none()) {
        return sample(root, first);
    }
    match schema["type"].as_str() {
        Some("object") => {
            let keys = required(schema).into_iter().map(|key| (key.to_owned(), sample(root, &schema["properties"][key])));
            Value::Object(keys.collect())
        }
        Some("array") => json!([sample(root, &schema["items"])]),
        Some("boolean") => json!(true),
        _ => json!("x"),
    }
}

/// Puts a value where it belongs into a whole configuration.
type Wrap<'w> = &'w dyn Fn(Value) -> Value;

struct Walk {
    root: Value,
    objects: usize,
    words: usize,
}

impl Walk {
    fn visit(&mut self, schema: &Value, path: &str, wrap: Wrap<'_>) {
        let root = self.root.clone();
        let schema = resolved(&root, schema);
        if schema.get("properties").is_some() {
            self.object(schema, path, wrap);
        }
        for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().filter(|_| schema.get("properties").is_none()) {
            self.visit(choice, path, wrap);
        }
        if let Some(items) = schema.get("items") {
            self.visit(items, &format!("{path}[0]"), &|value| wrap(json!([value])));
        }
        for word in schema.get("enum").and_then(Value::as_array).into_iter().flatten() {
            self.words += 1;
            let about: Vec<String> = problems(&wrap(word.clone())).iter().filter(|p| p.path == path).map(|p| p.message.clone()).collect();
            assert!(!about.iter().any(|message| message.contains(&format!("{word}"))), "{path}: {word} is refused: {about:?}");
            assert!(problems(&wrap(json!("zzz"))).iter().any(|p| p.path == path), "{path} takes any word");
        }
    }

    fn object(&mut self, schema: &Value, path: &str, wrap: Wrap<'_>) {
        self.objects += 1;
        let root = self.root.clone();
        let whole = sample(&root, &json!({"type": "object", "required": schema["required"], "properties": schema["properties"]}));
        let mut whole: Map<String, Value> = whole.as_object().cloned().unwrap_or_default();
        // Of several keys of which there must be one, the first.
        let choice = schema.pointer("/oneOf/0").or_else(|| schema.pointer("/anyOf/0"));
        for key in choice.map_or_else(Vec::new, required) {
            whole.insert(key.to_owned(), sample(&root, &schema["properties"][key]));
        }
        let with = |key: &str, value: Value| {
            let mut object = whole.clone();
            object.insert(key.to_owned(), value);
            wrap(Value::Object(object))
        };
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };

        let keys: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let told = problems(&with("zzz", json!(1)));
        let unknown = told.iter().find(|p| p.path == below("zzz")).unwrap_or_else(|| panic!("{path} takes any key: {}", shown(&told)));
        let hint = unknown.hint.as_deref().unwrap_or_default();
        let list = hint.strip_prefix("the keys here are ").unwrap_or_else(|| panic!("{path}: {hint}"));
        assert_eq!(keys, list.split(", ").collect(), "the keys of {path:?}, in the schema and in the reader");

        for key in required(schema) {
            let mut object = whole.clone();
            object.remove(key);
            let told = problems(&wrap(Value::Object(object)));
            assert!(
                told.iter().any(|p| p.path == below(key) && p.message.contains("is missing")),
                "{path}: {key} is not required: {}",
                shown(&told)
            );
        }
        for key in &keys {
            let property = &schema["properties"][key];
            let told = problems(&with(key, wrong(&root, property)));
            assert!(told.iter().any(|p| p.path.starts_with(&below(key))), "{path}: {key} takes what the schema does not: {}", shown(&told));
            self.visit(property, &below(key), &|value| with(key, value));
        }
    }
}

/// Makes a value that a schema does not take.
fn wrong(root: &Value, schema: &Value) -> Value {
    let schema = resolved(root, schema);
    let kinds = schema.to_string();
    if schema["type"] == "boolean" {
        return json!("perhaps");
    }
    if schema["type"] == "array" {
        return json!(7);
    }
    if schema["type"] == "object" {
        return json!("text");
    }
    // A text, or a text and something else: a mapping of an unknown key is neither.
    assert!(kinds.contains("string") || kinds.contains("enum") || kinds.contains("anyOf"), "{kinds}");
    json!({"zzz": 1})
}

fn problems(value: &Value) -> Vec<Problem> {
    // JSON is YAML.
    load_text(value.to_string()).err().unwrap_or_default()
}

#[test]
fn the_schema_and_the_reader_agree_everywhere() {
    let root = schema();
    let services = sample(&root, &root["properties"]["services"]);
    let mut walk = Walk { root: root.clone(), objects: 0, words: 0 };
    // The services are required unless artifacts are delivered; here they always are.
    let whole = |mut value: Value| {
        let object = value.as_object_mut().unwrap();
        object.entry("services").or_insert_with(|| services.clone());
        value
    };
    walk.visit(&root, "", &whole);
    assert!(walk.objects >= 30 && walk.words >= 10, "{} objects and {} words", walk.objects, walk.words);
    let told = problems(&json!({"listen": "127.0.0.1:8080"}));
    assert!(told.iter().any(|p| p.path == "services" && p.message.contains("is missing")), "{}", shown(&told));
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn look(value: &Value, path: &str) {
        for (key, property) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(property.get("description").is_some() || property.get("$ref").is_some(), "{path}.{key} has no description");
        }
        match value {
            Value::Object(object) => {
                object.iter().filter(|(key, _)| *key != "then").for_each(|(key, below)| look(below, &format!("{path}/{key}")))
            }
            Value::Array(items) => items.iter().for_each(|below| look(below, path)),
            _ => {}
        }
    }
    look(&schema(), "");
}
