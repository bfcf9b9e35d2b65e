//! The journal's chain, and every way to change a journal behind the store's back.

use aws_lc_rs::digest;
use redb::{Builder, Table, TableDefinition};

use super::*;
use crate::store::{Broken, Chain, JOURNAL_LIMIT, Warning, audit};

const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");

fn filled(folder: &Path, count: u64) -> Chain {
    let store = open_quietly(folder);
    for number in 1..=count {
        store.put(&carts(), &record(number), &entry(number)).unwrap();
    }
    store.chain().unwrap()
}

/// Changes the journal as somebody would who can write the file.
fn meddle(folder: &Path, with: impl FnOnce(&mut Table<'_, u64, &'static [u8]>)) {
    let database = Builder::new().open(folder.join("state.redb")).unwrap();
    let writer = database.begin_write().unwrap();
    with(&mut writer.open_table(JOURNAL).unwrap());
    writer.commit().unwrap();
}

/// Puts an entry in that holds the sum of the one before it, as whoever knows how it is computed can.
fn forge(table: &mut Table<'_, u64, &'static [u8]>, sequence: u64) {
    let mut sum = digest::Context::new(&digest::SHA256);
    sum.update(&(sequence - 1).to_be_bytes());
    sum.update(&stored(table, sequence - 1));
    let sum: String = sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let forged = format!(r#"{{"format":1,"previous":"{sum}","value":{{"why":"because of {sequence}"}}}}"#);
    table.insert(sequence, forged.as_bytes()).unwrap();
}

fn stored(table: &mut Table<'_, u64, &'static [u8]>, sequence: u64) -> Vec<u8> {
    use redb::ReadableTable;
    table.get(sequence).unwrap().unwrap().value().to_vec()
}

#[test]
fn a_journal_is_a_whole_chain_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(filled(folder.path(), 0), Chain { entries: 0, oldest: None, newest: None, unlinked: 0, lost: None, broken: None });
    let first = filled(folder.path(), 3);
    let second = filled(folder.path(), 2);
    assert_eq!((first.entries, second.entries, second.oldest, second.unlinked), (3, 5, Some(1), 0));
    assert_eq!((first.broken, &second.broken), (None, &None));
    let newest = second.newest.clone().unwrap();
    assert!(newest.sequence == 5 && newest.sha256.len() == 64 && first.newest.unwrap().sha256 != newest.sha256);
    assert_eq!(audit(folder.path()).unwrap(), second, "it is the same for whoever looks from outside");
}

