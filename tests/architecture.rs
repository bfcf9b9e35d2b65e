//! Holds the house: layers, circles, purity of the domain, the shape of files; and tests the checker itself.

#![cfg(test)]

#[path = "support/house/mod.rs"]
mod house;

use std::fs;
use std::path::Path;
use std::process::Command;

use house::{Findings, Rule};

/// Folders whose Rust files are held to the rules.
const FOLDERS: [&str; 3] = ["src", "tests", "benches"];

/// Reads the Rust files below a folder; folders named `target` hold what was built and are left out.
fn read_tree(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("an entry of a folder that was just opened");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            if entry.file_name() != "target" {
                read_tree(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file is UTF-8");
            files.push((path.to_str().expect("names of source files are UTF-8").to_owned(), text));
        }
    }
}

#[test]
fn the_tree_keeps_the_rules_of_the_house() {
    let mut files = Vec::new();
    for folder in FOLDERS {
        read_tree(Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(folder), &mut files);
    }
    files.sort();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the tree was not found");
    let findings = house::check(&files);
    if !findings.notes.is_empty() {
        println!("long functions:\n{}", house::report(&findings.notes));
    }
    assert!(findings.problems.is_empty(), "the house is broken:\n{}", house::report(&findings.problems));
}

#[test]
fn no_banned_crate_is_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join("config/deny.toml")).expect("config/deny.toml can be read");
    let banned: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next()).collect();
    assert!(banned.contains(&"ring"), "the bans were not found in config/deny.toml: {banned:?}");
    // Cargo.lock names more: what an optional feature of a dependency might want, were it built with another optional one.
    let arguments = ["tree", "--locked", "--prefix", "none", "--format", "{p}", "--edges", "all", "--target", "all", "--all-features"];
    let tree = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("cargo writes text");
    let built: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(built.contains(&"hyper"), "the packages were not found in cargo's tree");
    let found: Vec<_> = banned.iter().filter(|name| built.contains(name)).collect();
    assert!(found.is_empty(), "banned crates are built: {found:?}; see config/deny.toml for the reasons");
}

/// A small tree that keeps every rule, with what looks like a breach to a careless reader.
const CLEAN: [(&str, &str); 11] = [
    ("src/main.rs", "//! Parses, runs, exits with a code.\nfn main() { portcullis::cli::main(); }\n"),
    ("src/lib.rs", "//! The crate, module by module.\npub mod domain;\npub mod seam;\npub mod proxy;\npub mod control;\npub mod cli;\n"),
    (
        "src/domain/mod.rs",
        "//! The pure core: no clock and no chance.\n#[cfg(all(test, unix))]\nmod properties;\n#[cfg(test)]\n#[path = \"mod_tests.rs\"]\nmod tests;\npub mod split;\npub mod weight;\npub use split::Split;\npub use weight::Weight;\n",
    ),
    (
        "src/domain/weight.rs",
        r##"//! A share of requests, in basis points.
// use std::time::Instant; use crate::cli::main;
/// Not `std::fs::read` but a number: crate::proxy::serve.
pub struct Weight(u16);
const NAMES: &str = "use crate::proxy::serve; std::fs::read() async";
const RAW: &str = r#"use tokio::net; "#;
impl Weight {
    pub fn of(waited: std::time::Duration, to: std::net::SocketAddr) -> u64 {
        assert!(to.port() > 0, "std::thread::sleep");
        u64::from(u32::MAX) + waited.as_secs() + libm::floor(1.5) as u64
    }
    #[cfg(test)]
    fn clock() -> std::time::Instant { std::time::Instant::now() }
}
#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    #[test]
    fn a_test_may_name_all() { crate::proxy::serve::serve(rand::random(), Instant::now()); }
}
"##,
    ),
    ("src/domain/properties.rs", "//! Properties of weights, for tests only.\nuse std::thread;\nuse crate::proxy::serve;\n"),
    (
        "src/domain/mod_tests.rs",
        "//! Tests of the whole domain, in a file of their own.\nuse proptest::prelude::*;\nuse crate::proxy::serve;\n",
    ),
    (
        "src/domain/split.rs",
        "//! The weights of one route, together.\nuse crate::domain::Weight;\npub struct Split(Weight);\npub(in crate::domain) fn f() {}\n",
    ),
    ("src/seam/mod.rs", "//! What joins the two planes.\nuse std::time::Instant;\npub mod table;\n"),
    (
        "src/seam/table.rs",
        "//! One immutable routing table.\nuse crate::domain::{Split, weight::{self, Weight}};\nfn f() { weight::of(); }\n",
    ),
    ("src/proxy/mod.rs", "//! The data plane, from accept to drain.\npub mod serve;\n"),
    ("src/proxy/serve.rs", "//! The hot path, whole and in order.\nuse crate::seam::table;\npub async fn serve() { table::f().await }\n"),
];

