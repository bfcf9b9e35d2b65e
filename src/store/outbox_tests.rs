//! Queues that outlive a restart: order, bounds, what is held and what is put aside.
#![cfg(test)]

use super::*;

fn letter(id: &str, hold: Option<&str>) -> Letter {
    Letter { id: id.to_owned(), kind: "text/plain".to_owned(), body: format!("body of {id}"), hold: hold.map(str::to_owned) }
}

fn ids(outbox: &Outbox, receiver: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some((number, letter)) = outbox.first(receiver).unwrap() {
        outbox.taken(receiver, number, &letter.id).unwrap();
        ids.push(letter.id);
    }
    ids
}

#[test]
fn each_receiver_has_its_own_queue_in_which_nothing_stands_twice_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 100).unwrap();
    outbox.put(&["a", "b"], &[letter("1", None), letter("2", None)]).unwrap();
    outbox.put(&["a", "b"], &[letter("1", None), letter("3", None)]).unwrap();
    let (number, first) = outbox.first("a").unwrap().unwrap();
    assert_eq!(first, letter("1", None));
    outbox.taken("a", number, "1").unwrap();
    outbox.put(&["a"], &[letter("1", None)]).unwrap();
    drop(outbox);
    let (outbox, warning) = Outbox::open(folder.path(), 100).unwrap();
    assert_eq!(warning, None);
    outbox.put(&["a", "b"], &[letter("1", None), letter("4", None)]).unwrap();
    assert_eq!(
        (ids(&outbox, "a"), ids(&outbox, "b")),
        (vec!["2".into(), "3".into(), "4".into()], ["1", "2", "3", "4"].map(String::from).to_vec())
    );
}

#[test]
fn of_too_many_letters_the_oldest_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 3).unwrap();
    let dropped: u64 = (1..=5).map(|id: u32| outbox.put(&["a"], &[letter(&id.to_string(), None)]).unwrap()).sum();
    assert_eq!((dropped, ids(&outbox, "a")), (2, ["3", "4", "5"].map(String::from).to_vec()));
    assert_eq!(outbox.put(&["a"], &[letter("6", None)]).unwrap(), 0, "what was taken does not count");
    // What was taken long ago is forgotten, so that the file does not grow.
    assert_eq!((outbox.put(&["a"], &[letter("5", None)]).unwrap(), ids(&outbox, "a")), (0, vec!["6".to_owned()]));
}

#[test]
fn what_is_held_is_told_only_when_it_has_come_about() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 100).unwrap();
    outbox.put(&["a"], &[letter("1", Some("carts one")), letter("2", Some("carts two")), letter("3", Some("other one"))]).unwrap();
    assert_eq!(outbox.first("a").unwrap(), None);
    drop(outbox);
    let (outbox, _) = Outbox::open(folder.path(), 100).unwrap();
    outbox.settle("carts", "two").unwrap();
    assert_eq!(ids(&outbox, "a"), ["2"]);
    outbox.put(&["a"], &[letter("1", None), letter("3", None)]).unwrap();
    assert_eq!(ids(&outbox, "a"), ["1"], "what was dropped may come about later; what is held stands there already");
    outbox.settle("other", "one").unwrap();
    assert_eq!(ids(&outbox, "a"), ["3"]);
}

#[test]
fn files_that_cannot_be_read_are_kept_aside_each() {
    let folder = tempfile::tempdir().unwrap();
    for (round, content) in [(1, vec![7; 10_000]), (2, vec![8; 10_000])] {
        fs::write(folder.path().join(FILE), &content).unwrap();
        let (outbox, warning) = Outbox::open(folder.path(), 3).unwrap();
        let aside = format!("outbox.redb.unreadable-{round}");
        assert!(warning.unwrap().contains(&aside));
        outbox.put(&["a"], &[letter("1", None)]).unwrap();
        assert_eq!(fs::read(folder.path().join(aside)).unwrap(), content);
    }
    assert_eq!(fs::read(folder.path().join("outbox.redb.unreadable-1")).unwrap(), vec![7; 10_000], "nothing is written over");
}

#[test]
fn a_letter_that_is_put_aside_makes_way_and_is_kept_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 100).unwrap();
    outbox.put(&["a", "b"], &[letter("1", None), letter("2", None)]).unwrap();
    let (number, _) = outbox.first("a").unwrap().unwrap();
    outbox.put_aside("a", number, "it answered with 500").unwrap();
    outbox.put(&["a"], &[letter("1", None)]).unwrap();
    drop(outbox);
    let (outbox, _) = Outbox::open(folder.path(), 100).unwrap();
    assert_eq!(outbox.aside("a").unwrap(), [(letter("1", None), "it answered with 500".to_owned())]);
    assert_eq!(
        (outbox.aside("b").unwrap(), ids(&outbox, "a"), ids(&outbox, "b")),
        (vec![], vec!["2".into()], ["1", "2"].map(String::from).to_vec())
    );
}

#[test]
fn of_what_is_held_only_the_holders_own_is_touched_and_what_is_dropped_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 3).unwrap();
    outbox.put(&["a"], &[letter("1", Some("carts one")), letter("2", Some("other one")), letter("3", None)]).unwrap();
    outbox.settle("nobody", "one").unwrap();
    outbox.settle("carts", "").unwrap();
    assert_eq!(outbox.put(&["a"], &[letter("4", Some("carts two"))]).unwrap(), 0, "there are three again");
    assert_eq!(outbox.put(&["a"], &[letter("5", None)]).unwrap(), 1, "the oldest of four, which was held, goes");
    outbox.settle("other", "one").unwrap();
    outbox.settle("carts", "two").unwrap();
    assert_eq!(ids(&outbox, "a"), ["3", "4", "5"]);
}

#[test]
fn of_too_many_letters_put_aside_the_oldest_goes_whoever_it_was_for_and_may_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(folder.path(), 3).unwrap();
    let aside = |receiver: &str, id: &str| {
        outbox.put(&[receiver], &[letter(id, None)]).unwrap();
        let (number, found) = outbox.first(receiver).unwrap().unwrap();
        assert_eq!(found.id, id);
        outbox.put_aside(receiver, number, "it answered with 500").unwrap();
    };
    let kept = |receiver: &str| outbox.aside(receiver).unwrap().into_iter().map(|(letter, _)| letter.id).collect::<Vec<_>>();
    ["1", "2", "3"].into_iter().for_each(|id| aside("zeta", id));
    aside("alpha", "4");
    assert_eq!((kept("alpha"), kept("zeta")), (vec!["4".to_owned()], vec!["2".to_owned(), "3".to_owned()]));
    assert_eq!(outbox.put(&["zeta"], &[letter("1", None), letter("2", None)]).unwrap(), 0);
    assert_eq!(ids(&outbox, "zeta"), ["1"], "what is kept does not come again, and what is not kept is not known for ever");
}

#[test]
fn what_earlier_releases_knew_for_ever_is_forgotten_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    {
        let database = Database::create(folder.path().join(FILE)).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(KNOWN).unwrap().insert(("a", "1"), 7).unwrap();
        write.commit().unwrap();
    }
    let (outbox, _) = Outbox::open(folder.path(), 3).unwrap();
    outbox.put(&["a"], &[letter("1", None)]).unwrap();
    assert_eq!(outbox.first("a").unwrap().map(|(number, _)| number), Some(8));
}