#[test]
fn whatever_is_changed_behind_the_stores_back_is_named() {
    type Meddler = fn(&mut Table<'_, u64, &'static [u8]>);
    let cases: [(&str, Meddler, u64, &str); 9] = [
        (
            "changed",
            |table| {
                let other = String::from_utf8(stored(table, 3)).unwrap().replace("because of 3", "because of 4");
                table.insert(3, other.as_bytes()).unwrap();
            },
            3,
            "not what entry 4 was written behind",
        ),
        ("left out", |table| drop(table.remove(3).unwrap()), 3, "it is missing; the next is entry 4"),
        (
            "exchanged",
            |table| {
                let (third, fourth) = (stored(table, 3), stored(table, 4));
                table.insert(3, &*fourth).unwrap();
                table.insert(4, &*third).unwrap();
            },
            2,
            "not what entry 3 was written behind",
        ),
        (
            "unlinked",
            |table| drop(table.insert(3, &br#"{"format":1,"value":{"why":"because of 3"}}"#[..]).unwrap()),
            3,
            "does not hold the sum",
        ),
        ("the oldest left out", |table| drop(table.remove(1).unwrap()), 1, "it is missing; the oldest is entry 2"),
        (
            "the newest changed",
            |table| {
                let other = String::from_utf8(stored(table, 5)).unwrap().replace("because of 5", "because of 6");
                table.insert(5, other.as_bytes()).unwrap();
            },
            5,
            "it is not what was written",
        ),
        ("the newest left out", |table| drop(table.remove(5).unwrap()), 5, "it is missing at the end"),
        ("one put at the end", |table| forge(table, 6), 5, "it is not the newest"),
        ("all left out", |table| (1..=5).for_each(|sequence| drop(table.remove(sequence).unwrap())), 5, "it is missing at the end"),
    ];
    for (what, meddler, sequence, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(filled(folder.path(), 5).broken, None);
        meddle(folder.path(), meddler);
        let Broken { sequence: named, reason: told } =
            audit(folder.path()).unwrap().broken.unwrap_or_else(|| panic!("{what} was not seen"));
        assert!(named == sequence && told.contains(reason), "{what}: entry {named}: {told}");
        // A store that goes on does not mend it.
        assert!(filled(folder.path(), 1).broken.is_some(), "{what}");
    }
}

#[test]
fn what_is_dropped_from_a_full_journal_leaves_its_sum() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_quietly(folder.path()));
    // As an earlier release left it: full, and nothing linked.
    meddle(folder.path(), |table| {
        for number in 1..=JOURNAL_LIMIT {
            table.insert(number, format!(r#"{{"format":1,"value":{{"why":"{number}"}}}}"#).as_bytes()).unwrap();
        }
    });
    let chain = filled(folder.path(), 3);
    assert_eq!((chain.entries, chain.oldest, chain.unlinked, &chain.broken), (JOURNAL_LIMIT, Some(4), JOURNAL_LIMIT - 3, &None));
    meddle(folder.path(), |table| (4..=JOURNAL_LIMIT + 1).for_each(|sequence| drop(table.remove(sequence).unwrap())));
    let broken = audit(folder.path()).unwrap().broken.unwrap();
    assert_eq!(broken.sequence, 4, "{}", broken.reason);
}

#[test]
fn an_entry_that_was_put_at_the_end_stays_the_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = filled(folder.path(), 5);
    meddle(folder.path(), |table| (6..=7).for_each(|sequence| forge(table, sequence)));
    for count in 1..=3 {
        let chain = filled(folder.path(), 1);
        assert_eq!((chain.broken.unwrap().sequence, chain.newest.unwrap().sequence), (7, 7 + count));
    }
    assert_eq!(audit(folder.path()).unwrap().entries, sound.entries + 5, "what is forged is kept, to be looked at");
}

#[test]
fn a_journal_that_was_lost_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state.redb"), "damaged").unwrap();
    assert!(matches!(&open(folder.path()).warnings[..], [Warning::MovedAside { .. }]));
    for entries in [0, 2] {
        let chain = filled(folder.path(), entries);
        assert!(chain.lost.as_ref().is_some_and(|why| why.contains("state.redb.unreadable-1")), "{chain:?}");
        assert_eq!((chain.entries, &chain.broken), (entries, &None), "what there is is whole");
        assert_eq!(audit(folder.path()).unwrap(), chain);
    }
}

#[test]
fn the_journal_of_another_layout_is_continued_where_its_newest_sum_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = filled(folder.path(), 3);
    {
        let database = Builder::new().open(folder.path().join("state.redb")).unwrap();
        let writer = database.begin_write().unwrap();
        let about = TableDefinition::<&str, &str>::new("about");
        writer.open_table(about).unwrap().insert("layout", "portcullis state 2").unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(open(folder.path()).warnings.len(), 1);
    let empty = filled(folder.path(), 0);
    assert_eq!((empty.entries, &empty.newest, &empty.broken), (0, &None, &None));
    let chain = filled(folder.path(), 2);
    assert_eq!((chain.entries, chain.oldest, &chain.broken), (2, Some(4), &None));
    assert!(chain.lost.is_some());
    meddle(folder.path(), |table| {
        let other = String::from_utf8(stored(table, 4)).unwrap().replace(&earlier.newest.unwrap().sha256, &"0".repeat(64));
        table.insert(4, other.as_bytes()).unwrap();
    });
    assert_eq!(audit(folder.path()).unwrap().broken.unwrap().sequence, 3, "its first entry is tied to the last of the earlier one");
}
