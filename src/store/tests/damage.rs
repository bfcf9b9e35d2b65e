//! A damaged file yields what was put or "unknown", never a panic and never a record that nobody put.

use std::fs;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use redb::TableDefinition;

use super::*;
use crate::store::file::builder;
use crate::store::tests::disk::{Budget, PLENTY, open_on};
use crate::store::{Stored, Warning};

/// Returns the bytes of a state file to which records 1 to 3 were put.
fn sound_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = open_quietly(folder.path());
    for number in 1..=3 {
        store.put(&carts(), &record(number), &entry(number)).unwrap();
    }
    drop(store);
    fs::read(folder.path().join("state.redb")).unwrap()
}

/// Opens a folder whose state file has this content and says whether the last record was found.
fn survives(content: &[u8], what: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.redb"), content).unwrap();
    let disk = Budget::new(PLENTY);
    let opened = open_on(folder.path(), &disk).unwrap();
    let found = opened.store.record(&carts()).unwrap();
    let lost = opened.warnings.iter().any(|warning| matches!(warning, Warning::MovedAside { .. }));
    let aside = folder.path().join("state.redb.unreadable-1");
    assert_eq!(aside.exists(), lost, "{what}");
    if lost {
        assert_eq!(fs::read(aside).unwrap().len(), content.len(), "{what}: nothing is deleted");
    }
    match &found {
        Some(Stored::Known(known)) => assert!((1..=3).any(|number| *known == record(number)), "{what}: invented {known:?}"),
        Some(Stored::Unknown { .. }) => assert!(lost, "{what}"),
        None => panic!("{what}: what was put counts as never recorded"),
    }
    for (_, line) in opened.store.journal(10).unwrap() {
        let known = line.known().unwrap();
        assert!((1..=3).any(|number| known == entry(number)), "{what}: invented {known:?}");
    }
    opened.store.put(&carts(), &record(9), &entry(9)).unwrap();
    drop(opened);
    let opened = open_on(folder.path(), &disk).unwrap();
    assert_eq!(opened.warnings, [], "{what}");
    assert_eq!(opened.store.record(&carts()).unwrap(), Some(Stored::Known(record(9))), "{what}");
    found == Some(Stored::Known(record(3)))
}

fn seeded() -> SmallRng {
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    SmallRng::seed_from_u64(seed)
}

#[test]
fn a_sound_file_survives_and_other_content_is_moved_aside() {
    let sound = sound_file();
    assert!(survives(&sound, "sound"));
    for (content, what) in
        [(Vec::new(), "empty"), (vec![0; 100_000], "zeros"), (vec![0xff; 5_000], "not UTF-8"), (b"{\"format\":1}\n".to_vec(), "text")]
    {
        assert!(!survives(&content, what), "{what}");
    }
    survives(&[&sound[..], b"more"].concat(), "longer by four bytes");
}

#[test]
fn a_truncated_file_is_never_misread() {
    let sound = sound_file();
    let mut random = seeded();
    for _ in 0..64 {
        let length = random.random_range(0..sound.len());
        survives(&sound[..length], &format!("truncated to {length} of {}", sound.len()));
    }
}

#[test]
fn a_flipped_bit_is_never_misread() {
    let sound = sound_file();
    let used: Vec<usize> = (0..sound.len()).filter(|&place| sound[place] != 0).collect();
    let mut random = seeded();
    for round in 0..200 {
        // Most of the file is unused; half of the flips go where something is written.
        let place = if round % 2 == 0 { random.random_range(0..sound.len()) } else { used[random.random_range(0..used.len())] };
        let bit = random.random_range(0..8);
        let mut content = sound.clone();
        content[place] ^= 1 << bit;
        survives(&content, &format!("bit {bit} of byte {place} flipped"));
    }
}

#[test]
fn a_file_of_another_program_or_a_later_release_is_moved_aside() {
    for layout in [None, Some("portcullis state 2")] {
        let folder = tempfile::tempdir().unwrap();
        {
            let database = builder().create(folder.path().join("state.redb")).unwrap();
            let writer = database.begin_write().unwrap();
            writer.open_table(TableDefinition::<&str, &str>::new("theirs")).unwrap();
            if let Some(layout) = layout {
                writer.open_table(TableDefinition::<&str, &str>::new("about")).unwrap().insert("layout", layout).unwrap();
            }
            writer.commit().unwrap();
        }
        let warnings = open(folder.path()).warnings;
        assert!(matches!(&warnings[..], [Warning::MovedAside { reason, .. }] if layout.is_none_or(|name| reason.contains(name))));
        assert!(builder().open(folder.path().join("state.redb.unreadable-1")).is_ok());
    }
}

#[test]
fn a_loss_is_remembered_until_the_service_is_recorded_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    fs::write(&file, "first").unwrap();
    assert_eq!(open(folder.path()).warnings.len(), 1);
    let store = open_quietly(folder.path());
    assert!(matches!(store.record(&carts()).unwrap(), Some(Stored::Unknown { reason }) if reason.contains("unreadable-1")));
    assert!(store.records().unwrap().is_empty());
    store.put(&carts(), &record(1), &entry(1)).unwrap();
    assert_eq!(store.record(&carts()).unwrap(), Some(Stored::Known(record(1))));
    drop(store);

    fs::write(&file, "second").unwrap();
    let text = open(folder.path()).warnings[0].to_string();
    assert!(text.contains("unreadable-2"), "{text}");
    assert_eq!(fs::read_to_string(folder.path().join("state.redb.unreadable-1")).unwrap(), "first");
    assert_eq!(fs::read_to_string(folder.path().join("state.redb.unreadable-2")).unwrap(), "second");
}

#[test]
fn a_start_cut_short_while_moving_aside_still_knows_of_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    fs::write(&file, "damaged").unwrap();
    drop(open(folder.path()));
    // As if the kill had come between the two renames.
    fs::rename(&file, folder.path().join("state.redb.new")).unwrap();
    let store = open_quietly(folder.path());
    assert!(matches!(store.record(&carts()).unwrap(), Some(Stored::Unknown { .. })));
}

#[test]
fn a_start_cut_short_while_making_the_file_begins_again() {
    for content in [&b""[..], &[0; 4096]] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("state.redb.new"), content).unwrap();
        assert_eq!(open_quietly(folder.path()).record(&carts()).unwrap(), None);
        assert!(!folder.path().join("state.redb.new").exists());
    }
}
