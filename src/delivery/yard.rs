//! Where the deployments stand: processes that are kept up until they are retired, and what of them the data plane shows.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use crate::config::delivery::Deployer;
use crate::delivery::gate_file::{GateFile, Texts};
use crate::delivery::monitoring::Monitoring;
use crate::delivery::past::Past;
use crate::delivery::plane::{Ground, Shown, Stage};
use crate::delivery::process::{Launcher, Place, Running};
use crate::delivery::projects::Projects;
use crate::delivery::spot::Spot;
use crate::domain::delivery::{Artifact, Deployment};
use crate::domain::observation::Window;
use crate::domain::version::Version;

/// How long the requests of a deployment that is taken away may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// A deployment that is kept up.
struct Housed {
    address: SocketAddr,
    /// Ends it; the answer comes when it has ended.
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

/// What was measured of a candidate during its tests.
pub(super) struct Seen {
    /// The run whose tests these were.
    pub(super) run: u64,
    pub(super) window: Window,
    /// What the early stop has decided, where it has.
    pub(super) decided: Option<String>,
    /// When the tests began and ended, by the wall clock, as sources ask for it.
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Where the deployments stand. Shared by everything that runs on the engine's thread.
pub(super) struct Yard {
    pub(super) ground: Ground,
    pub(super) projects: Projects,
    pub(super) monitoring: Monitoring,
    pub(super) past: Past,
    /// Contexts whose evaluation is under way and delivers nothing.
    pub(super) evaluating: RefCell<HashSet<String>>,
    deployer: Deployer,
    launcher: Option<Launcher>,
    housed: RefCell<HashMap<Place, Housed>>,
    /// Processes of an earlier process that nobody has taken over yet.
    left: RefCell<HashMap<Place, Vec<Running>>>,
    /// Whom a report of somebody else's deployment goes to.
    reports: RefCell<HashMap<Place, oneshot::Sender<SocketAddr>>>,
    /// What the data plane shows; changed by one at a time.
    shown: Mutex<BTreeMap<Spot, Stage>>,
    /// What was measured during the tests of a run, by service and run.
    pub(super) seen: RefCell<HashMap<String, Seen>>,
    /// What had been measured of a version when it got the ordinary traffic of a stage, and when that was, by the stage's service.
    pub(super) since: RefCell<HashMap<String, (Window, Timestamp)>>,
    /// Runs whose rollout was aborted.
    aborted: RefCell<HashSet<(Spot, u64)>>,
    /// Deployments that were retired while they were still being brought up.
    gone: RefCell<HashSet<Place>>,
}

impl Yard {
    pub(super) fn new(
        ground: Ground,
        (projects, monitoring, past): (Projects, Monitoring, Past),
        deployer: Deployer,
        launcher: Option<Launcher>,
    ) -> Self {
        let left = launcher.as_ref().map(Launcher::left_behind).unwrap_or_default();
        Self {
            ground,
            projects,
            monitoring,
            past,
            evaluating: RefCell::default(),
            deployer,
            launcher,
            housed: RefCell::default(),
            left: RefCell::new(left),
            reports: RefCell::default(),
            shown: Mutex::default(),
            seen: RefCell::default(),
            since: RefCell::default(),
            aborted: RefCell::default(),
            gone: RefCell::default(),
        }
    }

    /// Returns which deployment of a stage is meant.
    pub(super) fn place(spot: &Spot, deployment: &Deployment) -> Place {
        Place { project: spot.project.to_string(), stage: spot.stage.to_string(), service: spot.service.to_string(), id: deployment.id }
    }

    /// Returns a deployment as a version, where it is up.
    pub(super) fn version(&self, spot: &Spot, deployment: &Deployment) -> Option<Version> {
        let address = self.housed.borrow().get(&Self::place(spot, deployment))?.address;
        Some(Version::at(deployment.name.clone(), [address]))
    }

