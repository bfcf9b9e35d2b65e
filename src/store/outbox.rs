//! What others are still to be told: a queue for each of them, durable and bounded, in which nothing stands twice.
//!
//! A letter may be put in before it is known whether what it tells of has come about; it is held then, and released or dropped when
//! that is known. A kill at any moment loses no letter that was put in, and brings one that was taken at most once more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;

/// Receiver and number → the JSON of the letter; a receiver's letters in the order in which they were put in.
const QUEUE: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("queue");
/// Receiver and id → the number of every letter that waits or was taken.
const KNOWN: TableDefinition<(&str, &str), u64> = TableDefinition::new("known");
/// Number → receiver and id of the letters that were taken, of the last of them.
const TAKEN: TableDefinition<u64, (&str, &str)> = TableDefinition::new("taken");
/// The file of the letters.
const FILE: &str = "outbox.redb";

/// Something that somebody is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// What tells it from every other; the same letter has the same id whenever it is made.
    pub id: String,
    /// The media type of the body.
    pub kind: String,
    /// What it says.
    pub body: String,
    /// What it waits for before anybody is told, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
}

/// The queues.
pub struct Outbox {
    database: Database,
    folder: PathBuf,
    /// The most letters that wait for one receiver, and the most that were taken and are remembered.
    most: u64,
    next: Cell<u64>,
    /// How many letters wait for each receiver.
    waiting: RefCell<HashMap<String, u64>>,
}

