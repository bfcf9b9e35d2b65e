//! The store itself: one durable transaction per decision, and what a reader may believe afterwards.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::version::Name;
use crate::store::chain::{self, Chain, LOST, Sealed};
use crate::store::envelope::{self, Stored};
use crate::store::error::{StoreError, Warning};
use crate::store::folder::{Folder, patiently};
use crate::store::journal::{Excerpt, JOURNAL, Limits, select};

mod examine;

pub(super) use examine::{ABOUT, LAYOUT_NAME, layout};
use examine::{LAYOUT, OpenDatabase, STATE, Unusable, examine};

/// How many journal entries are kept; older ones are dropped.
pub const JOURNAL_LIMIT: u64 = 10_000;

/// Bytes of file content kept in memory; the whole of a usual file.
const CACHE_BYTES: usize = 4 << 20;

/// The store of a running proxy: a record `R` per service and a journal of entries `E`.
pub struct Store<R, E> {
    /// Held while a transaction runs, so readers wait for a write.
    database: Mutex<Slot>,
    open: OpenDatabase,
    folder: Folder,
    records: PhantomData<fn() -> R>,
    entries: PhantomData<fn() -> E>,
}

/// The way to the file.
#[derive(Default)]
struct Slot {
    /// The open database; `None` after a failed write, until the next use opens it again.
    database: Option<Database>,
    /// Whether another process has the folder now.
    released: bool,
}

/// A store that was opened, and what the operator should know about it.
#[derive(Debug)]
pub struct Opened<R, E> {
    /// The store.
    pub store: Store<R, E>,
    /// What is worth a warning; empty as a rule.
    pub warnings: Vec<Warning>,
}

impl<R: Serialize + DeserializeOwned, E: Serialize + DeserializeOwned> Store<R, E> {
    /// Opens the state in `folder`, making both where they are missing. A state file that is damaged, foreign or of a
    /// later release is moved aside and replaced by one that remembers the loss. Reads the whole file once.
    ///
    /// # Errors
    ///
    /// Fails when the folder is in use or unwritable, when the state file is no plain file or open to everybody, and
    /// when the disk fails.
    pub fn open(folder: &Path) -> Result<Opened<R, E>, StoreError> {
        Self::open_with(folder, Box::new(|file| builder().create_with_backend(FileBackend::new(file)?)))
    }

    /// Opens the state with another way to make a database of a file.
    pub(super) fn open_with(folder: &Path, open: OpenDatabase) -> Result<Opened<R, E>, StoreError> {
        let (folder, mut warnings) = patiently(|| Folder::claim(folder))?;
        let (database, warning) = patiently(|| prepare(&folder, &open))?;
        warnings.extend(warning);
        Ok(Opened {
            store: Self {
                database: Mutex::new(Slot { database: Some(database), released: false }),
                open,
                folder,
                records: PhantomData,
                entries: PhantomData,
            },
            warnings,
        })
    }

    /// Returns the folder, as the operator named it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Records the state of a service together with the reason, in one durable transaction, and returns the sequence
    /// number of the journal entry. Blocks until the disk has confirmed.
    ///
    /// # Errors
    ///
    /// Fails when the disk does. Then either all of it was recorded or nothing; trying again is safe and opens the
    /// file anew.
    pub fn put(&self, service: &Name, record: &R, entry: &E) -> Result<u64, StoreError> {
        self.put_all(service, record, std::slice::from_ref(entry))
    }

