//! Finds labels and annotations of ours that stand where nobody reads them, so that none is passed over in silence.

use serde_json::Value;

use crate::kube::inject::annotations::{INJECT, PREFIX};
use crate::kube::inject::fault::{Fault, child, shown};

/// What is said of the place that is right.
const PARTS: [(&str, &str); 2] = [("labels", "a label"), ("annotations", "an annotation")];

/// Finds what is misplaced anywhere in an object; `path` is where it stands, and `pod` where its pod, or the template of one.
#[must_use]
pub fn misplaced(object: &Value, path: &str, pod: &str) -> Vec<Fault> {
    let metadata = child(pod, "metadata");
    let mut search = Search { right: PARTS.map(|(part, _)| child(&metadata, part)), below: metadata, found: Vec::new() };
    search.walk(object, path);
    search.found
}

/// Finds what stands at an object that only gathers pods: at a list, or at a namespace.
#[must_use]
pub fn gathered(object: &Value, path: &str) -> Vec<Fault> {
    let mut search = Search { right: [String::new(), String::new()], below: "metadata".to_owned(), found: Vec::new() };
    if let Some(metadata) = object.get("metadata") {
        search.walk(metadata, &child(path, "metadata"));
    }
    search.found
}

struct Search {
    /// Where the label and the annotations belong.
    right: [String; 2],
    below: String,
    found: Vec<Fault>,
}

impl Search {
    fn walk(&mut self, value: &Value, path: &str) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.look(key, path);
                    // Whoever selects pods or nodes may do it by our label.
                    if !key.ends_with("elector") && key != "matchLabels" {
                        self.walk(value, &child(path, key));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn look(&mut self, key: &str, path: &str) {
        let index = if key == INJECT {
            0
        } else if key.starts_with(PREFIX) {
            1
        } else {
            return;
        };
        let ((part, what), Some(right)) = (PARTS[index], self.right.get(index)) else { return };
        if path != right {
            let message = format!("{} has no effect here: it is {what} of the pods", shown(key).trim_matches('"'));
            let hint = format!("write it below {}", child(&self.below, part));
            self.found.push(Fault::new(path, message, hint));
        }
    }
}
