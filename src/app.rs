//! The composition root: builds everything, knows everybody, and takes it down again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::server::Server;
use crate::admin::state::AdminState;
use crate::config::{self, Settings};
use crate::control::command::Commands;
use crate::control::controller::{Controller, Inputs, ServiceStore};
use crate::control::setup::{Grader, ServiceSetup};
use crate::control::status::Board;
use crate::domain::gate::Verdict;
use crate::domain::gate::graded::joined;
use crate::domain::gate::live::{self, Measured};
use crate::domain::gate::perfspec::{Answer, Answers, strict};
use crate::proxy::certificates::{self, Certificates};
use crate::proxy::listener;
use crate::proxy::settings as data_plane;
use crate::proxy::upstream::endpoints::{self, Keeper};
use crate::proxy::worker::{Counters, DoorSetup, Parts};
use crate::seam::access::{self, AccessSender};
use crate::seam::clock::Clock;
use crate::seam::report;
use crate::seam::routes::Routes;
use crate::sources::builtin;
use crate::store::{Store, StoreError};
use crate::telemetry::access_log::{AccessLog, Destination};
use crate::telemetry::exposition::{Exposition, Figures};

/// Why the program could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The access log cannot be written.
    #[error("cannot write the access log {path}: {source}", path = path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be used any more, although it could when the configuration was read.
    #[error("{0}")]
    Certificates(String),
    /// A thread or runtime could not be made, or a worker stopped.
    #[error("cannot run: {0}")]
    Run(#[from] io::Error),
}

impl AppError {
    /// Returns how to mend it, where the message does not say so itself.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind { address, source } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => format!("another process listens on port {}; stop it or choose another port", address.port()),
                io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher port".to_owned(),
                io::ErrorKind::AddrNotAvailable => format!("this machine has no address {}; use one of its own, or 0.0.0.0", address.ip()),
                _ => "check the address".to_owned(),
            }),
            Self::AccessLog { .. } => Some("choose a writable file, 'stdout' or 'off'".to_owned()),
            Self::State(_) | Self::Certificates(_) | Self::Run(_) => None,
        }
    }
}

/// What runs, as far as others must know.
pub struct Addresses {
    /// Where the data plane listens.
    pub listen: Vec<SocketAddr>,
    /// Where the admin listener is.
    pub admin: SocketAddr,
}

/// Runs the proxy until it is told to stop. `ready` is called once it listens.
///
/// # Errors
///
/// Returns why it could not start. Once it listens it only ends by a signal, or when a worker cannot go on.
pub fn run(settings: &Settings, ready: impl FnOnce(&Addresses)) -> Result<(), AppError> {
    let opened = Store::open(&settings.state)?;
    for warning in &opened.warnings {
        tracing::warn!("{warning}");
    }
    let addresses: Vec<SocketAddr> = settings.listen.iter().map(|listen| listen.address).collect();
    let mut listeners = bind_all(&addresses, settings.workers)?;
    let admin = bind_plain(settings.admin)?;
    let addresses = Addresses {
        listen: listeners.first().map_or_else(Vec::new, |of_worker| of_worker.iter().filter_map(|l| l.local_addr().ok()).collect()),
        admin: admin.local_addr()?,
    };
    let own = addresses.listen.iter().copied().chain([addresses.admin]).collect();
    let (access, log) = access_log(&settings.access_log)?;
    let (certificates, doors) = doors(&settings.listen)?;
    let plane = Plane::start(settings, doors, Arc::new(opened.store), &mut listeners, own, access, log.as_ref())?;
    let admin = plane.admin(admin, addresses.admin.ip().is_loopback())?;
    ready(&addresses);
    let (refresh, asked) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("certificates".to_owned()).spawn(move || certificates::watch(certificates, &asked))?;
    let stopped = wait_for_stop(&plane.failed, &refresh);
    plane.drain(admin);
    if let Some(log) = log
        && !log.finish(LOG_PATIENCE)
    {
        tracing::warn!("the last lines of the access log were not written in time");
    }
    stopped
}

