//! Idle connections, by version and endpoint; the one used last is used next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain;
use crate::domain::outcome::Failure;
use crate::domain::version::Version;
use crate::proxy::patrol::ROUND;
use crate::proxy::settings::{POOL_IDLE, POOL_SIZE};
use crate::proxy::upstream::connect::{Link, Scratch};
use crate::proxy::upstream::dial::{Conduit, Dialed, Dialer};
use crate::proxy::upstream::http2::lanes::Lanes;

struct Idle {
    link: Link,
    /// After how many more sweeps it is stale.
    sweeps: u32,
}

/// Returns how many sweeps make a connection stale after this time: one comes with every round of the patrol.
const fn sweeps(rest: Duration) -> u32 {
    (rest.as_millis() / ROUND.as_millis()) as u32
}

struct Endpoint {
    endpoint: domain::endpoint::Endpoint,
    idle: RefCell<Vec<Idle>>,
    lanes: Lanes,
}

/// The connections of one worker to one version.
pub struct Pool {
    endpoints: Vec<Endpoint>,
    next: Cell<usize>,
    dialer: Dialer,
}

impl Pool {
    /// Returns the endpoints' positions, beginning with the one whose turn it is.
    pub fn turn(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.endpoints.len();
        let first = self.next.get();
        self.next.set(if first + 1 >= count { 0 } else { first + 1 });
        (0..count).map(move |i| (first + i) % count.max(1))
    }

    /// Returns the buffer that connections read into.
    pub const fn scratch(&self) -> &Scratch {
        self.dialer.scratch()
    }

    /// Says whether a connection may turn out to carry many requests at once.
    pub const fn may_multiplex(&self) -> bool {
        self.dialer.may_multiplex()
    }

    /// Makes a connection to an endpoint, or takes a place on one that was made meanwhile and carries many requests.
    ///
    /// # Errors
    ///
    /// Returns who failed and how.
    pub async fn open(&self, endpoint: usize, limit: Duration) -> Result<Conduit, Failure> {
        let Some(Endpoint { endpoint, lanes, .. }) = self.endpoints.get(endpoint) else { return Err(Failure::NoEndpoint) };
        let dial = self.dialer.dial(endpoint, limit);
        if self.may_multiplex() {
            return Box::pin(lanes.open(dial)).await;
        }
        match dial.await? {
            Dialed::Http1(link) => Ok(Conduit::Http1(link)),
            Dialed::Http2(lane) => lane.take_anyway().map(Conduit::Http2).ok_or(Failure::ConnectionTerminated),
        }
    }

    /// Takes a place on a shared connection, or an idle one that is ready for a request; stale ones are swept away before.
    ///
    /// One that is not ready has not finished its last exchange, such as a request whose end the endpoint never read;
    /// waiting for it could take for ever.
    pub fn checkout(&self, endpoint: usize, repeatable: bool) -> Option<Conduit> {
        let endpoint = self.endpoints.get(endpoint)?;
        if self.may_multiplex()
            && let Some(berth) = endpoint.lanes.take()
        {
            return Some(Conduit::Http2(berth));
        }
        let mut idle = endpoint.idle.borrow_mut();
        while let Some(mut entry) = idle.pop() {
            if entry.link.is_fit(repeatable) {
                return Some(Conduit::Http1(entry.link));
            }
        }
        None
    }

    /// Takes a connection back after a whole exchange; it may rest here for so long, [`POOL_IDLE`] at most.
    pub fn give_back(&self, endpoint: usize, link: Link, rest: Duration) {
        let Some(endpoint) = self.endpoints.get(endpoint) else { return };
        let mut idle = endpoint.idle.borrow_mut();
        if idle.len() < POOL_SIZE {
            idle.push(Idle { link, sweeps: sweeps(rest.min(POOL_IDLE)) });
        }
    }

    fn sweep(&self) {
        self.dialer.sweep();
        for endpoint in &self.endpoints {
            endpoint.lanes.sweep();
            endpoint.idle.borrow_mut().retain_mut(|entry| {
                let stale = entry.sweeps == 0;
                entry.sweeps = entry.sweeps.saturating_sub(1);
                !stale && entry.link.is_fit(true)
            });
        }
    }
}

/// All pools of one worker.
#[derive(Default)]
pub struct Pools {
    scratch: Scratch,
    pools: RefCell<Vec<(Arc<Version>, Rc<Pool>)>>,
}

impl Pools {
    /// Returns the pool of a version, making it when needed.
    pub fn of(&self, version: &Arc<Version>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        if let Some((_, pool)) = pools.iter().find(|(known, _)| Arc::ptr_eq(known, version)) {
            return Rc::clone(pool);
        }
        let endpoint = |endpoint: &domain::endpoint::Endpoint| Endpoint {
            endpoint: endpoint.clone(),
            idle: RefCell::default(),
            lanes: Lanes::default(),
        };
        let endpoints = version.endpoints.iter().map(endpoint).collect();
        let dialer = Dialer::new(&version.transport, &self.scratch);
        let pool = Rc::new(Pool { endpoints, next: Cell::new(0), dialer });
        pools.push((Arc::clone(version), Rc::clone(&pool)));
        pool
    }

    /// Closes stale connections and forgets versions that no table and no request names any more.
    pub fn sweep(&self) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|(version, pool)| Arc::strong_count(version) > 1 || Rc::strong_count(pool) > 1);
        pools.iter().for_each(|(_, pool)| pool.sweep());
    }
}
