//! Puts the delivery of artifacts together with the data plane it works on.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::app::error::AppError;
use crate::app::setup;
use crate::config::Settings;
use crate::control::command::{Command, Commands};
use crate::control::status::{Board, ServiceStatus};
use crate::delivery::{Desk, Engine, Ground, Parts, Pulse, Told, Wanted};
use crate::domain::address::Address;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::seam::keys::Keys;
use crate::telemetry::exposition::Figures;

/// How long the deployments of an earlier process may take to be up again before the process says that it serves.
pub(super) const UP_WITHIN: Duration = Duration::from_secs(60);

/// How often is looked whether the delivery lives.
const LOOK: Duration = Duration::from_secs(1);
/// How often a delivery that does not live is complained about.
const COMPLAINT: Duration = Duration::from_secs(60);

/// How long the delivery may take to let go of its state.
const LET_GO_WITHIN: Duration = Duration::from_secs(20);

/// The delivery while it runs.
pub(super) struct Delivering {
    /// The way to it.
    pub(super) desk: Desk,
    /// What lets it change hands.
    pub(super) grip: Grip,
    thread: JoinHandle<()>,
    pulse: Pulse,
    is_up: Receiver<()>,
    /// Ends the watch when it is dropped.
    watched: Sender<()>,
    watch: JoinHandle<()>,
}

impl Delivering {
    /// Starts the delivery where the configuration has one, as far as is `wanted` for now.
    pub(super) fn start(
        settings: &Settings,
        way: (Commands, &Figures),
        listen: &[Address],
        wanted: Wanted,
    ) -> Result<Option<Self>, AppError> {
        let (commands, figures) = way;
        let Some(delivery) = settings.delivery.clone() else { return Ok(None) };
        let wrong = AppError::Delivery;
        let plain = |listen: &&(&crate::config::Listen, SocketAddr)| {
            let (written, _) = listen;
            written.tls.is_none() && written.proxies.is_empty() && written.service.is_none()
        };
        let listeners: Vec<_> = settings.listen.iter().zip(listen).filter_map(|(written, at)| Some((written, at.ip()?))).collect();
        let entry = listeners.iter().find(plain).map(|(_, address)| within(*address)).ok_or_else(|| {
            wrong("tests need a listener that speaks HTTP without TLS and PROXY headers; add one on a loopback address".to_owned())
        })?;
        let id = "delivery".parse().map_err(|_| wrong("the key has no name".to_owned()))?;
        let keys = Keys::new([(id, rand::random::<[u8; 32]>())]).map_err(|error| wrong(error.to_string()))?;
        let ground = Ground {
            commands: commands.clone(),
            board: figures.board.clone(),
            make: Arc::new(setup::service),
            entry,
            keys,
            domain: delivery.domain.clone(),
            policy: delivery.policy,
            early_stop: delivery.early_stop,
            sources_within: delivery.sources_within,
        };
        let program: PathBuf = std::env::current_exe()?;
        let state = std::path::absolute(&settings.state)?;
        let parts = Parts { ground, settings: delivery, state, program, clock: figures.clock };
        let (desk, asked, pulse) = Desk::channel();
        let ((up, is_up), (released, is_released)) = (channel(), channel());
        let (want, wanted) = watch::channel(wanted);
        let own: BTreeSet<Name> = settings.services.iter().map(|service| service.name.clone()).collect();
        let watched = Watched { pulse: pulse.clone(), commands, board: figures.board.clone(), own: own.clone() };
        let thread = Engine::start(parts, (asked, pulse.clone()), wanted, Told { up, released }).map_err(wrong)?;
        let grip = Grip { want: Arc::new(want), released: Arc::new(Mutex::new(is_released)), pulse: pulse.clone(), own: Arc::new(own) };
        let (end, ended) = channel();
        let clock = figures.clock;
        let watching = move || watched.watch(&ended, || clock.now());
        let watch = thread::Builder::new().name("delivery-watch".to_owned()).spawn(watching)?;
        Ok(Some(Self { desk, grip, thread, pulse, is_up, watched: end, watch }))
    }

