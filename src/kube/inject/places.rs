//! Finds labels and annotations of ours that stand where nobody reads them, so that none is passed over in silence.

use serde_json::Value;

use crate::kube::inject::annotations::{INJECT, PREFIX};
use crate::kube::inject::fault::{Fault, child, shown};

/// How many are told of one object; whoever may make pods could fill the memory with more.
const MOST: usize = 100;
/// The longest key of a path that is shown, and the longest path, in characters.
const LONGEST_KEY: usize = 80;
const LONGEST_PATH: usize = 400;

/// Finds what is misplaced anywhere in an object; `path` is where it stands, and `keys` lead from it to its pod, or to the template of one.
#[must_use]
pub fn misplaced(object: &Value, path: &str, keys: &[&str]) -> Vec<Fault> {
    let metadata: Vec<&str> = keys.iter().copied().chain(["metadata"]).collect();
    let below = metadata.iter().fold(path.to_owned(), |path, key| child(&path, key));
    let mut search = Search { right: Some(&metadata), path, below, steps: Vec::new(), found: Vec::new() };
    search.walk(object);
    search.found
}

/// Finds what stands at an object that only gathers pods: at a list, or at a namespace.
#[must_use]
pub fn gathered(object: &Value, path: &str) -> Vec<Fault> {
    let mut search = Search { right: None, path, below: "metadata".to_owned(), steps: vec![Step::Key("metadata")], found: Vec::new() };
    if let Some(metadata) = object.get("metadata") {
        search.walk(metadata);
    }
    search.found
}

/// One step on the way into an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step<'o> {
    Key(&'o str),
    Index(usize),
}

struct Search<'o> {
    /// What leads to the metadata where the label and the annotations belong; `None`: they belong nowhere here.
    right: Option<&'o [&'o str]>,
    /// Where the object stands, and where the metadata does, to be shown.
    path: &'o str,
    below: String,
    /// Where it is looked at the moment. The path is written only for what is found: it may be long, and there may be many values.
    steps: Vec<Step<'o>>,
    found: Vec<Fault>,
}

impl<'o> Search<'o> {
    fn walk(&mut self, value: &'o Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.look(key);
                    // Whoever selects pods or nodes may do it by our label.
                    if !key.ends_with("elector") && key != "matchLabels" {
                        self.step(Step::Key(key), value);
                    }
                    if self.found.len() > MOST {
                        return;
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(Step::Index(index), item);
                    if self.found.len() > MOST {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, step: Step<'o>, value: &'o Value) {
        self.steps.push(step);
        self.walk(value);
        self.steps.pop();
    }

    fn look(&mut self, key: &str) {
        let (part, what) = if key == INJECT {
            ("labels", "a label")
        } else if key.starts_with(PREFIX) {
            ("annotations", "an annotation")
        } else {
            return;
        };
        if self.is_right(part) {
            return;
        }
        let hint = format!("write it below {}", child(&self.below, part));
        let message = if self.found.len() == MOST {
            format!("more than {MOST} labels and annotations of ours have no effect where they stand")
        } else {
            format!("{} has no effect here: it is {what} of the pods", shown(key).trim_matches('"'))
        };
        self.found.push(Fault::new(self.shown_path(), message, hint));
    }

    /// Says whether `part` of the pods' metadata is looked at.
    fn is_right(&self, part: &str) -> bool {
        self.right.is_some_and(|metadata| self.steps.iter().copied().eq(metadata.iter().copied().chain([part]).map(Step::Key)))
    }

    fn shown_path(&self) -> String {
        let mut path = self.path.to_owned();
        for step in &self.steps {
            if path.chars().count() > LONGEST_PATH {
                return path + "…";
            }
            path = match step {
                Step::Key(key) if key.chars().nth(LONGEST_KEY).is_some() => {
                    child(&path, &key.chars().take(LONGEST_KEY).chain(['…']).collect::<String>())
                }
                Step::Key(key) => child(&path, key),
                Step::Index(index) => format!("{path}[{index}]"),
            };
        }
        path
    }
}
