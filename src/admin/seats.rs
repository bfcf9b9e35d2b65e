//! The places for the admin listener's connections: when all are taken, whoever keeps us waiting longest gives way.
//!
//! A connection waits while its client owes something: a request's head, the rest of a body, or that it reads an answer. It
//! works while a whole request is being answered; then it keeps its place. So silent or dripping clients, however many,
//! cannot keep an operator's abort out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id};

use crate::domain::time::nanos;

/// All places.
pub struct Seats {
    most: usize,
    taken: Vec<(AbortHandle, Arc<Seat>)>,
    begun: Instant,
    freed: Arc<Notify>,
}

/// One place.
pub struct Seat {
    begun: Instant,
    /// Since when it waits for its client, in nanoseconds since `begun` and at least 1; 0 while it works. Written by the
    /// connection, read when somebody else needs a place.
    waits_since: AtomicU64,
    /// Whether it carries an answer without an end. Written by the connection once, read by it when it is old.
    follows: AtomicBool,
    freed: Arc<Notify>,
}

impl Seats {
    /// Makes places for this many connections.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Vec::new(), begun: Instant::now(), freed: Arc::default() }
    }

    /// Says whether somebody can be seated: a place is free, or its holder may be sent away.
    pub fn has_room(&self) -> bool {
        self.taken.len() < self.most || self.taken.iter().any(|(_, seat)| seat.waits_since().is_some())
    }

    /// Returns what to wait on for a holder that may be sent away.
    pub fn freed(&self) -> Arc<Notify> {
        Arc::clone(&self.freed)
    }

    /// Makes a place for a connection that waits for its client from now on.
    pub fn prepare(&self) -> Arc<Seat> {
        let seat =
            Seat { begun: self.begun, waits_since: AtomicU64::new(0), follows: AtomicBool::new(false), freed: Arc::clone(&self.freed) };
        seat.waits();
        Arc::new(seat)
    }

    /// Gives the place to a connection's task, and ends the one that has waited longest when there were no more.
    pub fn take(&mut self, task: AbortHandle, seat: Arc<Seat>) {
        if self.taken.len() >= self.most {
            self.send_one_away();
        }
        self.taken.push((task, seat));
    }

    /// Ends the one that has waited longest; `false` when nobody waits.
    pub fn send_one_away(&mut self) -> bool {
        let waiting = self.taken.iter().enumerate().filter_map(|(index, (_, seat))| Some((seat.waits_since()?, index)));
        let Some((_, index)) = waiting.min() else { return false };
        self.taken.swap_remove(index).0.abort();
        true
    }

    /// Notes that a connection's task has ended.
    pub fn leave(&mut self, task: Id) {
        self.taken.retain(|(handle, _)| handle.id() != task);
    }
}

impl Seat {
    /// Notes that the client has the next move.
    pub fn waits(&self) {
        self.waits_since.store(nanos(self.begun.elapsed()).max(1), Ordering::Relaxed);
        self.freed.notify_one();
    }

    /// Notes that a whole request is there and is being answered.
    pub fn works(&self) {
        self.waits_since.store(0, Ordering::Relaxed);
    }

    /// Notes that the answer has no end. The connection waits for its client all the same, and gives way to others.
    pub fn follows(&self) {
        self.follows.store(true, Ordering::Relaxed);
    }

    /// Says whether the connection carries an answer without an end.
    pub fn is_following(&self) -> bool {
        self.follows.load(Ordering::Relaxed)
    }

    fn waits_since(&self) -> Option<u64> {
        Some(self.waits_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }
}

/// A request's body that notes when the client has sent all of it.
pub struct Arriving<B> {
    body: B,
    seat: Arc<Seat>,
}

impl<B: Body> Arriving<B> {
    /// Watches a body; without any content the request is there already.
    pub fn new(body: B, seat: Arc<Seat>) -> Self {
        if body.is_end_stream() {
            seat.works();
        }
        Self { body, seat }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.seat.works();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use tokio::task::JoinSet;

    async fn ended(tasks: &mut JoinSet<()>, seats: &mut Seats) -> Id {
        let (Ok((id, ())) | Err(id)) = tasks.join_next_with_id().await.expect("a connection ends").map_err(|error| error.id());
        seats.leave(id);
        id
    }

    #[tokio::test]
    async fn whoever_waits_longest_gives_way_and_whoever_works_stays() {
        let (mut seats, mut tasks, mut held) = (Seats::new(3), JoinSet::new(), Vec::new());
        let mut sit = |seats: &mut Seats, tasks: &mut JoinSet<()>| {
            let (task, seat) = (tasks.spawn(std::future::pending()), seats.prepare());
            held.push((task.id(), Arc::clone(&seat)));
            seats.take(task, seat);
            held.clone()
        };
        for _ in 0..2 {
            sit(&mut seats, &mut tasks);
        }
        let held = sit(&mut seats, &mut tasks);
        held[0].1.works();
        sit(&mut seats, &mut tasks);
        assert_eq!(ended(&mut tasks, &mut seats).await, held[1].0, "the oldest works, so the next oldest gives way");
        held[0].1.waits();
        let now = sit(&mut seats, &mut tasks);
        assert_eq!(ended(&mut tasks, &mut seats).await, held[2].0, "the oldest has just begun to wait");
        for (_, seat) in now.iter().filter(|(id, _)| *id == held[0].0 || now[3..].iter().any(|n| n.0 == *id)) {
            seat.works();
        }
        assert!(!seats.has_room());
        let freed = seats.freed();
        // Waits from before are told once; what follows is told anew.
        freed.notified().await;
        held[0].1.waits();
        freed.notified().await;
        assert!(seats.has_room());
        assert_eq!(tasks.len(), 3);
    }

    #[tokio::test]
    async fn a_request_works_once_its_body_is_there() {
        let seats = Seats::new(1);
        let seat = seats.prepare();
        let body = Arriving::new(Full::new(Bytes::from_static(b"{}")), Arc::clone(&seat));
        assert!(seat.waits_since().is_some());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert_eq!(seat.waits_since(), None);
        seat.waits();
        Arriving::new(Full::new(Bytes::new()), Arc::clone(&seat));
        assert_eq!(seat.waits_since(), None, "a request without a body is there with its head");
    }
}
