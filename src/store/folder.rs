//! The state folder: made for this user only, claimed by one process, and never followed through a link.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::store::error::{StoreError, Warning};

/// The file that holds the state.
pub(super) const STATE: &str = "state.redb";
/// A state file that is being made; it takes its place by a rename once it is complete.
const FRESH: &str = "state.redb.new";
/// The file whose lock says that the folder is in use.
pub(super) const LOCK: &str = "lock";

/// How often is looked whether what somebody else has is free, and after what pause: two seconds in all.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again for a moment for what somebody else has. After a kill that may be a process which the killed one was just starting: it
/// has copies of its descriptors, and so of its locks, until it begins its own program and they are closed.
///
/// # Errors
///
/// Fails as the last attempt does.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..LOOKS {
        match attempt() {
            Err(StoreError::InUse { .. }) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    attempt()
}

/// A state folder that belongs to this process for as long as the value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked while the value lives; the system releases it even after a kill.
    claim: File,
}

impl Folder {
    /// Makes the folder where it is missing (mode 0700) and claims it. The folder itself may be reached through a
    /// link, as systemd arranges it for a dynamic user; the files in it may not.
    ///
    /// # Errors
    ///
    /// Fails when another process has claimed it, when it cannot be made or written, and when the lock file is not a
    /// plain file.
    pub(super) fn claim(path: &Path) -> Result<(Self, Vec<Warning>), StoreError> {
        let unwritable = |source| StoreError::unwritable(path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unwritable)?;
        let mut warnings = Vec::new();
        // Sticky folders such as /tmp keep strangers from replacing what they do not own.
        if fs::metadata(path).map_err(unwritable)?.mode() & 0o1002 == 0o002 {
            warnings.push(Warning::ExposedFolder { folder: path.to_owned() });
        }
        let claim = open_plain(path, &path.join(LOCK))?;
        match claim.try_lock() {
            Ok(()) => Ok((Self { path: path.to_owned(), claim }, warnings)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }

    /// Returns where the folder is, as the operator named it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the claim up; the folder may be claimed by another process from now on.
    pub(super) fn release(&self) {
        let _ = self.claim.unlock();
    }

    /// Claims the folder again.
    pub(super) fn reclaim(&self) -> Result<(), StoreError> {
        match self.claim.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(StoreError::unwritable(&self.path, source)),
        }
    }

    /// Opens the state file; `None` when there is none.
    pub(super) fn open_state(&self) -> Result<Option<File>, StoreError> {
        self.open_present(STATE)
    }

    /// Opens what an interrupted start left behind; `None` when there is nothing.
    pub(super) fn open_unfinished(&self) -> Result<Option<File>, StoreError> {
        self.open_present(FRESH)
    }

    /// Begins a new state file under a provisional name, in place of one that was never finished.
    pub(super) fn begin_fresh(&self) -> Result<File, StoreError> {
        let path = self.path.join(FRESH);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::unwritable(&self.path, error)),
            _ => open_plain(&self.path, &path),
        }
    }

    /// Gives the new state file its name, durably.
    pub(super) fn publish_fresh(&self) -> Result<(), StoreError> {
        self.rename(FRESH, &self.path.join(STATE))
    }

    /// Moves the state file aside, durably, under the first name `state.redb.unreadable-N` that is free.
    pub(super) fn move_state_aside(&self, to: &Path) -> Result<(), StoreError> {
        self.rename(STATE, to)
    }

    /// Returns the first free name for a state file that cannot be read.
    pub(super) fn name_aside(&self) -> Result<PathBuf, StoreError> {
        for number in 1..=9999 {
            let path = self.path.join(format!("{STATE}.unreadable-{number}"));
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path),
                Err(error) => return Err(StoreError::unwritable(&self.path, error)),
                Ok(_) => {}
            }
        }
        let full = io::Error::other(format!("it holds 9999 files {STATE}.unreadable-N"));
        Err(StoreError::unwritable(&self.path, full))
    }

    fn open_present(&self, name: &str) -> Result<Option<File>, StoreError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::unwritable(&self.path, error)),
            // The group may write: Kubernetes sets that for volumes with an fsGroup.
            Ok(found) if found.is_file() && found.mode() & 0o002 != 0 => Err(StoreError::Exposed { path }),
            Ok(_) => open_plain(&self.path, &path).map(Some),
        }
    }

    fn rename(&self, from: &str, to: &Path) -> Result<(), StoreError> {
        fs::rename(self.path.join(from), to)
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|source| StoreError::unwritable(&self.path, source))
    }
}

impl Drop for Folder {
    /// Releases the claim by name: closing alone would leave it to a child process that was forked but has not yet
    /// begun its own program.
    fn drop(&mut self) {
        let _ = self.claim.unlock();
    }
}

/// Opens a plain file for reading and writing, making it (mode 0600) where it is missing; follows no link.
fn open_plain(folder: &Path, path: &Path) -> Result<File, StoreError> {
    let unwritable = |source| StoreError::unwritable(folder, source);
    let not_a_file = || StoreError::NotAFile { path: path.to_owned() };
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            let file = options.open(path).map_err(unwritable)?;
            // What was looked at must be what was opened, or a link was put there in between.
            if same_file(&found, &file.metadata().map_err(unwritable)?) { Ok(file) } else { Err(not_a_file()) }
        }
        Ok(_) => Err(not_a_file()),
        Err(error) if error.kind() == ErrorKind::NotFound => options.create_new(true).mode(0o600).open(path).map_err(unwritable),
        Err(error) => Err(unwritable(error)),
    }
}

fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