    /// Brings a deployment up, or finds that it is.
    ///
    /// # Errors
    ///
    /// Says why it is not up.
    pub(super) async fn deploy(self: &Rc<Self>, spot: &Spot, deployment: &Deployment) -> Result<(), String> {
        let place = Self::place(spot, deployment);
        if self.housed.borrow().contains_key(&place) {
            return Ok(());
        }
        let Some(launcher) = &self.launcher else { return self.await_report(place).await };
        let left = self.left.borrow_mut().remove(&place);
        let mut found = None;
        for mut running in left.into_iter().flatten() {
            if found.is_none() && launcher.is_ready(&mut running).await {
                found = Some(running);
            } else {
                launcher.stop(running).await;
            }
        }
        let running = match found {
            Some(running) => running,
            None => launcher.start(&place, &deployment.artifact).await?,
        };
        // Whoever wanted it may have given it up meanwhile, and another task may have brought it up.
        if self.gone.borrow_mut().remove(&place) || self.housed.borrow().contains_key(&place) {
            launcher.stop(running).await;
            return if self.housed.borrow().contains_key(&place) { Ok(()) } else { Err("it was given up before it was up".to_owned()) };
        }
        let (stop, stopped) = oneshot::channel();
        self.housed.borrow_mut().insert(place.clone(), Housed { address: running.address, stop: Some(stop) });
        tokio::task::spawn_local(Rc::clone(self).keep_up(place, deployment.artifact.clone(), running, stopped));
        Ok(())
    }

    /// Keeps a process up until it is to end.
    async fn keep_up(self: Rc<Self>, place: Place, artifact: Artifact, running: Running, mut stop: oneshot::Receiver<oneshot::Sender<()>>) {
        let Some(launcher) = &self.launcher else { return };
        let port = running.address.port();
        let (mut current, mut tried) = (Some(running), 0);
        let answer = loop {
            let Some(running) = &mut current else {
                tokio::select! {
                    asked = &mut stop => break asked.ok(),
                    started = launcher.again(&place, &artifact, port, tried) => match started {
                        Ok(running) => (current, tried) = (Some(running), 0),
                        Err(why) => {
                            tried += 1;
                            tracing::warn!("{} is not up again: {why}", place.service);
                        }
                    },
                }
                continue;
            };
            tokio::select! {
                asked = &mut stop => break asked.ok(),
                status = Launcher::watch(running) => {
                    let status = status.map_or_else(String::new, |status| format!(" with {status}"));
                    let Place { project, stage, service, id } = &place;
                    tracing::warn!("{service} of {project} in {stage} (deployment {id}) ended{status}; it is started again");
                    current = None;
                }
            }
        };
        if let Some(running) = current {
            launcher.stop(running).await;
        }
        if let Some(answer) = answer {
            let _ = answer.send(());
        }
    }

