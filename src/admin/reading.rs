//! Reads the durable journal for whoever asks: few at a time, so that no number of questions stands before a command.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// How many questions are read for at the same time.
const AT_ONCE: usize = 2;

/// The turns of those who read. Copies share everything.
#[derive(Clone, Debug)]
pub struct Reading(Arc<Semaphore>);

impl Default for Reading {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Reading {
    /// Reads on a thread that may wait, once it is its turn. Who is gone by then asks for nothing any more; what has begun keeps its
    /// turn until it has ended, also when nobody waits for it.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be read.
    pub async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|error| error.to_string())?;
        let read = spawn_blocking(move || {
            let read = read();
            drop(turn);
            read
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}
