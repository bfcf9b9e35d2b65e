//! What was decided and why, on disk: the state of each service and the journal, read back at start.
//!
//! One embedded database per process, in a folder of its own. A write is durable before it is acknowledged; after a
//! kill at any moment the file holds the last acknowledged state or the one being written. What cannot be read is
//! never guessed and never deleted: it is moved aside and reported, and the service counts as unknown.

mod chain;
mod envelope;
mod error;
mod file;
mod folder;
mod journal;
mod outbox;
mod peek;
#[cfg(test)]
mod tests;

pub use chain::{Broken, Chain, Sealed};
pub use envelope::Stored;
pub use error::{StoreError, Warning};
pub use file::{JOURNAL_LIMIT, Opened, Store};
pub use journal::{Excerpt, Limits};
pub use outbox::{Letter, Outbox};
pub use peek::{audit, peek};