    async fn await_report(&self, place: Place) -> Result<(), String> {
        let Deployer::External { within } = self.deployer else { return Err("nothing deploys here".to_owned()) };
        let (report, reported) = oneshot::channel();
        self.reports.borrow_mut().insert(place.clone(), report);
        let address = tokio::time::timeout(within, reported).await;
        self.reports.borrow_mut().remove(&place);
        match address {
            Ok(Ok(address)) => {
                self.housed.borrow_mut().insert(place, Housed { address, stop: None });
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(format!("nobody has reported its deployment within {within:?}")),
        }
    }

    /// Takes in that somebody else has deployed what is on trial in a stage; says whether that was awaited.
    pub(super) fn reported(&self, spot: &Spot, deployment: &Deployment, address: SocketAddr) -> bool {
        let report = self.reports.borrow_mut().remove(&Self::place(spot, deployment));
        report.is_some_and(|report| report.send(address).is_ok())
    }

    /// Ends a deployment; one that is not there has ended.
    pub(super) async fn retire(&self, place: &Place) {
        let housed = self.housed.borrow_mut().remove(place);
        if housed.is_none() {
            self.gone.borrow_mut().insert(place.clone());
        }
        if let Some(Housed { stop: Some(stop), .. }) = housed {
            let (ended, end) = oneshot::channel();
            if stop.send(ended).is_ok() {
                let _ = end.await;
            }
        }
    }

    /// Takes a deployment over that an earlier process has left behind in good order; nothing happens where there is none.
    pub(super) async fn adopt(self: &Rc<Self>, spot: &Spot, deployment: &Deployment) {
        if self.left.borrow().contains_key(&Self::place(spot, deployment))
            && let Err(why) = self.deploy(spot, deployment).await
        {
            tracing::info!("{} of an earlier process is not ready any more: {why}", deployment.name);
        }
    }

    /// Ends what an earlier process has left behind and nobody needs any more.
    pub(super) async fn clear(&self, is_known: impl Fn(&Place) -> bool) {
        let left = std::mem::take(&mut *self.left.borrow_mut());
        let Some(launcher) = &self.launcher else { return };
        for (place, running) in left.into_iter().flat_map(|(place, all)| all.into_iter().map(move |one| (place.clone(), one))) {
            if !is_known(&place) {
                let Place { project, stage, service, .. } = &place;
                tracing::error!("{service} of {project} in {stage} runs on, because what was delivered of it cannot be read");
                continue;
            }
            tracing::info!("deployment {} of {} in {} is not needed any more", place.id, place.service, place.stage);
            launcher.stop(running).await;
        }
    }

    /// Ends everything, at the end of the process.
    pub(super) async fn close(self: &Rc<Self>) {
        let places: Vec<Place> = self.housed.borrow().keys().cloned().collect();
        let mut all = JoinSet::new();
        for place in places {
            let yard = Rc::clone(self);
            all.spawn_local(async move { yard.retire(&place).await });
        }
        while all.join_next().await.is_some() {}
    }

    /// Changes what the data plane shows of a stage; `anew` takes the owner from here and ends a rollout.
    ///
    /// # Errors
    ///
    /// Says why; then everything is as before.
    pub(super) async fn show(&self, spot: &Spot, anew: bool, change: impl FnOnce(&mut Option<Shown>)) -> Result<(), String> {
        self.show_and(spot, anew, change, async { Ok(()) }).await
    }

    /// Does the same, and something more before anybody else may change anything.
    ///
    /// # Errors
    ///
    /// Says why; what was shown stays where only the rest failed.
    pub(super) async fn show_and<T>(
        &self,
        spot: &Spot,
        anew: bool,
        change: impl FnOnce(&mut Option<Shown>),
        then: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let mut shown = self.shown.lock().await;
        let mut next = shown.clone();
        let before = next.remove(spot).map(|place| place.shown);
        let mut one = before.clone();
        change(&mut one);
        if one != before || anew {
            if let Some(one) = one {
                let setup = self.ground.setup(spot, &one)?;
                next.insert(spot.clone(), Stage { shown: one, setup });
            }
            self.ground.show(&next, anew.then_some(spot)).await?;
            *shown = next;
        }
        then.await
    }

    /// Finds the gate file of a service in a stage, and whether a configured source answers it. Where that cannot be told the source
    /// counts as configured, so that the evaluation says what is wrong.
    pub(super) fn gate(&self, spot: &Spot) -> Option<GateFile> {
        let files = self.projects.gate(spot)?;
        let sourced = match self.monitoring.of(&spot.project, &spot.service) {
            Ok(None) => false,
            Ok(Some(configured)) => Texts::read(&files).is_ok_and(|texts| texts.has_one_source() || configured.has(&texts.sources())),
            Err(_) => true,
        };
        Some(GateFile { files, sourced })
    }

    /// Notes that the rollout of a run is to end, also where it has not begun yet.
    pub(super) fn abort_rollout(&self, spot: &Spot, run: u64) {
        self.aborted.borrow_mut().insert((spot.clone(), run));
    }

    /// Says whether the rollout of a run is to end.
    pub(super) fn is_aborted(&self, spot: &Spot, run: u64) -> bool {
        self.aborted.borrow().contains(&(spot.clone(), run))
    }

    /// Says what the data plane shows of a stage.
    pub(super) async fn of(&self, spot: &Spot) -> Option<Shown> {
        self.shown.lock().await.get(spot).map(|place| place.shown.clone())
    }

    /// Waits until no request to a deployment is under way; says whether the stage's ordinary traffic is another's.
    pub(super) async fn drained(&self, spot: &Spot, deployment: &Deployment) -> bool {
        let Ok(name) = spot.name() else { return true };
        self.ground.drained(&name, &deployment.name, DRAINED_WITHIN).await;
        self.ground.status(&name).is_none_or(|status| status.owner.name != deployment.name)
    }
}
