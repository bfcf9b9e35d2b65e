//! One worker: a thread with its own runtime, listener, pools, draws and books.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use ipnet::IpNet;
use rand::distr::{Distribution, StandardUniform};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};

use crate::domain::outcome::Role;
use crate::domain::route::{Asked, Disagreement};
use crate::domain::split::Draw;
use crate::domain::version::Name;
use crate::proxy::certificates::TlsSlot;
pub use crate::proxy::counters::{Choices, Counters, Tunnels};
use crate::proxy::deadline::Deadlines;
use crate::proxy::intercept::Interception;
use crate::proxy::patrol::{Idle, Limits, Patrol};
use crate::proxy::pressure::{Level, Pressure};
use crate::proxy::rules::{Rules, SettingsSlot};
use crate::proxy::scan::Offence;
use crate::proxy::spread::{Desk, Spread};
use crate::proxy::upload::Larder;
use crate::proxy::upstream::{Pool, Pools};
use crate::proxy::wire::{Gathered, Spare};
use crate::seam::access::AccessSender;
use crate::seam::choice::{Choice, Held};
use crate::seam::clock::Clock;
use crate::seam::record::Records;
use crate::seam::recorder::{EpochBooks, Recorder};
use crate::seam::report::ReportSender;
use crate::seam::routes::{Reader, Routes};
use crate::seam::table::{Epoch, Table};
use crate::seam::trace::Tracer;

/// What a worker is made from.
#[derive(Clone)]
pub struct Parts {
    /// The settings in force.
    pub settings: SettingsSlot,
    /// The current table.
    pub routes: Routes,
    /// Where reports go.
    pub reports: ReportSender,
    /// Where access lines go, when there is a log.
    pub access: Option<AccessSender>,
    /// Where traces go, when they are collected.
    pub tracer: Option<Tracer>,
    /// The clock.
    pub clock: Clock,
    /// Counters shared by all workers.
    pub counters: Arc<Counters>,
    /// The load on the process.
    pub pressure: Arc<Pressure>,
    /// How connections are spread over the workers.
    pub spread: Arc<Spread>,
    /// Turns true when the process drains.
    pub drain: watch::Receiver<bool>,
    /// Set before that where another process accepts from the same listeners: an idle connection then stays for one more
    /// request, because closing it could cross one on its way.
    pub succeeded: Arc<AtomicBool>,
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
    /// Whether connections over a Unix socket do.
    pub proxied_socket: bool,
    /// The service that gets every connection as it is, without HTTP.
    pub service: Option<Name>,
    /// Whether requests for another host than the one a TLS connection was made for are refused.
    pub one_host: bool,
    /// What is known of the connections that are redirected to it, where they are.
    pub intercepted: Option<Interception>,
}

/// Whether a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    No,
    /// After the request it is at, or the next one.
    AfterNext,
    /// After the requests it is at.
    Now,
}

/// Everything one worker owns. Single-threaded; nothing in it is shared but what [`Parts`] names.
pub struct Worker {
    pub(in crate::proxy) clock: Clock,
    pub(in crate::proxy) pools: Pools,
    pub(in crate::proxy) patrol: Rc<Patrol>,
    /// The connections that have nothing to do and do not rest yet.
    pub(in crate::proxy) idle: Rc<Idle>,
    pub(in crate::proxy) deadlines: Rc<Deadlines>,
    /// Who is told of requests that have ended, where somebody is.
    pub(in crate::proxy) records: Option<Rc<Records>>,
    pub(in crate::proxy) counters: Arc<Counters>,
    pub(in crate::proxy) pressure: Arc<Pressure>,
    /// Where connections are counted and handed over.
    pub(in crate::proxy) desk: Desk,
    /// Told when the drain time is over and the remaining connections must go.
    pub(in crate::proxy) cut: Notify,
    /// Where bodies are kept that may be sent again.
    pub(in crate::proxy) larder: Rc<Larder>,
    /// Where small writes to clients are gathered.
    pub(in crate::proxy) gathered: Gathered,
    /// Where what an HTTP/2 connection writes in one turn is collected.
    pub(in crate::proxy) spare: Spare,
    rules: RefCell<Rc<Rules>>,
    settings: SettingsSlot,
    succeeded: Arc<AtomicBool>,
    /// Set when the drain begins; every connection looks at it whenever it is polled.
    draining: Cell<bool>,
    /// Set when the drain time is over.
    cutting: Cell<bool>,
    reader: RefCell<Reader>,
    /// By position in the table; absent where no request came yet.
    routes: RefCell<Vec<Option<RouteState>>>,
    recorder: RefCell<Recorder>,
    random: RefCell<SmallRng>,
}

