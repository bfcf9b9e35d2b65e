//! Whether a file is a state file that this release can use.

use std::fs::File;
use std::io::ErrorKind;

use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use crate::store::chain::{self, Sealed};
use crate::store::error::StoreError;
use crate::store::folder::Folder;
use crate::store::journal::JOURNAL;

/// Service name → the JSON of its record.
pub(super) const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
/// What the file says of itself.
pub(in crate::store) const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
/// The key of [`ABOUT`] that names the layout of these tables.
pub(super) const LAYOUT: &str = "layout";
/// The layout this release reads and writes.
pub(in crate::store) const LAYOUT_NAME: &str = "portcullis state 1";

/// How a file becomes a database; another way is used only to inject faults.
pub(in crate::store) type OpenDatabase = Box<dyn Fn(File) -> Result<Database, DatabaseError> + Send + Sync>;

/// Why a file is not usable as a state file.
pub(super) enum Unusable {
    /// Its content is not ours or is damaged: it is moved aside. The newest entry of its journal, where it tells that.
    Unreadable(String, Option<Sealed>),
    /// The disk or another process is in the way: it is left alone.
    Failed(StoreError),
}

/// Opens a file and looks whether it is a state file this release can use.
pub(super) fn examine(folder: &Folder, open: &OpenDatabase, file: File) -> Result<Database, Unusable> {
    let sort = |error: redb::Error| sort_failure(folder, error);
    if file.metadata().is_ok_and(|about| about.len() == 0) {
        return Err(Unusable::Unreadable("it is empty".to_owned(), None));
    }
    let database = open(file).map_err(|error| sort(error.into()))?;
    let layout = layout(&database).map_err(sort)?;
    if layout == LAYOUT_NAME {
        Ok(database)
    } else {
        let reason = format!("its layout is {layout:?}, and this release reads {LAYOUT_NAME:?}");
        Err(Unusable::Unreadable(reason, chain::told_newest(&database, ABOUT)))
    }
}

/// Reads the name of the layout, and sees that the tables are there and have their types.
pub(in crate::store) fn layout(database: &Database) -> Result<String, redb::Error> {
    let reader = database.begin_read()?;
    let about = reader.open_table(ABOUT)?;
    let name = about.get(LAYOUT)?.map_or_else(String::new, |name| name.value().to_owned());
    if name == LAYOUT_NAME {
        reader.open_table(STATE)?;
        reader.open_table(JOURNAL)?;
    }
    Ok(name)
}

/// Decides whether a failure to open speaks of the content or of the disk.
fn sort_failure(folder: &Folder, error: redb::Error) -> Unusable {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            Unusable::Failed(StoreError::InUse { folder: folder.path().to_owned() })
        }
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_) => Unusable::Unreadable(error.to_string(), None),
        redb::Error::Io(source) if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Unusable::Unreadable(source.to_string(), None)
        }
        other => Unusable::Failed(StoreError::failed(folder.path(), "open the state file", other)),
    }
}
