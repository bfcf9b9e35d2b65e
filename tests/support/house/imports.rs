//! Resolves the paths that files name, to absolute paths and to the files that define them.

use std::collections::BTreeMap;

use super::source::{Source, Written};

/// How many aliases or re-exports are followed before a name is given up as circular.
const MOST_HOPS: usize = 16;

/// Names that begin a path without naming a crate or a module.
const PRIMITIVES: [&str; 19] = [
    "bool", "char", "str", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "slice",
    "never",
];

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into this crate; the path without `crate`.
    Here(Vec<String>),
    /// Into another crate; the path with the name of the crate.
    Other(Vec<String>),
}

/// All files of `src/` with what they name.
#[derive(Debug)]
pub struct Tree {
    sources: Vec<Source>,
    by_module: BTreeMap<Vec<String>, usize>,
    targets: Vec<Vec<(Target, usize)>>,
}

impl Tree {
    /// Resolves every name of every file.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let by_module = sources.iter().enumerate().map(|(at, source)| (source.module.clone(), at)).collect();
        let targets = sources
            .iter()
            .map(|source| source.names.iter().filter_map(|name| Some((resolve(source, name, 0)?, name.line))).collect())
            .collect();
        Self { sources, by_module, targets }
    }

    /// The files.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Where the names of one file lead, with their lines.
    pub fn targets(&self, file: usize) -> impl Iterator<Item = (&Target, usize)> {
        self.targets[file].iter().map(|(target, line)| (target, *line))
    }

    /// The file that defines what a path within the crate names, re-exports followed.
    #[must_use]
    pub fn file_of(&self, path: &[String]) -> Option<usize> {
        let mut path = path.to_vec();
        for _ in 0..MOST_HOPS {
            let (length, file) = (1..=path.len()).rev().find_map(|n| Some((n, *self.by_module.get(&path[..n])?)))?;
            let Some(onward) = path.get(length).and_then(|item| self.reexport(file, item)) else { return Some(file) };
            path = onward.into_iter().chain(path.drain(length + 1..)).collect();
        }
        None
    }

    /// Where a file's public import of that name leads within the crate.
    fn reexport(&self, file: usize, item: &str) -> Option<Vec<String>> {
        let source = &self.sources[file];
        let import = source.names.iter().find(|name| name.public && name.module == source.module && name.alias.as_deref() == Some(item))?;
        match resolve(source, import, 0)? {
            Target::Here(path) => Some(path),
            Target::Other(_) => None,
        }
    }
}

/// Makes a written path absolute; `None` for a path that begins with an item of the file itself or a primitive type.
fn resolve(source: &Source, name: &Written, hops: usize) -> Option<Target> {
    let (first, rest) = name.segments.split_first()?;
    let onto = |base: &[String]| Some(Target::Here(base.iter().chain(rest).cloned().collect()));
    if name.leading_colon {
        return Some(Target::Other(name.segments.clone()));
    }
    match first.as_str() {
        "crate" => return onto(&[]),
        "portcullis" if source.path == "src/main.rs" => return onto(&[]),
        "self" => return onto(&name.module),
        "super" => {
            let ups = name.segments.iter().take_while(|segment| *segment == "super").count();
            let base = &name.module[..name.module.len().saturating_sub(ups)];
            return Some(Target::Here(base.iter().chain(&name.segments[ups..]).cloned().collect()));
        }
        _ => {}
    }
    let child: Vec<String> = name.module.iter().cloned().chain([first.clone()]).collect();
    if source.modules.contains(&child) {
        return onto(&child);
    }
    let alias = source.names.iter().find(|other| {
        other.module == name.module && other.alias.as_ref() == Some(first) && (other.segments.len() > 1 || other.segments[0] != *first)
    });
    match alias.filter(|_| hops < MOST_HOPS).filter(|alias| !std::ptr::eq(*alias, name)) {
        Some(alias) => match resolve(source, alias, hops + 1)? {
            Target::Here(base) => onto(&base),
            Target::Other(base) => Some(Target::Other(base.iter().chain(rest).cloned().collect())),
        },
        None if first.starts_with(char::is_uppercase) || PRIMITIVES.contains(&first.as_str()) => None,
        None => Some(Target::Other(name.segments.clone())),
    }
}
