//! What others are still to be told: a queue for each of them, durable and bounded, in which nothing stands twice.
//!
//! A letter may be put in before it is known whether what it tells of has come about; it is held then, and released or dropped when
//! that is known. A kill at any moment loses no letter that was put in, and brings one that was taken at most once more. A letter that
//! its receiver never takes can be put aside, so that those behind it get their turn.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;
use crate::store::folder::patiently;

/// Receiver and number → the JSON of the letter; a receiver's letters in the order in which they were put in.
const QUEUE: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("queue");
/// Receiver and id → the number of every letter that waits, was taken, or was put aside, for as long as that is kept.
const KNOWN: TableDefinition<(&str, &str), u64> = TableDefinition::new("known");
/// Number → receiver and id of the letters that were taken, of the last of them.
const TAKEN: TableDefinition<u64, (&str, &str)> = TableDefinition::new("taken");
/// Receiver and number → the JSON of the letter and why it was put aside; of the last of them.
const ASIDE: TableDefinition<(&str, u64), (&[u8], &str)> = TableDefinition::new("aside");
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
    tally: RefCell<Tally>,
}

/// What is known of the queues without reading them; replaced after each transaction.
#[derive(Clone, Default)]
struct Tally {
    /// How many letters wait for each receiver.
    waiting: HashMap<String, u64>,
    /// The letters that each holder holds, by receiver and number.
    held: HashMap<String, BTreeSet<(String, u64)>>,
}

impl Tally {
    fn add(&mut self, receiver: &str, number: u64, letter: &Letter) -> u64 {
        if let Some(holder) = letter.holder() {
            self.held.entry(holder.to_owned()).or_default().insert((receiver.to_owned(), number));
        }
        let count = self.waiting.entry(receiver.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn remove(&mut self, receiver: &str, number: u64, letter: Option<&Letter>) {
        if let Some(count) = self.waiting.get_mut(receiver) {
            *count = count.saturating_sub(1);
        }
        if let Some(held) = letter.and_then(Letter::holder).and_then(|holder| self.held.get_mut(holder)) {
            held.remove(&(receiver.to_owned(), number));
        }
    }
}

/// Returns the first name that is free for a file that cannot be read.
fn aside(folder: &Path) -> Result<PathBuf, StoreError> {
    for number in 1..=9999 {
        let path = folder.join(format!("{FILE}.unreadable-{number}"));
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(StoreError::failed(folder, "move the outbox aside", error)),
            Ok(_) => {}
        }
    }
    let full = io::Error::other(format!("the folder holds 9999 files {FILE}.unreadable-N"));
    Err(StoreError::failed(folder, "move the outbox aside", full))
}

impl Letter {
    fn holder(&self) -> Option<&str> {
        self.hold.as_deref()?.split_once(' ').map(|(holder, _)| holder)
    }
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
        let in_use = || StoreError::InUse { folder: folder.to_owned() };
        let create = || match Database::create(&path) {
            Err(DatabaseError::DatabaseAlreadyOpen) => Err(in_use()),
            created => Ok(created),
        };
        let (database, warning) = match patiently(create)? {
            Ok(database) => (database, None),
            Err(error) if is_unreadable(&error) => {
                let aside = aside(folder)?;
                fs::rename(&path, &aside).map_err(|error| StoreError::failed(folder, "move the outbox aside", error))?;
                let told =
                    format!("the outbox could not be read ({error}) and is kept as {}: what waited in it is not told", aside.display());
                (Database::create(&path).map_err(failed)?, Some(told))
            }
            Err(error) => return Err(failed(error)),
        };
        let outbox = Self { database, folder: folder.to_owned(), most, next: Cell::new(1), tally: RefCell::default() };
        outbox.begin().map_err(|error| outbox.failed("open the outbox", error))?;
        Ok((outbox, warning))
    }

