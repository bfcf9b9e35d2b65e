//! The deployer of processes: keeps each one up until it is taken down, and takes those of an earlier process over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::delivery::deployer::{Deployer, Doing};
use crate::delivery::process::{Launcher, Running};
use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::{Artifact, Deployment};

/// How often is looked how large a log has become.
const LOG_LOOK: Duration = Duration::from_secs(10);

/// A process that is kept up.
struct Kept {
    address: SocketAddr,
    /// Ends it, or leaves it alone; the answer comes when that is done.
    part: oneshot::Sender<Parting>,
}

/// What is to become of a process that is kept up no more.
enum Parting {
    /// It ends.
    End(oneshot::Sender<()>),
    /// It runs on, for another process to keep it up.
    Leave(oneshot::Sender<()>),
}

/// Deploys processes.
pub(super) struct Processes {
    launcher: Rc<Launcher>,
    kept: RefCell<HashMap<Place, Kept>>,
    /// Processes of an earlier process that nobody has taken over yet.
    left: RefCell<HashMap<Place, Vec<Running>>>,
}

impl Processes {
    /// Begins with what an earlier process has left behind.
    pub(super) fn new(launcher: Launcher) -> Self {
        let left = RefCell::new(launcher.left_behind());
        Self { launcher: Rc::new(launcher), kept: RefCell::default(), left }
    }

    fn address(&self, place: &Place) -> Option<SocketAddr> {
        self.kept.borrow().get(place).map(|kept| kept.address)
    }

    async fn start(&self, place: Place, artifact: &Artifact) -> Result<SocketAddr, String> {
        if let Some(address) = self.address(&place) {
            return Ok(address);
        }
        let left = self.left.borrow_mut().remove(&place);
        let mut found = None;
        for mut running in left.into_iter().flatten() {
            if found.is_none() && self.launcher.is_ready(&mut running).await {
                found = Some(running);
            } else {
                self.launcher.stop(running).await;
            }
        }
        let running = match found {
            Some(running) => running,
            None => self.launcher.start(&place, artifact).await?,
        };
        // Another task may have brought it up meanwhile.
        if let Some(address) = self.address(&place) {
            self.launcher.stop(running).await;
            return Ok(address);
        }
        let (part, parting) = oneshot::channel();
        let address = running.address;
        self.kept.borrow_mut().insert(place.clone(), Kept { address, part });
        tokio::task::spawn_local(keep_up(Rc::clone(&self.launcher), place, artifact.clone(), running, parting));
        Ok(address)
    }

    async fn stop(&self, place: &Place) {
        let kept = self.kept.borrow_mut().remove(place);
        if let Some(Kept { part, .. }) = kept {
            let (ended, end) = oneshot::channel();
            if part.send(Parting::End(ended)).is_ok() {
                // It has ended, or its task has with the process.
                let _ = end.await;
            }
        }
    }
}

impl Processes {
    /// Parts with every process.
    async fn part(&self, how: fn(oneshot::Sender<()>) -> Parting) {
        let kept = std::mem::take(&mut *self.kept.borrow_mut());
        let mut all = JoinSet::new();
        for Kept { part, .. } in kept.into_values() {
            let (done, end) = oneshot::channel();
            if part.send(how(done)).is_ok() {
                all.spawn_local(end);
            }
        }
        while all.join_next().await.is_some() {}
    }
}

impl Deployer for Processes {
    fn bring_up<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(self.start(Place::of(spot, deployment), &deployment.artifact))
    }

    fn take_down<'a>(&'a self, place: &'a Place) -> Doing<'a, Result<(), String>> {
        Box::pin(async {
            self.stop(place).await;
            Ok(())
        })
    }

    fn is_left(&self, place: &Place) -> bool {
        self.left.borrow().contains_key(place)
    }

    fn clear<'a>(&'a self, is_known: &'a dyn Fn(&Place) -> bool) -> Doing<'a, ()> {
        Box::pin(async move {
            let left = std::mem::take(&mut *self.left.borrow_mut());
            for (place, running) in left.into_iter().flat_map(|(place, all)| all.into_iter().map(move |one| (place.clone(), one))) {
                if !is_known(&place) {
                    tracing::error!("{place} runs on, because what was delivered of it cannot be read");
                    continue;
                }
                tracing::info!("{place} is not needed any more");
                self.launcher.stop(running).await;
            }
        })
    }

    fn let_go(&self) -> Doing<'_, ()> {
        Box::pin(self.part(Parting::Leave))
    }

    fn close(&self) -> Doing<'_, ()> {
        Box::pin(self.part(Parting::End))
    }
}

/// Keeps a process up until it is to end or to be left alone.
async fn keep_up(launcher: Rc<Launcher>, place: Place, artifact: Artifact, running: Running, mut parting: oneshot::Receiver<Parting>) {
    let (port, mut running) = (running.address.port(), running);
    // Nobody else is given the port while it is down.
    let _reserved = running.reserved.take();
    let mut look = tokio::time::interval(LOG_LOOK);
    let (mut current, mut tried) = (Some(running), 0);
    let parting = loop {
        let Some(running) = &mut current else {
            tokio::select! {
                asked = &mut parting => break asked.ok(),
                started = launcher.again(&place, &artifact, port, tried) => match started {
                    Ok(running) => (current, tried) = (Some(running), 0),
                    Err(why) => {
                        tried += 1;
                        tracing::warn!("{place} is not up again: {why}");
                    }
                },
            }
            continue;
        };
        tokio::select! {
            asked = &mut parting => break asked.ok(),
            status = Launcher::watch(running) => {
                let status = status.map_or_else(String::new, |status| format!(" with {status}"));
                tracing::warn!("{place} ended{status}; it is started again");
                current = None;
            }
            _ = look.tick() => cut_log(&launcher, &place),
        }
    };
    match (current, &parting) {
        (Some(running), Some(Parting::Leave(_))) => running.leave(),
        (Some(running), _) => launcher.stop(running).await,
        (None, _) => {}
    }
    if let Some(Parting::End(answer) | Parting::Leave(answer)) = parting {
        // Whoever asked may have given up waiting.
        let _ = answer.send(());
    }
}

/// Cuts a log that has grown too large, beside everything else.
fn cut_log(launcher: &Launcher, place: &Place) {
    let (logs, place) = (launcher.logs.clone(), place.clone());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = logs.cut(&place) {
            tracing::warn!("the log of {place} cannot be cut: {error}");
        }
    });
}
