//! The engine: one machine per service, what it asks for carried out, what others ask answered.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::config::delivery::{Delivery as Settings, Deployer as Way};
use crate::delivery::deployer::Deployer;
use crate::delivery::effects;
use crate::delivery::external::External;
use crate::delivery::judge::{self, Case};
use crate::delivery::kubernetes::Kubernetes;
use crate::delivery::message::Asked;
use crate::delivery::monitoring::Monitoring;
use crate::delivery::opened::{DeliveryStore, Opened};
use crate::delivery::plane::Ground;
use crate::delivery::process::Launcher;
use crate::delivery::processes::Processes;
use crate::delivery::projects::{Project, Projects};
use crate::delivery::registries::Registries;
use crate::delivery::replays::Replays;
use crate::delivery::sinks::Sinks;
use crate::delivery::spot::{Key, Place, Spot};
use crate::delivery::token::Token;
use crate::delivery::wanted::Wanted;
use crate::delivery::yard::Yard;
use crate::domain::delivery::shipyard::Strategy;
use crate::domain::delivery::{Delivery, Deployment, Effect, Entry, Event, Record, TestStrategy, Ticket};
use crate::domain::version::Name;
use crate::seam::clock::{Clock, wall};

/// How often the machines are told that time passes.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// What the engine is made of.
#[derive(Clone)]
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
    pub(super) resumed: Vec<u64>,
}

/// The engine.
pub struct Engine {
    pub(super) yard: Rc<Yard>,
    pub(super) settings: Settings,
    pub(super) lines: BTreeMap<Key, Line>,
    pub(super) projects: BTreeMap<Name, Project>,
    pub(super) store: Arc<DeliveryStore>,
    pub(super) sinks: Rc<Sinks>,
    pub(super) replays: Rc<RefCell<Replays>>,
    pub(super) token: Option<Rc<Token>>,
    clock: Clock,
    tests: HashMap<(Key, Ticket), watch::Sender<bool>>,
    events: mpsc::UnboundedSender<(Key, Event)>,
    /// Takes what was asked once more, after its image was found to be there.
    pub(super) again: mpsc::UnboundedSender<Asked>,
    pub(super) registries: Rc<Registries>,
}

impl Engine {
    /// Begins with what was kept; to be called on the engine's thread.
    ///
    /// # Errors
    ///
    /// Says what else of it cannot be read.
    pub(super) fn new(
        parts: Parts,
        Opened { store, replays, past, registries }: Opened,
        token: Option<Rc<Token>>,
        (events, again): (mpsc::UnboundedSender<(Key, Event)>, mpsc::UnboundedSender<Asked>),
    ) -> Result<Self, String> {
        let Parts { ground, settings, state, program, clock } = parts;
        let folder = settings.projects.clone().unwrap_or_else(|| state.join("projects"));
        // Gate files are named to a configuration that has no folder of its own.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let sinks = Rc::new(Sinks::new(&settings.sinks, &state)?);
        let projects = Projects::new(folder, &state)?;
        let deployer: Box<dyn Deployer> = match &settings.deployer {
            Way::Process(process) => Box::new(Processes::new(Launcher::new(process.clone(), &state, &program))),
            Way::External { within } => Box::new(External::new(*within, &state)?),
            Way::Kubernetes(kubernetes) => Box::new(Kubernetes::new(kubernetes.clone(), projects.clone(), &state)?),
        };
        let monitoring = Monitoring::new(state.join("monitoring"), settings.sources.clone());
        let yard = Rc::new(Yard::new(ground, (projects, monitoring, past), deployer));
        Ok(Self {
            yard,
            settings,
            lines: BTreeMap::new(),
            projects: BTreeMap::new(),
            store: Arc::new(store),
            sinks,
            replays: Rc::new(RefCell::new(replays)),
            token,
            clock,
            tests: HashMap::new(),
            events,
            again,
            registries: Rc::new(registries),
        })
    }

