//! The controller's loop: take in reports and commands, tick, show.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::control::bequest::Bequest;
use crate::control::command::{Accepted, Command, CommandError, Order, Request, Wanted};
use crate::control::inquiry::Inquiry;
use crate::control::offers::Offers;
use crate::control::orders::{Word, begin};
use crate::control::queue::Queue;
use crate::control::quiet::Quiet;
use crate::control::reconfigure::{self, Begun};
use crate::control::restore::Known;
use crate::control::service::{Seen, Service};
use crate::control::setup::{Origin, ServiceSetup, TICK};
use crate::control::shell::Shell;
use crate::control::shown::Shown;
use crate::control::status::{Board, Notice, Snapshot, VERSIONS};
use crate::domain::outcome::Role;
use crate::domain::rollout::{Dated, Entry, Event, ServiceState};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::seam::clock::{Clock, wall, wall_before};
use crate::seam::report::Report;
use crate::seam::routes::Routes;
use crate::seam::table::{Epoch, Table};
use crate::seam::valve::Valve;
use crate::store::{Store, Stored};

/// The durable store of the controller.
pub type ServiceStore = Store<ServiceState, Entry>;

/// How many notices are shown.
const NOTICES: usize = 100;

/// The world as the services see it.
struct World {
    clock: Clock,
    workers: usize,
    routes: Routes,
    table: Table,
    store: Arc<ServiceStore>,
    notices: VecDeque<Notice>,
    quiet: Quiet,
    offers: Offers,
    board: Board,
    inquiries: Sender<Inquiry>,
}

impl World {
    fn known(&self, service: &Name) -> Known {
        known(&self.store, service)
    }
}

/// Reads what was decided for a service before.
fn known(store: &ServiceStore, service: &Name) -> Known {
    match store.record(service) {
        Ok(None) => Known::Nothing,
        Ok(Some(Stored::Known(state))) => Known::State(Box::new(state)),
        Ok(Some(Stored::Unknown { .. })) | Err(_) => Known::Unreadable,
    }
}

impl Shell for World {
    fn publish(&mut self, service: &Name, epoch: Arc<Epoch>) {
        for route in self.table.routes.iter_mut().filter(|r| r.epoch.service == *service) {
            route.epoch = Arc::clone(&epoch);
        }
        self.table.number += 1;
        self.routes.publish(self.table.clone());
    }

