//! Puts the delivery of artifacts together with the data plane it works on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::app::error::AppError;
use crate::app::setup;
use crate::config::Settings;
use crate::control::command::Commands;
use crate::delivery::{Desk, Engine, Ground, Parts};
use crate::domain::address::Address;
use crate::seam::keys::Keys;
use crate::telemetry::exposition::Figures;

/// How long the deployments of an earlier process may take to be up again before the process says that it serves.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// The delivery while it runs.
pub(super) struct Delivering {
    /// The way to it.
    pub(super) desk: Desk,
    freeze: Arc<Notify>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Delivering {
    /// Starts the delivery where the configuration has one, and waits until what was live is up again.
    pub(super) fn start(settings: &Settings, way: (Commands, &Figures), listen: &[Address]) -> Result<Option<Self>, AppError> {
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
            commands,
            board: figures.board.clone(),
            make: Arc::new(setup::service),
            entry,
            keys,
            domain: delivery.domain.clone(),
            policy: delivery.policy,
            early_stop: delivery.early_stop,
        };
        let program: PathBuf = std::env::current_exe()?;
        let state = std::path::absolute(&settings.state)?;
        let parts = Parts { ground, settings: delivery, state, program, clock: figures.clock };
        let (desk, asked) = Desk::channel();
        let ((stop, stopped), (up, is_up)) = (oneshot::channel(), channel());
        let freeze = Arc::new(Notify::new());
        let thread = Engine::start(parts, asked, (Arc::clone(&freeze), stopped), up).map_err(wrong)?;
        match is_up.recv_timeout(UP_WITHIN) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => tracing::warn!("not everything that was live is up again after {UP_WITHIN:?}; it goes on"),
            Err(RecvTimeoutError::Disconnected) => return Err(wrong("its thread has ended".to_owned())),
        }
        Ok(Some(Self { desk, freeze, stop, thread }))
    }

    /// Begins nothing more: from here on what fails says nothing of a version.
    pub(super) fn freeze(&self) {
        self.freeze.notify_one();
    }

    /// Stops every deployment and ends.
    pub(super) fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the delivery ended by a panic");
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
