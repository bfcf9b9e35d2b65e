//! Where the deployments stand: what is up, and what of it the data plane shows.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::delivery::deployer::Deployer;
use crate::delivery::gate_file::{GateFile, Texts};
use crate::delivery::monitoring::Monitoring;
use crate::delivery::past::Past;
use crate::delivery::plane::{Ground, Shown, Stage};
use crate::delivery::projects::Projects;
use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::Deployment;
use crate::domain::observation::Window;
use crate::domain::version::Version;

/// How long the requests of a deployment that is taken away may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

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
    deployer: Box<dyn Deployer>,
    /// Where each deployment listens that is up.
    up: RefCell<HashMap<Place, SocketAddr>>,
    /// How many tasks bring a deployment up.
    begun: RefCell<HashMap<Place, u32>>,
    /// Deployments that were retired while they were still being brought up.
    gone: RefCell<HashSet<Place>>,
    /// What the data plane shows; changed by one at a time.
    shown: Mutex<BTreeMap<Spot, Stage>>,
    /// What was measured during the tests of a run, by service and run.
    pub(super) seen: RefCell<HashMap<String, Seen>>,
    /// What had been measured of a version when it got the ordinary traffic of a stage, and when that was, by the stage's service.
    pub(super) since: RefCell<HashMap<String, (Window, Timestamp)>>,
    /// Runs whose rollout was aborted.
    aborted: RefCell<HashSet<(Spot, u64)>>,
}

impl Yard {
    pub(super) fn new(ground: Ground, (projects, monitoring, past): (Projects, Monitoring, Past), deployer: Box<dyn Deployer>) -> Self {
        Self {
            ground,
            projects,
            monitoring,
            past,
            evaluating: RefCell::default(),
            deployer,
            up: RefCell::default(),
            begun: RefCell::default(),
            gone: RefCell::default(),
            shown: Mutex::default(),
            seen: RefCell::default(),
            since: RefCell::default(),
            aborted: RefCell::default(),
        }
    }

    /// Returns a deployment as a version, where it is up.
    pub(super) fn version(&self, spot: &Spot, deployment: &Deployment) -> Option<Version> {
        let address = *self.up.borrow().get(&Place::of(spot, deployment))?;
        Some(Version::at(deployment.name.clone(), [address]))
    }

    /// Brings a deployment up, or finds that it is.
    ///
    /// # Errors
    ///
    /// Says why it is not up.
    pub(super) async fn deploy(&self, spot: &Spot, deployment: &Deployment) -> Result<(), String> {
        let place = Place::of(spot, deployment);
        if self.up.borrow().contains_key(&place) {
            return Ok(());
        }
        *self.begun.borrow_mut().entry(place.clone()).or_default() += 1;
        let brought = self.deployer.bring_up(spot, deployment).await;
        // Whoever wanted it may have given it up meanwhile; then nobody else asks for it to be taken away.
        if self.is_gone(&place) {
            self.deployer.take_down(&place).await?;
            return Err("it was given up before it was up".to_owned());
        }
        self.up.borrow_mut().insert(place, brought?);
        Ok(())
    }

    /// Ends one task that has brought a deployment up; says whether that was retired since.
    fn is_gone(&self, place: &Place) -> bool {
        let mut begun = self.begun.borrow_mut();
        let others = begun.get(place).copied().unwrap_or_default().saturating_sub(1);
        if others > 0 {
            begun.insert(place.clone(), others);
            return self.gone.borrow().contains(place);
        }
        begun.remove(place);
        self.gone.borrow_mut().remove(place)
    }

    /// Takes in what somebody else says of a deployment.
    ///
    /// # Errors
    ///
    /// Says why that is not taken in.
    pub(super) fn reported(&self, spot: &Spot, deployment: &Deployment, told: Result<SocketAddr, String>) -> Result<(), String> {
        self.deployer.report(&Place::of(spot, deployment), told)
    }

    /// Takes note that all ordinary traffic of a stage goes to a deployment. It does already: what does not show it is told.
    pub(super) async fn owned(&self, spot: &Spot, deployment: &Deployment) {
        if let Err(why) = self.deployer.owned(spot, deployment).await {
            tracing::error!("{} has the traffic of {}, but not everything shows that: {why}", Place::of(spot, deployment), spot.stage);
        }
    }

    /// Takes a deployment away; one that is not there is gone.
    ///
    /// # Errors
    ///
    /// Says why it may still be there.
    pub(super) async fn retire(&self, spot: &Spot, deployment: &Deployment) -> Result<(), String> {
        let place = Place::of(spot, deployment);
        self.up.borrow_mut().remove(&place);
        if self.begun.borrow().contains_key(&place) {
            self.gone.borrow_mut().insert(place.clone());
        }
        self.deployer.take_down(&place).await
    }

    /// Takes a deployment over that an earlier process has left behind in good order; nothing happens where there is none.
    pub(super) async fn adopt(&self, spot: &Spot, deployment: &Deployment) {
        if self.deployer.is_left(&Place::of(spot, deployment))
            && let Err(why) = self.deploy(spot, deployment).await
        {
            tracing::info!("{} of an earlier process is not ready any more: {why}", deployment.name);
        }
    }

    /// Ends what an earlier process has left behind and nobody needs any more.
    pub(super) async fn clear(&self, is_known: impl Fn(&Place) -> bool) {
        self.deployer.clear(&is_known).await;
    }

    /// Leaves everything as it is, for the process that succeeds this one.
    pub(super) async fn let_go(&self) {
        self.deployer.let_go().await;
    }

    /// Ends what does not outlive the process.
    pub(super) async fn close(&self) {
        self.deployer.close().await;
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