impl Outbox {
    /// Opens the queues in a folder. A file that cannot be read is moved aside, and that is told.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn open(folder: &Path, most: u64) -> Result<(Self, Option<String>), StoreError> {
        let path = folder.join(FILE);
        let failed = |error: DatabaseError| StoreError::failed(folder, "open the outbox", error);
        let (database, warning) = match Database::create(&path) {
            Ok(database) => (database, None),
            Err(error) if is_unreadable(&error) => {
                let aside = path.with_extension("redb.unreadable");
                fs::rename(&path, &aside).map_err(|error| StoreError::failed(folder, "move the outbox aside", error))?;
                let told =
                    format!("the outbox could not be read ({error}) and is kept as {}: what waited in it is not told", aside.display());
                (Database::create(&path).map_err(failed)?, Some(told))
            }
            Err(error) => return Err(failed(error)),
        };
        let outbox = Self { database, folder: folder.to_owned(), most, next: Cell::new(1), waiting: RefCell::default() };
        outbox.begin().map_err(|error| outbox.failed("open the outbox", error))?;
        Ok((outbox, warning))
    }

    fn begin(&self) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let (queue, known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            write.open_table(TAKEN)?;
            let mut waiting = self.waiting.borrow_mut();
            for found in queue.iter()? {
                let receiver = found?.0.value().0.to_owned();
                *waiting.entry(receiver).or_default() += 1;
            }
            for found in known.iter()? {
                self.next.set(self.next.get().max(found?.1.value().saturating_add(1)));
            }
        }
        Ok(write.commit()?)
    }

    fn failed(&self, doing: &'static str, error: redb::Error) -> StoreError {
        StoreError::failed(&self.folder, doing, error)
    }

    /// Puts letters into the queue of every receiver that does not have them yet, in one durable transaction; returns how many
    /// letters were dropped for them, the oldest ones.
    ///
    /// # Errors
    ///
    /// Fails when the disk does; then none was put in.
    pub fn put(&self, receivers: &[&str], letters: &[Letter]) -> Result<u64, StoreError> {
        let written = self.put_into(receivers, letters);
        let (dropped, waiting, next) = written.map_err(|error| self.failed("put a letter into the outbox", error))?;
        *self.waiting.borrow_mut() = waiting;
        self.next.set(next);
        Ok(dropped)
    }

    fn put_into(&self, receivers: &[&str], letters: &[Letter]) -> Result<(u64, HashMap<String, u64>, u64), redb::Error> {
        let (mut dropped, mut waiting, mut next) = (0, self.waiting.borrow().clone(), self.next.get());
        let write = self.database.begin_write()?;
        {
            let (mut queue, mut known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            for receiver in receivers {
                let count = waiting.entry((*receiver).to_owned()).or_default();
                for letter in letters {
                    if known.get((*receiver, letter.id.as_str()))?.is_some() {
                        continue;
                    }
                    // A letter is a few texts; they have a JSON form.
                    let bytes = serde_json::to_vec(letter).unwrap_or_default();
                    queue.insert((*receiver, next), bytes.as_slice())?;
                    known.insert((*receiver, letter.id.as_str()), next)?;
                    (*count, next) = (*count + 1, next + 1);
                    if *count > self.most {
                        let oldest = queue.range((*receiver, 0)..=(*receiver, u64::MAX))?.next().transpose()?;
                        let oldest = oldest.map(|(key, bytes)| (key.value().1, read(bytes.value())));
                        if let Some((number, letter)) = oldest {
                            queue.remove((*receiver, number))?;
                            known.remove((*receiver, letter.map_or_else(String::new, |letter| letter.id).as_str()))?;
                            (*count, dropped) = (*count - 1, dropped + 1);
                        }
                    }
                }
            }
        }
        write.commit()?;
        Ok((dropped, waiting, next))
    }

    /// Returns the first letter of a receiver that is not held, with its number.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn first(&self, receiver: &str) -> Result<Option<(u64, Letter)>, StoreError> {
        let find = || -> Result<Option<(u64, Letter)>, redb::Error> {
            let read_only = self.database.begin_read()?;
            let queue = read_only.open_table(QUEUE)?;
            for found in queue.range((receiver, 0)..=(receiver, u64::MAX))? {
                let (key, bytes) = found?;
                if let Some(letter) = read(bytes.value()).filter(|letter| letter.hold.is_none()) {
                    return Ok(Some((key.value().1, letter)));
                }
            }
            Ok(None)
        };
        find().map_err(|error| self.failed("read the outbox", error))
    }

    /// Notes that a receiver has taken a letter. A kill right after this may bring it once more.
    ///
    /// # Errors
    ///
    /// Fails when the disk does; then it comes again.
    pub fn taken(&self, receiver: &str, number: u64, id: &str) -> Result<(), StoreError> {
        let note = || -> Result<bool, redb::Error> {
            let mut write = self.database.begin_write()?;
            // It is durable with the next letter that is put in.
            write.set_durability(Durability::None).map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
            let removed;
            {
                let (mut queue, mut known, mut taken) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?, write.open_table(TAKEN)?);
                removed = queue.remove((receiver, number))?.is_some();
                taken.insert(number, (receiver, id))?;
                while taken.len()? > self.most {
                    let Some((_, oldest)) = taken.pop_first()? else { break };
                    known.remove(oldest.value())?;
                }
            }
            write.commit()?;
            Ok(removed)
        };
        let removed = note().map_err(|error| self.failed("take a letter out of the outbox", error))?;
        if let Some(count) = self.waiting.borrow_mut().get_mut(receiver).filter(|_| removed) {
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    /// Decides about the letters of a holder: those that are held by just this come about and are released, durably; the others
    /// never did and are dropped. A hold is the holder's name, a blank, and what it waits for.
    ///
    /// # Errors
    ///
    /// Fails when the disk does; then they are held still.
    pub fn settle(&self, holder: &str, come_about: &str) -> Result<(), StoreError> {
        let waiting = self.settled(holder, come_about).map_err(|error| self.failed("release a letter of the outbox", error))?;
        *self.waiting.borrow_mut() = waiting;
        Ok(())
    }

    fn settled(&self, holder: &str, come_about: &str) -> Result<HashMap<String, u64>, redb::Error> {
        let mut waiting = self.waiting.borrow().clone();
        let write = self.database.begin_write()?;
        {
            let (mut queue, mut known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            let mut held = Vec::new();
            for found in queue.iter()? {
                let (key, bytes) = found?;
                let Some(letter) = read(bytes.value()) else { continue };
                let for_what = letter.hold.as_deref().and_then(|hold| hold.strip_prefix(holder)?.strip_prefix(' ')).map(str::to_owned);
                if let Some(for_what) = for_what {
                    held.push(((key.value().0.to_owned(), key.value().1), letter, for_what == come_about));
                }
            }
            for ((receiver, number), letter, released) in held {
                if released {
                    let bytes = serde_json::to_vec(&Letter { hold: None, ..letter }).unwrap_or_default();
                    queue.insert((receiver.as_str(), number), bytes.as_slice())?;
                } else {
                    queue.remove((receiver.as_str(), number))?;
                    known.remove((receiver.as_str(), letter.id.as_str()))?;
                    if let Some(count) = waiting.get_mut(&receiver) {
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
        write.commit()?;
        Ok(waiting)
    }
}

/// Says whether a failure to open speaks of the content, not of the disk.
fn is_unreadable(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) | DatabaseError::UpgradeRequired(_) => true,
        DatabaseError::Storage(StorageError::Io(source)) => matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

fn read(bytes: &[u8]) -> Option<Letter> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
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
    fn a_file_that_cannot_be_read_is_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), vec![7; 10_000]).unwrap();
        match Outbox::open(folder.path(), 3) {
            Ok((outbox, warning)) => {
                assert!(warning.unwrap().contains("kept as"));
                outbox.put(&["a"], &[letter("1", None)]).unwrap();
                assert_eq!(fs::read(folder.path().join("outbox.redb.unreadable")).unwrap(), vec![7; 10_000]);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
