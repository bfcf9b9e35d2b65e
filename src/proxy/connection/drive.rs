//! Drives hyper's connections to their ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::proxy::patrol::ConnectionGuard;
use crate::proxy::rules::Rules;
use crate::proxy::wire::Line;
use crate::proxy::worker::{Ending, Worker};

/// How long a connection that is cut goes on for the tunnels over its streams, whose clients are told why they end.
const LEAVE: Duration = Duration::from_millis(800);

/// A connection that hyper drives.
pub trait Driven: Future<Output = hyper::Result<()>> {
    /// Takes no further request and ends after those it is at.
    fn begin_farewell(self: Pin<&mut Self>);
}

/// What decides when a connection is to end.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// What its client does.
    pub guard: &'a Rc<ConnectionGuard>,
    /// What it works by.
    pub rules: &'a Rc<Rules>,
    /// Whether it carries many requests at once: it is then told to end in time, and its client knows which requests were taken.
    pub ages: bool,
    /// Held by each tunnel over its streams; `None` where there can be none.
    pub tunnels: Option<&'a Rc<()>>,
    /// What was read of it; `None` where it never rests.
    pub line: Option<&'a Line>,
}

/// How it goes on with a connection.
pub enum Turn {
    /// Not at all.
    Ended(hyper::Result<()>),
    /// It has nothing to do, and nothing of it lies in hyper.
    Rests,
}

impl Pace<'_> {
    /// Says whether the connection is to end at once although its client has not said yet that it is there: hyper waits for that, and
    /// nothing can have been asked.
    fn is_in_vain(&self, worker: &Worker) -> bool {
        self.ages && !self.guard.multiplexes() && matches!(worker.ending(self.rules), Ending::Now)
    }

    fn has_tunnels(&self) -> bool {
        self.tunnels.is_some_and(|tunnels| Rc::strong_count(tunnels) > 1)
    }

    /// Says whether nothing would be lost if hyper were let go of.
    fn may_rest(&self) -> bool {
        self.guard.is_idle() && self.line.is_some_and(|line| !line.is_mid_message())
    }

    fn is_over(&self, worker: &Worker) -> bool {
        match worker.ending(self.rules) {
            Ending::No => self.ages && self.guard.is_retired(),
            // A request that is on its way now would be lost if the connection were closed without a word, and the word goes with
            // the head of an answer.
            Ending::AfterNext => self.ages || self.guard.owes_head(),
            Ending::Now => true,
        }
    }
}

/// Drives a connection until it rests or ends; it ends after the requests it is at once it is to end.
pub async fn drive(mut connection: Pin<&mut impl Driven>, pace: Pace<'_>, worker: &Worker) -> Turn {
    // Looking at a flag costs nothing, and this is polled with every request.
    let serving = poll_fn(|cx| {
        if pace.is_over(worker) {
            return Poll::Ready(None);
        }
        if pace.guard.is_to_rest() && pace.may_rest() {
            return Poll::Ready(Some(Turn::Rests));
        }
        let turn = connection.as_mut().poll(cx);
        // Half a head behind an answer is no rest; what follows it polls this again.
        if turn.is_pending() && pace.may_rest() {
            worker.idle.enter(pace.guard);
        }
        turn.map(|ended| Some(Turn::Ended(ended)))
    });
    match serving.await {
        Some(turn) => turn,
        None => Turn::Ended(end(connection, pace, worker).await),
    }
}

/// Ends a connection after the requests it is at.
async fn end(mut connection: Pin<&mut impl Driven>, pace: Pace<'_>, worker: &Worker) -> hyper::Result<()> {
    if !pace.guard.owes_head() {
        // What the client has sent by now is still read: hyper closes a connection on which it has not seen a request.
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = tokio::task::yield_now() => {}
        }
    }
    connection.as_mut().begin_farewell();
    // Whoever is woken by the cut has missed the word.
    if !worker.is_cutting() {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = poll_fn(|_| if pace.is_in_vain(worker) { Poll::Ready(()) } else { Poll::Pending }) => return Ok(()),
            () = worker.cut.notified() => {}
        }
    }
    if pace.has_tunnels() {
        return tokio::time::timeout(LEAVE, connection).await.unwrap_or(Ok(()));
    }
    // Dropping it ends its requests, so that the books say how.
    Ok(())
}