    /// Works until it is to end or to let go, and says whether it was to let go.
    pub(super) async fn run(
        mut self,
        (asked, mut checked): (&mut mpsc::Receiver<Asked>, mpsc::UnboundedReceiver<Asked>),
        mut happened: mpsc::UnboundedReceiver<(Key, Event)>,
        wanted: &mut watch::Receiver<Wanted>,
    ) -> bool {
        let mut tick = tokio::time::interval(TICK);
        let released = loop {
            // Frozen, a failure is ours: the data plane takes no more requests, those of a test among them.
            let frozen = match *wanted.borrow_and_update() {
                Wanted::Release => break true,
                Wanted::End => break false,
                now => now == Wanted::Freeze,
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { break false },
                Some((key, event)) = happened.recv(), if !frozen => drop(self.handle(&key, event)),
                Some(asked) = asked.recv(), if !frozen => self.reply(asked),
                Some(asked) = checked.recv(), if !frozen => self.reply(asked),
                _ = tick.tick(), if !frozen => {
                    let keys: Vec<Key> = self.lines.keys().cloned().collect();
                    keys.iter().for_each(|key| drop(self.handle(key, Event::Tick)));
                }
            }
        };
        self.part(released).await;
        released
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
            let effects = line.machine.handle(now, event);
            let hold = self.hold(key, now, &effects);
            for effect in effects {
                let Some(written) = self.carry_out(key, effect) else { continue };
                if let Event::PersistFailed(_, why) = &written {
                    durable = Err(why.clone());
                }
                if let Some(hold) = &hold {
                    self.release(hold, matches!(written, Event::Persisted(_)));
                }
                events.push_back(written);
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
                self.begin(key, async move { effects::deploy(&yard, &spot, ticket, &deployment, mode).await });
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
            Effect::Evaluate { ticket, stage, deployment, strategy, .. } => {
                let case = self.case(key, spot(stage), ticket.run, strategy);
                self.begin(key, async move { judge::evaluate(&yard, &case, ticket, &deployment).await });
            }
            Effect::Rollout { ticket, stage, deployment, schedule } => {
                let case = self.case(key, spot(stage), ticket.run, None);
                let resume = self.lines.get(key).is_some_and(|line| line.resumed.contains(&ticket.run));
                self.begin(key, async move { effects::roll_out(&yard, &case, ticket, &deployment, schedule, resume).await });
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
            // What a write tells stands there already; it is told once.
            emit @ Effect::Emit { .. } => self.sinks.tell(&self.letters(key, &emit)),
            Effect::Notify { sentence, alarm: true } => tracing::warn!(project = %key.0, service = %key.1, "{sentence}"),
            Effect::Notify { sentence, alarm: false } => tracing::info!(project = %key.0, service = %key.1, "{sentence}"),
        }
        None
    }

    /// Puts together what is judged of a run.
    pub(super) fn case(&self, key: &Key, spot: Spot, run: u64, strategy: Option<TestStrategy>) -> Case {
        let machine = self.lines.get(key).map(|line| &line.machine);
        let of_run = machine.and_then(|machine| machine.record().lane(&spot.stage)?.run.as_ref()).filter(|found| found.id == run);
        let direct =
            machine.and_then(|machine| machine.shipyard().stage(&spot.stage)).is_some_and(|stage| stage.strategy == Strategy::Direct);
        Case {
            context: of_run.map_or_else(String::new, |run| run.context.clone()),
            run,
            strategy: strategy.map(|strategy| strategy.as_str().to_owned()),
            deployment: if direct { "direct" } else { "canary" },
            mode: machine.map(|machine| machine.shipyard().mode()).unwrap_or_default(),
            spot,
        }
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
pub(super) fn store_key(project: &Name, service: &Name) -> Result<Name, String> {
    let text = format!("{service}.{project}");
    text.parse().map_err(|_| format!("{text:?} is longer than 63 characters; shorten the project's or the service's name"))
}
