//! A real controller with its store in a temporary folder, and the admin listener in front of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis::admin::access::Access;
use portcullis::admin::server::Server;
use portcullis::admin::state::AdminState;
use portcullis::control::command::Commands;
use portcullis::control::controller::{Controller, Inputs};
use portcullis::control::setup::{Origin, ServiceSetup};
use portcullis::control::status::Board;
use portcullis::domain::gate::{Gate, Policy};
use portcullis::domain::observation::Observation;
use portcullis::domain::outcome::{Outcome, Role};
use portcullis::domain::rollout::{Plan, Schedule};
use portcullis::domain::version::{Name, Version};
use portcullis::proxy::settings::Settings;
use portcullis::proxy::worker::{Counters, Parts};
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{self, Report, ReportSender, StableMarks};
use portcullis::seam::routes::Routes;
use portcullis::store::Store;
use portcullis::telemetry::exposition::{Exposition, Figures};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The controller of the service `carts` and its admin listener; ended when dropped.
pub struct Desk {
    pub routes: Routes,
    address: SocketAddr,
    clock: Clock,
    reports: Option<ReportSender>,
    counters: Arc<Counters>,
    draining: watch::Receiver<bool>,
    server: Option<Server>,
    controller: Option<JoinHandle<()>>,
    drain: watch::Sender<bool>,
    _folder: TempDir,
}

/// An answer that was read to its end.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, body: body.to_owned() })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn setup(stable: SocketAddr) -> ServiceSetup {
    ServiceSetup {
        origin: Origin::default(),
        name: name("carts"),
        rules: Vec::new(),
        choice: None,
        stable: Version::at(name("0.8.1"), vec![stable]),
        canary: None,
        schedule: Schedule::Steps(Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap()),
        gates: ["p95 < 1s", "errors < 1%"].map(|gate| Gate::written(gate.parse().unwrap())).to_vec(),
        policy: Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() },
        grader: None,
        mutual: portcullis::domain::upkeep::Rules::default(),
        way_back: portcullis::domain::way_back::WayBack::default(),
        webhooks: Arc::default(),
        webhook_failure: portcullis::domain::gate::Inconclusive::Hold,
    }
}

impl Desk {
    pub fn start() -> Self {
        Self::before(([127, 0, 0, 1], 9).into())
    }

    /// Stands before a stable version that listens there.
    pub fn before(stable: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("state")).unwrap().store);
        let (clock, routes, board) = (Clock::start(), Routes::default(), Board::default());
        let (reports, inbox) = report::channel();
        let (commands, requests) = Commands::channel(reports.clone());
        let controller = Controller::start(
            vec![setup(stable)],
            Arc::clone(&store),
            clock,
            routes.clone(),
            board.clone(),
            Inputs { workers: 0, reports: inbox, requests, inquiries: std::sync::mpsc::channel().0, bequests: Vec::new() },
        );
        let controller = std::thread::spawn(move || controller.run());
        let counters = Arc::<Counters>::default();
        let exposition = Exposition::new(Figures {
            board: board.clone(),
            counters: Arc::clone(&counters),
            access_log_dropped: None,
            spans: None,
            compat: Default::default(),
            pressure: Arc::default(),
            reloads: Arc::default(),
            lockouts: Arc::default(),
            certificates: Vec::new(),
            clock,
        })
        .unwrap();
        let (drain, draining) = watch::channel(false);
        let state = AdminState {
            board,
            store,
            commands,
            exposition,
            routes: routes.clone(),
            drain: draining.clone(),
            clock,
            access: Access::default(),
            delivery: None,
            answers: Default::default(),
            reading: Default::default(),
            live: Default::default(),
            patience: Default::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::start(vec![listener.into()], state).unwrap();
        Self {
            address,
            routes,
            clock,
            reports: Some(reports),
            counters,
            draining,
            server: Some(server),
            controller: Some(controller),
            drain,
            _folder: folder,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what workers of this data plane are made from.
    pub fn parts(&self, settings: Settings) -> Parts {
        Parts {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            routes: self.routes.clone(),
            reports: self.reports.clone().unwrap(),
            access: None,
            tracer: None,
            clock: self.clock,
            counters: Arc::clone(&self.counters),
            drain: self.draining.clone(),
            pressure: Arc::default(),
            spread: portcullis::proxy::spread::Spread::new(1),
            succeeded: Arc::default(),
            doors: Vec::new(),
        }
    }

    /// Lets the workers of this data plane end.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Ends the listener, then the controller.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        // The controller ends when nobody is left who could tell it anything.
        drop(self.reports.take());
        if let Some(controller) = self.controller.take() {
            controller.join().unwrap();
        }
    }

    /// Breaches the first gate of the rollout as slow requests do, one of two gates by four of four.
    pub fn trip(&self) {
        let epoch = Arc::clone(&self.routes.current().routes[0].epoch);
        let trial = &epoch.canary.as_ref().expect("a rollout progresses").trial;
        let tripped: Vec<bool> = (0..4).map(|_| trial.breach(0, trial.begin(), 0, false)).collect();
        assert_eq!(tripped, [false, false, false, true], "the fourth of four slow requests trips");
        let at = self.clock.now();
        let report = Report::Tripped { service: name("carts"), rollout: epoch.rollout, evident: at, at };
        self.reports.as_ref().unwrap().send(report).unwrap();
    }

    /// Reports ten requests of the canary, 10.5 s long in sum; two of them failed with 503.
    pub fn observe(&self) {
        let epoch = Arc::clone(&self.routes.current().routes[0].epoch);
        let mut seen = Observation::new(Role::Canary);
        seen.decided = 10;
        (0..8).for_each(|_| seen.count(Outcome::Answered(200)));
        (0..2).for_each(|_| seen.count(Outcome::Answered(503)));
        for latencies in [&mut seen.response_time, &mut seen.duration] {
            latencies.count = 10;
            latencies.sum_ns = 10_500_000_000;
            latencies.cells = vec![(100_000, 5), (2_000_000, 5)];
        }
        let report = Report::Observed {
            service: name("carts"),
            rollout: epoch.rollout,
            worker: 0,
            generation: epoch.generation,
            versions: (epoch.version(Role::Stable).name.clone(), epoch.version(Role::Canary).name.clone()),
            observations: vec![seen],
            beside: Vec::new(),
            marks: Vec::new(),
            stable_marks: StableMarks::default(),
        };
        self.reports.as_ref().unwrap().send(report).unwrap();
    }

    /// Sends a whole request that asks for the connection to be closed.
    pub fn send(&self, request: &str) -> Answer {
        exchange(self.address(), request).expect("a complete answer")
    }

    pub fn get(&self, path: &str) -> Answer {
        get(self.address(), path).expect("a complete answer")
    }

    /// Posts JSON, or nothing at all.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let kind = if body.is_empty() { "If-Match: *\r\n" } else { "If-Match: *\r\nContent-Type: application/json\r\n" };
        let (host, length) = (self.address(), body.len());
        self.send(&format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n{body}"))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.end();
    }
}

/// Gets a path; `None` when nobody answers there.
pub fn get(to: SocketAddr, path: &str) -> Option<Answer> {
    exchange(to, &format!("GET {path} HTTP/1.0\r\nHost: {to}\r\n\r\n"))
}

fn exchange(to: SocketAddr, request: &str) -> Option<Answer> {
    let mut socket = TcpStream::connect(to).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    // A server that refuses a request half read may reset the connection behind its answer.
    let _ = socket.read_to_string(&mut answer);
    Answer::parse(&answer)
}

/// Waits until a condition gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not come within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