    fn begin(&self) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let (queue, mut known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            let (taken, aside) = (write.open_table(TAKEN)?, write.open_table(ASIDE)?);
            let mut tally = self.tally.borrow_mut();
            for found in queue.iter()? {
                let (key, bytes) = found?;
                let (receiver, number) = key.value();
                match read(bytes.value()) {
                    Some(letter) => drop(tally.add(receiver, number, &letter)),
                    None => *tally.waiting.entry(receiver.to_owned()).or_default() += 1,
                }
            }
            let mut gone = Vec::new();
            for found in known.iter()? {
                let (key, number) = found?;
                let ((receiver, id), number) = (key.value(), number.value());
                self.next.set(self.next.get().max(number.saturating_add(1)));
                let place = (receiver, number);
                if queue.get(place)?.is_none() && taken.get(number)?.is_none() && aside.get(place)?.is_none() {
                    gone.push((receiver.to_owned(), id.to_owned()));
                }
            }
            // Earlier releases knew for ever what they had put aside.
            for (receiver, id) in &gone {
                known.remove((receiver.as_str(), id.as_str()))?;
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
        let (dropped, tally, next) = written.map_err(|error| self.failed("put a letter into the outbox", error))?;
        *self.tally.borrow_mut() = tally;
        self.next.set(next);
        Ok(dropped)
    }

    fn put_into(&self, receivers: &[&str], letters: &[Letter]) -> Result<(u64, Tally, u64), redb::Error> {
        let (mut dropped, mut tally, mut next) = (0, self.tally.borrow().clone(), self.next.get());
        let write = self.database.begin_write()?;
        {
            let (mut queue, mut known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            for receiver in receivers {
                for letter in letters {
                    if known.get((*receiver, letter.id.as_str()))?.is_some() {
                        continue;
                    }
                    // A letter is a few texts; they have a JSON form.
                    let bytes = serde_json::to_vec(letter).unwrap_or_default();
                    queue.insert((*receiver, next), bytes.as_slice())?;
                    known.insert((*receiver, letter.id.as_str()), next)?;
                    let count = tally.add(receiver, next, letter);
                    next += 1;
                    if count > self.most {
                        let oldest = queue.range((*receiver, 0)..=(*receiver, u64::MAX))?.next().transpose()?;
                        let oldest = oldest.map(|(key, bytes)| (key.value().1, read(bytes.value())));
                        if let Some((number, letter)) = oldest {
                            queue.remove((*receiver, number))?;
                            tally.remove(receiver, number, letter.as_ref());
                            known.remove((*receiver, letter.map_or_else(String::new, |letter| letter.id).as_str()))?;
                            dropped += 1;
                        }
                    }
                }
            }
        }
        write.commit()?;
        Ok((dropped, tally, next))
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
            write.set_durability(Durability::None).map_err(|error| redb::Error::Io(io::Error::other(error)))?;
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
        if removed {
            self.tally.borrow_mut().remove(receiver, number, None);
        }
        Ok(())
    }

    /// Puts a letter aside that its receiver does not take, durably and with the reason; it does not come again.
    ///
    /// # Errors
    ///
    /// Fails when the disk does; then it comes again.
    pub fn put_aside(&self, receiver: &str, number: u64, why: &str) -> Result<(), StoreError> {
        let put = || -> Result<bool, redb::Error> {
            let write = self.database.begin_write()?;
            let found = {
                let (mut queue, mut known, mut aside) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?, write.open_table(ASIDE)?);
                let letter = queue.remove((receiver, number))?.map(|bytes| bytes.value().to_vec());
                if let Some(letter) = &letter {
                    aside.insert((receiver, number), (letter.as_slice(), why))?;
                }
                while aside.len()? > self.most {
                    let Some((receiver, number, id)) = oldest(&aside)? else { break };
                    aside.remove((receiver.as_str(), number))?;
                    known.remove((receiver.as_str(), id.as_str()))?;
                }
                letter.is_some()
            };
            write.commit()?;
            Ok(found)
        };
        if put().map_err(|error| self.failed("put a letter of the outbox aside", error))? {
            self.tally.borrow_mut().remove(receiver, number, None);
        }
        Ok(())
    }

    /// Returns the letters that a receiver did not take, and why, in the order in which they were put in.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn aside(&self, receiver: &str) -> Result<Vec<(Letter, String)>, StoreError> {
        let find = || -> Result<Vec<(Letter, String)>, redb::Error> {
            let aside = self.database.begin_read()?.open_table(ASIDE)?;
            let mut found = Vec::new();
            for one in aside.range((receiver, 0)..=(receiver, u64::MAX))? {
                let value = one?.1;
                let (bytes, why) = value.value();
                found.extend(read(bytes).map(|letter| (letter, why.to_owned())));
            }
            Ok(found)
        };
        find().map_err(|error| self.failed("read the outbox", error))
    }

    /// Decides about the letters of a holder: those that are held by just this come about and are released, durably; the others
    /// never did and are dropped. A hold is the holder's name, a blank, and what it waits for.
    ///
    /// # Errors
    ///
    /// Fails when the disk does; then they are held still.
    pub fn settle(&self, holder: &str, come_about: &str) -> Result<(), StoreError> {
        let held = self.tally.borrow_mut().held.remove(holder).unwrap_or_default();
        if held.is_empty() {
            return Ok(());
        }
        match self.settled(&held, (holder, come_about)) {
            Ok(dropped) => {
                let mut tally = self.tally.borrow_mut();
                dropped.iter().for_each(|(receiver, number)| tally.remove(receiver, *number, None));
                Ok(())
            }
            Err(error) => {
                self.tally.borrow_mut().held.insert(holder.to_owned(), held);
                Err(self.failed("release a letter of the outbox", error))
            }
        }
    }

    /// Releases or drops these letters; returns those that were dropped.
    fn settled(&self, held: &BTreeSet<(String, u64)>, (holder, come_about): (&str, &str)) -> Result<Vec<(String, u64)>, redb::Error> {
        let mut dropped = Vec::new();
        let write = self.database.begin_write()?;
        {
            let (mut queue, mut known) = (write.open_table(QUEUE)?, write.open_table(KNOWN)?);
            for (receiver, number) in held {
                let place = (receiver.as_str(), *number);
                let Some(letter) = queue.get(place)?.and_then(|bytes| read(bytes.value())) else { continue };
                let for_what = letter.hold.as_deref().and_then(|hold| hold.strip_prefix(holder)?.strip_prefix(' '));
                if for_what == Some(come_about) {
                    let bytes = serde_json::to_vec(&Letter { hold: None, ..letter }).unwrap_or_default();
                    queue.insert(place, bytes.as_slice())?;
                } else {
                    queue.remove(place)?;
                    known.remove((receiver.as_str(), letter.id.as_str()))?;
                    dropped.push((receiver.clone(), *number));
                }
            }
        }
        write.commit()?;
        Ok(dropped)
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

/// Finds the oldest letter that was put aside, whoever it is for: its receiver, its number, and its id where it can be read.
fn oldest(
    aside: &impl ReadableTable<(&'static str, u64), (&'static [u8], &'static str)>,
) -> Result<Option<(String, u64, String)>, redb::Error> {
    let mut oldest: Option<(String, u64, String)> = None;
    for found in aside.iter()? {
        let (key, value) = found?;
        let (receiver, number) = key.value();
        if oldest.as_ref().is_none_or(|(_, least, _)| number < *least) {
            let id = read(value.value().0).map_or_else(String::new, |letter| letter.id);
            oldest = Some((receiver.to_owned(), number, id));
        }
    }
    Ok(oldest)
}

fn read(bytes: &[u8]) -> Option<Letter> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