/// Makes what is particular to each listener, and reads the certificates of those that have some.
fn doors(listen: &[config::Listen]) -> Result<(Vec<Certificates>, Vec<DoorSetup>), AppError> {
    let (mut certificates, mut doors) = (Vec::new(), Vec::new());
    for one in listen {
        let mut door = DoorSetup { tls: None, proxies: one.proxies.clone() };
        if let Some(files) = one.tls.clone() {
            let loaded = Certificates::load(files).map_err(|problem| AppError::Certificates(problem.to_string()))?;
            door.tls = Some(loaded.slot());
            certificates.push(loaded);
        }
        doors.push(door);
    }
    Ok((certificates, doors))
}

/// How long the last lines of the access log may take at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Starts the writer of the access log, when there is to be one.
fn access_log(wanted: &config::AccessLog) -> Result<(Option<AccessSender>, Option<AccessLog>), AppError> {
    let destination = match wanted {
        config::AccessLog::Off => return Ok((None, None)),
        config::AccessLog::Stdout => Destination::Stdout,
        config::AccessLog::File(path) => Destination::File(path.clone()),
    };
    let (sender, receiver) = access::channel();
    let path = match &destination {
        Destination::Stdout => PathBuf::from("stdout"),
        Destination::File(path) => path.clone(),
    };
    let log = AccessLog::start(receiver, &destination).map_err(|source| AppError::AccessLog { path, source })?;
    Ok((Some(sender), Some(log)))
}

/// Everything that runs but the admin listener.
struct Plane {
    figures: Figures,
    store: Arc<ServiceStore>,
    commands: Commands,
    routes: Routes,
    drain: watch::Sender<bool>,
    failed: watch::Receiver<bool>,
    workers: Vec<JoinHandle<()>>,
    controller: JoinHandle<()>,
    /// Looks after the versions' endpoints until it is dropped.
    keeper: Keeper,
}