    /// Does the same with several entries, which the journal then has in this order; all of it becomes durable, or nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::put`] does, and when there is no entry.
    pub fn put_all(&self, service: &Name, record: &R, entries: &[E]) -> Result<u64, StoreError> {
        let doing = "record a decision";
        let failed = |reason: String| StoreError::failed(self.folder.path(), doing, reason);
        let record = envelope::seal(record).map_err(|error| failed(error.to_string()))?;
        let entries = entries.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.to_string()))?;
        let last = self.with_database(doing, |database| write(database, service, &record, &entries))?;
        last.ok_or_else(|| failed("there is nothing the journal could say of it".to_owned()))
    }

    /// Returns the record of a service: `None` when nothing was ever recorded, unknown when it cannot be read or when
    /// an earlier state file was lost and the service was not recorded since.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn record(&self, service: &Name) -> Result<Option<Stored<R>>, StoreError> {
        self.with_database("read the recorded state", |database| {
            let reader = database.begin_read()?;
            let state = reader.open_table(STATE)?;
            if let Some(found) = state.get(service.as_str())? {
                return Ok(Some(envelope::open(found.value())));
            }
            let about = reader.open_table(ABOUT)?;
            let lost = about.get(LOST)?;
            Ok(lost.map(|reason| Stored::Unknown { reason: reason.value().to_owned() }))
        })
    }

    /// Returns the records of all services that have one, by name.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn records(&self) -> Result<BTreeMap<String, Stored<R>>, StoreError> {
        self.with_database("read the recorded state", |database| {
            let state = database.begin_read()?.open_table(STATE)?;
            let rows = state.iter()?.map(|row| row.map(|(name, value)| (name.value().to_owned(), envelope::open(value.value()))));
            Ok(rows.collect::<Result<_, StorageError>>()?)
        })
    }

    /// Returns the newest `last` entries of the journal with their sequence numbers, oldest first.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn journal(&self, last: usize) -> Result<Vec<(u64, Stored<E>)>, StoreError> {
        self.excerpt(Limits { entries: last, ..Limits::NONE }, |_| true).map(|excerpt| excerpt.entries)
    }

    /// Returns the newest entries that are wanted, as the journal was when this was called. A decision that is recorded
    /// meanwhile waits for no more than the beginning of this.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn excerpt(&self, limits: Limits, wanted: impl Fn(&Stored<E>) -> bool) -> Result<Excerpt<E>, StoreError> {
        let doing = "read the journal";
        let reader = self.with_database(doing, |database| Ok(database.begin_read()?))?;
        select(&reader, limits, wanted).map_err(|error| StoreError::failed(self.folder.path(), doing, error))
    }

    /// Returns the number and the sum of an entry of the journal; `None` where there is none of this number.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn sealed(&self, sequence: u64) -> Result<Option<Sealed>, StoreError> {
        self.with_database("read the journal", |database| chain::sealed(&database.begin_read()?, sequence))
    }

    /// Follows the chain of the journal, as it was when this was called.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn chain(&self) -> Result<Chain, StoreError> {
        let doing = "read the journal";
        let reader = self.with_database(doing, |database| Ok(database.begin_read()?))?;
        chain::follow(&reader, ABOUT).map_err(|error| StoreError::failed(self.folder.path(), doing, error))
    }

    /// Lets go of the folder, for a process that is to succeed this one; until [`Self::reclaim`] every use fails.
    pub fn release(&self) {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Slot { database: None, released: true };
        self.folder.release();
    }

    /// Takes the folder back from a process that did not succeed.
    ///
    /// # Errors
    ///
    /// Fails when another process holds it; every use goes on to fail then.
    pub fn reclaim(&self) -> Result<(), StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.released {
            self.folder.reclaim()?;
            slot.released = false;
        }
        Ok(())
    }

    /// Runs one transaction, opening the database first where an earlier failure closed it. After a failure the
    /// handle is dropped: redb refuses further use of one that saw an I/O error.
    fn with_database<T>(
        &self,
        doing: &'static str,
        transaction: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let failed = |reason: String| StoreError::failed(self.folder.path(), doing, reason);
        let mut slot: MutexGuard<'_, Slot> = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.released {
            return Err(failed("it is handed over to the process that succeeds this one".to_owned()));
        }
        let database = match slot.database.take() {
            Some(database) => database,
            None => self.reopen(doing)?,
        };
        let result = transaction(&database).map_err(|error| failed(error.to_string()))?;
        slot.database = Some(database);
        Ok(result)
    }

    /// Opens the file again after a failure. It was readable when the process started; if it is not any more, that is
    /// for the operator and the next start, and nothing is moved.
    fn reopen(&self, doing: &'static str) -> Result<Database, StoreError> {
        let failed = |reason: String| StoreError::failed(self.folder.path(), doing, reason);
        let file = self.folder.open_state()?.ok_or_else(|| failed("the state file is gone".to_owned()))?;
        match examine(&self.folder, &self.open, file) {
            Ok(database) => Ok(database),
            Err(Unusable::Failed(error)) => Err(error),
            Err(Unusable::Unreadable(reason, _)) => Err(failed(reason)),
        }
    }
}