/// What a worker keeps of one route.
struct RouteState {
    books: Rc<EpochBooks>,
    /// The route's choice, counted here alone: the count of what all workers share would move between their cores with each request.
    choice: Option<Rc<Held>>,
    draw: Draw,
    /// The connections to stable and canary, once there were requests.
    pools: [Option<Rc<Pool>>; 2],
}

/// The route of a request.
pub(in crate::proxy) struct Found {
    /// Its position in the table.
    pub index: usize,
    /// The books of its epoch.
    pub books: Rc<EpochBooks>,
    /// What of it goes otherwise than by the draw.
    pub choice: Option<Rc<Held>>,
}

impl Worker {
    /// Makes a worker; call within its runtime.
    #[must_use]
    pub fn new(index: usize, parts: &Parts) -> Rc<Self> {
        let rules = Rc::new(Rules::new(parts.settings.load_full()));
        Rc::new(Self {
            clock: parts.clock,
            pools: Pools::new(parts.routes.endpoints().clone(), parts.clock, &rules.settings, index, rand::rng().random()),
            patrol: Patrol::new(Limits::new(&rules.settings.timeouts)),
            idle: Rc::default(),
            deadlines: Deadlines::new(parts.clock, parts.routes.endpoints().clone()),
            records: Records::new(parts.access.clone(), parts.tracer.clone()),
            counters: Arc::clone(&parts.counters),
            pressure: Arc::clone(&parts.pressure),
            desk: Desk::new(&parts.spread, index),
            cut: Notify::new(),
            larder: Rc::default(),
            gathered: Gathered::default(),
            spare: Spare::default(),
            rules: RefCell::new(rules),
            settings: Arc::clone(&parts.settings),
            succeeded: Arc::clone(&parts.succeeded),
            draining: Cell::new(false),
            cutting: Cell::new(false),
            reader: RefCell::new(parts.routes.reader()),
            routes: RefCell::default(),
            recorder: RefCell::new(Recorder::new(index, parts.reports.clone())),
            random: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
        })
    }

    /// Loads the table once and finds the route of a request; `None` where no rule is met.
    ///
    /// # Errors
    ///
    /// Fails when a version could read the path so that it would belong to another route.
    pub(in crate::proxy) fn find(&self, asked: &Asked<'_>) -> Result<Option<Found>, Disagreement> {
        let mut reader = self.reader.borrow_mut();
        let table = reader.load();
        let Some(index) = table.route(asked)? else { return Ok(None) };
        Ok(self.found(table, index))
    }

    /// Loads the table once and finds the route of a service, whatever its rules; `None` where there is none.
    pub(in crate::proxy) fn find_service(&self, service: &Name) -> Option<Found> {
        let mut reader = self.reader.borrow_mut();
        let table = reader.load();
        self.found(table, table.service(service)?)
    }

    fn found(&self, table: &Table, index: usize) -> Option<Found> {
        let route = table.routes.get(index)?;
        let mut routes = self.routes.borrow_mut();
        if !matches!(routes.get(index), Some(Some(_))) {
            self.begin(&mut routes, index, &route.epoch);
        }
        let state = routes.get_mut(index)?.as_mut()?;
        if !Arc::ptr_eq(state.books.epoch(), &route.epoch) {
            state.renew(self.recorder.borrow_mut().open(&route.epoch));
        }
        state.follow(route.choice.as_ref());
        Some(Found { index, books: Rc::clone(&state.books), choice: state.choice.clone() })
    }

    /// Begins to keep something of a route.
    #[cold]
    fn begin(&self, routes: &mut Vec<Option<RouteState>>, index: usize, epoch: &Arc<Epoch>) {
        let books = self.recorder.borrow_mut().open(epoch);
        if routes.len() <= index {
            routes.resize_with(index + 1, || None);
        }
        if let Some(state) = routes.get_mut(index) {
            let draw = Draw::new(self.random.borrow_mut().random());
            *state = Some(RouteState { books, choice: None, draw, pools: [None, None] });
        }
    }

    /// Draws a version for the next request of a route.
    pub(in crate::proxy) fn draw(&self, found: &Found) -> Role {
        let Some(canary) = &found.books.epoch().canary else { return Role::Stable };
        let random = self.random.borrow_mut().random();
        let mut routes = self.routes.borrow_mut();
        let state = routes.get_mut(found.index).and_then(Option::as_mut);
        state.map_or(Role::Stable, |state| state.draw.next(canary.weight, random))
    }

    /// Returns the connections to the version that plays this part in a route.
    pub(in crate::proxy) fn pool(&self, found: &Found, role: Role) -> Rc<Pool> {
        let epoch = found.books.epoch();
        let mut routes = self.routes.borrow_mut();
        // The books may have been renewed since by a request that came in between; such a pool is not kept.
        let state = routes.get_mut(found.index).and_then(Option::as_mut).filter(|state| Arc::ptr_eq(state.books.epoch(), epoch));
        let kept = state.and_then(|state| state.pools.get_mut(usize::from(role == Role::Canary)));
        match kept {
            Some(kept) => Rc::clone(kept.get_or_insert_with(|| self.pools.of(epoch.version(role)))),
            None => self.pools.of(epoch.version(role)),
        }
    }

