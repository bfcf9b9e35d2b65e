//! The one place where the current table is published and read.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::seam::endpoints::Endpoints;
use crate::seam::table::Table;

/// The current table, shared by the controller, which publishes, and the workers, which read.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    table: Arc<ArcSwap<Table>>,
    endpoints: Endpoints,
}

/// A worker's view of the table: a load costs one compare while nothing changes.
pub type Reader = Cache<Arc<ArcSwap<Table>>, Arc<Table>>;

impl Routes {
    /// Publishes a table. Only the controller does so; its number must exceed the last one's.
    pub fn publish(&self, table: Table) {
        debug_assert!(table.number > self.table.load().number, "table {} after {}", table.number, self.table.load().number);
        self.table.store(Arc::new(table));
    }

    /// Returns the current table.
    #[must_use]
    pub fn current(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Returns what is known of the endpoints of the versions in it.
    #[must_use]
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Makes a reader for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Cache::new(Arc::clone(&self.table))
    }
}
