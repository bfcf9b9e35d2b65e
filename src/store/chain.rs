//! The chain of the journal: each entry holds the SHA-256 of the one before it, so that none can be changed, left out or put in
//! between unnoticed.
//!
//! What is summed up is the entry's number, eight bytes with the highest first, and then its stored bytes, which hold the sum of
//! the one before. When old entries are dropped the sum of the last of them is kept, and so is that of the newest entry. A file that
//! takes the place of one that could not be used says so, and goes on from that one's newest entry where it could be read. Who can
//! write the file can write all of it anew, or take it away: against that the newest sum has to be kept elsewhere, too.

use aws_lc_rs::digest;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::store::envelope;
use crate::store::journal::JOURNAL;

/// The key of the table about the file that tells the newest entry of the journal.
const NEWEST: &str = "journal newest";
/// The key that tells the newest one that was dropped.
const DROPPED: &str = "journal dropped";
/// The key that tells why an earlier file was moved aside.
pub(super) const LOST: &str = "lost";
/// What stands for the entry before the first.
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the journal's chain looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// How many entries were looked at.
    pub entries: u64,
    /// The number of the oldest that is kept; absent in an empty journal.
    pub oldest: Option<u64>,
    /// The number and the sum of the newest; whoever keeps them elsewhere can tell later that nothing before was changed.
    pub newest: Option<Sealed>,
    /// How many of the oldest were written by releases that linked nothing.
    pub unlinked: u64,
    /// What became of an earlier journal that this one has taken the place of; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// The first place where the chain is broken; absent where it is whole.
    pub broken: Option<Broken>,
}

/// An entry and its sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its number.
    pub sequence: u64,
    /// The SHA-256 of its number and its stored bytes, in hexadecimal digits.
    pub sha256: String,
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The number of the entry that is not what it was, or is not there.
    pub sequence: u64,
    /// What is wrong with it, one sentence without a full stop.
    pub reason: String,
}

impl Sealed {
    fn of(sequence: u64, stored: &[u8]) -> Self {
        let mut sum = digest::Context::new(&digest::SHA256);
        sum.update(&sequence.to_be_bytes());
        sum.update(stored);
        let sha256 = sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { sequence, sha256 }
    }

    /// Reads what [`Self::text`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, sha256) = text.split_once(' ')?;
        Some(Self { sequence: sequence.parse().ok()?, sha256: sha256.to_owned() })
    }

    /// Writes the number and the sum, with a blank between them.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.sequence, self.sha256)
    }
}

/// Adds an entry, the JSON of its value, behind the newest and drops the oldest where there are more than `most`; returns its number.
pub(super) fn append(
    journal: &mut Table<'_, u64, &'static [u8]>,
    about: &mut Table<'_, &'static str, &'static str>,
    value: &[u8],
    most: u64,
) -> Result<u64, redb::Error> {
    let there = journal.last()?.map(|(sequence, stored)| (Sealed::of(sequence.value(), stored.value()), stored.value().to_vec()));
    // What was written last, not what stands there now: else this entry would hide that somebody changed it or took it away. What
    // stands behind it and is linked was never written by us, who note each; what is not linked is of a release that noted nothing.
    let promised = about.get(NEWEST)?.and_then(|text| Sealed::parse(text.value()));
    let last = there.iter().map(|(there, _)| there).chain(&promised).map(|sealed| sealed.sequence).max();
    let is_unnoted =
        |there: &Sealed, stored: &[u8], promised: &Sealed| there.sequence > promised.sequence && envelope::previous(stored).is_none();
    let newest = match (promised, there) {
        (Some(promised), Some((there, stored))) if is_unnoted(&there, &stored, &promised) => Some(there),
        (promised, there) => promised.or(there.map(|(there, _)| there)),
    };
    let sequence = last.map_or(Some(1), |last| last.checked_add(1));
    let sequence = sequence.ok_or_else(|| redb::Error::Corrupted("the journal's numbers are used up".to_owned()))?;
    let stored = envelope::link(value, newest.as_ref().map_or(NONE, |newest| &newest.sha256));
    journal.insert(sequence, &*stored)?;
    about.insert(NEWEST, &*Sealed::of(sequence, &stored).text())?;
    let mut dropped = None;
    while redb::ReadableTableMetadata::len(journal)? > most {
        dropped = journal.pop_first()?.map(|(sequence, stored)| Sealed::of(sequence.value(), stored.value()));
    }
    if let Some(dropped) = dropped {
        about.insert(DROPPED, &*dropped.text())?;
    }
    Ok(sequence)
}

