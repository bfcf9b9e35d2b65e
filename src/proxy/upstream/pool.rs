//! One pool per version and worker: its endpoints, the choice between them, and how much the version may hold at once.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::domain::outcome::{Failure, Role};
use crate::domain::retry_budget::RetryBudget;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::proxy::settings::{PENDING, Settings};
use crate::proxy::upstream::balance;
use crate::proxy::upstream::bound::{Bound, Most};
use crate::proxy::upstream::connect::{Link, Scratch};
use crate::proxy::upstream::dial::{Conduit, Dialed, Dialer};
use crate::proxy::upstream::http2::lane::Crowd;
use crate::proxy::upstream::http2::lanes::Undialed;
use crate::proxy::upstream::slot::{Load, Opening, Seat, Slot};
use crate::seam::clock::Clock;
use crate::seam::endpoints::Endpoints;
use crate::seam::reach::{Again, List, Place, Reach};
use crate::seam::table::Epoch;

/// The connections of one worker to one version.
pub struct Pool {
    reach: Arc<Reach>,
    list: RefCell<Cache<Arc<ArcSwap<List>>, Arc<List>>>,
    /// The list that the slots were made from; never followed, only compared.
    made_from: Cell<*const List>,
    slots: RefCell<Vec<Rc<Slot>>>,
    /// Those of them that requests may go to, and the count of changes after which they were found.
    usable: RefCell<(u64, Vec<Rc<Slot>>)>,
    load: Rc<Load>,
    bound: Bound,
    budget: RefCell<RetryBudget>,
    random: Rc<RefCell<SmallRng>>,
    clock: Clock,
    dialer: Dialer,
}

impl Pool {
    /// Returns the buffer that connections read into.
    pub const fn scratch(&self) -> &Scratch {
        self.dialer.scratch()
    }

    /// Says whether a connection may turn out to carry many requests at once.
    pub const fn may_multiplex(&self) -> bool {
        self.dialer.may_multiplex()
    }

    /// Makes a connection to a seat's endpoint, or takes a place on one that was made meanwhile and carries many requests.
    ///
    /// # Errors
    ///
    /// Returns who failed and how; fails at once when as many connections are being made as may be.
    pub(super) async fn connect(&self, seat: &Seat, limit: Duration) -> Result<Conduit, Undialed> {
        let slot = seat.slot();
        let dial = async {
            let _opening = self.open(seat)?;
            self.dialer.dial(slot.place().target(), limit).await
        };
        if self.may_multiplex() {
            return Box::pin(slot.lanes().open(dial)).await;
        }
        match dial.await? {
            Dialed::Http1(link) => Ok(Conduit::Http1(link)),
            Dialed::Http2(lane) => lane.take_anyway().map(Conduit::Http2).ok_or(Undialed::from(Failure::ConnectionTerminated)),
        }
    }

    /// Makes a connection to a seat's endpoint that carries one request or none.
    ///
    /// # Errors
    ///
    /// As [`Pool::connect`].
    pub(super) async fn connect_alone(&self, seat: &Seat, limit: Duration) -> Result<Link, Failure> {
        let _opening = self.open(seat)?;
        self.dialer.dial_alone(seat.slot().place().target(), limit).await
    }

    /// Says whether nothing but HTTP/2 is spoken.
    pub(super) fn is_http2_only(&self) -> bool {
        self.dialer.is_http2_only()
    }

