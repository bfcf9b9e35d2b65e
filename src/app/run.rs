//! Runs the proxy from its start to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::admin::access::Access;
use crate::app::access_log::{self, LOG_PATIENCE};
use crate::app::cluster::{self, Discovery, Mirroring};
use crate::app::delivery::{Delivering, Grip};
use crate::app::error::AppError;
use crate::app::handover::{self, Predecessor, Program, Successor};
use crate::app::listeners::{Inherited, Sockets, doors};
use crate::app::notify;
use crate::app::plane::{Given, Plane};
use crate::app::reload::{self, Course, Reload, Source};
use crate::app::setup;
use crate::app::signals::{self, Wish};
use crate::app::supervisor;
use crate::app::traces;
use crate::config::delivery::Deployer;
use crate::config::{Loaded, Settings};
use crate::delivery::Wanted;
use crate::domain::address::Address;
use crate::proxy::certificates;
use crate::store::Store;
use crate::telemetry::access_log::AccessLog;

/// What runs, as far as others must know.
pub struct Addresses {
    /// Where the data plane listens.
    pub listen: Vec<Address>,
    /// Where the admin API is, and whether it is encrypted there.
    pub admin: Vec<(Address, bool)>,
}

impl Addresses {
    /// Returns those that are no sockets of this machine alone.
    fn ips(&self) -> Vec<SocketAddr> {
        self.listen.iter().chain(self.admin.iter().map(|(address, _)| address)).filter_map(Address::ip).collect()
    }
}

/// Runs the proxy until it is told to stop. `source` reads the configuration again; `may_succeed` says whether the process may be
/// succeeded by another one, which a parent that follows it by its standard input would not notice. `ready` is called once it
/// listens.
///
/// # Errors
///
/// Returns why it could not start. Once it listens it only ends by a signal, by a successor, or when a worker cannot go on.
pub fn run(loaded: Loaded, source: Source, may_succeed: bool, ready: impl FnOnce(&Addresses)) -> Result<(), AppError> {
    let settings = &loaded.settings;
    // What changes while it starts is to be read again.
    let digest = reload::digest(&loaded.files);
    let program = Program::this()?;
    let (wishes, wished) = channel();
    signals::listen(wishes.clone())?;
    let (predecessor, inherited) = match Predecessor::meet()? {
        Some((predecessor, inherited)) => (Some(predecessor), inherited),
        None => (None, Inherited::of_supervisor()?),
    };
    let sockets = Arc::new(Sockets::open(settings, inherited)?);
    let (mut certificates, doors) = doors(&settings.listen, &sockets)?;
    let admin_doors = sockets.admin_doors(settings, &mut certificates)?;
    let bequests = predecessor.as_ref().map_or_else(|| Ok(Vec::new()), Predecessor::await_state)?;
    let opened = Store::open(&settings.state)?;
    for warning in &opened.warnings {
        tracing::warn!("{warning}");
    }
    let (access, log) = access_log::start(&settings.access_log, settings.access_log_format)?;
    let pseudonym = setup::pseudonym();
    let (tracer, exporter) = traces::start(settings.traces.as_ref(), &pseudonym)?.unzip();
    let encrypted = settings.admin.listen.iter().map(|one| one.tls.is_some());
    let addresses = Addresses { listen: sockets.addresses(), admin: sockets.admin_addresses().into_iter().zip(encrypted).collect() };
    let store = Arc::new(opened.store);
    let notifier = notify::start(settings, &store, &addresses.admin)?;
    let own = addresses.ips();
    let given = Given {
        doors,
        expiries: certificates.iter().map(certificates::Certificates::expiry).collect(),
        store,
        shares: sockets.for_workers(settings.workers)?,
        own: own.clone(),
        access,
        dropped: log.as_ref().map(AccessLog::dropped),
        pseudonym,
        tracer,
        spans: exporter.as_ref().map(traces::Exporter::counts),
        bequests,
    };
    let mut plane = Plane::start(settings, given)?;
    let discovery = discover(settings, &plane, own, (&wished, &wishes))?;
    let mirroring = Mirroring::start(&plane.figures.board, settings);
    let wanted = if predecessor.is_some() { Wanted::Restore } else { Wanted::Deliver };
    if predecessor.is_none() {
        plane.begin(&wishes)?;
    }
    let delivering = Delivering::start(settings, (plane.commands.clone(), &plane.figures), &addresses.listen, wanted)?;
    if let Some(delivering) = &delivering {
        meanwhile(&wished, &wishes, |goes_on| delivering.await_up(goes_on))?;
    }
    // Until then a predecessor accepts every connection: here the stages would not be known yet.
    plane.begin(&wishes)?;
    let desk = delivering.as_ref().map(|delivering| delivering.desk.clone());
    let admin = plane.admin(admin_doors, Access::from(&settings.admin), desk)?;
    ready(&addresses);
    if let Some(predecessor) = predecessor {
        predecessor.serving();
    }
    if let Some(delivering) = &delivering {
        delivering.go_on();
    }
    supervisor::ready();
    supervisor::feed_watchdog(plane.figures.board.clone())?;
    let (refresh, asked) = channel();
    thread::Builder::new().name("certificates".to_owned()).spawn(move || certificates::watch(certificates, &asked))?;
    let (ask, asks) = channel();
    let may_succeed = may_succeed && !leashes(settings);
    let grip = delivering.as_ref().map(|delivering| delivering.grip.clone());
    let course = Course::default();
    let reload = Reload::new((loaded, digest), source, &plane, (discovery.ahead(), mirroring), course.clone());
    let reloading = thread::Builder::new().name("reload".to_owned()).spawn(move || reload::watch(reload, &asks, &refresh))?;
    let restart = Restart { program, sockets, wishes, ask, may_succeed, grip };
    let ended = restart.follow(&wished, &plane);
    supervisor::stopping();
    if !matches!(ended, Ok(End::Succeeded(_))) {
        restart.sockets.remove_files();
    }
    course.end(matches!(ended, Ok(End::Succeeded(_))));
    // The last copies of the sockets here: a client that comes now is refused, or served by the successor. Nobody can ask for the
    // configuration any more either.
    drop(restart);
    let (successor, ended) = match ended {
        Ok(End::Succeeded(successor)) => (Some(successor), Ok(())),
        Ok(End::Stopped) => (None, Ok(())),
        Err(error) => (None, Err(error)),
    };
    plane.drain(admin, delivering, successor.as_ref());
    // It has ended while requests did, but for a route that could not be reached.
    let _ = reloading.join();
    discovery.end();
    drop(notifier);
    finish(log, exporter);
    ended
}

