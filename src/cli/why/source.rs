//! Where the journal comes from: a running proxy, or the folder that an ended one left.

use std::path::Path;

use serde::Deserialize;

use crate::admin::journal::{Journal, Line, MOST};
use crate::cli::admin::Admin;
use crate::cli::remote::RemoteError;
use crate::domain::rollout::Entry;
use crate::domain::version::Name;
use crate::store::{self, StoreError};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The proxy did not give it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The folder is in use.
    #[error("the state folder is in use by a running proxy; ask that with --admin URL")]
    InUse,
    /// The folder cannot be read.
    #[error(transparent)]
    Store(StoreError),
}

#[derive(Deserialize)]
struct Listing {
    rollouts: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: Name,
}

/// Asks a running proxy for the newest entries of a service, or of every one it has.
pub fn ask(remote: &Admin, service: Option<&Name>) -> Result<Journal, SourceError> {
    let services = match service {
        Some(service) => vec![service.clone()],
        None => remote.get::<Listing>("/v1/rollouts")?.rollouts.into_iter().map(|named| named.name).collect(),
    };
    let mut all = Journal { entries: Vec::new(), complete: true };
    for service in services {
        let journal: Journal = remote.get(&format!("/v1/rollouts/{service}/journal?last={MOST}"))?;
        all.entries.extend(journal.entries);
        all.complete &= journal.complete;
    }
    all.entries.sort_by_key(|line| line.sequence);
    // A line that cannot be read is told of with every service.
    all.entries.dedup_by_key(|line| line.sequence);
    Ok(all)
}

/// Reads what an ended proxy left, and changes nothing.
pub fn read(folder: &Path) -> Result<Journal, SourceError> {
    let excerpt = store::peek::<Entry>(folder).map_err(|error| match error {
        StoreError::InUse { .. } => SourceError::InUse,
        other => SourceError::Store(other),
    })?;
    Ok(Journal { entries: excerpt.entries.into_iter().map(Line::from).collect(), complete: excerpt.complete })
}
