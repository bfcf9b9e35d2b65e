//! A disk for tests: it can be full from any call on, and does not wait for the platter.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::store::StoreError;
use crate::store::file::builder;

/// Enough calls for any test.
pub(super) const PLENTY: i64 = i64::MAX;

/// Counts down with each write, sync and change of length; below zero every one of them fails like a full disk.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicI64>);

impl Budget {
    pub(super) fn new(calls: i64) -> Self {
        Self(Arc::new(AtomicI64::new(calls)))
    }

    pub(super) fn set(&self, calls: i64) {
        self.0.store(calls, Ordering::SeqCst);
    }

    fn spend(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }
}

#[derive(Debug)]
struct FullDisk {
    file: FileBackend,
    budget: Budget,
}

impl StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.budget.spend()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not passed on: no test cuts the power, and a thousand real syncs take a minute on a busy disk.
        self.budget.spend()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.budget.spend()?;
        self.file.write(offset, data)
    }
}

/// Opens a store on a disk with this budget.
pub(super) fn open_on(folder: &Path, budget: &Budget) -> Result<Opening, StoreError> {
    let budget = budget.clone();
    Store::open_with(
        folder,
        Box::new(move |file| builder().create_with_backend(FullDisk { file: FileBackend::new(file)?, budget: budget.clone() })),
    )
}
