//! Checks the rules of the house over a tree given as pairs of path and text; it reads no file itself.

pub mod circles;
pub mod imports;
pub mod layers;
pub mod purity;
pub mod shape;
pub mod source;

use std::collections::BTreeMap;
use std::fmt;

use imports::Tree;
use source::Source;

/// One broken rule, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the root of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The rule that is broken.
    pub rule: Rule,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// The rules of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The file is Rust.
    Parses,
    /// A module imports only from lower layers.
    Layers,
    /// Every top-level module stands in the table of layers.
    KnownModule,
    /// Files do not import in circles.
    Circle,
    /// The domain names no clock, socket, file, thread, random source or async.
    Pure,
    /// A file has a largest length.
    FileLength,
    /// A function has a largest length.
    FunctionLength,
    /// A file opens with a sentence that says what it is for.
    ModuleSentence,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {:?}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// What a check of the tree found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Broken rules; the tree must have none.
    pub problems: Vec<Problem>,
    /// What is allowed but worth knowing, such as a function that grows long.
    pub notes: Vec<Problem>,
}

/// Checks all rules. Files below `src/` are held to every rule, all others to those about the shape of a file.
#[must_use]
pub fn check(files: &[(String, String)]) -> Findings {
    let mut findings = Findings::default();
    let mut sources = Vec::new();
    for (path, text) in files {
        shape::check_file(path, text, &mut findings);
        if !path.starts_with("src/") {
            continue;
        }
        match Source::parse(path, text) {
            Ok(source) => sources.push(source),
            Err(problem) => findings.problems.push(problem),
        }
    }
    let tree = Tree::new(without_test_files(sources));
    for source in tree.sources() {
        shape::check_functions(source, &mut findings);
    }
    findings.problems.extend(layers::check_modules(&tree));
    findings.problems.extend(layers::check_imports(&tree));
    findings.problems.extend(circles::check(&tree));
    findings.problems.extend(purity::check(&tree));
    findings.problems.sort();
    findings.problems.dedup();
    findings
}

/// Leaves out files that are compiled for tests only: declared by `#[cfg(test)] mod x;` with or without `#[path]`, or below such a module.
fn without_test_files(sources: Vec<Source>) -> Vec<Source> {
    let test_modules: Vec<Vec<String>> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    let test_files: Vec<String> = sources.iter().flat_map(|source| source.test_files.clone()).collect();
    let for_tests =
        |source: &Source| test_files.contains(&source.path) || test_modules.iter().any(|module| source.module.starts_with(module));
    sources.into_iter().filter(|source| !for_tests(source)).collect()
}

/// Groups problems by rule, for a message that people can read.
#[must_use]
pub fn report(problems: &[Problem]) -> String {
    let mut by_rule: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for problem in problems {
        by_rule.entry(problem.rule).or_default().push(format!("  {problem}"));
    }
    by_rule.values().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n")
}
