//! The rounds themselves: everything one worker watches.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::proxy::patrol::connection::ConnectionGuard;
use crate::proxy::patrol::limits::Limits;
use crate::proxy::patrol::request::RequestGuard;
use crate::proxy::patrol::stream::StreamGuard;

/// How long a round waits at most for a moment in which no request is being answered.
const PATIENCE: Duration = Duration::from_millis(5);

/// Everything one worker watches.
#[derive(Debug)]
pub struct Patrol {
    round: Rc<Cell<u32>>,
    limits: Cell<Limits>,
    requests: RefCell<Slab<Rc<RequestGuard>>>,
    connections: RefCell<Slab<Rc<ConnectionGuard>>>,
    streams: RefCell<Slab<Rc<StreamGuard>>>,
    /// Who waits for the last request to end.
    lull: RefCell<Option<Waker>>,
}

impl Patrol {
    /// Makes a patrol with nothing to watch.
    #[must_use]
    pub fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            round: Rc::default(),
            limits: Cell::new(limits),
            requests: RefCell::default(),
            connections: RefCell::default(),
            streams: RefCell::default(),
            lull: RefCell::default(),
        })
    }

    /// Replaces the limits, for what is watched as well as for what comes.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Takes a request under patrol until the ticket is dropped.
    pub fn request(self: &Rc<Self>) -> (Rc<RequestGuard>, Ticket) {
        let guard = Rc::new(RequestGuard::new(&self.round));
        let key = self.requests.borrow_mut().insert(Rc::clone(&guard));
        (guard, Ticket { patrol: Rc::clone(self), key, of: Of::Request })
    }

    /// Takes a connection under patrol until the ticket is dropped.
    pub fn connection(self: &Rc<Self>) -> (Rc<ConnectionGuard>, Ticket) {
        // Spread over a tenth, so that connections opened together do not all come again together.
        let spread = self.limits.get().age / 160 * u32::try_from(self.connections.borrow().len() % 16).unwrap_or_default();
        let retires = self.round.get().wrapping_add(self.limits.get().age).wrapping_add(spread);
        let guard = Rc::new(ConnectionGuard::new(&self.round, retires));
        let key = self.connections.borrow_mut().insert(Rc::clone(&guard));
        (guard, Ticket { patrol: Rc::clone(self), key, of: Of::Connection })
    }

    /// Takes a stream under patrol until the ticket is dropped.
    pub fn stream(self: &Rc<Self>) -> (Rc<StreamGuard>, Ticket) {
        let guard = Rc::new(StreamGuard::new(&self.round));
        let key = self.streams.borrow_mut().insert(Rc::clone(&guard));
        (guard, Ticket { patrol: Rc::clone(self), key, of: Of::Stream })
    }

    /// Makes one round.
    pub fn walk(&self) {
        let round = self.round.get().wrapping_add(1);
        self.round.set(round);
        let limits = self.limits.get();
        for (_, guard) in self.requests.borrow().iter() {
            guard.inspect(round, &limits);
        }
        for (_, guard) in self.streams.borrow().iter() {
            guard.inspect(round, &limits);
        }
        for (_, guard) in self.connections.borrow().iter() {
            guard.inspect(round, &limits);
        }
    }

    /// Waits for a moment in which no request is being answered, at most 5 ms: what is done then keeps nobody waiting.
    pub async fn lull(&self) {
        let lull = async {
            while self.requests() > 0 {
                self.last_ended().await;
                // Those that the runtime does not know of yet come first.
                yield_now().await;
            }
        };
        // It takes place all the same.
        let _ = timeout(PATIENCE, lull).await;
    }

    async fn last_ended(&self) {
        poll_fn(|cx| {
            if self.requests() == 0 {
                return Poll::Ready(());
            }
            self.lull.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn end_request(&self, key: usize) {
        let mut requests = self.requests.borrow_mut();
        drop(requests.try_remove(key));
        if requests.is_empty()
            && let Some(waiting) = self.lull.take()
        {
            waiting.wake();
        }
    }

    /// Wakes every connection that waits for its client; those that wait for a version are woken by its answer.
    pub fn wake_connections(&self) {
        for (_, guard) in self.connections.borrow().iter() {
            guard.wake();
        }
    }

    /// Returns how many requests are being answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.borrow().len()
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.borrow().len()
    }
}

/// Keeps something under patrol; dropping it ends that.
#[derive(Debug)]
pub struct Ticket {
    patrol: Rc<Patrol>,
    key: usize,
    of: Of,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Request,
    Connection,
    Stream,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Self { patrol, key, of } = self;
        match of {
            Of::Request => patrol.end_request(*key),
            Of::Connection => drop(patrol.connections.borrow_mut().try_remove(*key)),
            Of::Stream => drop(patrol.streams.borrow_mut().try_remove(*key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::domain::outcome::Failure;
    use crate::proxy::patrol::connection::Awaits;
    use crate::proxy::patrol::request::Transfer;

    fn patrol() -> Rc<Patrol> {
        Patrol::new(Limits { response: 3, body_idle: 5, header: 2, keep_alive: 9, write_stall: 4, upload_grace: 20, age: 160 })
    }

    fn rounds_until(patrol: &Patrol, done: impl Fn() -> bool) -> u32 {
        for round in 1..50 {
            patrol.walk();
            if done() {
                return round;
            }
        }
        u32::MAX
    }

    #[test]
    fn a_silent_upstream_and_a_silent_client_are_told_apart() {
        let patrol = patrol();
        let (hung, _a) = patrol.request();
        let (slow, _b) = patrol.request();
        slow.upload(Transfer::Waiting);
        assert_eq!(rounds_until(&patrol, || hung.expired().is_some()), 4);
        assert_eq!(hung.expired(), Some(Failure::ResponseTimeout));
        assert_eq!(rounds_until(&patrol, || slow.expired().is_some()), 2);
        assert_eq!(slow.expired(), Some(Failure::RequestBodyTimeout));
    }

    #[test]
    fn a_stalled_answer_expires_but_not_one_the_client_does_not_take() {
        let patrol = patrol();
        let (stalled, _a) = patrol.request();
        let (held, _b) = patrol.request();
        for guard in [&stalled, &held] {
            guard.answered();
        }
        stalled.download(Transfer::Waiting);
        assert_eq!(rounds_until(&patrol, || stalled.expired().is_some()), 6);
        assert_eq!((stalled.expired(), held.expired()), (Some(Failure::ResponseBodyTimeout), None));
    }

    #[test]
    fn heads_and_idle_connections_have_different_limits() {
        let patrol = patrol();
        let (fresh, _a) = patrol.connection();
        let (idle, _b) = patrol.connection();
        idle.awaits(Awaits::Answer);
        idle.awaits(Awaits::Request);
        assert_eq!(rounds_until(&patrol, || fresh.expired().is_some()), 3);
        assert_eq!(rounds_until(&patrol, || idle.expired().is_some()), 7);
        let (blocked, _c) = patrol.connection();
        blocked.awaits(Awaits::Answer);
        blocked.write_blocked(true);
        assert_eq!(rounds_until(&patrol, || blocked.expired().is_some()), 5);
    }

    #[test]
    fn a_dropped_ticket_ends_the_watch() {
        let patrol = patrol();
        let (_guard, ticket) = patrol.connection();
        assert_eq!(patrol.connections(), 1);
        drop(ticket);
        assert_eq!(patrol.connections(), 0);
    }

    #[test]
    fn an_upload_must_keep_a_rate_after_its_grace_unless_it_is_a_stream() {
        let patrol = patrol();
        let (dripping, _a) = patrol.request();
        let (steady, _b) = patrol.request();
        let (stream, _c) = patrol.request();
        stream.streams();
        for guard in [&dripping, &steady, &stream] {
            guard.upload(Transfer::Waiting);
        }
        let drip = |guard: &RequestGuard, bytes| {
            guard.upload(Transfer::Held);
            guard.uploaded(bytes);
            guard.upload(Transfer::Waiting);
        };
        for round in 1..=60 {
            drip(&dripping, 1);
            drip(&steady, 103);
            drip(&stream, 1);
            patrol.walk();
            assert_eq!(dripping.expired().is_some(), round > 20, "round {round}");
            assert_eq!((steady.expired(), stream.expired()), (None, None), "round {round}");
        }
        assert_eq!(dripping.expired(), Some(Failure::RequestBodyTimeout));
    }

    #[test]
    fn a_stream_that_takes_nothing_stalls_and_one_that_waits_for_us_does_not() {
        let patrol = patrol();
        let (stuck, _a) = patrol.stream();
        let (waiting, _b) = patrol.stream();
        let cx = std::task::Context::from_waker(Waker::noop());
        stuck.holds(true);
        waiting.holds(true);
        waiting.holds(false);
        assert_eq!(rounds_until(&patrol, || stuck.poll_stalled(&cx)), 5);
        assert!(!waiting.poll_stalled(&cx));
    }

    #[test]
    fn requests_at_once_are_counted_and_a_head_that_does_not_end_is_late_beside_them() {
        let patrol = patrol();
        let (guard, _a) = patrol.connection();
        guard.begin_request();
        guard.begin_request();
        guard.end_request(0, true);
        assert_eq!(rounds_until(&patrol, || guard.expired().is_some()), u32::MAX);
        guard.head_open(true);
        assert_eq!(rounds_until(&patrol, || guard.expired().is_some()), 3);
        let (idle, _b) = patrol.connection();
        idle.begin_request();
        idle.end_request(0, true);
        assert_eq!(rounds_until(&patrol, || idle.expired().is_some()), 10);
    }

    #[test]
    fn a_client_is_fickle_that_calls_off_most_of_its_requests_at_once() {
        let patrol = patrol();
        let (guard, _a) = patrol.connection();
        let ends = |count, rounds, answered| {
            for _ in 0..count {
                let began = guard.begin_request();
                (0..rounds).for_each(|_| patrol.walk());
                guard.end_request(began, answered);
            }
        };
        ends(150, 11, false);
        ends(100, 0, false);
        assert!(!guard.is_fickle(), "patience that ends is no attack");
        ends(1, 0, false);
        assert!(guard.is_fickle());
        ends(101, 0, true);
        assert!(!guard.is_fickle());
    }

    #[test]
    fn a_connection_retires_once_and_stays_so() {
        let patrol = patrol();
        let (guard, _a) = patrol.connection();
        guard.begin_request();
        for _ in 0..500 {
            assert_eq!(guard.is_retired(), patrol.round.get() >= 160);
            patrol.walk();
        }
    }

    /// Runs something, and after each of its turns a lull; returns how many milliseconds the lull took.
    async fn lull_beside(patrol: &Patrol, meanwhile: impl AsyncFnOnce()) -> u128 {
        let begun = Instant::now();
        let lull = async {
            patrol.lull().await;
            begun.elapsed().as_millis()
        };
        tokio::join!(biased; meanwhile(), lull).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_lull_comes_with_the_end_of_the_last_request_or_of_patience() {
        let patrol = patrol();
        assert_eq!(lull_beside(&patrol, async || {}).await, 0);
        let (first, second) = (patrol.request(), patrol.request());
        let last = async || {
            drop(first);
            sleep(Duration::from_millis(2)).await;
            drop(second);
        };
        assert_eq!(lull_beside(&patrol, last).await, 2);
        let _held = patrol.request();
        assert_eq!(lull_beside(&patrol, async || {}).await, PATIENCE.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_with_the_end_of_the_last_one_is_no_lull() {
        let patrol = patrol();
        let first = patrol.request();
        let follow = async || {
            sleep(Duration::from_millis(1)).await;
            drop(first);
            let second = patrol.request();
            sleep(Duration::from_millis(1)).await;
            drop(second);
            // What the runtime learns of only in its next turn.
            yield_now().await;
            let third = patrol.request();
            sleep(Duration::from_millis(1)).await;
            drop(third);
        };
        assert_eq!(lull_beside(&patrol, follow).await, 3);
    }
}
