//! What the fuzz targets claim of the readers holds for their seeds, whole, cut short and damaged, without a fuzzer.
#![cfg(test)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "fuzz/claims.rs"]
mod claims;

use claims::{CLAIMS, Claim, RAW, RawClaim};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// In how many places, spread evenly, a seed is cut and damaged.
const PLACES: usize = 60;

/// What takes the place of a character.
const DAMAGE: [&str; 9] = ["", "\0", "-", "9", "\"", ": ", "\n", "é", "99999999999999999999"];

/// What takes the place of a byte.
const RAW_DAMAGE: [&[u8]; 14] =
    [b"", b"\0", b"\r\n", b"\n", b"\r", b" ", b"\t", b"#", b":", b",", b"\xff", b"9", b"\x80", b"\r\n\r\nGET / HTTP/1.1\r\n"];

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
fn raw_seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// Returns the seeds of a target that reads text.
fn seeds(target: &str) -> Vec<(String, String)> {
    raw_seeds(target).into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// Claims it of one text, and shows the text where that does not hold.
fn claim(holds: Claim, name: &str, text: &str) {
    assert!(catch_unwind(|| holds(text)).is_ok(), "not so of {name} as it is here:\n{text}");
}

/// Claims it of bytes, and shows them where that does not hold.
fn claim_raw(holds: RawClaim, name: &str, bytes: &[u8]) {
    assert!(catch_unwind(|| holds(bytes)).is_ok(), "not so of {name} as it is here:\n{}", bytes.escape_ascii());
}

#[test]
fn each_claim_has_a_target_and_seeds() {
    let mut claimed: Vec<&str> = CLAIMS.iter().map(|(name, _)| *name).chain(RAW.iter().map(|(name, _)| *name)).collect();
    claimed.sort_unstable();
    assert_eq!(names(&folder().join("targets")), claimed);
    assert_eq!(names(&folder().join("seeds")), claimed);
    for target in claimed {
        assert!(!raw_seeds(target).is_empty(), "{target}");
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

#[test]
fn what_is_claimed_of_bytes_holds_for_the_seeds_and_what_is_left_of_them() {
    for (target, holds) in RAW {
        for (name, bytes) in raw_seeds(target) {
            claim_raw(holds, &name, &bytes);
            for (turn, at) in (0..bytes.len()).step_by(bytes.len().div_ceil(PLACES).max(1)).enumerate() {
                let (before, after) = (&bytes[..at], &bytes[at + 1..]);
                claim_raw(holds, &name, before);
                claim_raw(holds, &name, &[before, RAW_DAMAGE[turn % RAW_DAMAGE.len()], after].concat());
            }
        }
    }
}

#[test]
fn what_is_claimed_of_one_kind_of_bytes_holds_for_the_seeds_of_the_others() {
    for (target, _) in RAW {
        for (name, bytes) in raw_seeds(target) {
            RAW.iter().for_each(|(_, holds)| claim_raw(*holds, &name, &bytes));
        }
    }
}

/// One change of a text: from one place to another stands what is in its stead.
fn any_edit() -> impl Strategy<Value = (Index, usize, String)> {
    let token =
        select(vec!["p95", "errors", "stable", "spec", "pass", "- ", "{", "}", "[", "]", "|", "&a", "*a", "1e400", "-1", "%", "\t"]);
    (any::<Index>(), 0..20_usize, prop_oneof![token.prop_map(str::to_owned), "\\PC{0,5}", "[0-9.eE+-]{0,12}"])
}

/// One change of bytes, in the same manner.
fn any_raw_edit() -> impl Strategy<Value = (Index, usize, Vec<u8>)> {
    let tokens: [&[u8]; 14] = [
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, x-a\r\n",
        b"Host: b.test\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"cookie: a=1\ncookie: b=2\n",
        b"content-length: 5\n",
        b":authority: b.test\n",
        b"chunked",
        b"0\r\n\r\n",
        b"http://b.test/",
        b"\x04\x03/#a",
        b"PROXY ",
    ];
    let instead = prop_oneof![select(tokens.map(<[u8]>::to_vec).to_vec()), prop::collection::vec(any::<u8>(), 0..6)];
    (any::<Index>(), 0..20_usize, instead)
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
    #[test]
    fn what_is_claimed_of_bytes_holds_for_seeds_that_are_changed_at_random(
        target in any::<Index>(), seed in any::<Index>(), edits in prop::collection::vec(any_raw_edit(), 1..6),
    ) {
        let (target, holds) = RAW[target.index(RAW.len())];
        let seeds = raw_seeds(target);
        let (name, bytes) = &seeds[seed.index(seeds.len())];
        let mut bytes = bytes.clone();
        for (place, length, instead) in edits {
            let from = place.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, instead);
        }
        claim_raw(holds, name, &bytes);
    }
}
