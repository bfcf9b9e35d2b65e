//! Everything that runs but the admin listener: the controller and the workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::admin::access::Access;
use crate::admin::idempotency::Answers;
use crate::admin::live::Live;
use crate::admin::lockout::Patience;
use crate::admin::reading::Reading;
use crate::admin::server::{Door, Server};
use crate::admin::state::AdminState;
use crate::app::delivery::Delivering;
use crate::app::error::AppError;
use crate::app::handover::Successor;
use crate::app::overload;
use crate::app::setup;
use crate::app::signals::Wish;
use crate::config::Settings;
use crate::control::bequest::Bequest;
use crate::control::command::Commands;
use crate::control::controller::{Controller, Inputs, ServiceStore};
use crate::control::status::Board;
use crate::delivery::Desk;
use crate::notify::webhooks::Webhooks;
use crate::proxy::certificates::Expiry;
use crate::proxy::listener;
use crate::proxy::listening::Listening;
use crate::proxy::pressure::Pressure;
use crate::proxy::rules::SettingsSlot;
use crate::proxy::spread::Spread;
use crate::proxy::upstream::endpoints::{self, Keeper};
use crate::proxy::worker::{Counters, DoorSetup, Parts};
use crate::seam::access::AccessSender;
use crate::seam::clock::Clock;
use crate::seam::report;
use crate::seam::routes::Routes;
use crate::seam::trace::{SpanCounts, Tracer};
use crate::telemetry::exposition::{Exposition, Figures};

/// How long the workers may take to close their listeners; they do so at their next turn.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Everything that runs but the admin listener.
pub(super) struct Plane {
    pub(super) figures: Figures,
    pub(super) store: Arc<ServiceStore>,
    pub(super) commands: Commands,
    pub(super) settings: SettingsSlot,
    pub(super) pseudonym: String,
    pub(super) routes: Routes,
    drain: watch::Sender<bool>,
    succeeded: Arc<AtomicBool>,
    /// What the workers are started with; absent once they are.
    idle: Option<(Parts, Vec<Vec<Listening>>)>,
    workers: Vec<JoinHandle<()>>,
    controller: JoinHandle<()>,
    /// Looks after the versions' endpoints until it is dropped.
    keeper: Keeper,
    /// Asks others before a rollout goes on.
    webhooks: Webhooks,
}

impl Plane {
    /// Starts everything but the workers.
    pub(super) fn start(settings: &Settings, given: Given) -> Result<Self, AppError> {
        let Given { doors, expiries, store, shares, own, access, dropped, pseudonym, tracer, spans, bequests } = given;
        let clock = Clock::start();
        let (routes, board, counters) = (Routes::default(), Board::default(), Arc::new(Counters::default()));
        routes.endpoints().learn(settings.services.iter().flat_map(|service| service.names.clone()));
        let (sender, reports) = report::channel();
        let (commands, requests) = Commands::channel(sender.clone());
        let (inquiries, asked) = std::sync::mpsc::channel();
        let webhooks = Webhooks::start(asked, commands.clone())?;
        let setups = settings.services.iter().map(setup::service).collect();
        let controller = Controller::start(
            setups,
            Arc::clone(&store),
            clock,
            routes.clone(),
            board.clone(),
            Inputs { workers: settings.workers.max(1), reports, requests, inquiries, bequests },
        );
        let keeper = Keeper::start(routes.clone(), clock, own, endpoints::resolve::system)?;
        let controller = std::thread::Builder::new().name("controller".to_owned()).spawn(move || controller.run())?;
        let (drain, draining) = watch::channel(false);
        let slot: SettingsSlot = Arc::new(ArcSwap::from_pointee(setup::data_plane(settings, &pseudonym)));
        let (succeeded, pressure) = (Arc::<AtomicBool>::default(), Arc::<Pressure>::default());
        let spread = Spread::new(settings.workers.max(1));
        overload::watch(Arc::clone(&pressure), Arc::clone(&counters), Arc::clone(&slot))?;
        let parts = Parts {
            settings: Arc::clone(&slot),
            routes: routes.clone(),
            reports: sender,
            access,
            tracer,
            clock,
            counters: Arc::clone(&counters),
            pressure: Arc::clone(&pressure),
            spread: Arc::clone(&spread),
            drain: draining,
            succeeded: Arc::clone(&succeeded),
            doors,
        };
        let idle = Some((parts, shares));
        let reloads = Arc::default();
        let figures = Figures {
            board,
            counters,
            access_log_dropped: dropped,
            spans,
            pressure,
            reloads,
            lockouts: Arc::default(),
            certificates: expiries,
            clock,
            compat: (&settings.metrics).into(),
        };
        Ok(Self {
            figures,
            store,
            commands,
            settings: slot,
            pseudonym,
            routes,
            drain,
            succeeded,
            idle,
            workers: Vec::new(),
            controller,
            keeper,
            webhooks,
        })
    }