impl<R, E> std::fmt::Debug for Store<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Returns how state files are opened: every page's checksum is verified first, so damage is found here and not later.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Finds, finishes, replaces or makes the state file.
fn prepare(folder: &Folder, open: &OpenDatabase) -> Result<(Database, Option<Warning>), StoreError> {
    let Some(file) = folder.open_state()? else {
        return Ok((finish_or_make(folder, open)?, None));
    };
    let (reason, newest) = match examine(folder, open, file) {
        Ok(database) => return Ok((database, None)),
        Err(Unusable::Failed(error)) => return Err(error),
        Err(Unusable::Unreadable(reason, newest)) => (reason, newest),
    };
    // The successor is complete before the old file goes, and it knows of the loss: a kill between these steps must
    // not make the next start believe that nothing was ever recorded.
    let to = folder.name_aside()?;
    let lost = format!("the state file was unreadable ({reason}) and is kept as {}", to.display());
    let database = make(folder, open, Some((lost.as_str(), newest)))?;
    folder.move_state_aside(&to)?;
    folder.publish_fresh()?;
    Ok((database, Some(Warning::MovedAside { to, reason })))
}

/// Takes over a complete file that an interrupted start left under its provisional name, or makes a new one.
fn finish_or_make(folder: &Folder, open: &OpenDatabase) -> Result<Database, StoreError> {
    if let Some(file) = folder.open_unfinished()? {
        match examine(folder, open, file) {
            Ok(database) => {
                folder.publish_fresh()?;
                return Ok(database);
            }
            Err(Unusable::Failed(error)) => return Err(error),
            Err(Unusable::Unreadable(..)) => {}
        }
    }
    let database = make(folder, open, None)?;
    folder.publish_fresh()?;
    Ok(database)
}

/// Makes an empty state file under its provisional name.
fn make(folder: &Folder, open: &OpenDatabase, lost: Option<(&str, Option<Sealed>)>) -> Result<Database, StoreError> {
    let failed = |error: redb::Error| StoreError::failed(folder.path(), "make a state file", error);
    let database = open(folder.begin_fresh()?).map_err(|error| failed(error.into()))?;
    begin(&database, lost).map_err(failed)?;
    Ok(database)
}

/// Writes the tables of an empty state file.
fn begin(database: &Database, lost: Option<(&str, Option<Sealed>)>) -> Result<(), redb::Error> {
    let writer = database.begin_write()?;
    {
        let mut about = writer.open_table(ABOUT)?;
        about.insert(LAYOUT, LAYOUT_NAME)?;
        if let Some((reason, newest)) = lost {
            about.insert(LOST, reason)?;
            if let Some(newest) = newest {
                chain::continue_from(&mut about, &newest)?;
            }
        }
        writer.open_table(STATE)?;
        writer.open_table(JOURNAL)?;
    }
    writer.commit()?;
    Ok(())
}

/// Writes a decision in one durable transaction; each of `entries` is the JSON of its value alone. Returns the number of the last;
/// without one nothing is written.
fn write(database: &Database, service: &Name, record: &[u8], entries: &[Vec<u8>]) -> Result<Option<u64>, redb::Error> {
    let writer = database.begin_write()?;
    let mut last = None;
    {
        writer.open_table(STATE)?.insert(service.as_str(), record)?;
        let (mut journal, mut about) = (writer.open_table(JOURNAL)?, writer.open_table(ABOUT)?);
        for entry in entries {
            last = Some(chain::append(&mut journal, &mut about, entry, JOURNAL_LIMIT)?);
        }
    }
    match last {
        Some(_) => writer.commit()?,
        None => writer.abort()?,
    }
    Ok(last)
}
