//! Holds the table of invariants to what there is: each invariant has a line, and each check named there exists.

use std::path::Path;

/// The invariants that a rollout alone can keep or break; configuration, administration, memory and fleets have their own tests.
fn ids() -> impl Iterator<Item = u8> {
    (1..=18).chain([22, 23, 24, 26, 27])
}

/// Returns the lines of the table with their ids.
fn lines() -> Vec<(String, String)> {
    let table = include_str!("invariants.md");
    let lines = table.lines().filter(|line| line.starts_with("| I"));
    lines.map(|line| (line.split('|').nth(1).unwrap().trim().to_owned(), line.to_owned())).collect()
}

/// Returns what a line names in backticks: a file, and a function in it where one is named.
fn checks(line: &str) -> Vec<(&str, Option<&str>)> {
    let named = line.split('`').skip(1).step_by(2).filter(|name| name.contains('/'));
    named.map(|name| name.split_once('#').map_or((name, None), |(file, function)| (file, Some(function)))).collect()
}

#[test]
fn every_invariant_has_its_line() {
    let found: Vec<String> = lines().into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, ids().map(|id| format!("I{id}")).collect::<Vec<_>>());
}

#[test]
fn every_check_that_is_named_exists() {
    for (id, line) in lines() {
        let checks = checks(&line);
        assert!(!checks.is_empty(), "{id} names no check");
        for (file, function) in checks {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{id} names {file}: {error}"));
            let exists = function.is_none_or(|name| text.contains(&format!("fn {name}(")));
            assert!(exists, "{id} names {function:?}, which {file} does not have");
        }
    }
}
