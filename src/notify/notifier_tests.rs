//! What is put into the outbox while the journal grows, and past what cannot be read.
#![cfg(test)]

use serde_json::{Value, json};

use super::*;
use crate::config::NotificationKind;
use crate::domain::rollout::Phase;
use crate::notify::tests::Journal;
use crate::sources::mailbox::Mailbox;
use crate::store::Store;

/// Returns the tail of a journal with one receiver, and an outbox.
fn tail(journal: &Journal) -> (Tail, Outbox) {
    let mailbox = Mailbox::new("http://127.0.0.1:9/", None).unwrap();
    let receiver = Receiver { name: "events".to_owned(), kind: NotificationKind::CloudEvents, mailbox };
    let tail = Tail::begin(Arc::clone(&journal.store), journal.state(), vec![receiver], String::new());
    (tail, Outbox::open(journal.state(), MOST).unwrap().0)
}

/// Takes every message out of the outbox and returns the reasons in them.
fn reasons(outbox: &Outbox) -> Vec<String> {
    let mut reasons = Vec::new();
    while let Some((number, letter)) = outbox.first("events").unwrap() {
        outbox.taken("events", number, &letter.id).unwrap();
        let body: Value = serde_json::from_str(&letter.body).unwrap();
        reasons.push(body["data"]["reason"].as_str().unwrap().to_owned());
    }
    reasons
}

#[test]
fn what_is_decided_while_the_journal_is_read_is_told_too() {
    const COUNT: u64 = 200;
    let mut journal = Journal::new();
    let (mut tail, outbox) = tail(&journal);
    let writer = std::thread::spawn(move || {
        (1..=COUNT).for_each(|number| journal.write(Phase::Progressing, &number.to_string()));
        journal
    });
    while !writer.is_finished() {
        tail.catch_up(&outbox);
    }
    tail.catch_up(&outbox);
    assert_eq!(reasons(&outbox), (1..=COUNT).map(|number| number.to_string()).collect::<Vec<_>>());
    drop(writer.join().unwrap());
}

#[test]
fn an_entry_that_cannot_be_read_is_passed_over_once() {
    let mut journal = Journal::new();
    let (mut tail, outbox) = tail(&journal);
    journal.write(Phase::Progressing, "before");
    assert!(tail.catch_up(&outbox));
    // As a later release may have written it.
    journal.meanwhile(|folder| {
        let store = Store::<Value, Value>::open(folder).unwrap().store;
        store.put(&"carts".parse().unwrap(), &json!({}), &json!({"of": "a later release"})).unwrap();
    });
    assert!(tail.catch_up(&outbox), "there is something new");
    assert!(!tail.catch_up(&outbox), "and then there is nothing");
    journal.write(Phase::Promoted, "after");
    assert!(tail.catch_up(&outbox));
    assert_eq!(reasons(&outbox), ["before", "after"]);
}
