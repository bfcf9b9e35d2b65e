//! The deployer of a cluster: applies, waits until what it applied is available, and takes it away again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::config::delivery::KubernetesDeployer;
use crate::delivery::deployer::{Deployer, Doing};
use crate::delivery::intake;
use crate::delivery::kubernetes::cluster::{At, Cluster, Kind};
use crate::delivery::kubernetes::objects::{self, Door};
use crate::delivery::kubernetes::progress::{self, Standing};
use crate::delivery::projects::Projects;
use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::Deployment;
use crate::formats::manifest::{self, Manifest};

/// The manifest of a service among its files.
const MANIFEST: &str = "kubernetes/deployment.yaml";
/// How often a deployment on its way is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long is tried to take a deployment away before the delivery asks again.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// The pause before the door to what owns a stage is moved again; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Deploys to a cluster.
pub(in crate::delivery) struct Kubernetes {
    inner: Rc<Inner>,
}

struct Inner {
    settings: KubernetesDeployer,
    projects: Projects,
    /// Tells what this process has made from what another one has that counts from one as well.
    home: String,
    cluster: OnceCell<Cluster>,
    /// Which deployment owns each stage.
    owners: RefCell<HashMap<Spot, u64>>,
}

impl Kubernetes {
    /// Begins; the API server is looked for when something is deployed.
    ///
    /// # Errors
    ///
    /// Says why the state folder cannot be used.
    pub(in crate::delivery) fn new(settings: KubernetesDeployer, projects: Projects, state: &Path) -> Result<Self, String> {
        let path = state.join("home");
        let home = home(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let inner = Inner { settings, projects, home, cluster: OnceCell::new(), owners: RefCell::default() };
        Ok(Self { inner: Rc::new(inner) })
    }
}

impl Inner {
    async fn cluster(&self) -> Result<&Cluster, String> {
        let manager = format!("portcullis-{}", self.home.split('-').next().unwrap_or_default());
        self.cluster.get_or_try_init(|| Cluster::find(&self.settings, manager)).await
    }

    fn namespace(&self, place: &Place) -> String {
        let known = [("{project}", &place.project), ("{stage}", &place.stage), ("{service}", &place.service)];
        known.iter().fold(self.settings.namespace.clone(), |text, (name, value)| text.replace(name, value))
    }

