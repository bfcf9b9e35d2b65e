//! The worker's deadline queue: when a canary request passes a limit without an answer, the breach counts then.
//!
//! One FIFO per limit, because all requests of a limit come due in the order they began; one timer for the whole worker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::time::Timestamp;
use crate::seam::clock::Clock;
use crate::seam::recorder::EpochBooks;
use crate::seam::sample::{Flight, Sample};
use crate::seam::table::Watch;

/// How long after its limit a request is looked at: a good answer that is already here is read first.
const GRACE: Duration = Duration::from_millis(1);

struct Entry {
    due: Timestamp,
    flight: Rc<Flight>,
    wire: usize,
    books: Rc<EpochBooks>,
}

struct Lane {
    limit: Duration,
    queue: VecDeque<Entry>,
}

/// The deadline queue of one worker.
pub struct Deadlines {
    clock: Clock,
    lanes: RefCell<Vec<Lane>>,
    changed: Notify,
}

impl Deadlines {
    /// Makes an empty queue.
    #[must_use]
    pub fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, lanes: RefCell::default(), changed: Notify::new() })
    }

    /// Enters the latency limits of a canary request; a stable request has none.
    pub fn watch(&self, sample: &Sample) {
        let Some(flight) = sample.flight() else { return };
        for (wire, watch) in flight.watches().iter().enumerate() {
            if let Watch::Latency(limit) = watch {
                let entry =
                    Entry { due: sample.started() + *limit + GRACE, flight: Rc::clone(flight), wire, books: Rc::clone(sample.books()) };
                self.push(*limit, entry);
            }
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
        while lane.queue.front().is_some_and(|front| front.flight.is_settled(front.wire)) {
            lane.queue.pop_front();
        }
        if lane.queue.is_empty() {
            self.changed.notify_one();
        }
        lane.queue.push_back(entry);
    }

    /// Counts the breach of every request whose limit has passed, and returns when the next one comes due.
    pub fn expire(&self, now: Timestamp) -> Option<Timestamp> {
        let mut lanes = self.lanes.borrow_mut();
        for lane in lanes.iter_mut() {
            while lane.queue.front().is_some_and(|front| front.due <= now || front.flight.is_settled(front.wire)) {
                // A request that is settled has had its say; its claim fails here.
                if let Some(entry) = lane.queue.pop_front()
                    && entry.flight.expire(entry.wire)
                {
                    Sample::announce_trip(&entry.books, now, self.clock.now());
                }
            }
        }
        lanes.iter().filter_map(|lane| lane.queue.front()).map(|front| front.due).min()
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
                Some(due) => {
                    let timer = tokio::time::sleep_until(self.clock.instant(due).into());
                    tokio::select! {
                        () = timer => {}
                        () = self.changed.notified() => {}
                    }
                }
            }
        }
    }
}
