//! Looks after the versions' endpoints on a thread of its own: resolves their names again and again, and asks whether they are
//! ready. No request waits for either, and what is asked here is no sample.

mod health;
mod names;
pub mod resolve;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::proxy::upstream::endpoints::health::Checks;
use crate::proxy::upstream::endpoints::names::Names;
use crate::proxy::upstream::endpoints::resolve::Resolve;
use crate::seam::clock::Clock;
use crate::seam::routes::Routes;

/// How often is looked at what is due.
const TURN: Duration = Duration::from_millis(100);
/// How often is looked whether anything can become due, where nothing is to be done for the versions known. One that comes into use
/// before that wakes the thread.
const REST: Duration = Duration::from_secs(1);

/// The running thread; dropping it ends it.
pub struct Keeper {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it. `own` are the addresses we listen on, where no name may lead; `resolve` makes the resolver, on the thread.
    ///
    /// # Errors
    ///
    /// Fails when the thread or its runtime cannot be made.
    pub fn start(
        routes: Routes,
        clock: Clock,
        own: Vec<SocketAddr>,
        resolve: impl FnOnce() -> Resolve + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            LocalSet::new().block_on(&runtime, keep(routes, clock, own, resolve(), stopped));
            // A look-up that hangs in the system's resolver must not keep the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("endpoints".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(routes: Routes, clock: Clock, own: Vec<SocketAddr>, resolve: Resolve, mut stopped: watch::Receiver<bool>) {
    let (mut names, mut checks) = (Names::new(own, resolve), Checks::default());
    let mut rest = Duration::ZERO;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(rest) => {}
            () = routes.endpoints().unattended() => {}
        }
        let table = routes.current();
        for route in &table.routes {
            let shared = [Some(&route.epoch.stable), route.epoch.canary.as_ref().map(|canary| &canary.version)];
            let others = route.choice.iter().flat_map(|choice| choice.others.all());
            for version in shared.into_iter().flatten().chain(others) {
                // Whoever asks first makes it known.
                let _ = routes.endpoints().of(version);
            }
        }
        let versions = routes.endpoints().all();
        names.turn(&versions, routes.endpoints(), clock.now());
        checks.turn(&versions, clock.now());
        rest = if versions.iter().any(|(version, _)| version.needs_care()) { TURN } else { REST };
    }
}