    fn manifest(&self, spot: &Spot) -> Result<Manifest, String> {
        let path = self.projects.find(spot, MANIFEST).ok_or_else(|| {
            let Spot { project, service, stage } = spot;
            format!(
                "there is no {MANIFEST} for {service} in {stage}; add one with: portcullis add-resource --project {project} --service {service} --resource FILE --resourceUri {MANIFEST}"
            )
        })?;
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let read = manifest::read(&path.display().to_string(), &text, spot.service.as_str());
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    fn is_ours(&self, object: &Value) -> bool {
        object.pointer("/metadata/annotations/portcullis~1home").and_then(Value::as_str) == Some(&self.home)
    }

    async fn bring_up(&self, spot: &Spot, deployment: &Deployment) -> Result<SocketAddr, String> {
        let until = Instant::now() + self.settings.within;
        let (place, artifact) = (Place::of(spot, deployment), &deployment.artifact);
        let (namespace, name, manifest) = (self.namespace(&place), objects::name(&place), self.manifest(spot)?);
        let cluster = self.cluster().await?;
        let at = |kind, name| At { kind, namespace: &namespace, name };
        let object = objects::deployment(&manifest, &place, artifact, &self.home);
        cluster.apply(at(Kind::Deployment, &name), &object, until).await?;
        let own = objects::service(&name, &manifest, &place, artifact, &self.home);
        let own = cluster.apply(at(Kind::Service, &name), &own, until).await?;
        let address = address(&own, manifest.port())?;
        let (primary, canary) = (Door::Primary.name(&place), Door::Canary.name(&place));
        let owner = cluster.get(at(Kind::Service, &primary), until).await?.as_ref().and_then(objects::deployment_of);
        if owner != Some(place.id) {
            let door = objects::service(&canary, &manifest, &place, artifact, &self.home);
            cluster.apply(at(Kind::Service, &canary), &door, until).await?;
        }
        self.available(cluster, &place, until).await?;
        Ok(address)
    }

    async fn available(&self, cluster: &Cluster, place: &Place, until: Instant) -> Result<(), String> {
        let (namespace, name, selector) = (self.namespace(place), objects::name(place), objects::selector(place));
        let at = At { kind: Kind::Deployment, namespace: &namespace, name: &name };
        loop {
            let Some(object) = cluster.get(at, until).await? else {
                return Err(format!("Deployment {name} in namespace {namespace} was deleted before it was available"));
            };
            let pods = cluster.pods(&namespace, &selector, until).await?;
            match progress::standing(&object, &pods) {
                Standing::Available => return Ok(()),
                Standing::Failed(why) => return Err(format!("Deployment {name} in namespace {namespace} does not come up: {why}")),
                Standing::Waiting(seen) if Instant::now() + LOOK >= until => {
                    let within = self.settings.within;
                    return Err(format!("Deployment {name} in namespace {namespace} was not available within {within:?}: {seen}"));
                }
                Standing::Waiting(_) => sleep(LOOK).await,
            }
        }
    }

    async fn take_down(&self, place: &Place) -> Result<(), String> {
        let until = Instant::now() + GONE_WITHIN;
        let (namespace, name) = (self.namespace(place), objects::name(place));
        let cluster = self.cluster().await?;
        let leads_here = |object: &Value| self.is_ours(object) && objects::deployment_of(object) == Some(place.id);
        // The doors first: nobody is led to what is going.
        for door in [Door::Canary, Door::Primary] {
            cluster.delete(At { kind: Kind::Service, namespace: &namespace, name: &door.name(place) }, leads_here, until).await?;
        }
        for kind in [Kind::Service, Kind::Deployment] {
            cluster.delete(At { kind, namespace: &namespace, name: &name }, leads_here, until).await?;
        }
        Ok(())
    }

    /// Leads the door of what owns a stage to its owner, and closes the other one where it leads there too.
    async fn open_door(&self, spot: &Spot, deployment: &Deployment) -> Result<(), String> {
        let until = Instant::now() + GONE_WITHIN;
        let (place, manifest) = (Place::of(spot, deployment), self.manifest(spot)?);
        let namespace = self.namespace(&place);
        let cluster = self.cluster().await?;
        let (primary, canary) = (Door::Primary.name(&place), Door::Canary.name(&place));
        let object = objects::service(&primary, &manifest, &place, &deployment.artifact, &self.home);
        cluster.apply(At { kind: Kind::Service, namespace: &namespace, name: &primary }, &object, until).await?;
        let leads_here = |object: &Value| self.is_ours(object) && objects::deployment_of(object) == Some(place.id);
        cluster.delete(At { kind: Kind::Service, namespace: &namespace, name: &canary }, leads_here, until).await
    }

    /// Does that again and again until it is done or another deployment owns the stage.
    async fn follow(self: Rc<Self>, spot: Spot, deployment: Deployment) {
        let mut pause = FIRST;
        while self.owners.borrow().get(&spot) == Some(&deployment.id) {
            let Err(why) = self.open_door(&spot, &deployment).await else { return };
            tracing::error!(
                "{} has the traffic, but {} does not lead there yet: {why}",
                deployment.name,
                Door::Primary.name(&Place::of(&spot, &deployment))
            );
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }
}

impl Deployer for Kubernetes {
    fn bring_up<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(self.inner.bring_up(spot, deployment))
    }

    fn take_down<'a>(&'a self, place: &'a Place) -> Doing<'a, Result<(), String>> {
        Box::pin(self.inner.take_down(place))
    }

    fn owned<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<(), String>> {
        self.inner.owners.borrow_mut().insert(spot.clone(), deployment.id);
        // The proxy does not need the door, so nothing waits for it.
        tokio::task::spawn_local(Rc::clone(&self.inner).follow(spot.clone(), deployment.clone()));
        Box::pin(async { Ok(()) })
    }
}

/// Returns where a Service is reached from within the cluster.
fn address(service: &Value, port: u16) -> Result<SocketAddr, String> {
    let ip = service.pointer("/spec/clusterIP").and_then(Value::as_str).unwrap_or_default();
    let ip: IpAddr = ip.parse().map_err(|_| format!("its Service has no address in the cluster: clusterIP is {ip:?}"))?;
    Ok(SocketAddr::new(ip, port))
}

/// Returns what tells this state folder from every other, made when it is asked for the first time.
fn home(path: &Path) -> std::io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // A kill may have left it empty; nothing was made in its name then.
        Ok(_) | Err(_) => {}
    }
    let home = intake::new_id();
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(home.as_bytes())?;
    file.sync_all()?;
    Ok(home)
}
