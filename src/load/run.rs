//! A plan being carried out: started on a runtime, watched by its counters, stopped gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::load::counters::{Counters, Snapshot};
use crate::load::hook::Hook;
use crate::load::plan::Plan;
use crate::load::user::{Shared, User};

/// A plan being carried out. Dropping it cuts what is in flight.
#[derive(Debug)]
pub struct Run {
    counters: Arc<Counters>,
    stopping: watch::Sender<bool>,
    users: JoinSet<()>,
}

impl Run {
    /// Starts the users of a plan against `target` on `runtime`, which must be driven by somebody.
    #[must_use]
    pub fn start(runtime: &Handle, target: SocketAddr, plan: Plan, hook: Option<Hook>) -> Self {
        let counters = Arc::new(Counters::default());
        let host = plan
            .host
            .clone()
            .unwrap_or_else(|| HeaderValue::try_from(target.to_string()).expect("an address is written in visible ASCII characters"));
        let count = plan.scripts.len();
        let next = AtomicU64::new(0);
        let shared = Arc::new(Shared { target, host, plan, counters: Arc::clone(&counters), hook, next, begun: Instant::now() });
        let (stopping, stop) = watch::channel(false);
        let mut users = JoinSet::new();
        for number in 0..count {
            users.spawn_on(User::new(Arc::clone(&shared), number, stop.clone()).run(), runtime);
        }
        Self { counters, stopping, users }
    }

    /// Returns the live counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Waits until every user is done with its plan, which never happens without a limit. It may be cancelled.
    pub async fn wait(&mut self) {
        while let Some(ended) = self.users.join_next().await {
            if let Err(problem) = ended {
                tracing::error!(%problem, "a user of the load generator died");
            }
        }
    }

    /// Tells the users to send no further request, and returns at once.
    pub fn ask_to_stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Sends no further request, waits up to `grace` for the answers in flight, cuts the rest as abandoned, and
    /// returns the final counts, in which nothing is in flight.
    pub async fn stop(mut self, grace: Duration) -> Snapshot {
        self.ask_to_stop();
        if tokio::time::timeout(grace, self.wait()).await.is_err() {
            self.users.shutdown().await;
        }
        self.counters.snapshot()
    }
}