/// Lets what was recorded be written, for a while.
fn finish(log: Option<AccessLog>, exporter: Option<traces::Exporter>) {
    if let Some(log) = log
        && !log.finish(LOG_PATIENCE)
    {
        tracing::warn!("the last lines of the access log were not written in time");
    }
    if let Some(exporter) = exporter
        && !exporter.finish(LOG_PATIENCE)
    {
        tracing::warn!("the last traces were not sent in time");
    }
}

/// Follows where a cluster says that versions are, and waits for the first of it.
fn discover(
    settings: &Settings,
    plane: &Plane,
    own: Vec<SocketAddr>,
    (wished, wishes): (&Receiver<Wish>, &Sender<Wish>),
) -> io::Result<Discovery> {
    let discovery = Discovery::start(plane.routes.endpoints().clone(), own, settings.kubernetes.clone())?;
    meanwhile(wished, wishes, |goes_on| {
        for (endpoint, why) in discovery.ahead().come(cluster::endpoints(&settings.services), goes_on) {
            tracing::warn!("the start goes on without the endpoints of {endpoint}: {why}");
        }
    });
    Ok(discovery)
}

/// Waits for something, which asks whether the process still goes on; what is wished meanwhile is wished again.
fn meanwhile<T>(wished: &Receiver<Wish>, wishes: &Sender<Wish>, wait: impl FnOnce(&mut dyn FnMut() -> bool) -> T) -> T {
    let mut early = Vec::new();
    let come = wait(&mut || {
        early.extend(wished.try_iter());
        !early.iter().any(|wish| matches!(wish, Wish::Stop | Wish::Fail))
    });
    // The receiver is at hand, so nothing is lost.
    early.into_iter().for_each(|wish| drop(wishes.send(wish)));
    come
}

/// Says whether deployments follow the standard input that this process gives them, and so end with it whoever takes them over.
fn leashes(settings: &Settings) -> bool {
    settings.delivery.as_ref().is_some_and(|delivery| matches!(&delivery.deployer, Deployer::Process(process) if process.leash))
}

/// How the process comes to its end.
enum End {
    Stopped,
    Succeeded(Successor),
}

/// What it takes to be succeeded.
struct Restart {
    program: Program,
    sockets: Arc<Sockets>,
    wishes: Sender<Wish>,
    ask: Sender<()>,
    may_succeed: bool,
    /// What lets the delivery change hands, where there is one.
    grip: Option<Grip>,
}

impl Restart {
    /// Follows what is wished until the process is to end.
    fn follow(&self, wished: &Receiver<Wish>, plane: &Plane) -> Result<End, AppError> {
        let (mut trying, mut stopping) = (false, false);
        loop {
            match wished.recv() {
                // Whoever is being started must be told too, and that is possible only once it is known what became of it.
                Ok(Wish::Stop) if trying => stopping = true,
                Ok(Wish::Stop) | Err(_) => return Ok(End::Stopped),
                Ok(Wish::Succeeded(successor)) => {
                    if stopping {
                        successor.stop();
                    }
                    return Ok(End::Succeeded(successor));
                }
                Ok(Wish::NotSucceeded(_)) if stopping => return Ok(End::Stopped),
                Ok(Wish::Fail) => return Err(AppError::Run(io::Error::other("a worker stopped"))),
                // Its thread lives as long as the sender.
                Ok(Wish::Reload) => drop(self.ask.send(())),
                Ok(Wish::HandOver) if !self.may_succeed => {
                    tracing::error!(
                        "a process that follows its standard input, or whose deployments follow theirs (leash: true), has no successor"
                    )
                }
                Ok(Wish::HandOver) if trying => tracing::warn!("a successor is being started already"),
                Ok(Wish::HandOver) => {
                    trying = true;
                    self.start_successor(plane)?;
                }
                Ok(Wish::NotSucceeded(why)) => {
                    trying = false;
                    tracing::error!("this process goes on: {why}");
                }
            }
        }
    }

    fn start_successor(&self, plane: &Plane) -> io::Result<()> {
        tracing::info!("a successor is started");
        let (program, sockets, store, wishes) =
            (self.program.clone(), Arc::clone(&self.sockets), Arc::clone(&plane.store), self.wishes.clone());
        let (commands, board, grip) = (plane.commands.clone(), plane.figures.board.clone(), self.grip.clone());
        thread::Builder::new().name("succession".to_owned()).spawn(move || {
            let outcome = handover::hand_over(&program, &sockets, &store, (&commands, &board), grip.as_ref());
            drop(sockets);
            let _ = wishes.send(outcome.map_or_else(Wish::NotSucceeded, Wish::Succeeded));
        })?;
        Ok(())
    }
}