    /// Waits until what was live is up again, for as long as `goes_on` says so.
    ///
    /// # Errors
    ///
    /// Fails when the delivery has ended meanwhile.
    pub(super) fn await_up(&self, mut goes_on: impl FnMut() -> bool) -> Result<(), AppError> {
        let deadline = Instant::now() + UP_WITHIN;
        while goes_on() {
            match self.is_up.recv_timeout(Duration::from_millis(20)) {
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!("not everything that was live is up again after {UP_WITHIN:?}; it goes on");
                    return Ok(());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(AppError::Delivery("its thread has ended".to_owned())),
            }
        }
        Ok(())
    }

    /// Goes on from where it was, once nobody else has the traffic.
    pub(super) fn go_on(&self) {
        self.grip.want(|now| (now == Wanted::Restore).then_some(Wanted::Deliver));
    }

    /// Begins nothing more: from here on what fails says nothing of a version.
    pub(super) fn freeze(&self) {
        self.grip.want(|now| (now != Wanted::Release).then_some(Wanted::Freeze));
    }

    /// Stops every deployment and ends; where it was let go of, it only ends.
    pub(super) fn end(self) {
        self.pulse.let_go();
        drop(self.watched);
        // It holds a way to the controller, which ends with the last of those.
        let _ = self.watch.join();
        self.grip.want(|_| Some(Wanted::End));
        if self.thread.join().is_err() {
            tracing::error!("the delivery ended by a panic");
        }
    }
}

/// What lets the delivery change hands: a process that succeeds this one takes it up from its state, while what is live runs on.
#[derive(Clone)]
pub(super) struct Grip {
    want: Arc<watch::Sender<Wanted>>,
    /// Read by the one thread that hands over.
    released: Arc<Mutex<Receiver<()>>>,
    pulse: Pulse,
    /// The services of the configuration; every other one is a stage.
    own: Arc<BTreeSet<Name>>,
}

impl Grip {
    fn want(&self, next: impl FnOnce(Wanted) -> Option<Wanted>) -> bool {
        self.want.send_if_modified(|wanted| match next(*wanted) {
            Some(next) => {
                *wanted = next;
                true
            }
            None => false,
        })
    }

    /// Says whether a service is a stage.
    pub(super) fn is_stage(&self, service: &Name) -> bool {
        !self.own.contains(service)
    }

    /// Lets go of the state, and returns once another process may have it.
    ///
    /// # Errors
    ///
    /// Fails when that takes too long; then [`Grip::take_back`] is to be called as after a success.
    pub(super) fn let_go(&self) -> Result<(), String> {
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        // Of an earlier attempt that came too late.
        while released.try_recv().is_ok() {}
        self.pulse.let_go();
        self.want(|_| Some(Wanted::Release));
        released.recv_timeout(LET_GO_WITHIN).map_err(|_| format!("the delivery has not let go of its state within {LET_GO_WITHIN:?}"))
    }

    /// Takes the state back where it was let go of, and goes on.
    pub(super) fn take_back(&self) {
        self.want(|now| (now == Wanted::Release).then_some(Wanted::Deliver));
    }
}

/// Who looks whether the delivery lives, on a thread of its own.
struct Watched {
    pulse: Pulse,
    commands: Commands,
    board: Board,
    /// The services of the configuration; every other one is a stage.
    own: BTreeSet<Name>,
}

impl Watched {
    /// Looks until the process ends. Where the delivery does not live its rollouts are given back: nobody would follow them.
    fn watch(self, ended: &Receiver<()>, now: impl Fn() -> Timestamp) {
        let mut complained: Option<Instant> = None;
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let Some(failure) = self.pulse.failure(now()) else {
                complained = None;
                continue;
            };
            if complained.is_none_or(|last| last.elapsed() >= COMPLAINT) {
                complained = Some(Instant::now());
                tracing::error!("{failure}; what is live is served on, rollouts in stages are given back");
            }
            self.give_back(failure);
        }
    }

    fn give_back(&self, failure: &str) {
        let snapshot = self.board.snapshot();
        let on_trial = |service: &&Arc<ServiceStatus>| service.rollout.as_ref().is_some_and(|rollout| !rollout.phase.is_terminal());
        for service in snapshot.services.iter().filter(|service| !self.own.contains(&service.name)).filter(on_trial) {
            let (name, reason) = (service.name.clone(), failure.to_owned());
            let abort = Command::Abort { service: name, actor: "delivery-watch".to_owned(), reason };
            if let Err(error) = self.commands.run(abort) {
                tracing::error!(service = %service.name, %error, "its rollout could not be given back");
            }
        }
    }
}

/// Returns how this machine reaches its own listener.
fn within(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