    /// Starts the workers, unless they are; one that cannot go on is a wish to end.
    pub(super) fn begin(&mut self, wishes: &Sender<Wish>) -> io::Result<()> {
        let Some((parts, shares)) = self.idle.take() else { return Ok(()) };
        for (index, own) in shares.into_iter().enumerate() {
            let (parts, wishes) = (parts.clone(), wishes.clone());
            let run = move || {
                if let Err(error) = listener::run(index, own, &parts) {
                    tracing::error!(worker = index, %error, "a worker stopped");
                    // Nobody listens any more once the process is about to end.
                    let _ = wishes.send(Wish::Fail);
                }
            };
            self.workers.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        Ok(())
    }

    /// Starts the admin listener.
    pub(super) fn admin(&self, doors: Vec<Door>, access: Access, delivery: Option<Desk>) -> Result<Server, AppError> {
        let state = AdminState {
            board: self.figures.board.clone(),
            store: Arc::clone(&self.store),
            commands: self.commands.clone(),
            exposition: Exposition::new(self.figures.clone()).map_err(io::Error::other)?,
            routes: self.routes.clone(),
            drain: self.drain.subscribe(),
            clock: self.figures.clock,
            access,
            delivery,
            answers: Answers::default(),
            reading: Reading::default(),
            live: Live::default(),
            patience: Patience::new(Arc::clone(&self.figures.lockouts)),
        };
        Ok(Server::start(doors, state)?)
    }

    /// Lets the requests in flight end, then everything else. The admin listener answers until the data plane is done, unless
    /// another process has succeeded this one and answers in its place.
    pub(super) fn drain(self, admin: Server, delivering: Option<Delivering>, successor: Option<&Successor>) {
        self.succeeded.store(successor.is_some(), Ordering::Relaxed);
        if let Some(delivering) = &delivering {
            delivering.freeze();
        }
        let _ = self.drain.send(true);
        let admin = match successor {
            Some(successor) => {
                admin.stop();
                self.stop_accepting();
                successor.is_alone();
                None
            }
            None => Some(admin),
        };
        for worker in self.workers {
            let _ = worker.join();
        }
        // Its deployments have answered their last request; it holds a way to the controller, which ends with the last of those.
        if let Some(delivering) = delivering {
            delivering.end();
        }
        if let Some(admin) = admin {
            admin.stop();
        }
        drop(self.keeper);
        self.webhooks.end();
        drop(self.commands);
        let _ = self.controller.join();
    }
}

impl Plane {
    /// Waits until no worker accepts connections any more, as all of them were told to.
    fn stop_accepting(&self) {
        let begun = Instant::now();
        while self.figures.counters.accepting.load(Ordering::Acquire) > 0 && begun.elapsed() < CLOSED_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the plane is started with.
pub(super) struct Given {
    /// What is particular to each listener.
    pub(super) doors: Vec<DoorSetup>,
    /// When the listeners' certificates expire.
    pub(super) expiries: Vec<Expiry>,
    /// What was decided.
    pub(super) store: Arc<ServiceStore>,
    /// Each worker's sockets.
    pub(super) shares: Vec<Vec<Listening>>,
    /// Where this process listens, the admin listener included.
    pub(super) own: Vec<SocketAddr>,
    /// Where lines of the access log go.
    pub(super) access: Option<AccessSender>,
    /// How many of them were dropped.
    pub(super) dropped: Option<Arc<std::sync::atomic::AtomicU64>>,
    /// What this process calls itself.
    pub(super) pseudonym: String,
    /// Where traces go.
    pub(super) tracer: Option<Tracer>,
    /// What becomes of their spans.
    pub(super) spans: Option<Arc<SpanCounts>>,
    /// What the process before this one has left.
    pub(super) bequests: Vec<Bequest>,
}