    fn persist(&mut self, service: &Name, state: &ServiceState, lines: &[Dated]) -> Result<(), String> {
        let now = self.clock.now();
        let ago = |line: &Dated| line.decided.map_or(Duration::ZERO, |decided| now.since(decided));
        let entries: Vec<Entry> = lines.iter().map(|line| Entry { at: Some(wall_before(ago(line))), ..line.entry.clone() }).collect();
        self.store.put_all(service, state, &entries).map(|_| ()).map_err(|error| error.to_string())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn standing(&self, version: &Arc<Version>) -> Standing {
        self.routes.endpoints().of(version).standing()
    }

    fn usable(&self, version: &Arc<Version>) -> u32 {
        self.routes.endpoints().of(version).usable()
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn narrow(&mut self, version: &Arc<Version>, valve: Option<Arc<Valve>>) {
        self.routes.endpoints().of(version).narrow(valve);
    }

    fn consult(&mut self, inquiry: Inquiry) {
        // Where nobody listens nobody answers, which counts as a refusal in time.
        let _ = self.inquiries.send(inquiry);
    }

    fn offer_core(&mut self) {
        let clock = self.clock;
        self.offers.offer(|| {
            let before = clock.now();
            std::thread::yield_now();
            clock.now().since(before)
        });
    }

    fn rolled_back(&mut self, service: &Name) {
        *self.board.totals().rollbacks.entry(service.to_string()).or_default() += 1;
    }

    fn notify(&mut self, service: &Name, sentence: String, alarm: bool) {
        if alarm && !self.quiet.admits(&sentence, self.clock.now()) {
            return;
        }
        if alarm {
            tracing::warn!(%service, "{sentence}");
        } else {
            tracing::info!(%service, "{sentence}");
        }
        self.notices.push_back(Notice { at: wall(), service: service.clone(), sentence, alarm });
        while self.notices.len() > NOTICES {
            self.notices.pop_front();
        }
    }
}

/// Where the controller hears from others.
pub struct Inputs {
    /// How many workers there are.
    pub workers: usize,
    /// What workers report.
    pub reports: Receiver<Report>,
    /// What operators ask.
    pub requests: Receiver<Request>,
    /// Whom it asks.
    pub inquiries: Sender<Inquiry>,
    /// What the process before this one has left of bounds on what stable versions may hold.
    pub bequests: Vec<Bequest>,
}

/// The controller.
pub struct Controller {
    world: World,
    services: Vec<Service>,
    /// Up to when each worker has reported.
    known: Vec<Timestamp>,
    inputs: Inputs,
    queue: Queue,
    shown: Shown,
}

impl Controller {
    /// Restores what was durable, publishes the first table with everything at the owners, and begins the configured rollouts.
    #[must_use]
    pub fn start(setups: Vec<ServiceSetup>, store: Arc<ServiceStore>, clock: Clock, routes: Routes, board: Board, inputs: Inputs) -> Self {
        let mut world = World {
            clock,
            workers: inputs.workers,
            routes,
            table: Table::default(),
            store,
            notices: VecDeque::new(),
            quiet: Quiet::default(),
            offers: Offers::default(),
            board,
            inquiries: inputs.inquiries.clone(),
        };
        let begun = setups.into_iter().map(|setup| {
            let known = world.known(&setup.name);
            let (setup, start) = reconfigure::begin(setup, known, &mut world);
            (Service::new(setup, start.state), start.begin)
        });
        let begun = begun.collect();
        let known = vec![clock.now(); inputs.workers];
        let mut controller = Self { world, services: Vec::new(), known, inputs, queue: Queue::default(), shown: Shown::default() };
        controller.install(begun);
        let (now, Self { world, services, inputs, .. }) = (clock.now(), &mut controller);
        for bequest in &inputs.bequests {
            if let Some(service) = services.iter_mut().find(|service| service.setup().name == bequest.service) {
                service.inherit(bequest, now, world);
            }
        }
        controller
    }

    /// Routes to these services and begins their rollouts.
    fn install(&mut self, begun: Vec<Begun>) {
        let (services, begin): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
        self.services = services;
        self.world.table = Table::new(self.world.table.number + 1, self.services.iter().map(Service::route).collect());
        self.world.routes.publish(self.world.table.clone());
        let now = self.world.clock.now();
        for (service, canary) in self.services.iter_mut().zip(begin) {
            if let Some(canary) = canary {
                service.begin(canary, None, now, &mut self.world);
            }
        }
        self.show(now);
    }

    fn reconfigure(&mut self, origin: Origin, wanted: Vec<Wanted>, actor: &str, now: Timestamp) -> Result<Accepted, CommandError> {
        let is_others = |service: &Service| service.setup().origin != origin;
        let taken = |name: &Name| self.services.iter().any(|service| is_others(service) && service.setup().name == *name);
        if let Some(name) = wanted.iter().map(|wanted| &wanted.setup.name).find(|name| taken(name)) {
            return Err(CommandError::Conflict(format!(
                "there is a service {name} already that comes from elsewhere; choose another name"
            )));
        }
        let (mut mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.services).into_iter().partition(|service| !is_others(service));
        let ended = reconfigure::end(&mut mine, &wanted, actor, now, &mut self.world);
        if let Err(name) = ended {
            self.services = mine.into_iter().chain(others).collect();
            let why = "is not durable yet, so nothing else was changed; see that the disk works and reload again";
            return Err(CommandError::Conflict(format!("the end of the rollout of {name} {why}")));
        }
        let (count, anew) = (wanted.len(), wanted.iter().filter(|wanted| wanted.anew).count());
        let world = &mut self.world;
        let store = Arc::clone(&world.store);
        let mut begun = reconfigure::replace(mine, wanted, world, |name| known(&store, name));
        begun.extend(others.into_iter().map(|service| (service, None)));
        self.install(begun);
        Ok(Accepted::Done(format!("{count} services, {anew} of them new or judged otherwise than before")))
    }

    /// Runs until every worker and every operator is gone.
    pub fn run(mut self) {
        let mut next = self.world.clock.now() + TICK;
        loop {
            let wait = if self.queue.is_empty() { next.since(self.world.clock.now()) } else { Duration::ZERO };
            match self.inputs.reports.recv_timeout(wait) {
                Ok(report) => self.take(report),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(report) = self.inputs.reports.try_recv() {
                self.take(report);
            }
            self.obey(next);
            let now = self.world.clock.now();
            if now >= next {
                next = now + TICK;
                self.tick(now);
            }
        }
    }

    /// Judges every service by what the workers have reported, decides, and shows where they stand.
    pub fn tick(&mut self, now: Timestamp) {
        let known_until = self.known.iter().copied().min().unwrap_or(now);
        for service in &mut self.services {
            service.tick(now, known_until, &mut self.world);
        }
        self.world.offer_core();
        self.shown.next_turn(&self.services, now, self.world.routes.endpoints());
        self.world.offer_core();
        self.tell(now);
        self.world.offers.renew();
    }

    fn show(&mut self, now: Timestamp) {
        self.shown.all(&self.services, now, self.world.routes.endpoints());
        self.tell(now);
    }

    fn tell(&self, now: Timestamp) {
        let services = self.shown.services().to_vec();
        self.world.board.show(Snapshot { services, notices: self.world.notices.clone(), judged_ns: now.as_nanos() });
    }

    /// Takes in what a worker reports.
    pub fn take(&mut self, report: Report) {
        match report {
            Report::Wake => {}
            Report::UpTo { worker, at } => {
                if let Some(known) = self.known.get_mut(worker) {
                    *known = at;
                }
            }
            Report::Tripped { service, rollout, evident, at } => {
                let now = self.world.clock.now();
                if let Some(service) = self.services.iter_mut().find(|s| s.setup().name == service) {
                    service.tripped(rollout, evident, at, now, &mut self.world);
                }
                self.show(now);
            }
            Report::Observed { service, rollout, worker, generation, versions, observations, beside, marks, stable_marks } => {
                let mut forgotten = Vec::new();
                {
                    let mut totals = self.world.board.totals();
                    let of_split =
                        observations.iter().map(|seen| (if seen.role == Role::Canary { &versions.1 } else { &versions.0 }, seen));
                    for (version, seen) in of_split.chain(beside.iter().map(|(version, seen)| (version, seen))) {
                        let key = (service.to_string(), version.to_string(), seen.role);
                        forgotten.extend(totals.add(&key, worker, generation, seen));
                    }
                }
                for version in forgotten {
                    let sentence = format!("the figures of {version} are no longer kept, because {VERSIONS} versions were heard of since");
                    self.world.notify(&service, sentence, false);
                }
                if let Some(service) = self.services.iter_mut().find(|s| s.setup().name == service) {
                    let (observations, marks, stable_marks) = (&*observations, &*marks, &stable_marks);
                    service.observe(&Seen { rollout, generation, worker, observations, marks, stable_marks }, &mut self.world);
                }
            }
        }
    }

    /// Carries out what is asked, until nothing is or the next verdict is due: that waits for one order at most.
    fn obey(&mut self, due: Timestamp) {
        loop {
            while let Ok(request) = self.inputs.requests.try_recv() {
                self.queue.add(request);
            }
            let Some(Request { order, answer: operator }) = self.queue.next() else { return };
            let answer = match order {
                Order::Command(command) => self.carry_out(command),
                Order::Consulted { service, rollout, number, refusal } => {
                    self.take_answer(&service, rollout, Event::Consulted { number, refusal })
                }
                Order::Conditional(command, tags) => self.carry_out_if(command, &tags),
                Order::Reconfigure { origin, services, actor } => self.reconfigure(origin, services, &actor, self.world.clock.now()),
            };
            let now = self.world.clock.now();
            // Whoever has an answer finds what it says.
            self.show(now);
            // An operator who no longer waits has lost the answer, not the effect.
            let _ = operator.try_send(answer);
            if now >= due {
                return;
            }
        }
    }

    fn take_answer(&mut self, name: &Name, rollout: u64, answer: Event) -> Result<Accepted, CommandError> {
        let now = self.world.clock.now();
        let asked =
            |service: &&mut Service| service.setup().name == *name && service.progressing().is_some_and(|record| record.id == rollout);
        if let Some(service) = self.services.iter_mut().find(asked) {
            service.drive(answer, now, &mut self.world);
        }
        Ok(Accepted::Done("the answer was taken in".to_owned()))
    }

    fn carry_out_if(&mut self, command: Command, tags: &[String]) -> Result<Accepted, CommandError> {
        let now = self.world.clock.now();
        let service = self.services.iter().find(|service| service.setup().name == *command.service());
        match service.map(|service| service.status(now).tag()) {
            Some(tag) if !tags.contains(&tag) => Err(CommandError::Changed(tag)),
            _ => self.carry_out(command),
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<Accepted, CommandError> {
        let now = self.world.clock.now();
        let name = command.service().clone();
        let Some(service) = self.services.iter_mut().find(|s| s.setup().name == name) else {
            return Err(CommandError::UnknownService(name));
        };
        match command {
            Command::Start { canary, retry, actor, .. } => begin(service, *canary, retry, &actor, now, &mut self.world),
            Command::Retry { actor, .. } => match service.state().rollout.as_ref().map(|record| record.canary.clone()) {
                Some(canary) => begin(service, canary, true, &actor, now, &mut self.world),
                None => Err(CommandError::Conflict(format!("{name} has had no rollout that could be tried again"))),
            },
            Command::Abort { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.abort(),
            Command::Recede { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.recede(),
            Command::Resume { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.resume(),
            Command::Approve { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.approve(),
            Command::Deny { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.deny(),
            Command::Rule { rollout, verdict, approves, actor, reason, .. } => {
                Word { service, actor, reason, now, shell: &mut self.world }.rule(rollout, (verdict, approves))
            }
            Command::Pause { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.pause(),
            Command::SetWeight { weight, actor, reason, .. } => {
                Word { service, actor, reason, now, shell: &mut self.world }.set_weight(weight)
            }
            Command::Promote { actor, reason, .. } => Word { service, actor, reason, now, shell: &mut self.world }.promote(),
        }
    }
}
