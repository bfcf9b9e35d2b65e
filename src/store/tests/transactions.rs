//! What is put is read back, in this process and the next.

use redb::TableDefinition;

use super::*;
use crate::store::file::builder;
use crate::store::{JOURNAL_LIMIT, Stored};

#[test]
fn an_empty_store_knows_nothing_and_invents_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_quietly(folder.path());
    assert_eq!(store.record(&carts()).unwrap(), None);
    assert!(store.records().unwrap().is_empty());
    assert_eq!(store.journal(10).unwrap(), []);
}

#[test]
fn a_reopened_store_returns_what_was_put() {
    let folder = tempfile::tempdir().unwrap();
    let orders: Name = "orders".parse().unwrap();
    {
        let store = open_quietly(folder.path());
        assert_eq!(store.put(&carts(), &record(1), &entry(1)).unwrap(), 1);
        assert_eq!(store.put(&orders, &record(2), &entry(2)).unwrap(), 2);
        assert_eq!(store.put(&carts(), &record(3), &entry(3)).unwrap(), 3);
    }
    let store = open_quietly(folder.path());
    assert_eq!(store.record(&carts()).unwrap(), Some(Stored::Known(record(3))));
    assert_eq!(store.record(&orders).unwrap(), Some(Stored::Known(record(2))));
    let names: Vec<String> = store.records().unwrap().into_keys().collect();
    assert_eq!(names, ["carts", "orders"]);
    assert_eq!(store.journal(2).unwrap(), [(2, Stored::Known(entry(2))), (3, Stored::Known(entry(3)))]);
    assert_eq!(store.journal(usize::MAX).unwrap().len(), 3);
    assert_eq!(store.put(&carts(), &record(4), &entry(4)).unwrap(), 4, "numbers go on after a restart");
}

#[test]
fn several_entries_are_written_with_one_record_in_their_order_or_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_quietly(folder.path());
    store.put(&carts(), &record(1), &entry(1)).unwrap();
    assert_eq!(store.put_all(&carts(), &record(3), &[entry(2), entry(3)]).unwrap(), 3);
    let error = store.put_all(&carts(), &record(9), &[]).unwrap_err().to_string();
    assert!(error.contains("nothing the journal could say"), "{error}");
    assert_eq!(store.record(&carts()).unwrap(), Some(Stored::Known(record(3))), "what the journal does not tell is not recorded");
    assert_eq!(store.journal(10).unwrap().len(), 3);
    drop(store);
    let store = open_quietly(folder.path());
    assert_eq!(store.journal(2).unwrap(), [(2, Stored::Known(entry(2))), (3, Stored::Known(entry(3)))]);
    assert_eq!(store.chain().unwrap().broken, None, "each is linked to the one before");
}

#[test]
fn a_record_that_does_not_parse_is_unknown_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    open_quietly(folder.path()).put(&carts(), &record(1), &entry(1)).unwrap();
    {
        let database = builder().open(folder.path().join("state.redb")).unwrap();
        let writer = database.begin_write().unwrap();
        {
            let mut state = writer.open_table(TableDefinition::<&str, &[u8]>::new("state")).unwrap();
            state.insert("later", &br#"{"format":2,"value":{"number":1}}"#[..]).unwrap();
            state.insert("broken", &b"{"[..]).unwrap();
        }
        writer.commit().unwrap();
    }
    let records = open_quietly(folder.path()).records().unwrap();
    assert_eq!(records["carts"], Stored::Known(record(1)));
    for (name, part) in [("later", "format 2"), ("broken", "not a stored value")] {
        assert!(matches!(&records[name], Stored::Unknown { reason } if reason.contains(part)), "{name}: {:?}", records[name]);
    }
}

#[test]
fn the_journal_keeps_the_newest_entries_only() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_quietly(folder.path()));
    {
        // One transaction instead of thousands; the same table and keys as the store uses.
        let database = builder().open(folder.path().join("state.redb")).unwrap();
        let writer = database.begin_write().unwrap();
        {
            let mut journal = writer.open_table(TableDefinition::<u64, &[u8]>::new("journal")).unwrap();
            for number in 1..JOURNAL_LIMIT + 5 {
                journal.insert(number, format!(r#"{{"format":1,"value":{{"why":"{number}"}}}}"#).as_bytes()).unwrap();
            }
        }
        writer.commit().unwrap();
    }
    let store = open_quietly(folder.path());
    let last = store.put(&carts(), &record(1), &entry(1)).unwrap();
    assert_eq!(last, JOURNAL_LIMIT + 5);
    let kept = store.journal(usize::MAX).unwrap();
    assert_eq!(kept.len() as u64, JOURNAL_LIMIT);
    assert_eq!(kept[0].0, 6);
    assert_eq!(kept[kept.len() - 1], (last, Stored::Known(entry(1))));
}
