//! Splits a text into YAML documents that keep the line numbers of the whole.

use crate::formats::problem::Problem;
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// The most documents of one file.
const MAX_DOCUMENTS: usize = 100;

/// Reads every document of a text that holds anything.
///
/// # Errors
///
/// Returns the first error of syntax of each document, and says when there are too many.
pub fn parse(file: &str, text: &str) -> Result<Vec<Node>, Vec<Problem>> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for (line, part) in split(text) {
        if documents.len() + problems.len() >= MAX_DOCUMENTS {
            problems.push(Problem::error(file, "", format!("there are more than {MAX_DOCUMENTS} documents")).with_hint("split the file"));
            break;
        }
        match tree::parse(file, part, Limits::GATES) {
            Ok(root) if root.value == Value::Nothing => {}
            Ok(mut root) => {
                shift(&mut root, line);
                documents.push(root);
            }
            Err(problem) => {
                let problem = *problem;
                let place = problem.line.map(|found| found + line).zip(problem.column);
                problems.push(match place {
                    Some((line, column)) => problem.at(text, line, column),
                    None => problem,
                });
            }
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// Splits at lines that begin with `---` and gives each part with the number of lines before it. Such a line ends a
/// document even within a block of text.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut from, mut from_line, mut at) = (0, 0, 0);
    for (line, found) in text.split_inclusive('\n').enumerate() {
        if found.trim_end() == "---" || found.starts_with("--- ") {
            parts.push((from_line, text.get(from..at).unwrap_or_default()));
            // What follows the marker on its line belongs to the document; the marker itself is skipped.
            (from, from_line) = if found.trim_end() == "---" { (at + found.len(), line + 1) } else { (at, line) };
        }
        at += found.len();
    }
    parts.push((from_line, text.get(from..).unwrap_or_default()));
    parts.into_iter().filter(|(_, part)| !part.trim().is_empty()).collect()
}

fn shift(node: &mut Node, lines: usize) {
    node.line += lines;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, lines)),
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            shift(key, lines);
            shift(value, lines);
        }),
        Value::Nothing | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
