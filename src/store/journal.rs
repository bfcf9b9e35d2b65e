//! The journal's table and how a part of it is picked out, newest first.

use redb::{ReadTransaction, TableDefinition};
use serde::de::DeserializeOwned;

use crate::store::envelope::{self, Stored};

/// Sequence number → the JSON of an entry.
pub(super) const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");

/// A part of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<E> {
    /// Entries with their sequence numbers, oldest first.
    pub entries: Vec<(u64, Stored<E>)>,
    /// Whether these are all that were wanted and are still kept; else older ones were left out.
    pub complete: bool,
}

/// How much of the journal an excerpt may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most entries.
    pub entries: usize,
    /// The most bytes of JSON; one entry is returned however large it is.
    pub bytes: usize,
    /// Only entries that came after the one of this number; 0 for all.
    pub after: u64,
}

impl Limits {
    /// No limits but the journal's own.
    pub const NONE: Self = Self { entries: usize::MAX, bytes: usize::MAX, after: 0 };
}

/// Picks the newest entries that are wanted.
pub(super) fn select<E: DeserializeOwned>(
    reader: &ReadTransaction,
    limits: Limits,
    wanted: impl Fn(&Stored<E>) -> bool,
) -> Result<Excerpt<E>, redb::Error> {
    let mut excerpt = Excerpt { entries: Vec::new(), complete: true };
    let mut bytes = 0_usize;
    for row in reader.open_table(JOURNAL)?.range(limits.after.saturating_add(1)..)?.rev() {
        let (sequence, value) = row?;
        let entry = envelope::open(value.value());
        if !wanted(&entry) {
            continue;
        }
        bytes = bytes.saturating_add(value.value().len());
        if excerpt.entries.len() >= limits.entries || (bytes > limits.bytes && !excerpt.entries.is_empty()) {
            excerpt.complete = false;
            break;
        }
        excerpt.entries.push((sequence.value(), entry));
    }
    excerpt.entries.reverse();
    Ok(excerpt)
}
