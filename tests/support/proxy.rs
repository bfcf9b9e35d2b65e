//! The real workers in this process: real sockets, a table published by the test, reports read by the test, drained at the end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use portcullis::domain::endpoint::Endpoint;
use portcullis::domain::observation::Window;
use portcullis::domain::outcome::Role;
use portcullis::domain::route::Rule;
use portcullis::domain::time::Timestamp;
use portcullis::domain::timeouts::Timeouts;
use portcullis::domain::transport::Transport;
use portcullis::domain::upkeep::{Limits, Rules};
use portcullis::domain::version::Version;
use portcullis::domain::weight::Weight;
use portcullis::proxy::certificates::TlsSlot;
use portcullis::proxy::intercept::Interception;
use portcullis::proxy::listener;
use portcullis::proxy::listening::Listening;
use portcullis::proxy::plain::Plain;
use portcullis::proxy::pressure::Pressure;
use portcullis::proxy::rules::SettingsSlot;
use portcullis::proxy::settings::Settings;
use portcullis::proxy::spread::Spread;
use portcullis::proxy::worker::{Counters, DoorSetup, Parts};
use portcullis::seam::access::{self, AccessReceiver};
use portcullis::seam::choice::Choice;
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{self, Report};
use portcullis::seam::routes::Routes;
use portcullis::seam::table::{Canary, Epoch, Route, Table, Watch};
use portcullis::seam::trace::{self, Finished, Sampling, TraceReceiver};
use portcullis::seam::tripwire::{Tables, Trial};
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;

use super::eventually;

mod told;

/// The generation of the epoch that the harness publishes.
pub const GENERATION: u64 = 7;

/// The workers of one test.
pub struct Proxy {
    /// Where they listen.
    pub address: SocketAddr,
    /// The settings in force; what is stored here is taken over on the next tick.
    pub settings: SettingsSlot,
    /// The load on the process.
    pub pressure: Arc<Pressure>,
    /// Set before a drain in which another process accepts from the same listeners.
    pub succeeded: Arc<AtomicBool>,
    /// The routing table.
    pub routes: Routes,
    /// The trial of the canary, when there is one.
    pub trial: Option<Arc<Trial>>,
    /// The data plane's counters.
    pub counters: Arc<Counters>,
    /// The access log.
    pub access: Mutex<AccessReceiver>,
    /// The traces, where requests are recorded.
    traces: Option<Mutex<TraceReceiver>>,
    reports: Mutex<(Receiver<Report>, Window, Window)>,
    /// What was reported of versions beside the split.
    beside: Mutex<BTreeMap<String, Window>>,
    /// How many requests each worker has said it decided.
    decided: Mutex<BTreeMap<usize, u64>>,
    drain: watch::Sender<bool>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
}

/// What a proxy is made from.
pub struct Setup {
    settings: Settings,
    stable: Arc<Version>,
    rules: Vec<Rule>,
    choice: Option<Choice>,
    canary: Option<Canary>,
    door: DoorSetup,
    socket: Option<PathBuf>,
    mutual: Rules,
    sampling: Option<Sampling>,
}

/// Short time-outs for tests; still long enough for a busy machine.
pub fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        response: Duration::from_secs(2),
        body_idle: Duration::from_secs(2),
        header: Duration::from_secs(2),
        detect: Duration::from_millis(50),
        keep_alive: Duration::from_secs(4),
        write_stall: Duration::from_secs(2),
        connection_age: Duration::from_secs(3600),
        drain: Duration::from_secs(2),
    }
}

fn version(name: &str, endpoints: Vec<SocketAddr>) -> Arc<Version> {
    Arc::new(Version::at(name.parse().unwrap(), endpoints))
}

/// Begins a proxy whose stable version listens there.
pub fn to(stable: impl Into<Vec<SocketAddr>>) -> Setup {
    let settings = Settings {
        workers: 1,
        timeouts: timeouts(),
        trusted: Vec::new(),
        strict: false,
        connections: 1_000,
        pseudonym: "gate-1".to_owned(),
        ..Settings::default()
    };
    Setup {
        settings,
        stable: version("v1", stable.into()),
        rules: Vec::new(),
        choice: None,
        canary: None,
        door: DoorSetup::default(),
        socket: None,
        mutual: Rules::default(),
        sampling: None,
    }
}

impl Setup {
    /// Speaks to the stable version, and to the canary where there is one already, in this way.
    pub fn speaking(mut self, transport: &Transport) -> Self {
        let speak = |version: &Arc<Version>| Arc::new(Version { transport: transport.clone(), ..Version::clone(version) });
        self.stable = speak(&self.stable);
        if let Some(canary) = &mut self.canary {
            canary.version = speak(&canary.version);
        }
        self
    }

