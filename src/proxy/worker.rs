//! One worker: a thread with its own runtime, listener, pools, draws and books.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};

use crate::domain::outcome::Role;
use crate::domain::split::Draw;
use crate::proxy::certificates::TlsSlot;
use crate::proxy::deadline::Deadlines;
use crate::proxy::patrol::{Limits, Patrol};
use crate::proxy::sanitise::Policy;
use crate::proxy::scan::{Flood, Offence};
use crate::proxy::settings::Settings;
use crate::proxy::upstream::Pools;
use crate::proxy::wire::Gathered;
use crate::seam::access::AccessSender;
use crate::seam::clock::Clock;
use crate::seam::recorder::{EpochBooks, Recorder};
use crate::seam::report::ReportSender;
use crate::seam::routes::{Reader, Routes};
use crate::seam::table::Epoch;

/// Counters of the data plane that no version owns; written by workers, read at exposition.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests refused before a version was picked.
    pub refused: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open.
    pub open: AtomicU64,
    /// Connections turned away because the worker had too many, or could not be accepted.
    pub rejected: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections cut off for a flood of cheap frames, by kind.
    pub floods: [AtomicU64; Flood::ALL.len()],
}

/// What a worker is made from.
#[derive(Clone)]
pub struct Parts {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The current table.
    pub routes: Routes,
    /// Where reports go.
    pub reports: ReportSender,
    /// Where access lines go, when there is a log.
    pub access: Option<AccessSender>,
    /// The clock.
    pub clock: Clock,
    /// Counters shared by all workers.
    pub counters: Arc<Counters>,
    /// Turns true when the process drains.
    pub drain: watch::Receiver<bool>,
    /// What is particular to each listener, in their order; nothing where there is no entry.
    pub doors: Vec<DoorSetup>,
}

/// What is particular to a listener.
#[derive(Clone, Default)]
pub struct DoorSetup {
    /// How it is encrypted, if it is.
    pub tls: Option<TlsSlot>,
    /// The networks whose connections begin with a PROXY header.
    pub proxies: Vec<IpNet>,
}

/// Everything one worker owns. Single-threaded; nothing in it is shared but what [`Parts`] names.
pub struct Worker {
    pub(in crate::proxy) clock: Clock,
    pub(in crate::proxy) settings: Arc<Settings>,
    pub(in crate::proxy) policy: Policy,
    pub(in crate::proxy) pools: Pools,
    pub(in crate::proxy) patrol: Rc<Patrol>,
    pub(in crate::proxy) deadlines: Rc<Deadlines>,
    pub(in crate::proxy) access: Option<AccessSender>,
    pub(in crate::proxy) counters: Arc<Counters>,
    /// Told when the drain time is over and the remaining connections must go.
    pub(in crate::proxy) cut: Notify,
    /// Where small writes to clients are gathered.
    pub(in crate::proxy) gathered: Gathered,
    /// Set when the drain begins; every connection looks at it whenever it is polled.
    draining: Cell<bool>,
    reader: RefCell<Reader>,
    routes: RefCell<Vec<RouteState>>,
    recorder: RefCell<Recorder>,
    random: RefCell<SmallRng>,
}

/// What a worker keeps of one route.
struct RouteState {
    books: Rc<EpochBooks>,
    draw: Draw,
}

impl Worker {
    /// Makes a worker; call within its runtime.
    #[must_use]
    pub fn new(index: usize, parts: &Parts) -> Rc<Self> {
        let settings = Arc::clone(&parts.settings);
        Rc::new(Self {
            clock: parts.clock,
            policy: Policy::new(settings.strict, &settings.pseudonym),
            pools: Pools::new(parts.routes.endpoints().clone(), parts.clock, &settings, rand::rng().random()),
            patrol: Patrol::new(Limits::new(&settings.timeouts)),
            deadlines: Deadlines::new(parts.clock, parts.routes.endpoints().clone()),
            access: parts.access.clone(),
            counters: Arc::clone(&parts.counters),
            cut: Notify::new(),
            gathered: Gathered::default(),
            draining: Cell::new(false),
            reader: RefCell::new(parts.routes.reader()),
            routes: RefCell::default(),
            recorder: RefCell::new(Recorder::new(index, parts.reports.clone())),
            random: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            settings,
        })
    }

    /// Loads the table once and returns the books of the epoch that serves this host.
    pub(in crate::proxy) fn books_for(&self, host: &str) -> Option<Rc<EpochBooks>> {
        let mut reader = self.reader.borrow_mut();
        let table = reader.load();
        let index = table.route(host)?;
        let epoch = &table.routes.get(index)?.epoch;
        let mut routes = self.routes.borrow_mut();
        if let Some(state) = routes.get_mut(index) {
            if !Arc::ptr_eq(state.books.epoch(), epoch) {
                state.books = self.recorder.borrow_mut().open(epoch);
            }
            return Some(Rc::clone(&state.books));
        }
        self.grow(&mut routes, &table.routes);
        routes.get(index).map(|state| Rc::clone(&state.books))
    }

    #[cold]
    fn grow(&self, states: &mut Vec<RouteState>, routes: &[crate::seam::table::Route]) {
        for route in routes.iter().skip(states.len()) {
            let books = self.recorder.borrow_mut().open(&route.epoch);
            states.push(RouteState { books, draw: Draw::new(self.random.borrow_mut().random()) });
        }
    }

    /// Draws a version for the next request of this epoch's route.
    pub(in crate::proxy) fn draw(&self, epoch: &Arc<Epoch>) -> Role {
        let Some(canary) = &epoch.canary else { return Role::Stable };
        let random = self.random.borrow_mut().random();
        let mut routes = self.routes.borrow_mut();
        let state = routes.iter_mut().find(|state| Arc::ptr_eq(state.books.epoch(), epoch));
        state.map_or(Role::Stable, |state| state.draw.next(canary.weight, random))
    }

    /// Begins the drain: every connection ends after the request it is at.
    pub(in crate::proxy) fn drain(&self) {
        self.draining.set(true);
        self.patrol.wake_connections();
    }

    /// Says whether the drain has begun.
    pub(in crate::proxy) const fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Counts a refused request.
    pub(in crate::proxy) fn refused(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was cut off.
    pub(in crate::proxy) fn offended(&self, offence: Offence) {
        match offence {
            Offence::Flood(flood) => {
                if let Some(count) = self.counters.floods.get(flood.index()) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Offence::Fragment | Offence::Preface => self.refused(),
        }
    }

    /// One round: end what takes too long, close what is stale, hand over what was seen.
    pub fn tick(&self) {
        self.patrol.walk();
        self.deadlines.take_back();
        self.pools.sweep();
        self.close_old_books();
        self.recorder.borrow_mut().report(self.clock.now());
    }

    /// Lets go of the books of epochs that were replaced while no request came.
    fn close_old_books(&self) {
        let mut reader = self.reader.borrow_mut();
        let table = reader.load();
        let mut routes = self.routes.borrow_mut();
        routes.truncate(table.routes.len());
        for (state, route) in routes.iter_mut().zip(&table.routes) {
            if !Arc::ptr_eq(state.books.epoch(), &route.epoch) {
                state.books = self.recorder.borrow_mut().open(&route.epoch);
            }
        }
    }

    /// Hands over what is left, as long as the controller takes it.
    pub fn flush(&self) {
        self.recorder.borrow_mut().report(self.clock.now());
    }
}
