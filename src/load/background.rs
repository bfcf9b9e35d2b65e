//! Several runs against one address on a thread of their own, for a caller that is not asynchronous.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::load::counters::{Counters, Snapshot};
use crate::load::hook::Hook;
use crate::load::plan::Plan;
use crate::load::run::Run;

/// Runs that go on in a thread of their own until stopped or dropped.
#[derive(Debug)]
pub struct Background {
    counters: Vec<Arc<Counters>>,
    /// Tells the thread to stop and how long it may take; dropped, it cuts everything at once.
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<Vec<Snapshot>>,
}

impl Background {
    /// Starts every plan at once against `target`.
    ///
    /// # Errors
    ///
    /// The thread or its runtime could not be made.
    pub fn start(target: SocketAddr, plans: Vec<(Plan, Option<Hook>)>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let start = |(plan, hook)| Run::start(runtime.handle(), target, plan, hook);
        let runs: Vec<Run> = plans.into_iter().map(start).collect();
        let counters = runs.iter().map(|run| Arc::clone(run.counters())).collect();
        let (stop, stopped) = oneshot::channel();
        let drive = move || runtime.block_on(async { stop_all(runs, stopped.await.unwrap_or(Duration::ZERO)).await });
        let thread = thread::Builder::new().name("load".to_owned()).spawn(drive)?;
        Ok(Self { counters, stop, thread })
    }

    /// Returns the live counts of each plan, in their order.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Stops all runs as [`Run::stop`] does, with one grace period for all, and returns their final counts.
    #[must_use]
    pub fn stop(self, grace: Duration) -> Vec<Snapshot> {
        // The thread only ends by this message, or by a panic that the join reports.
        let _ = self.stop.send(grace);
        self.thread.join().unwrap_or_else(|_| {
            tracing::error!("the thread of the load generator died");
            self.counters.iter().map(|counters| counters.snapshot()).collect()
        })
    }
}

async fn stop_all(runs: Vec<Run>, grace: Duration) -> Vec<Snapshot> {
    let deadline = Instant::now() + grace;
    runs.iter().for_each(Run::ask_to_stop);
    let mut ends = Vec::with_capacity(runs.len());
    for run in runs {
        ends.push(run.stop(deadline.saturating_duration_since(Instant::now())).await);
    }
    ends
}
