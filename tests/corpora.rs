//! What the fuzz targets claim of the readers holds for their seeds, whole, cut short and damaged, without a fuzzer.
#![cfg(test)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "fuzz/claims.rs"]
mod claims;

use claims::{CLAIMS, Claim};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// In how many places, spread evenly, a seed is cut and damaged.
const PLACES: usize = 60;

/// What takes the place of a character.
const DAMAGE: [&str; 9] = ["", "\0", "-", "9", "\"", ": ", "\n", "é", "99999999999999999999"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Returns the names in a folder without their endings, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap().path())).collect();
    names.sort();
    names
}

/// Returns the seeds of a target with what they are called.
fn seeds(target: &str) -> Vec<(String, String)> {
    let folder = folder().join("seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// Claims it of one text, and shows the text where that does not hold.
fn claim(holds: Claim, name: &str, text: &str) {
    assert!(catch_unwind(|| holds(text)).is_ok(), "not so of {name} as it is here:\n{text}");
}

#[test]
fn each_claim_has_a_target_and_seeds() {
    let claimed: Vec<&str> = CLAIMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names(&folder().join("targets")), claimed);
    assert_eq!(names(&folder().join("seeds")), claimed);
    for target in claimed {
        assert!(!seeds(target).is_empty(), "{target}");
    }
}

#[test]
fn what_is_claimed_holds_for_the_seeds_and_what_is_left_of_them() {
    for (target, holds) in CLAIMS {
        for (name, text) in seeds(target) {
            claim(holds, &name, &text);
            let length = text.chars().count();
            let places = (0..length).step_by(length.div_ceil(PLACES).max(1));
            for (turn, (at, damaged)) in places.filter_map(|place| text.char_indices().nth(place)).enumerate() {
                let (before, after) = (&text[..at], &text[at + damaged.len_utf8()..]);
                claim(holds, &name, before);
                claim(holds, &name, &format!("{before}{}{after}", DAMAGE[turn % DAMAGE.len()]));
            }
        }
    }
}

#[test]
fn what_is_claimed_of_one_reader_holds_for_the_seeds_of_the_others() {
    for (target, _) in CLAIMS {
        for (name, text) in seeds(target) {
            CLAIMS.iter().for_each(|(_, holds)| claim(*holds, &name, &text));
        }
    }
}

/// One change of a text: from one place to another stands what is in its stead.
fn any_edit() -> impl Strategy<Value = (Index, usize, String)> {
    let token =
        select(vec!["p95", "errors", "stable", "spec", "pass", "- ", "{", "}", "[", "]", "|", "&a", "*a", "1e400", "-1", "%", "\t"]);
    (any::<Index>(), 0..20_usize, prop_oneof![token.prop_map(str::to_owned), "\\PC{0,5}", "[0-9.eE+-]{0,12}"])
}

proptest! {
    // PROPTEST_CASES asks for more.
    #[test]
    fn what_is_claimed_holds_for_seeds_that_are_changed_at_random(
        target in any::<Index>(), seed in any::<Index>(), edits in prop::collection::vec(any_edit(), 1..6),
    ) {
        let (target, holds) = CLAIMS[target.index(CLAIMS.len())];
        let seeds = seeds(target);
        let (name, text) = &seeds[seed.index(seeds.len())];
        let mut text: Vec<char> = text.chars().collect();
        for (place, length, instead) in edits {
            let from = place.index(text.len() + 1);
            let to = (from + length).min(text.len());
            text.splice(from..to, instead.chars());
        }
        claim(holds, name, &text.into_iter().collect::<String>());
    }
}
