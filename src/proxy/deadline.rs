//! The worker's deadline queue: when a canary request passes a limit without an answer, the breach counts then.
//!
//! One FIFO per limit, because all requests of a limit come due in the order they began; one timer for the whole worker. It goes
//! off up to a millisecond late, so that every pick looks first: a worker that is never out of requests is not late.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::time::Timestamp;
use crate::proxy::patrol::RequestGuard;
use crate::seam::clock::Clock;
use crate::seam::endpoints::Endpoints;
use crate::seam::sample::{Due, Flight, Sample};

/// How long after its limit a request is looked at: a good answer that is already here is read first.
const GRACE: Duration = Duration::from_millis(1);

struct Entry {
    at: Timestamp,
    due: Due,
    flight: Rc<Flight>,
    guard: Rc<RequestGuard>,
}

impl Entry {
    fn is_settled(&self) -> bool {
        self.flight.is_settled(self.due)
    }

    /// Says whether its canary gets nothing any more and stable can answer instead.
    fn is_lost(&self, endpoints: &Endpoints) -> bool {
        let epoch = self.flight.books().epoch();
        let tripped = epoch.canary.as_ref().is_some_and(|canary| canary.trial.is_tripped());
        tripped && epoch.rules.rescue && endpoints.of(&epoch.stable).standing().is_usable()
    }

    /// Counts the breach when it has not had its say; says whether that tripped the trial.
    fn expire(&self) -> bool {
        if self.due == Due::Outcome && self.guard.is_owed() {
            self.flight.resolve();
        }
        if self.guard.is_call() && self.guard.is_owed() {
            // A stream of messages takes as long as its client likes; no answer can be due before.
            self.flight.excuse(self.due);
        }
        self.flight.expire(self.due)
    }
}

struct Lane {
    limit: Duration,
    queue: VecDeque<Entry>,
}

/// The deadline queue of one worker.
pub struct Deadlines {
    clock: Clock,
    endpoints: Endpoints,
    lanes: RefCell<Vec<Lane>>,
    /// No deadline passes before.
    next: Cell<Timestamp>,
    changed: Notify,
}

impl Deadlines {
    /// Makes an empty queue. `endpoints` say whether a stable version can answer what is taken back.
    #[must_use]
    pub fn new(clock: Clock, endpoints: Endpoints) -> Rc<Self> {
        Rc::new(Self { clock, endpoints, lanes: RefCell::default(), next: Cell::new(Timestamp::NEVER), changed: Notify::new() })
    }

    /// Enters the limits of a canary request; a stable request has none. `guard` knows what its client still owes.
    pub fn watch(&self, sample: &Sample, guard: &Rc<RequestGuard>) {
        let Some(flight) = sample.flight() else { return };
        for (limit, due) in flight.dues() {
            let at = sample.started() + limit + GRACE;
            self.push(limit, Entry { at, due, flight: Rc::clone(flight), guard: Rc::clone(guard) });
        }
    }

    fn push(&self, limit: Duration, entry: Entry) {
        let mut lanes = self.lanes.borrow_mut();
        let lane = match lanes.iter().position(|lane| lane.limit == limit) {
            Some(known) => known,
            None => {
                lanes.push(Lane { limit, queue: VecDeque::new() });
                lanes.len() - 1
            }
        };
        let Some(lane) = lanes.get_mut(lane) else { return };
        while lane.queue.front().is_some_and(Entry::is_settled) {
            lane.queue.pop_front();
        }
        if lane.queue.is_empty() {
            self.next.set(self.next.get().min(entry.at));
            self.changed.notify_one();
        }
        lane.queue.push_back(entry);
    }

    /// Counts breaches where a limit has passed; to be called before each pick, with which a trip then takes effect.
    #[inline]
    pub fn look(&self, now: Timestamp) {
        if now >= self.next.get() {
            self.expire(now);
        }
    }

    /// Counts the breach of every request whose limit has passed, and returns when the next one comes due.
    pub fn expire(&self, now: Timestamp) -> Option<Timestamp> {
        let mut lanes = self.lanes.borrow_mut();
        let mut tripped = false;
        for lane in lanes.iter_mut() {
            while lane.queue.front().is_some_and(|front| front.at <= now || front.is_settled()) {
                // A request that is settled has had its say; its claim fails here.
                if let Some(entry) = lane.queue.pop_front()
                    && entry.expire()
                {
                    Sample::announce_trip(entry.flight.books(), entry.at, self.clock.now());
                    tripped = true;
                    if entry.is_lost(&self.endpoints) {
                        entry.guard.recall();
                    }
                }
            }
        }
        drop(lanes);
        if tripped {
            self.take_back();
        }
        let lanes = self.lanes.borrow();
        let next = lanes.iter().filter_map(|lane| lane.queue.front()).map(|front| front.at).min();
        self.next.set(next.unwrap_or(Timestamp::NEVER));
        next
    }

    /// Asks for every request back that waits for the answer of a canary whose trial has tripped, where that is allowed.
    pub fn take_back(&self) {
        for lane in self.lanes.borrow().iter() {
            for entry in lane.queue.iter().filter(|entry| !entry.is_settled() && entry.is_lost(&self.endpoints)) {
                entry.guard.recall();
            }
        }
    }

    /// Returns how many deadlines are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.borrow().iter().map(|lane| lane.queue.len()).sum()
    }

    /// Says whether no deadline is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs for as long as the worker does.
    pub async fn run(self: Rc<Self>) {
        loop {
            match self.expire(self.clock.now()) {
                None => self.changed.notified().await,
                Some(at) => {
                    let timer = tokio::time::sleep_until(self.clock.instant(at).into());
                    tokio::select! {
                        () = timer => {}
                        () = self.changed.notified() => {}
                    }
                }
            }
        }
    }
}