    /// Returns a uniform number.
    pub(in crate::proxy) fn random(&self) -> u32 {
        self.random.borrow_mut().random()
    }

    /// Returns a uniform number for an id.
    pub(in crate::proxy) fn random_id<T>(&self) -> T
    where
        StandardUniform: Distribution<T>,
    {
        self.random.borrow_mut().random()
    }

    /// Begins the drain: every connection ends after the request it is at. Each listener says so, and the first one counts: who is woken
    /// twice in one turn would end before the runtime knows what its client has sent.
    pub(in crate::proxy) fn drain(&self) {
        if !self.draining.replace(true) {
            self.patrol.wake_connections();
        }
    }

    /// Says why no further request is taken: the process is short of memory or descriptors, or there are as many in flight as there may
    /// be connections, because each takes one to a version. Over HTTP/1 the connections themselves bound those.
    pub(in crate::proxy) fn is_full(&self, rules: &Rules) -> Option<&'static str> {
        if self.pressure.level() == Level::Full {
            self.pressure.shed();
            return Some("the proxy is short of memory or descriptors");
        }
        (self.patrol.requests() >= rules.settings.connections).then_some("the proxy has as many requests in flight as it may")
    }

    /// Says whether the drain time is over.
    pub(in crate::proxy) const fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    /// Ends what the drain has not ended in its time.
    pub(in crate::proxy) fn cut(&self) {
        self.cutting.set(true);
        self.patrol.wake_connections();
        self.cut.notify_waiters();
    }

    /// Returns what new connections work by.
    pub(in crate::proxy) fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// Says whether a connection that works by these rules is to end: at once, or, where its client cannot know, after one more
    /// request.
    pub(in crate::proxy) fn ending(&self, rules: &Rc<Rules>) -> Ending {
        if self.draining.get() {
            let patient = self.succeeded.load(Ordering::Relaxed) && !self.cutting.get();
            return if patient { Ending::AfterNext } else { Ending::Now };
        }
        let stays = Rc::ptr_eq(&self.rules.borrow(), rules) && self.pressure.level() == Level::Normal;
        if stays { Ending::No } else { Ending::AfterNext }
    }

    /// Waits until a connection that waits for a request is to end at once.
    pub(in crate::proxy) async fn ends(&self, rules: &Rc<Rules>) {
        poll_fn(|_| if self.ending(rules) == Ending::Now { Poll::Ready(()) } else { Poll::Pending }).await;
        // What the client has sent when the drain begins is still served, and only after a turn does the runtime know of it.
        tokio::task::yield_now().await;
    }

    /// Takes over settings that were replaced; connections that work by the old ones end when they can.
    fn renew_rules(&self) {
        let settings = self.settings.load();
        if Arc::ptr_eq(&settings, &self.rules.borrow().settings) {
            return;
        }
        self.patrol.set_limits(Limits::new(&settings.timeouts));
        self.rules.replace(Rc::new(Rules::new(Arc::clone(&settings))));
        self.patrol.wake_connections();
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
            Offence::Fragment | Offence::Trailers | Offence::Preface => self.refused(),
        }
    }

    /// One round: end what takes too long, close what is stale, hand over what was seen. Its cost is measured by its name.
    #[inline(never)]
    pub fn tick(&self) {
        self.renew_rules();
        self.desk.renew();
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
            let Some(state) = state else { continue };
            // What it names is kept alive by it, and asked after.
            state.follow(route.choice.as_ref());
            if !Arc::ptr_eq(state.books.epoch(), &route.epoch) {
                state.renew(self.recorder.borrow_mut().open(&route.epoch));
            }
        }
    }

    /// Hands over what is left, as long as the controller takes it.
    pub fn flush(&self) {
        self.recorder.borrow_mut().report(self.clock.now());
    }
}

impl RouteState {
    /// Takes over the route's choice, which may be replaced without its epoch; two comparisons while it is not.
    fn follow(&mut self, choice: Option<&Arc<Choice>>) {
        let same = match (&self.choice, choice) {
            (Some(known), Some(choice)) => known.is(choice),
            (known, choice) => known.is_none() && choice.is_none(),
        };
        if !same {
            self.choice = choice.map(Held::new);
        }
    }

    /// Goes on with the books of the next epoch, whose versions may be others.
    fn renew(&mut self, books: Rc<EpochBooks>) {
        self.books = books;
        self.pools = [None, None];
    }
}
