//! A disk that fails at any call harms no earlier record, moves nothing aside, and is used again when it recovers.

use super::*;
use crate::store::tests::disk::{Budget, PLENTY, open_on};
use crate::store::{StoreError, Stored};

#[test]
fn a_disk_full_at_any_call_of_a_write_leaves_old_or_new_and_the_retry_succeeds() {
    let mut failures = 0;
    for calls in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget::new(PLENTY);
        let store = open_on(folder.path(), &budget).unwrap().store;
        store.put(&carts(), &record(1), &entry(1)).unwrap();
        budget.set(calls);
        let outcome = store.put(&carts(), &record(2), &entry(2));
        let Err(error) = outcome else { break };
        failures += 1;
        let text = error.to_string();
        assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("room"), "{text}");
        assert!(store.put(&carts(), &record(2), &entry(2)).is_err(), "the disk is still full");
        budget.set(PLENTY);
        let found = store.record(&carts()).unwrap();
        assert!(found == Some(Stored::Known(record(1))) || found == Some(Stored::Known(record(2))), "call {calls}: {found:?}");
        store.put(&carts(), &record(3), &entry(3)).unwrap();
        assert_eq!(store.record(&carts()).unwrap(), Some(Stored::Known(record(3))));
        drop(store);
        assert_eq!(open_quietly(folder.path()).record(&carts()).unwrap(), Some(Stored::Known(record(3))), "call {calls}");
    }
    assert!(failures >= 3, "a write makes several calls, and each was made to fail; only {failures} were");
}

#[test]
fn a_disk_full_at_any_call_of_a_start_is_an_error_and_moves_nothing_aside() {
    for present in [false, true] {
        let mut failures = 0;
        for calls in 0.. {
            let folder = tempfile::tempdir().unwrap();
            if present {
                open_quietly(folder.path()).put(&carts(), &record(1), &entry(1)).unwrap();
            }
            let budget = Budget::new(calls);
            let Err(error) = open_on(folder.path(), &budget) else { break };
            failures += 1;
            assert!(matches!(error, StoreError::Failed { .. }), "call {calls}: {error}");
            let wanted = present.then(|| Stored::Known(record(1)));
            assert_eq!(open_quietly(folder.path()).record(&carts()).unwrap(), wanted, "call {calls}");
        }
        assert!(failures >= 2, "a start makes several calls, and each was made to fail; only {failures} were");
    }
}
