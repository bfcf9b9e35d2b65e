//! The difference of two JSON values as a JSONPatch (RFC 6902), with pointers as in RFC 6901.

use serde::Serialize;
use serde_json::{Map, Value};

/// One operation of a patch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Puts a value to a key, or before an item of a list.
    Add {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Takes what is there away.
    Remove {
        /// Where.
        path: String,
    },
    /// Puts a value in the place of another.
    Replace {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
}

/// Returns the operations that make `after` of `before`, in their order.
#[must_use]
pub fn patch(before: &Value, after: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    values(before, after, String::new(), &mut operations);
    operations
}

/// Returns the pointer of a key below a pointer.
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn values(before: &Value, after: &Value, path: String, operations: &mut Vec<Operation>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => maps(before, after, &path, operations),
        (Value::Array(before), Value::Array(after)) => lists(before, after, &path, operations),
        _ => operations.push(Operation::Replace { path, value: after.clone() }),
    }
}

fn maps(before: &Map<String, Value>, after: &Map<String, Value>, path: &str, operations: &mut Vec<Operation>) {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    operations.extend(gone.map(|key| Operation::Remove { path: below(path, key) }));
    for (key, value) in after {
        match before.get(key) {
            Some(old) => values(old, value, below(path, key), operations),
            None => operations.push(Operation::Add { path: below(path, key), value: value.clone() }),
        }
    }
}

/// What both begin with and what both end with stays; so one item that was put in is one operation, wherever it stands.
fn lists(before: &[Value], after: &[Value], path: &str, operations: &mut Vec<Operation>) {
    let same = |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut before.iter().zip(after));
    let (before, after) = (before.get(head..).unwrap_or_default(), after.get(head..).unwrap_or_default());
    let tail = same(&mut before.iter().rev().zip(after.iter().rev()));
    let cut = |list: &mut &[Value]| *list = list.get(..list.len().saturating_sub(tail)).unwrap_or_default();
    let (mut before, mut after) = (before, after);
    cut(&mut before);
    cut(&mut after);
    for (index, (old, new)) in before.iter().zip(after).enumerate() {
        values(old, new, format!("{path}/{}", head + index), operations);
    }
    let both = before.len().min(after.len());
    for (index, value) in after.iter().enumerate().skip(both) {
        operations.push(Operation::Add { path: format!("{path}/{}", head + index), value: value.clone() });
    }
    for index in (both..before.len()).rev() {
        operations.push(Operation::Remove { path: format!("{path}/{}", head + index) });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_put_in_is_one_operation() {
        let before = json!({"a": [1, 2, 3], "b": {"c/d~e": 1}});
        let after = json!({"a": [1, 9, 2, 3], "b": {"c/d~e": 2}, "f": []});
        assert_eq!(
            serde_json::to_value(patch(&before, &after)).unwrap(),
            json!([
                {"op": "add", "path": "/a/1", "value": 9},
                {"op": "replace", "path": "/b/c~1d~0e", "value": 2},
                {"op": "add", "path": "/f", "value": []},
            ])
        );
        assert_eq!(patch(&before, &before), []);
        assert_eq!(
            serde_json::to_value(patch(&json!([1, 2, 3]), &json!([3]))).unwrap(),
            json!([
            {"op": "remove", "path": "/1"}, {"op": "remove", "path": "/0"}])
        );
        assert_eq!(serde_json::to_value(patch(&json!(1), &json!(null))).unwrap(), json!([{"op": "replace", "path": "", "value": null}]));
    }
}
