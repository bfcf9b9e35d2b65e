//! Reads the journal that an ended process left, and changes nothing on the disk, not even after a kill.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};
use serde::de::DeserializeOwned;

use crate::store::chain::{self, Chain};
use crate::store::error::StoreError;
use crate::store::file::{ABOUT, LAYOUT_NAME, builder, layout};
use crate::store::folder::{LOCK, STATE};
use crate::store::journal::{Excerpt, Limits, select};

/// The largest state file that is read, in bytes: it is held in memory as a whole.
const LARGEST: u64 = 1 << 30;

/// Returns the whole journal of a folder that no process uses.
///
/// The state file is read into memory and opened there, so that finishing what a kill interrupted happens in memory too.
///
/// # Errors
///
/// Fails when a process uses the folder, when there is no state in it, and when the state cannot be read.
pub fn peek<E: DeserializeOwned>(folder: &Path) -> Result<Excerpt<E>, StoreError> {
    look(folder, |reader| select(reader, Limits::NONE, |_| true))
}

/// Follows the chain of the journal of a folder that no process uses, as [`peek`] reads it.
///
/// # Errors
///
/// Fails when a process uses the folder, when there is no state in it, and when the state cannot be read.
pub fn audit(folder: &Path) -> Result<Chain, StoreError> {
    look(folder, |reader| chain::follow(reader, ABOUT))
}

fn look<T>(folder: &Path, read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
    let path = folder.join(STATE);
    let unreadable = |reason: String| StoreError::Unreadable { path: path.clone(), reason };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Absent { folder: folder.to_owned() }),
        Err(error) => return Err(unreadable(error.to_string())),
        Ok(found) if !found.is_file() => return Err(StoreError::NotAFile { path }),
        Ok(found) if found.len() > LARGEST => return Err(unreadable(format!("it is larger than {} MiB", LARGEST >> 20))),
        Ok(_) => {}
    }
    let bytes = {
        // Shared, so that several may look at once; a process that runs has the folder for itself.
        let _claim = claim(folder)?;
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(|error| unreadable(error.to_string()))?;
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
        bytes
    };
    let database = in_memory(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let failed = |error: redb::Error| unreadable(error.to_string());
    let layout = layout(&database).map_err(failed)?;
    if layout != LAYOUT_NAME {
        return Err(unreadable(format!("its layout is {layout:?}, and this release reads {LAYOUT_NAME:?}")));
    }
    let reader = database.begin_read().map_err(|error| failed(error.into()))?;
    read(&reader).map_err(failed)
}

fn claim(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join(LOCK);
    let unreadable = |error: std::io::Error| StoreError::Unreadable { path: path.clone(), reason: error.to_string() };
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unreadable)?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unreadable(error)),
    }
}

fn in_memory(bytes: &[u8]) -> Result<Database, redb::Error> {
    let backend = InMemoryBackend::new();
    // Without content it would become a new database.
    if bytes.is_empty() {
        return Err(redb::Error::Corrupted("it is empty".to_owned()));
    }
    let failed = |error| redb::Error::Corrupted(format!("it cannot be held in memory: {error:?}"));
    backend.set_len(bytes.len() as u64).map_err(failed)?;
    backend.write(0, bytes).map_err(failed)?;
    Ok(builder().create_with_backend(backend)?)
}