impl Plane {
    fn start(
        settings: &Settings,
        doors: Vec<DoorSetup>,
        store: Arc<ServiceStore>,
        listeners: &mut Vec<Vec<TcpListener>>,
        own: Vec<SocketAddr>,
        access: Option<AccessSender>,
        log: Option<&AccessLog>,
    ) -> Result<Self, AppError> {
        let clock = Clock::start();
        let (routes, board, counters) = (Routes::default(), Board::default(), Arc::new(Counters::default()));
        routes.endpoints().learn(settings.services.iter().flat_map(|service| service.names.clone()));
        let (sender, reports) = report::channel();
        let (commands, requests) = Commands::channel(sender.clone());
        let setups = settings.services.iter().map(setup).collect();
        let controller = Controller::start(
            setups,
            Arc::clone(&store),
            clock,
            routes.clone(),
            board.clone(),
            Inputs { workers: settings.workers.max(1), reports, requests },
        );
        let keeper = Keeper::start(routes.clone(), clock, own, endpoints::resolve::system)?;
        let controller = std::thread::Builder::new().name("controller".to_owned()).spawn(move || controller.run())?;
        let (drain, draining) = watch::channel(false);
        let (fail, failed) = watch::channel(false);
        let parts = Parts {
            settings: Arc::new(data_plane_settings(settings)),
            routes: routes.clone(),
            reports: sender,
            access,
            clock,
            counters: Arc::clone(&counters),
            drain: draining,
            doors,
        };
        let mut workers = Vec::new();
        for (index, own) in std::mem::take(listeners).into_iter().enumerate() {
            let (parts, fail) = (parts.clone(), fail.clone());
            let run = move || {
                if let Err(error) = listener::run(index, own, &parts) {
                    tracing::error!(worker = index, %error, "a worker stopped");
                    // The receiver lives as long as the process waits for it.
                    let _ = fail.send(true);
                }
            };
            workers.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        let figures = Figures { board, counters, access_log_dropped: log.map(AccessLog::dropped), clock };
        Ok(Self { figures, store, commands, routes, drain, failed, workers, controller, keeper })
    }

    /// Starts the admin listener; operators may change things only over loopback.
    fn admin(&self, listener: TcpListener, mutations: bool) -> Result<Server, AppError> {
        let state = AdminState {
            board: self.figures.board.clone(),
            store: Arc::clone(&self.store),
            commands: self.commands.clone(),
            exposition: Exposition::new(self.figures.clone()).map_err(io::Error::other)?,
            routes: self.routes.clone(),
            drain: self.drain.subscribe(),
            clock: self.figures.clock,
            mutations,
        };
        Ok(Server::start(listener, state)?)
    }

    /// Lets the requests in flight end, then everything else; the admin listener answers until the data plane is done.
    fn drain(self, admin: Server) {
        let _ = self.drain.send(true);
        for worker in self.workers {
            let _ = worker.join();
        }
        admin.stop();
        drop(self.keeper);
        drop(self.commands);
        let _ = self.controller.join();
    }
}

/// Makes what the controller needs of a configured service.
fn setup(service: &config::Service) -> ServiceSetup {
    ServiceSetup {
        name: service.name.clone(),
        hosts: service.hosts.clone(),
        stable: service.stable.clone(),
        canary: service.canary.clone(),
        schedule: service.schedule.clone(),
        gates: service.gates.clone(),
        policy: service.policy,
        grader: grader(service),
        rules: service.rules,
    }
}

/// Makes the grader of the gate files: their own arithmetic over the proxy's own measurements; `None` where no file grades.
fn grader(service: &config::Service) -> Option<Grader> {
    let perfspec = service.perfspec.as_ref().map(|file| (file.spec.clone(), live::indicators(&file.spec).unwrap_or_default()));
    let graded = service.graded.clone();
    if perfspec.is_none() && graded.is_empty() {
        return None;
    }
    Some(Arc::new(move |canary: &Measured<'_>, stable: Option<&Measured<'_>>| {
        let by_perfspec = perfspec.as_ref().map(|(spec, indicators)| {
            let answer = |indicator| Answer::Values(builtin::values(indicator, canary));
            let answers: Answers = indicators.iter().map(|i| (i.id.clone(), answer(i))).collect();
            let report = strict::evaluate(spec, &answers);
            (report.verdict, report.reasons.join("; "))
        });
        let grades = by_perfspec.into_iter().chain(graded.iter().map(|file| file.grade(canary, stable))).collect();
        joined(grades).unwrap_or_else(|| (Verdict::Inconclusive, "no file grades".to_owned()))
    }))
}

fn data_plane_settings(settings: &Settings) -> data_plane::Settings {
    data_plane::Settings {
        workers: settings.workers,
        timeouts: settings.timeouts,
        trusted: settings.trusted_proxies.clone(),
        strict: settings.strict_http,
        connections: connections_per_worker(settings.workers),
        pseudonym: format!("portcullis-{:06x}", rand::random::<u32>() & 0x00ff_ffff),
    }
}

/// Two descriptors per request of four fifths of what the process may open, shared by the workers.
fn connections_per_worker(workers: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find(|l| l.starts_with("Max open files")).and_then(|l| l.split_whitespace().nth(3)?.parse().ok());
    let open: usize = soft.unwrap_or(1024);
    (open / 5 * 2 / workers.max(1)).max(16)
}

/// Binds every address once per worker, so that the kernel spreads connections over them.
fn bind_all(addresses: &[SocketAddr], workers: usize) -> Result<Vec<Vec<TcpListener>>, AppError> {
    let mut fixed = Vec::new();
    for address in addresses {
        // Without SO_REUSEPORT first: two processes that both set it would share the port and never notice.
        let probe = bind_plain(*address)?;
        fixed.push(probe.local_addr().map_err(|source| AppError::Bind { address: *address, source })?);
    }
    (0..workers.max(1))
        .map(|_| fixed.iter().map(|address| bind_shared(*address).map_err(|source| AppError::Bind { address: *address, source })).collect())
        .collect()
}

fn bind_plain(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).map_err(|source| AppError::Bind { address, source })
}

fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Waits for SIGTERM, SIGINT or a worker's end; a second signal ends the process at once. SIGHUP asks for a refresh.
fn wait_for_stop(failed: &watch::Receiver<bool>, refresh: &std::sync::mpsc::Sender<()>) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failed = failed.clone();
    let outcome = runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                // Its thread lives as long as the sender.
                _ = hup.recv() => drop(refresh.send(())),
                broken = failed.wait_for(|failed| *failed) => return match broken {
                    Ok(_) => Err(AppError::Run(io::Error::other("a worker stopped"))),
                    Err(_) => Ok(()),
                },
            }
        }
    });
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                std::process::exit(1);
            }
        });
    })?;
    outcome
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
