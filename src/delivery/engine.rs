//! The engine: one machine per service, what it asks for carried out, what others ask answered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::config::delivery::{Delivery as Settings, Deployer as Way};
use crate::delivery::deployer::Deployer;
use crate::delivery::effects;
use crate::delivery::external::External;
use crate::delivery::message::Asked;
use crate::delivery::plane::Ground;
use crate::delivery::process::Launcher;
use crate::delivery::processes::Processes;
use crate::delivery::projects::{Project, Projects};
use crate::delivery::replays::Replays;
use crate::delivery::sinks::Sinks;
use crate::delivery::spot::{Key, Place, Spot};
use crate::delivery::yard::Yard;
use crate::domain::delivery::{Deadlines, Delivery, Deployment, Effect, Entry, Event, Phase, Record, Ticket};
use crate::domain::version::Name;
use crate::seam::clock::{Clock, wall};
use crate::store::{Store, StoreError, Stored};

/// What was delivered, on disk.
pub(super) type DeliveryStore = Store<Record, Entry>;

/// How often the machines are told that time passes.
const TICK: Duration = Duration::from_millis(500);

/// What the engine is made of.
pub struct Parts {
    /// The data plane.
    pub ground: Ground,
    /// How artifacts are delivered.
    pub settings: Settings,
    /// The state folder of the process.
    pub state: PathBuf,
    /// This program, for commands that use it.
    pub program: PathBuf,
    /// The process's clock.
    pub clock: Clock,
}

/// The delivery of one service.
pub(super) struct Line {
    pub(super) machine: Delivery,
    /// Runs whose rollout was under way when the process began.
    resumed: Vec<u64>,
}

/// The engine.
pub struct Engine {
    pub(super) yard: Rc<Yard>,
    pub(super) settings: Settings,
    pub(super) lines: BTreeMap<Key, Line>,
    pub(super) projects: BTreeMap<Name, Project>,
    pub(super) store: DeliveryStore,
    pub(super) sinks: Sinks,
    pub(super) replays: Replays,
    pub(super) token: Option<Vec<u8>>,
    clock: Clock,
    tests: HashMap<(Key, Ticket), watch::Sender<bool>>,
    events: mpsc::UnboundedSender<(Key, Event)>,
}

