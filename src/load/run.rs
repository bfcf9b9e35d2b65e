//! A script being carried out: started on a runtime, watched by its counters, stopped gracefully.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::load::counters::{Counters, Snapshot};
use crate::load::hook::Hook;
use crate::load::script::{Group, Script};
use crate::load::target::Target;
use crate::load::user::{Halt, Ongoing, Shared, User};

/// A script being carried out. Dropping it cuts what is in flight.
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    /// Owns the users; `None` once it has ended.
    driver: Option<JoinHandle<()>>,
}

impl Run {
    /// Starts the users of a script against `target` on `runtime`, which must be driven by somebody.
    #[must_use]
    pub fn start(runtime: &Handle, target: impl Into<Target>, script: impl Into<Script>, hook: Option<Hook>) -> Self {
        let (halt, _) = watch::channel(Halt::No);
        let shared = Arc::new(Shared { target: Arc::new(target.into()), counters: Arc::default(), hook, halt });
        let driver = runtime.spawn(drive(Arc::clone(&shared), script.into()));
        Self { shared, driver: Some(driver) }
    }

    /// Returns the live counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// Waits until every user is done with its script, which never happens without a limit. It may be cancelled.
    pub async fn wait(&mut self) {
        if let Some(driver) = &mut self.driver {
            if let Err(problem) = driver.await {
                tracing::error!(%problem, "the load generator died");
            }
            self.driver = None;
        }
    }

    /// Tells the users to send no further request, and returns at once.
    pub fn ask_to_stop(&self) {
        self.shared.halt_at_least(Halt::Asked);
    }

    /// Sends no further request, waits up to `grace` for the answers in flight, cuts the rest as abandoned, and
    /// returns the final counts, in which nothing is in flight.
    pub async fn stop(mut self, grace: Duration) -> Snapshot {
        self.ask_to_stop();
        if tokio::time::timeout(grace, self.wait()).await.is_err() {
            self.shared.halt_at_least(Halt::Now);
            self.wait().await;
        }
        self.shared.counters.snapshot()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Starts the groups and waits for their users.
async fn drive(shared: Arc<Shared>, script: Script) {
    let batches: Vec<Vec<Group>> =
        if script.one_after_another { script.groups.into_iter().map(|group| vec![group]).collect() } else { vec![script.groups] };
    let mut halt = shared.halt.subscribe();
    for batch in batches {
        let mut users = JoinSet::new();
        for group in batch {
            let count = group.scripts.len();
            let group = Arc::new(Ongoing::begin(group));
            for number in 0..count {
                users.spawn(User::new(Arc::clone(&shared), Arc::clone(&group), number).run());
            }
        }
        if !ended(&mut users, &mut halt).await || *halt.borrow() != Halt::No {
            return;
        }
    }
}

/// Waits for the users and says whether they ended by themselves; else they were cut, and are gone.
async fn ended(users: &mut JoinSet<()>, halt: &mut watch::Receiver<Halt>) -> bool {
    loop {
        let cut = tokio::select! {
            biased;
            _ = halt.wait_for(|halt| *halt == Halt::Now) => true,
            ended = users.join_next() => match ended {
                None => return true,
                Some(Ok(())) => false,
                Some(Err(problem)) => {
                    tracing::error!(%problem, "a user of the load generator died");
                    false
                }
            }
        };
        if cut {
            users.shutdown().await;
            return false;
        }
    }
}
