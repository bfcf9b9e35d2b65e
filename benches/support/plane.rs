//! The real data plane in this process: workers on threads of their own, one loopback port each.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis::domain::timeouts::Timeouts;
use portcullis::proxy::listener;
use portcullis::proxy::settings::Settings;
use portcullis::proxy::spread::Spread;
use portcullis::proxy::worker::{Counters, Parts};
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{self, Report};
use portcullis::seam::routes::Routes;
use tokio::sync::watch;

/// Running workers.
pub struct Plane {
    /// The port of each worker.
    pub addresses: Vec<SocketAddr>,
    /// Where tables are published.
    pub routes: Routes,
    /// What the workers report; somebody must read it.
    pub reports: Receiver<Report>,
    drain: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Plane {
    /// Starts the workers.
    pub fn start(clock: Clock, workers: usize) -> std::io::Result<Self> {
        let routes = Routes::default();
        let (sender, reports) = report::channel();
        let (drain, draining) = watch::channel(false);
        let timeouts = Timeouts { drain: Duration::from_millis(200), ..Timeouts::default() };
        let settings = Settings {
            workers,
            timeouts,
            trusted: Vec::new(),
            strict: true,
            connections: 1_000,
            pseudonym: "portcullis-bench".to_owned(),
            ..Settings::default()
        };
        let parts = Parts {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            routes: routes.clone(),
            reports: sender,
            access: None,
            tracer: None,
            clock,
            counters: Arc::new(Counters::default()),
            drain: draining,
            pressure: Arc::default(),
            spread: Spread::new(1),
            succeeded: Arc::default(),
            doors: Vec::new(),
        };
        let (mut addresses, mut threads) = (Vec::new(), Vec::new());
        for index in 0..workers {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            addresses.push(socket.local_addr()?);
            let parts = parts.clone();
            threads.push(thread::spawn(move || listener::run(index, vec![socket.into()], &parts).expect("a worker runs")));
        }
        Ok(Self { addresses, routes, reports, drain, workers: threads })
    }

    /// Stops the workers.
    pub fn stop(self) {
        let _ = self.drain.send(true);
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}