    /// Returns what all workers know of the version's endpoints.
    pub const fn reach(&self) -> &Arc<Reach> {
        &self.reach
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a seat at the better of two endpoints drawn at random; at another one than `except` where that is given. The
    /// moment is returned where there was a choice.
    ///
    /// # Errors
    ///
    /// Fails when the version holds as many requests as it may, or has no such endpoint.
    pub(super) fn choose(&self, except: Option<&Slot>) -> Result<(Seat, Option<Timestamp>), Failure> {
        self.bound.check(self.load.requests.get(), &self.reach, || self.now())?;
        self.renew();
        let slots = self.slots.borrow();
        if let ([only], None) = (slots.as_slice(), except) {
            return Ok((Seat::take(only, &self.load), None));
        }
        let now = self.now();
        let slot = self.drawn(&slots, except, now).ok_or(Failure::NoEndpoint)?;
        Ok((Seat::take(&slot, &self.load), Some(now)))
    }

    /// Draws an endpoint; what it costs does not depend on how many there are and how many of them are left out, but for the first
    /// request after that has changed.
    fn drawn(&self, slots: &[Rc<Slot>], except: Option<&Slot>, now: Timestamp) -> Option<Rc<Slot>> {
        if self.reach.owes_probe(now)
            && let Some(slot) = slots.iter().find(|slot| slot.place().take_probe(now))
        {
            self.reach.probed();
            return Some(Rc::clone(slot));
        }
        if slots.len() > 1 && except.is_none() {
            let (one, two) = balance::two(slots.len(), self.random.borrow_mut().random());
            let (one, two) = (slots.get(one)?, slots.get(two)?);
            match (one.place().is_in(), two.place().is_in()) {
                (true, true) => return Some(Rc::clone(if one.cost(now) <= two.cost(now) { one } else { two })),
                (true, false) => return Some(Rc::clone(one)),
                (false, true) => return Some(Rc::clone(two)),
                (false, false) => {}
            }
        }
        let usable = self.usable(slots);
        let other = |slot: &&Rc<Slot>| except.is_none_or(|except| !std::ptr::eq(Rc::as_ptr(slot), except));
        let chosen = match usable.as_slice() {
            [] => None,
            [only] => Some(only).filter(other),
            many => {
                let (one, two) = balance::two(many.len(), self.random.borrow_mut().random());
                match (many.get(one).filter(other), many.get(two).filter(other)) {
                    (Some(one), Some(two)) => Some(if one.cost(now) <= two.cost(now) { one } else { two }),
                    (one, two) => one.or(two),
                }
            }
        };
        // None is in: a first try is made all the same, because it is that or nothing. A canary does not come here.
        let best = || slots.iter().filter(|_| except.is_none() && usable.is_empty()).min_by(|a, b| a.cost(now).total_cmp(&b.cost(now)));
        chosen.or_else(best).cloned()
    }

    /// Returns the slots that requests may go to, found anew after who is in has changed.
    fn usable(&self, slots: &[Rc<Slot>]) -> Ref<'_, Vec<Rc<Slot>>> {
        let changes = self.reach.changes();
        if self.usable.borrow().0 != changes {
            let found = slots.iter().filter(|slot| slot.place().is_in()).cloned().collect();
            self.usable.replace((changes, found));
        }
        Ref::map(self.usable.borrow(), |(_, usable)| usable)
    }

    /// Makes the slots anew after the endpoints have changed; those that stay keep their connections, those that are gone
    /// get no further request.
    fn renew(&self) {
        let mut list = self.list.borrow_mut();
        let list = list.load();
        if Arc::as_ptr(list) == self.made_from.replace(Arc::as_ptr(list)) {
            return;
        }
        let mut slots = self.slots.borrow_mut();
        // A slot keeps its place from being another one.
        let mut kept: HashMap<*const Place, Rc<Slot>> = slots.drain(..).map(|slot| (Arc::as_ptr(slot.place()), slot)).collect();
        let slot = |place: &Arc<Place>| kept.remove(&Arc::as_ptr(place)).unwrap_or_else(|| Rc::new(Slot::new(Arc::clone(place))));
        slots.extend(list.places.iter().map(slot));
        // What was found was found among the old ones.
        self.usable.take();
    }

    /// Says whether there is another endpoint than this one.
    pub(super) fn has_other(&self, than: &Slot) -> bool {
        self.slots.borrow().iter().any(|slot| !std::ptr::eq(Rc::as_ptr(slot), than))
    }

    /// Counts a connection that is being made.
    ///
    /// # Errors
    ///
    /// Fails when as many are being made as may be.
    pub(super) fn open(&self, seat: &Seat) -> Result<Opening, Failure> {
        self.bound.check_opening(self.load.opening.get(), &self.reach)?;
        Ok(seat.opening())
    }

    /// Takes over what bounds the version over all workers.
    fn follow(&self) {
        self.bound.follow(&self.reach, self.load.requests.get(), self.now());
    }

    /// Counts a request, which earns the version a part of a retry.
    pub(super) fn request(&self) {
        self.budget.borrow_mut().request();
    }

    /// Takes a retry out of the budget; says whether there was one.
    pub(super) fn may_retry(&self) -> bool {
        let affordable = self.budget.borrow_mut().take(self.now());
        if !affordable {
            self.reach.deeds.unaffordable.fetch_add(1, Ordering::Relaxed);
        }
        affordable
    }

