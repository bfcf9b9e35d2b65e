//! How the engine begins and ends: what was kept is taken up, what was live is brought up again, what nobody needs is ended.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::delivery::effects;
use crate::delivery::engine::{Engine, Line, store_key};
use crate::delivery::projects::Project;
use crate::delivery::spot::{Key, Place, Spot};
use crate::domain::delivery::{Deadlines, Delivery, Event, Phase};
use crate::domain::version::Name;
use crate::store::Stored;

/// How much longer a deployer may take to say why nothing came of a deployment.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    /// Brings back what was kept: everything that was live is up again and shown.
    pub(super) async fn restore(&mut self) {
        let (projects, problems) = self.yard.projects.all();
        problems.iter().for_each(|problem| tracing::error!("{problem}"));
        for project in projects {
            for service in project.services.clone() {
                self.add_line(&project, &service);
            }
            self.projects.insert(project.name.clone(), project);
        }
        let mut first = JoinSet::new();
        for ((project, service), line) in &self.lines {
            for lane in &line.machine.record().lanes {
                let spot = Spot { project: project.clone(), service: service.clone(), stage: lane.stage.clone() };
                let Some(serving) = lane.serving().cloned() else { continue };
                // It may have gone on without us; the machine asks for it again where it still wants it.
                let candidate = lane.run.as_ref().map(|run| run.candidate.clone()).filter(|candidate| *candidate != serving);
                let yard = Rc::clone(&self.yard);
                first.spawn_local(async move {
                    if let Some(candidate) = candidate {
                        yard.adopt(&spot, &candidate).await;
                    }
                    effects::bring_back(yard, spot, serving).await;
                });
            }
        }
        while first.join_next().await.is_some() {}
        self.yard.clear(|place| self.is_known(place)).await;
    }

    /// Lets the machines go on from where they were.
    pub(super) fn take_up(&mut self) {
        let keys: Vec<Key> = self.lines.keys().cloned().collect();
        for key in keys {
            if let Err(why) = self.handle(&key, Event::Restored) {
                tracing::error!("{} of {} cannot be written: {why}", key.1, key.0);
            }
        }
    }

    fn is_known(&self, place: &Place) -> bool {
        let project: Option<Name> = place.project.parse().ok();
        let service: Option<Name> = place.service.parse().ok();
        project.zip(service).is_some_and(|key| self.lines.contains_key(&key))
    }

    /// Ends what does not outlive the process, also what an earlier one has left and this one has not come to.
    pub(super) async fn close(&self) {
        self.yard.clear(|place| self.is_known(place)).await;
        self.yard.close().await;
    }

    /// Returns how long each step may take: a deployment as long as its deployer says, and a little more for it to say so.
    fn deadlines(&self) -> Deadlines {
        let usual = Deadlines::default();
        Deadlines { deploy: usual.deploy.max(self.settings.deployer.within() + TOLD_WITHIN), ..usual }
    }

    /// Begins with a service, from what was kept of it where there is anything.
    pub(super) fn add_line(&mut self, project: &Project, service: &Name) {
        let kept = store_key(&project.name, service).and_then(|key| self.store.record(&key).map_err(|error| error.to_string()));
        match &kept {
            Ok(Some(Stored::Known(record))) => self.settle(&(project.name.clone(), service.clone()), Some(record)),
            Ok(None) => self.settle(&(project.name.clone(), service.clone()), None),
            // Nobody knows what has come about.
            Ok(Some(Stored::Unknown { .. })) | Err(_) => {}
        }
        let (name, shipyard, deadlines) = (project.name.clone(), project.shipyard.clone(), self.deadlines());
        let machine = match kept {
            Ok(Some(Stored::Known(record))) => Delivery::restore(record, shipyard, deadlines),
            Ok(None) => Delivery::new(name, service.clone(), shipyard, deadlines),
            // It is left as it is: what would be written over it could be mended.
            Ok(Some(Stored::Unknown { reason })) => {
                let name = &project.name;
                return tracing::error!("{service} of {name} is left out, because what was delivered of it cannot be read: {reason}");
            }
            Err(why) => return tracing::error!("{service} of {} is left out: {why}", project.name),
        };
        let runs = machine.record().lanes.iter().filter_map(|lane| lane.run.as_ref());
        let resumed = runs.filter(|run| run.phase == Phase::Shifting).map(|run| run.id).collect();
        self.lines.insert((project.name.clone(), service.clone()), Line { machine, resumed });
    }
}
