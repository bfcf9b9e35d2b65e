//! What can go wrong with the state folder, and how to mend it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why the state cannot be used. Each text names the folder and says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses the folder.
    #[error("the state folder {} is in use by another process; stop that process, or choose another folder with --state", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder or a file in it cannot be made or written.
    #[error("cannot write the state folder {} ({source}); make it writable for this user, or choose another folder with --state", .folder.display())]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is not a plain file stands where a file of the store belongs.
    #[error("{} is not a plain file (links are not followed); move it away, or choose another folder with --state", .path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// There is no state to read.
    #[error("there is no state in {}; name the folder that was given to the proxy with --state", .folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// The state cannot be read, and nothing was changed.
    #[error("cannot read {} ({reason}); run this as a user who may, or as the release that wrote it", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Everybody may write the state file, so it cannot be believed.
    #[error("everybody may write {}, so its content cannot be believed; look at it, then run: chmod o-w {}", .path.display(), .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed while the state was read or written; what was being written may or may not be there.
    #[error("cannot {doing} in the state folder {} ({reason}); see that the disk has room and is healthy", .folder.display())]
    Failed {
        /// The folder.
        folder: PathBuf,
        /// What was attempted, such as `record a decision`.
        doing: &'static str,
        /// What the storage said.
        reason: String,
    },
}

impl StoreError {
    /// Makes the error for a folder that cannot be written.
    pub(super) fn unwritable(folder: &Path, source: io::Error) -> Self {
        Self::Unwritable { folder: folder.to_owned(), source }
    }

    /// Makes the error for a storage that failed.
    pub(super) fn failed(folder: &Path, doing: &'static str, reason: impl fmt::Display) -> Self {
        Self::Failed { folder: folder.to_owned(), doing, reason: reason.to_string() }
    }
}

/// What the operator should know although the store can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The state could not be read and was moved aside; every service is unknown until it is recorded again.
    MovedAside {
        /// Where it is now.
        to: PathBuf,
        /// Why it could not be read.
        reason: String,
    },
    /// Everybody may replace the files in the folder.
    ExposedFolder {
        /// The folder.
        folder: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MovedAside { to, reason } => write!(
                f,
                "the recorded state could not be read ({reason}); it was kept as {}, and what was decided before is unknown",
                to.display()
            ),
            Self::ExposedFolder { folder } => {
                write!(f, "everybody may replace the files in the state folder {}; run: chmod o-w {}", folder.display(), folder.display())
            }
        }
    }
}