    /// Counts a second try.
    pub(super) fn tried_again(&self, why: Again) {
        if let Some(count) = self.reach.deeds.retries.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn slot(&self, index: usize) -> Rc<Slot> {
        self.renew();
        Rc::clone(&self.slots.borrow()[index])
    }

    #[cfg(test)]
    pub(super) fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn sweep(&self) {
        self.renew();
        self.follow();
        self.dialer.sweep();
        self.slots.borrow().iter().for_each(|slot| slot.sweep());
    }
}

type Known = HashMap<usize, (Weak<Version>, Rc<Pool>)>;

/// All pools of one worker.
pub struct Pools {
    scratch: Scratch,
    crowd: Crowd,
    endpoints: Endpoints,
    clock: Clock,
    worker: usize,
    workers: u32,
    connections: u32,
    random: Rc<RefCell<SmallRng>>,
    /// By where the version lies: what is kept of one keeps its place from being given to another.
    pools: RefCell<Known>,
}

impl Pools {
    /// Makes the pools of this worker of all; `seed` decides what it draws.
    #[must_use]
    pub fn new(endpoints: Endpoints, clock: Clock, settings: &Settings, worker: usize, seed: u64) -> Self {
        Self {
            scratch: Scratch::default(),
            crowd: Crowd::default(),
            endpoints,
            clock,
            worker,
            workers: u32::try_from(settings.workers).unwrap_or(u32::MAX).max(1),
            connections: u32::try_from(settings.connections).unwrap_or(u32::MAX),
            random: Rc::new(RefCell::new(SmallRng::seed_from_u64(seed))),
            pools: RefCell::default(),
        }
    }

    /// Turns what was picked into who gets the request, with its pool: a canary without a usable endpoint gets none.
    ///
    /// Readiness is a veto (invariant I17): its share goes to stable, which is counted, shown, and holds the rollout. The other
    /// way round is the operator's choice: where `failover` is allowed, a request for a stable version that has no usable
    /// endpoint goes to a canary that has one.
    ///
    /// `of` finds the pool of a role, faster than [`Self::of`] where there are many versions.
    pub fn admit(&self, epoch: &Epoch, picked: Role, now: Timestamp, of: impl Fn(Role) -> Rc<Pool>) -> (Role, Rc<Pool>) {
        let pool = of(picked);
        if picked == Role::Canary {
            pool.bound.set_on_trial(true);
            if pool.reach.admits(now) {
                return (picked, pool);
            }
            pool.reach.deeds.vetoes.fetch_add(1, Ordering::Relaxed);
            return (Role::Stable, of(Role::Stable));
        }
        pool.bound.set_on_trial(false);
        if epoch.rules.failover && !pool.reach.standing().is_usable() && epoch.pick(Role::Canary, now) == Role::Canary {
            let canary = of(Role::Canary);
            if canary.reach.admits(now) {
                return (Role::Canary, canary);
            }
        }
        (picked, pool)
    }

    /// Returns the pool of a version, making it when needed. A route asks once per epoch: what bounds the version is then in force with
    /// the first request of an epoch that was published after it.
    pub fn of(&self, version: &Arc<Version>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let made = || (Arc::downgrade(version), Rc::new(self.make(version, self.endpoints.of(version))));
        let (_, pool) = pools.entry(Arc::as_ptr(version).addr()).or_insert_with(made);
        pool.follow();
        Rc::clone(pool)
    }

    /// Returns the pool of what is no version of a service but an address of somebody else's: nobody looks after its health, and nothing
    /// of it is shown. It lasts as long as `version` does.
    pub fn apart(&self, version: &Arc<Version>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let made = || {
            let reach = Arc::new(Reach::new(false));
            reach.replace(version.endpoints.clone());
            (Arc::downgrade(version), Rc::new(self.make(version, reach)))
        };
        Rc::clone(&pools.entry(Arc::as_ptr(version).addr()).or_insert_with(made).1)
    }

    fn make(&self, version: &Version, reach: Arc<Reach>) -> Pool {
        let part = |of_all: u32| of_all.div_ceil(self.workers).max(1);
        let limits = version.upkeep.limits;
        let most = Most {
            requests: limits.requests.map_or(self.connections, part),
            on_trial: limits.requests.map_or((self.connections / 2).max(1), part),
            opening: limits.pending.map_or(PENDING, part),
        };
        Pool {
            list: RefCell::new(Cache::new(Arc::clone(reach.list()))),
            reach,
            made_from: Cell::new(std::ptr::null()),
            slots: RefCell::default(),
            usable: RefCell::default(),
            load: Rc::default(),
            bound: Bound::new(self.worker, most),
            budget: RefCell::new(RetryBudget::new(self.clock.now())),
            random: Rc::clone(&self.random),
            clock: self.clock,
            dialer: Dialer::new(&version.transport, &self.scratch, &self.crowd),
        }
    }

    /// Closes stale connections and forgets versions that no table and no request names any more.
    pub fn sweep(&self) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|_, (version, _)| version.strong_count() > 0);
        pools.values().for_each(|(_, pool)| pool.sweep());
    }
}