/// Returns the sum of an entry; `None` where there is none of this number.
pub(super) fn sealed(reader: &ReadTransaction, sequence: u64) -> Result<Option<Sealed>, redb::Error> {
    let journal = reader.open_table(JOURNAL)?;
    let stored = journal.get(sequence)?;
    Ok(stored.map(|stored| Sealed::of(sequence, stored.value())))
}

/// Returns the newest entry that a file of another layout tells of; `None` where that cannot be read.
pub(super) fn told_newest(database: &Database, about: TableDefinition<&'static str, &'static str>) -> Option<Sealed> {
    let about = database.begin_read().ok()?.open_table(about).ok()?;
    let text = about.get(NEWEST).ok()??;
    Sealed::parse(text.value())
        .filter(|newest| newest.sha256.len() == NONE.len() && newest.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Has the first entry of a new journal follow this one.
pub(super) fn continue_from(about: &mut Table<'_, &'static str, &'static str>, newest: &Sealed) -> Result<(), redb::Error> {
    for key in [NEWEST, DROPPED] {
        about.insert(key, &*newest.text())?;
    }
    Ok(())
}

/// Follows the chain from the oldest entry that is kept to the newest.
pub(super) fn follow(reader: &ReadTransaction, about: TableDefinition<&'static str, &'static str>) -> Result<Chain, redb::Error> {
    let about = reader.open_table(about)?;
    let noted = |key| about.get(key).map(|text| text.and_then(|text| Sealed::parse(text.value())));
    let (mut before, promised) = (noted(DROPPED)?, noted(NEWEST)?);
    let lost = about.get(LOST)?.map(|why| why.value().to_owned());
    let mut chain = Chain { entries: 0, oldest: None, newest: None, unlinked: 0, lost, broken: None };
    for row in reader.open_table(JOURNAL)?.range::<u64>(..)? {
        let (sequence, stored) = row?;
        let (sequence, stored) = (sequence.value(), stored.value());
        chain.entries += 1;
        chain.oldest.get_or_insert(sequence);
        let link = envelope::previous(stored);
        let whole = fits(before.as_ref(), sequence, link.as_deref(), chain.unlinked + 1 < chain.entries);
        if link.is_none() {
            chain.unlinked += 1;
        }
        if let (Err(broken), None) = (whole, &chain.broken) {
            chain.broken = Some(broken);
        }
        before = Some(Sealed::of(sequence, stored));
    }
    if let (None, Some(promised)) = (&chain.broken, promised) {
        chain.broken = ends(before.as_ref(), &promised).err();
    }
    chain.newest = before.filter(|_| chain.entries > 0);
    Ok(chain)
}

/// Says whether an entry follows from the one before; `linked` is whether an earlier one was linked.
fn fits(before: Option<&Sealed>, sequence: u64, link: Option<&str>, linked: bool) -> Result<(), Broken> {
    let expected = before.map_or(1, |before| before.sequence + 1);
    let broken = |sequence, reason: String| Err(Broken { sequence, reason });
    let Some(link) = link else {
        return if linked { broken(sequence, "it does not hold the sum of the one before".to_owned()) } else { Ok(()) };
    };
    // What was dropped before releases kept its sum is not known.
    let Some(before) = before.cloned().or_else(|| (sequence == 1).then(|| Sealed { sequence: 0, sha256: NONE.to_owned() })) else {
        return if sequence == expected { Ok(()) } else { broken(expected, format!("it is missing; the oldest is entry {sequence}")) };
    };
    if sequence != before.sequence + 1 {
        return broken(before.sequence + 1, format!("it is missing; the next is entry {sequence}"));
    }
    if link != before.sha256 {
        let changed = if before.sequence == 0 { sequence } else { before.sequence };
        return broken(changed, format!("it is not what entry {sequence} was written behind"));
    }
    Ok(())
}

/// Says whether the journal ends with the entry that was written last.
fn ends(newest: Option<&Sealed>, promised: &Sealed) -> Result<(), Broken> {
    let broken = |reason: &str| Err(Broken { sequence: promised.sequence, reason: reason.to_owned() });
    match newest {
        Some(newest) if newest == promised => Ok(()),
        Some(newest) if newest.sequence == promised.sequence => broken("it is not what was written"),
        Some(newest) if newest.sequence > promised.sequence => broken("it is not the newest, though nothing was written behind it"),
        _ => broken("it is missing at the end"),
    }
}