/// The clean tree with some files changed or added.
fn tree_with(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = CLEAN.iter().filter(|(path, _)| changes.iter().all(|(changed, _)| changed != path));
    kept.chain(changes).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Claims that the changes break this rule, in this file and line, and no other rule.
#[track_caller]
fn breaks(changes: &[(&str, &str)], rule: Rule, path: &str, line: usize, words: &str) {
    let Findings { problems, .. } = house::check(&tree_with(changes));
    let [problem] = problems.as_slice() else { panic!("one problem is wanted, not these:\n{}", house::report(&problems)) };
    assert_eq!((problem.rule, problem.path.as_str(), problem.line), (rule, path, line), "{problem}");
    assert!(problem.message.contains(words), "`{words}` is not said in: {problem}");
}

#[test]
fn a_clean_tree_passes() {
    let findings = house::check(&tree_with(&[]));
    assert_eq!(findings.problems, [], "{}", house::report(&findings.problems));
    assert_eq!(findings.notes, []);
}

#[test]
fn an_upward_import_fails() {
    let text = "//! What joins the two planes.\npub mod table;\nuse crate::proxy::serve::serve;\n";
    breaks(&[("src/seam/mod.rs", text)], Rule::Layers, "src/seam/mod.rs", 3, "`seam` (L1) imports `proxy::serve::serve`");
}

#[test]
fn an_upward_path_without_an_import_fails() {
    let text = "//! One immutable routing table.\nfn f() {\n    let x: super::super::cli::Command = 1;\n}\n";
    breaks(&[("src/seam/table.rs", text)], Rule::Layers, "src/seam/table.rs", 3, "`cli::Command` from the higher layer L6");
}

#[test]
fn an_upward_path_inside_a_macro_fails() {
    let text = "//! One immutable routing table.\nfn f() {\n    debug_assert!(g(crate::cli::main()));\n}\n";
    breaks(&[("src/seam/table.rs", text)], Rule::Layers, "src/seam/table.rs", 3, "`cli::main`");
}

#[test]
fn an_upward_import_in_a_group_or_an_inline_module_fails() {
    let text = "//! One immutable routing table.\nmod inner {\n    use super::super::super::{domain::Split,\n        proxy as p};\n}\n";
    breaks(&[("src/seam/table.rs", text)], Rule::Layers, "src/seam/table.rs", 4, "imports `proxy`");
}

#[test]
fn an_import_between_modules_of_one_layer_fails() {
    let text = "//! The controller: drain, judge, decide, apply.\nuse crate::proxy::serve;\n";
    breaks(&[("src/control/mod.rs", text)], Rule::Layers, "src/control/mod.rs", 2, "both stand in L2");
}

#[test]
fn an_item_of_the_root_of_the_crate_fails() {
    let text = "//! The controller: drain, judge, decide, apply.\nuse crate::Result;\n";
    breaks(&[("src/control/mod.rs", text)], Rule::Layers, "src/control/mod.rs", 2, "root of the crate");
}

#[test]
fn code_for_tests_that_is_not_marked_so_fails() {
    let text = "//! What joins the two planes.\npub mod table;\n#[cfg(not(test))]\nuse crate::proxy::serve;\n";
    breaks(&[("src/seam/mod.rs", text)], Rule::Layers, "src/seam/mod.rs", 4, "imports `proxy::serve`");
}

#[test]
fn a_circle_between_files_fails_also_through_a_reexport() {
    let text = "//! A share of requests, in basis points.\nuse std::fmt;\nuse crate::domain::Split;\npub struct Weight(Split);\n";
    let words = "src/domain/split.rs:2 imports src/domain/weight.rs, src/domain/weight.rs:3 imports src/domain/split.rs";
    breaks(&[("src/domain/weight.rs", text)], Rule::Circle, "src/domain/split.rs", 2, words);
}

#[test]
fn a_circle_between_a_door_and_its_room_fails() {
    let door = "//! What joins the two planes.\npub mod table;\npub use table::Table;\npub trait Seam {}\n";
    let room = "//! One immutable routing table.\nuse super::Seam;\npub struct Table;\n";
    let words = "src/seam/table.rs:2 imports src/seam/mod.rs";
    breaks(&[("src/seam/mod.rs", door), ("src/seam/table.rs", room)], Rule::Circle, "src/seam/mod.rs", 3, words);
}

#[test]
fn an_impure_name_in_the_domain_fails() {
    let impure = [
        ("use std::time::Instant;", "`std::time::Instant`"),
        ("use std::time::{Duration, SystemTime};", "`std::time::SystemTime`"),
        ("use std::time; fn f() -> time::Duration { let i: time::Instant; }", "`std::time::Instant`"),
        ("fn f() { std::fs::read(\"x\"); }", "`std::fs::read`"),
        ("use std::fs;", "`std::fs`"),
        ("use std::net::TcpStream;", "`std::net::TcpStream`"),
        ("use std::net::*;", "`std::net::*`"),
        ("use std::sync::atomic::AtomicU64;", "`std::sync::atomic::AtomicU64`"),
        ("use std::sync::Mutex;", "`std::sync::Mutex`"),
        ("fn f() { std::thread::spawn(g); }", "`std::thread::spawn`"),
        ("fn f() { h(vec![std::env::args()]); }", "`std::env::args`"),
        ("use std::process;", "`std::process`"),
        ("fn f() { jiff::Timestamp::now(); }", "`jiff::Timestamp::now`"),
        ("use core::sync::atomic::AtomicBool;", "`core::sync::atomic::AtomicBool`"),
        ("use tokio::time::Instant as Clock;", "`tokio::time::Instant`"),
        ("fn f() -> u64 { rand::random() }", "`rand::random`"),
        ("fn f() { ::rand::random() }", "`rand::random`"),
        ("use std::collections::hash_map::RandomState;", "RandomState"),
        ("async fn f() {}", "async"),
        ("fn f() { let g = async move { 1 }; }", "async"),
        ("fn f() { println!(\"x\"); }", "the macro `println!`"),
        (
            "macro_rules! now { ($x:ident) => { $x::y($crate::domain::weight::z(), std::time::Instant::now()) }; }",
            "`std::time::Instant::now`",
        ),
    ];
    for (code, words) in impure {
        let text = format!("//! A share of requests, in basis points.\npub struct Weight;\n{code}\n");
        breaks(&[("src/domain/weight.rs", &text)], Rule::Pure, "src/domain/weight.rs", 3, words);
    }
}

#[test]
fn a_module_without_a_layer_fails() {
    let text = "//! Things that found no better place.\n";
    breaks(&[("src/helpers.rs", text)], Rule::KnownModule, "src/helpers.rs", 1, "`helpers` stands in no layer");
    let inline = "//! The crate, module by module.\npub mod helpers {}\n";
    breaks(&[("src/lib.rs", inline)], Rule::KnownModule, "src/lib.rs", 1, "`helpers` stands in no layer");
}

#[test]
fn a_module_whose_file_is_hidden_fails() {
    let text = "//! What joins the two planes.\npub mod table;\n#[path = \"../proxy/serve.rs\"]\nmod borrowed;\n";
    breaks(&[("src/seam/mod.rs", text)], Rule::KnownModule, "src/seam/mod.rs", 3, "`#[path]` hides where the module `borrowed` lives");
}

#[test]
fn a_file_over_its_length_fails() {
    let of_length = |lines: usize| format!("//! The hot path, whole and in order.\n{}", "// a line\n".repeat(lines - 1));
    breaks(&[("src/seam/clock.rs", &of_length(401))], Rule::FileLength, "src/seam/clock.rs", 401, "401 lines, 400 are allowed");
    breaks(&[("tests/it/slow.rs", &of_length(401))], Rule::FileLength, "tests/it/slow.rs", 401, "401 lines");
    breaks(&[("src/proxy/serve.rs", &of_length(251))], Rule::FileLength, "src/proxy/serve.rs", 251, "251 lines, 250 are allowed");
    let just = tree_with(&[("src/seam/clock.rs", &of_length(400)), ("src/proxy/serve.rs", &of_length(250))]);
    assert_eq!(house::check(&just).problems, []);
}

#[test]
fn a_file_without_a_module_sentence_fails() {
    for text in [
        "pub fn f() {}\n",
        "//! Clock.\n",
        "//!\n//! The only reader of clocks.\n",
        "/// The only reader of clocks.\nfn f() {}\n",
        "//! The only reader of clocks\n",
    ] {
        breaks(&[("src/seam/clock.rs", text)], Rule::ModuleSentence, "src/seam/clock.rs", 1, "must open with `//!`");
    }
    breaks(&[("benches/pick.rs", "fn main() {}\n")], Rule::ModuleSentence, "benches/pick.rs", 1, "must open with `//!`");
}

#[test]
fn a_function_over_a_hundred_lines_fails_and_over_eighty_is_told() {
    let of_length = |lines: usize| {
        format!("//! The only reader of clocks.\nimpl A {{\n    fn long() {{\n{}    }}\n}}\n", "        g();\n".repeat(lines - 2))
    };
    breaks(&[("src/seam/clock.rs", &of_length(101))], Rule::FunctionLength, "src/seam/clock.rs", 3, "`long` has 101 lines");
    for (lines, told) in [(100, 1), (81, 1), (80, 0)] {
        let findings = house::check(&tree_with(&[("src/seam/clock.rs", &of_length(lines))]));
        assert_eq!((findings.problems.len(), findings.notes.len()), (0, told), "{lines} lines");
    }
}

#[test]
fn a_file_that_is_not_rust_fails() {
    let text = "//! The only reader of clocks.\nfn {\n";
    breaks(&[("src/seam/clock.rs", text)], Rule::Parses, "src/seam/clock.rs", 2, "cannot be parsed");
}
