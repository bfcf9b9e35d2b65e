//! The rules about the shape of a file: its length, its opening sentence, the length of its functions.

use super::source::Source;
use super::{Findings, Problem, Rule};

/// Most lines of a file.
pub const FILE_LINES: usize = 400;
/// Most lines of the hot path, which is to be read whole.
pub const HOT_PATH_LINES: usize = 250;
/// The file of the hot path.
pub const HOT_PATH: &str = "src/proxy/serve.rs";
/// Lines from which on a function is reported.
pub const FUNCTION_NOTE: usize = 80;
/// Most lines of a function.
pub const FUNCTION_LINES: usize = 100;

/// Checks the length and the opening sentence of a file.
pub fn check_file(path: &str, text: &str, findings: &mut Findings) {
    let most = if path == HOT_PATH { HOT_PATH_LINES } else { FILE_LINES };
    let lines = text.lines().count();
    if lines > most {
        let message = format!("{lines} lines, {most} are allowed; split the file by responsibility");
        findings.problems.push(Problem { path: path.to_owned(), line: most + 1, rule: Rule::FileLength, message });
    }
    if !opens_with_a_sentence(text) {
        let message = "must open with `//!` and one sentence, ended by a full stop, that says what the file is for".to_owned();
        findings.problems.push(Problem { path: path.to_owned(), line: 1, rule: Rule::ModuleSentence, message });
    }
}

/// Checks the length of the functions of a file.
pub fn check_functions(source: &Source, findings: &mut Findings) {
    for function in source.functions.iter().filter(|function| function.length > FUNCTION_NOTE) {
        let message = format!("`{}` has {} lines, {FUNCTION_LINES} are allowed and about 60 are aimed at", function.name, function.length);
        let problem = Problem { path: source.path.clone(), line: function.line, rule: Rule::FunctionLength, message };
        if function.length > FUNCTION_LINES {
            findings.problems.push(problem);
        } else {
            findings.notes.push(problem);
        }
    }
}

/// Tells whether the first line begins a `//!` paragraph whose first sentence is ended by a full stop or a colon.
fn opens_with_a_sentence(text: &str) -> bool {
    let paragraph: Vec<&str> =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let words = paragraph.split_whitespace().count();
    words >= 4 && (paragraph.ends_with(['.', ':']) || paragraph.contains(". "))
}
