//! Reading beside a running proxy and after an ended one: nothing waits, nothing is changed, nothing is guessed.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::{Excerpt, Limits, StoreError, Stored, peek};

fn numbers(excerpt: &Excerpt<Entry>) -> Vec<(u64, String)> {
    let why = |stored: &Stored<Entry>| stored.clone().known().map_or_else(|| "unknown".to_owned(), |entry| entry.why);
    excerpt.entries.iter().map(|(sequence, stored)| (*sequence, why(stored))).collect()
}

fn filled(folder: &Path, count: u64) -> Store<Record, Entry> {
    let store = open_quietly(folder);
    for number in 1..=count {
        assert_eq!(store.put(&carts(), &record(number), &entry(number)).unwrap(), number);
    }
    store
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn an_excerpt_is_the_newest_that_is_wanted_within_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 9);
    let even = |stored: &Stored<Entry>| stored.clone().known().is_some_and(|e| e.why.ends_with(['2', '4', '6', '8']));
    let take = |entries, bytes| store.excerpt(Limits { entries, bytes, ..Limits::NONE }, even).unwrap();
    let sequences = |excerpt: &Excerpt<Entry>| excerpt.entries.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>();
    for (entries, bytes, expected, complete) in [
        (9, usize::MAX, vec![2, 4, 6, 8], true),
        (4, usize::MAX, vec![2, 4, 6, 8], true),
        (2, usize::MAX, vec![6, 8], false),
        (9, 300, vec![6, 8], false),
        (9, 1, vec![8], false),
    ] {
        let excerpt = take(entries, bytes);
        assert_eq!((sequences(&excerpt), excerpt.complete), (expected, complete), "{entries} {bytes}");
    }
}

#[test]
fn a_decision_does_not_wait_for_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 2);
    // With the lock held by the reader this would never return.
    let decide = |_: &Stored<Entry>| store.put(&carts(), &record(9), &entry(9)).is_ok();
    let excerpt = store.excerpt(Limits::NONE, decide).unwrap();
    assert_eq!(excerpt.entries.len(), 2, "the reader sees what there was when it began");
    assert_eq!(store.journal(9).unwrap().len(), 4);
}

#[test]
fn an_ended_proxys_journal_is_read_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 3));
    let before = files(folder.path());
    let excerpt = peek::<Entry>(folder.path()).unwrap();
    assert_eq!(numbers(&excerpt), [1, 2, 3].map(|n| (n, format!("because of {n}"))));
    assert!(excerpt.complete);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_killed_proxys_journal_is_read_and_nothing_is_changed() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path(), 3);
    // What a kill leaves is the file as it is while it is open.
    fs::copy(folder.path().join("state.redb"), killed.path().join("state.redb")).unwrap();
    drop(store);
    let before = files(killed.path());
    assert_eq!(numbers(&peek(killed.path()).unwrap()).len(), 3);
    assert_eq!(files(killed.path()), before);
}

#[test]
fn a_folder_in_use_is_left_alone_and_readers_share() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1);
    assert!(matches!(peek::<Entry>(folder.path()), Err(StoreError::InUse { .. })));
    drop(store);
    let shared = fs::File::open(folder.path().join("lock")).unwrap();
    shared.lock_shared().unwrap();
    assert_eq!(peek::<Entry>(folder.path()).unwrap().entries.len(), 1);
}

#[test]
fn what_is_no_state_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for absent in [folder.path(), &missing] {
        let error = peek::<Entry>(absent).unwrap_err();
        assert!(matches!(error, StoreError::Absent { .. }) && error.to_string().contains("--state"), "{error}");
    }
    assert!(!missing.exists());
    let state = folder.path().join("state.redb");
    for content in [&b""[..], b"no database", &[0; 70_000]] {
        fs::write(&state, content).unwrap();
        let error = peek::<Entry>(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }) && error.to_string().contains("state.redb"), "{error}");
        assert_eq!(fs::read(&state).unwrap(), content);
    }
    fs::remove_file(&state).unwrap();
    let other = tempfile::tempdir().unwrap();
    drop(filled(other.path(), 1));
    std::os::unix::fs::symlink(other.path().join("state.redb"), &state).unwrap();
    assert!(matches!(peek::<Entry>(folder.path()), Err(StoreError::NotAFile { .. })), "no link is followed");
}

#[test]
fn no_damage_makes_reading_panic() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 3));
    let whole = fs::read(folder.path().join("state.redb")).unwrap();
    let state = folder.path().join("state.redb");
    for step in 0..60 {
        let mut damaged = whole.clone();
        let place = step * whole.len() / 60;
        damaged[place..(place + 300).min(whole.len())].iter_mut().for_each(|byte| *byte ^= 0xa5);
        damaged.truncate(whole.len() - step * 7);
        fs::write(&state, &damaged).unwrap();
        if let Ok(excerpt) = peek::<Entry>(folder.path()) {
            assert!(numbers(&excerpt).iter().all(|(n, why)| *why == format!("because of {n}")), "nothing is invented: {excerpt:?}");
        }
    }
}
