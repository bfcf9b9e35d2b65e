//! Watches what a cluster tells of the endpoints of versions, on a thread of its own that sleeps while no version has such endpoints.
//!
//! It feeds what the resolver of names feeds. A watch that is lost changes nothing: the last endpoints stay until the cluster tells
//! others. What a cluster tells is believed, also that a Service has no endpoint any more.

mod ahead;
mod read;
mod source;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::task::LocalSet;

use crate::config::kubernetes::Kubernetes;
use crate::domain::endpoint::Endpoint;
use crate::domain::slices::Slices;
pub use crate::kube::discovery::ahead::Ahead;
use crate::kube::discovery::watch::{Around, follow};
use crate::seam::endpoints::Endpoints;

/// How often is looked, while something is watched, whether it is still wanted.
const TURN: Duration = Duration::from_secs(1);

/// The running thread; dropping it ends it.
pub struct Discovery {
    stop: signal::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    ahead: Ahead,
}

impl Discovery {
    /// Starts it. `own` are the addresses we listen on, where no endpoint may be.
    ///
    /// # Errors
    ///
    /// Fails when the thread or its runtime cannot be made.
    pub fn start(endpoints: Endpoints, own: Vec<SocketAddr>, settings: Kubernetes) -> io::Result<Self> {
        let (stop, stopped) = signal::channel(false);
        let ahead = Ahead::new(endpoints.clone(), settings.wait);
        let (asked, runtime) = (ahead.clone(), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        let run = move || {
            let around = Rc::new(Around::new(endpoints, own, settings));
            LocalSet::new().block_on(&runtime, keep(around, asked, stopped));
            // A program that is run for credentials must not keep the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("discovery".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread), ahead })
    }

    /// Returns what asks for endpoints that no version in use has yet.
    #[must_use]
    pub fn ahead(&self) -> Ahead {
        self.ahead.clone()
    }

    /// Ends it, and waits for its thread.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Keeps one watch for each Service that is wanted.
async fn keep(around: Rc<Around>, ahead: Ahead, mut stopped: signal::Receiver<bool>) {
    let mut watches = HashMap::new();
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let wanted = wanted(&around.endpoints, &ahead);
        watches.retain(|slices: &Slices, watch: &mut tokio::task::JoinHandle<()>| {
            let stays = wanted.contains(slices);
            if !stays {
                watch.abort();
                around.endpoints.unwatched(&Endpoint::Slices(slices.clone()));
            }
            stays
        });
        for slices in wanted {
            // It ends when it is aborted, or with the thread's runtime.
            let begin = || tokio::task::spawn_local(follow(slices.clone(), Rc::clone(&around)));
            watches.entry(slices.clone()).or_insert_with(begin);
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = around.endpoints.newcomers() => {}
            () = ahead.asked() => {}
            _ = turns.tick(), if !watches.is_empty() => {}
        }
    }
}

/// Returns what versions in use have, and what was asked for ahead.
fn wanted(endpoints: &Endpoints, ahead: &Ahead) -> BTreeSet<Slices> {
    let versions = endpoints.all();
    let used = versions.iter().flat_map(|(version, _)| version.endpoints.iter().cloned());
    used.chain(ahead.open()).filter_map(|endpoint| if let Endpoint::Slices(slices) = endpoint { Some(slices) } else { None }).collect()
}