impl Engine {
    /// Starts the engine on a thread of its own; it begins nothing more when it is told to `freeze`, and ends when `stop` is dropped or
    /// sent. `up` is told once everything that was
    /// live is up again.
    ///
    /// # Errors
    ///
    /// Fails when what was kept cannot be read, or a file that the settings name.
    pub fn start(
        parts: Parts,
        asked: mpsc::UnboundedReceiver<Asked>,
        (freeze, stop): (Arc<Notify>, oneshot::Receiver<()>),
        up: Sender<()>,
    ) -> Result<JoinHandle<()>, String> {
        let opened = DeliveryStore::open(&parts.state.join("delivery")).map_err(|error: StoreError| error.to_string())?;
        opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let token = match &parts.settings.token_file {
            None => None,
            Some(path) => Some(secret(path)?),
        };
        let replays = Replays::open(parts.state.join("events"))?;
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "the delivery cannot begin"),
            };
            let set = LocalSet::new();
            set.block_on(&runtime, async move {
                let (events, happened) = mpsc::unbounded_channel();
                let mut engine = Self::new(parts, (opened.store, replays), token, events);
                engine.restore().await;
                let _ = up.send(());
                engine.run(asked, happened, (freeze, stop)).await;
            });
        };
        std::thread::Builder::new().name("delivery".to_owned()).spawn(run).map_err(|error| error.to_string())
    }

    fn new(
        parts: Parts,
        (store, replays): (DeliveryStore, Replays),
        token: Option<Vec<u8>>,
        events: mpsc::UnboundedSender<(Key, Event)>,
    ) -> Self {
        let Parts { ground, settings, state, program, clock } = parts;
        let folder = settings.projects.clone().unwrap_or_else(|| state.join("projects"));
        // Gate files are named to a configuration that has no folder of its own.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let sinks = Sinks::new(&settings.sinks, settings.events);
        let projects = Projects::new(folder);
        let deployer: Box<dyn Deployer> = match &settings.deployer {
            Way::Process(process) => Box::new(Processes::new(Launcher::new(process.clone(), &state, &program))),
            Way::External { within } => Box::new(External::new(*within)),
        };
        let yard = Rc::new(Yard::new(ground, projects, deployer));
        Self {
            yard,
            settings,
            lines: BTreeMap::new(),
            projects: BTreeMap::new(),
            store,
            sinks,
            replays,
            token,
            clock,
            tests: HashMap::new(),
            events,
        }
    }

    /// Takes up what was kept: everything that was live is brought up again and shown, then the machines go on.
    async fn restore(&mut self) {
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
        let known = |place: &Place| {
            let project: Option<Name> = place.project.parse().ok();
            let service: Option<Name> = place.service.parse().ok();
            project.zip(service).is_some_and(|key| self.lines.contains_key(&key))
        };
        self.yard.clear(known).await;
        let keys: Vec<Key> = self.lines.keys().cloned().collect();
        for key in keys {
            if let Err(why) = self.handle(&key, Event::Restored) {
                tracing::error!("{} of {} cannot be written: {why}", key.1, key.0);
            }
        }
    }

    /// Begins with a service, from what was kept of it where there is anything.
    pub(super) fn add_line(&mut self, project: &Project, service: &Name) {
        let kept = store_key(&project.name, service).and_then(|key| self.store.record(&key).map_err(|error| error.to_string()));
        let (name, shipyard, deadlines) = (project.name.clone(), project.shipyard.clone(), Deadlines::default());
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

    async fn run(
        mut self,
        mut asked: mpsc::UnboundedReceiver<Asked>,
        mut happened: mpsc::UnboundedReceiver<(Key, Event)>,
        (freeze, mut stop): (Arc<Notify>, oneshot::Receiver<()>),
    ) {
        let (mut tick, mut frozen) = (tokio::time::interval(TICK), false);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                // From here on a failure is ours: the data plane takes no more requests, those of a test among them.
                () = freeze.notified() => frozen = true,
                Some((key, event)) = happened.recv(), if !frozen => drop(self.handle(&key, event)),
                Some(Asked { ask, answer }) = asked.recv(), if !frozen => {
                    let told = self.answer(ask).await;
                    // Whoever no longer waits has lost the answer, not the effect.
                    let _ = answer.send(told);
                }
                _ = tick.tick(), if !frozen => {
                    let keys: Vec<Key> = self.lines.keys().cloned().collect();
                    keys.iter().for_each(|key| drop(self.handle(key, Event::Tick)));
                }
            }
        }
        self.yard.close().await;
    }

    /// Gives an event to a service's machine and carries out what it asks for. What it decides is durable on return.
    ///
    /// # Errors
    ///
    /// Says why something is not durable; the machine tries again.
    pub(super) fn handle(&mut self, key: &Key, event: Event) -> Result<(), String> {
        let (mut events, mut durable) = (VecDeque::from([event]), Ok(()));
        while let Some(event) = events.pop_front() {
            let now = self.clock.now();
            let Some(line) = self.lines.get_mut(key) else { break };
            for effect in line.machine.handle(now, event) {
                let written = self.carry_out(key, effect);
                if let Some(Event::PersistFailed(_, why)) = &written {
                    durable = Err(why.clone());
                }
                events.extend(written);
            }
        }
        durable
    }

    /// Begins an effect; a write is done at once, and returns how it went.
    fn carry_out(&mut self, key: &Key, effect: Effect) -> Option<Event> {
        let spot = |stage| Spot { project: key.0.clone(), service: key.1.clone(), stage };
        let (yard, mode) = (Rc::clone(&self.yard), self.lines.get(key).map(|line| line.machine.shipyard().mode()).unwrap_or_default());
        match effect {
            Effect::Persist { number, record, entries } => {
                return Some(match self.persist(key, &record, entries) {
                    Ok(()) => Event::Persisted(number),
                    Err(why) => Event::PersistFailed(number, why),
                });
            }
            Effect::Deploy { ticket, stage, deployment } => {
                let spot = spot(stage);
                self.begin(key, async move { effects::deploy(&yard, &spot, ticket, &deployment).await });
            }
            Effect::CheckHealth { ticket, stage, deployment } => {
                let spot = spot(stage);
                self.begin(key, async move { effects::check(&yard, &spot, ticket, &deployment).await });
            }
            Effect::Switch { ticket, stage, to } => {
                let spot = spot(stage);
                self.begin(key, async move { effects::switch(&yard, &spot, ticket, to.as_ref()).await });
            }
            Effect::Test { ticket, stage, deployment, strategy, .. } => {
                let spot = spot(stage);
                let (stop, stopped) = watch::channel(false);
                self.tests.retain(|_, stop| !stop.is_closed());
                self.tests.insert((key.clone(), ticket), stop);
                self.begin(key, async move { effects::test(&yard, &spot, ticket, (&deployment, &strategy), mode, stopped).await });
            }
            Effect::StopTest { ticket, .. } => {
                if let Some(stop) = self.tests.remove(&(key.clone(), ticket)) {
                    stop.send_replace(true);
                }
            }
            Effect::Evaluate { ticket, stage, deployment, .. } => {
                let spot = spot(stage);
                self.begin(key, async move { effects::evaluate(&yard, &spot, ticket, &deployment, mode).await });
            }
            Effect::Rollout { ticket, stage, deployment, schedule } => {
                let spot = spot(stage);
                let resume = self.lines.get(key).is_some_and(|line| line.resumed.contains(&ticket.run));
                self.begin(key, async move { effects::roll_out(&yard, &spot, ticket, &deployment, schedule, resume).await });
            }
            Effect::AbortRollout { ticket, stage, reason } => {
                let spot = spot(stage);
                yard.abort_rollout(&spot, ticket.run);
                if let Ok(name) = spot.name() {
                    tokio::task::spawn_local(async move { yard.ground.abort(&name, reason).await });
                }
            }
            Effect::Retire { ticket, stage, deployment } => {
                let spot = spot(stage);
                self.begin(key, async move { retire(&yard, &spot, ticket, &deployment).await });
            }
            // Whoever may let it in is told by the announcement; the answer comes by the API or an event.
            Effect::AwaitApproval { .. } => {}
            Effect::Emit { run, context, stage, artifact, announcement } => {
                let host = spot(stage.clone()).host(&self.settings.domain);
                let stages = self.lines.get(key).and_then(|line| line.machine.shipyard().stage(&stage).cloned());
                self.sinks.emit(key, run, &context, &stage, stages.as_ref(), &artifact, &announcement, &host);
            }
            Effect::Notify { sentence, alarm: true } => tracing::warn!(project = %key.0, service = %key.1, "{sentence}"),
            Effect::Notify { sentence, alarm: false } => tracing::info!(project = %key.0, service = %key.1, "{sentence}"),
        }
        None
    }

    /// Runs an effect beside the engine; what it ends with comes back as an event.
    fn begin(&self, key: &Key, effect: impl Future<Output = Event> + 'static) {
        let (key, events) = (key.clone(), self.events.clone());
        tokio::task::spawn_local(async move {
            let event = effect.await;
            // The engine is gone at the end of the process only.
            let _ = events.send((key, event));
        });
    }

    fn persist(&self, key: &Key, record: &Record, entries: Vec<Entry>) -> Result<(), String> {
        let name = store_key(&key.0, &key.1)?;
        for entry in entries {
            let entry = Entry { at: Some(wall()), ..entry };
            self.store.put(&name, record, &entry).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

async fn retire(yard: &Yard, spot: &Spot, ticket: Ticket, deployment: &Deployment) -> Event {
    if !yard.drained(spot, deployment).await {
        // Nothing that serves is taken away; the machine asks again.
        tracing::error!("{} still has the traffic of {}, so it is not retired", deployment.name, spot.stage);
        return Event::Tick;
    }
    match yard.retire(spot, deployment).await {
        Ok(()) => Event::Retired(ticket),
        Err(why) => {
            tracing::warn!("{}: it could not be taken away yet: {why}", Place::of(spot, deployment));
            Event::Tick
        }
    }
}

/// Returns the name under which a service's record is kept. Neither part contains a dot.
fn store_key(project: &Name, service: &Name) -> Result<Name, String> {
    let text = format!("{service}.{project}");
    text.parse().map_err(|_| format!("{text:?} is longer than 63 characters; shorten the project's or the service's name"))
}

fn secret(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = bytes.trim_ascii().to_vec();
    if secret.len() < 16 {
        return Err(format!("{}: the token is shorter than 16 bytes; make one with: openssl rand -hex 32", path.display()));
    }
    Ok(secret)
}
