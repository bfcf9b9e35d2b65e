//! What the engine keeps on disk, opened for one of its lives.

use std::path::Path;

use crate::delivery::past::Past;
use crate::delivery::registries::Registries;
use crate::delivery::replays::Replays;
use crate::domain::delivery::{Entry, Record};
use crate::store::{Store, StoreError};

/// What was delivered, on disk.
pub(super) type DeliveryStore = Store<Record, Entry>;

/// What was kept.
pub(super) struct Opened {
    pub(super) store: DeliveryStore,
    pub(super) replays: Replays,
    pub(super) past: Past,
    pub(super) registries: Registries,
}

impl Opened {
    /// Opens it in the state folder.
    ///
    /// # Errors
    ///
    /// Says what cannot be read.
    pub(super) fn open(state: &Path, registries: &[String]) -> Result<Self, String> {
        let opened = DeliveryStore::open(&state.join("delivery")).map_err(|error: StoreError| error.to_string())?;
        opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self {
            store: opened.store,
            replays: Replays::open(state.join("events"))?,
            registries: Registries::new(registries)?,
            past: Past::open(&state.join("evaluations"))?,
        })
    }
}