    /// Lets the stable version listen there instead.
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.stable = Arc::new(Version { endpoints: vec![endpoint], ..Version::clone(&self.stable) });
        self
    }

    /// Changes the settings.
    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Encrypts the listener.
    pub fn tls(mut self, slot: TlsSlot) -> Self {
        self.door.tls = Some(slot);
        self
    }

    /// Refuses requests for another host than the one a TLS connection was made for.
    pub fn one_host(mut self) -> Self {
        self.door.one_host = true;
        self
    }

    /// Passes every connection on as it is.
    pub fn opaque(mut self) -> Self {
        self.door.service = Some("carts".parse().unwrap());
        self
    }

    /// Takes every connection for one that was redirected on its way to `aim`, or was not.
    pub fn intercepting(mut self, aim: Option<SocketAddr>) -> Self {
        let ask = move |_: &Plain| aim.ok_or_else(|| std::io::ErrorKind::NotFound.into());
        self.door.intercepted = Some(Interception::by(ask, Vec::new()));
        self
    }

    /// Listens on a Unix socket at this path besides, which all workers share.
    pub fn socket(mut self, path: PathBuf) -> Self {
        self.socket = Some(path);
        self
    }

    /// Expects a PROXY header from loopback peers, and over a Unix socket.
    pub fn proxied(mut self) -> Self {
        self.door.proxied_socket = true;
        self.door.proxies.push(IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST)));
        self
    }

    /// Refuses bare LF and two framings.
    pub fn strict(self) -> Self {
        self.with(|settings| settings.strict = true)
    }

    /// Believes the forwarding fields of loopback peers.
    pub fn trusting(self) -> Self {
        self.with(|settings| settings.trusted.push(IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST))))
    }

    /// Answers for these hosts only.
    pub fn for_hosts(mut self, hosts: &[&str]) -> Self {
        self.rules = hosts.iter().map(|host| Rule::for_host(host.parse().unwrap())).collect();
        self
    }

    /// Lets some requests go otherwise than by the draw.
    pub fn choosing(mut self, choice: Choice) -> Self {
        self.choice = Some(choice);
        self
    }

    /// Puts a canary on trial that gets every request, watched by these wires, each with this table n_max.
    pub fn canary(mut self, endpoints: impl Into<Vec<SocketAddr>>, watches: &[Watch], n_max: &[u64]) -> Self {
        let trial = Arc::new(Trial::new(watches.iter().map(|_| Tables::without_step(n_max.into())).collect(), 1));
        self.canary = Some(Canary {
            version: version("v2", endpoints.into()),
            weight: Weight::FULL,
            trial,
            watches: watches.into(),
            outcome_deadline: None,
            probe_spacing: None,
        });
        self
    }

    /// Lets the canary's requests fail that have no response head after so long.
    pub fn outcome_deadline(mut self, deadline: Duration) -> Self {
        self.canary.as_mut().expect("a canary").outcome_deadline = Some(deadline);
        self
    }

    /// Gives the canary this share.
    pub fn weight(mut self, weight: Weight) -> Self {
        self.canary.as_mut().expect("a canary").weight = weight;
        self
    }

    /// Lets the canary hold so much at once.
    pub fn canary_limits(mut self, limits: Limits) -> Self {
        let canary = self.canary.as_mut().expect("a canary");
        Arc::make_mut(&mut canary.version).upkeep.limits = limits;
        self
    }

    /// Lets the versions do this for each other.
    pub fn mutual(mut self, rules: Rules) -> Self {
        self.mutual = rules;
        self
    }

    /// Records these requests.
    pub fn traced(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// Starts the workers.
    pub fn start(self) -> Proxy {
        let routes = Routes::default();
        let trial = self.canary.as_ref().map(|c| Arc::clone(&c.trial));
        let stable = self.stable;
        let epoch = Epoch::new("carts".parse().unwrap(), 1, GENERATION, stable, self.canary, Timestamp::NEVER).with_rules(self.mutual);
        let route = Route { choice: self.choice.map(Arc::new), ..Route::new(self.rules, Arc::new(epoch)) };
        routes.publish(Table::new(1, vec![route]));
        let (reports, received) = report::channel();
        let (access, lines) = access::channel();
        let (tracer, traces) = self.sampling.map(trace::channel).unzip();
        let (drain, draining) = watch::channel(false);
        let (counters, succeeded, pressure) = (Arc::new(Counters::default()), Arc::<AtomicBool>::default(), Arc::<Pressure>::default());
        let settings = Arc::new(ArcSwap::from_pointee(self.settings));
        let parts = Parts {
            settings: Arc::clone(&settings),
            routes: routes.clone(),
            reports,
            access: Some(access),
            tracer,
            clock: Clock::start(),
            counters: Arc::clone(&counters),
            drain: draining,
            pressure: Arc::clone(&pressure),
            spread: Spread::new(settings.load().workers),
            succeeded: Arc::clone(&succeeded),
            doors: vec![self.door],
        };
        let first = listener((Ipv4Addr::LOCALHOST, 0).into());
        let address = first.local_addr().unwrap();
        let mut listeners = vec![first];
        listeners.extend((1..settings.load().workers).map(|_| listener(address)));
        let shared = self.socket.map(|path| UnixListener::bind(path).unwrap());
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| {
                let parts = parts.clone();
                let mut listening = vec![listener.into()];
                listening.extend(shared.iter().map(|shared| Listening::from(shared.try_clone().unwrap())));
                std::thread::spawn(move || listener::run(index, listening, &parts))
            })
            .collect();
        let reports = Mutex::new((received, Window::default(), Window::default()));
        Proxy {
            address,
            settings,
            pressure,
            succeeded,
            routes,
            trial,
            counters,
            access: Mutex::new(lines),
            traces: traces.map(Mutex::new),
            reports,
            beside: Mutex::default(),
            decided: Mutex::default(),
            drain,
            workers,
        }
    }
}

fn listener(address: SocketAddr) -> std::net::TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}
