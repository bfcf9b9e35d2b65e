//! The one place where the current table is published and read.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::seam::table::Table;

/// The current table, shared by the controller, which publishes, and the workers, which read.
#[derive(Clone, Debug, Default)]
pub struct Routes(Arc<ArcSwap<Table>>);

/// A worker's view of the table: a load costs one compare while nothing changes.
pub type Reader = Cache<Arc<ArcSwap<Table>>, Arc<Table>>;

impl Routes {
    /// Publishes a table. Only the controller does so; its number must exceed the last one's.
    pub fn publish(&self, table: Table) {
        debug_assert!(table.number > self.0.load().number, "table {} after {}", table.number, self.0.load().number);
        self.0.store(Arc::new(table));
    }

    /// Returns the current table.
    #[must_use]
    pub fn current(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// Makes a reader for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Cache::new(Arc::clone(&self.0))
    }
}
