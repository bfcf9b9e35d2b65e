//! A redirected connection until it is known what it speaks, and to its end where that is no HTTP.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::proxy::connection::tunnelled;
use crate::proxy::intercept::{Far, Interception, PATIENCE, Refused, Spoken, dial};
use crate::proxy::plain::Remote;
use crate::proxy::rules::Rules;
use crate::proxy::tunnel::{Kind, Passed};
use crate::proxy::wire::{Protocol, Wire};
use crate::proxy::worker::Worker;

/// Where a redirected connection comes from and where it was going.
#[derive(Clone)]
pub struct Course {
    pub interception: Interception,
    pub remote: Remote,
    pub aim: SocketAddr,
}

/// Finds out what a redirected connection speaks. HTTP is left to the caller; anything else is carried to where it was going, to its end.
pub async fn greet(mut wire: Wire, course: &Course, rules: &Rc<Rules>, worker: &Worker) -> Option<(Wire, Protocol)> {
    wire.stays_unknown();
    let known = tokio::select! {
        biased;
        known = meet(&mut wire, course, rules) => known,
        () = worker.ends(rules) => return None,
    };
    let (spoken, reaching) = match known {
        Ok(known) => known,
        Err(error) => {
            tracing::debug!(remote = %course.remote, %error, "a redirected connection ended before it said what it speaks");
            return None;
        }
    };
    if let Some(count) = worker.counters.intercepted.begun.get(spoken.index()) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    let protocol = match spoken {
        Spoken::Http1 => Protocol::Http1,
        Spoken::Http2 => Protocol::Http2,
        Spoken::Opaque => {
            carry(wire, reaching, course, worker).await;
            return None;
        }
    };
    wire.begins(protocol);
    Some((wire, protocol))
}

/// Counts a connection that is not carried on.
pub fn refuse(refused: Refused, remote: Remote, worker: &Worker) {
    if let Some(count) = worker.counters.intercepted.refused.get(refused.index()) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    tracing::debug!(%remote, reason = refused.as_str(), "a redirected connection is not carried on");
}

/// Waits until one of both sides says something. A client that is silent for a moment may wait for the other side to speak first, which is
/// then connected to; but one that has only connected in time for its next request still gets what it asks for judged.
async fn meet(wire: &mut Wire, course: &Course, rules: &Rules) -> io::Result<(Spoken, Reaching)> {
    let timeouts = &rules.settings.timeouts;
    if let Ok(spoken) = tokio::time::timeout(timeouts.detect, poll_fn(|cx| poll_spoken(wire, cx))).await {
        return Ok((spoken?, Reaching::No));
    }
    let mut reaching = Reaching::No;
    if wire.heard().is_empty() {
        reaching = course.reach();
    }
    let either = poll_fn(|cx| {
        if let Poll::Ready(spoken) = poll_spoken(wire, cx) {
            return Poll::Ready(spoken);
        }
        reaching.poll_speaks(cx).map(|()| Ok(Spoken::Opaque))
    });
    // Who says no more than half a word for so long speaks something else.
    let spoken = tokio::time::timeout(timeouts.header, either).await.unwrap_or(Ok(Spoken::Opaque))?;
    Ok((spoken, reaching))
}

/// Reads until it is told what the client speaks; one that has ended has nothing to say that could be HTTP.
fn poll_spoken(wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<Spoken>> {
    loop {
        if let Some(spoken) = Spoken::of(wire.heard()) {
            return Poll::Ready(Ok(spoken));
        }
        if !ready!(wire.poll_heard(cx))? {
            return Poll::Ready(Ok(Spoken::Opaque));
        }
    }
}

/// How far a connection to where a redirected one was going has come.
enum Reaching {
    No,
    Dialing(Pin<Box<dyn Future<Output = Result<Far, Refused>>>>),
    Done(Result<Far, Refused>),
}

impl Course {
    fn reach(&self) -> Reaching {
        let Self { interception, remote, aim } = self.clone();
        Reaching::Dialing(Box::pin(dial(interception, aim, remote, PATIENCE)))
    }
}

impl Reaching {
    /// Waits until the other side speaks; for ever where it cannot be connected to, because the client may still ask for what can.
    fn poll_speaks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Dialing(dialing) => *self = Self::Done(ready!(dialing.as_mut().poll(cx))),
                Self::Done(Ok(far)) => return far.poll_speaks(cx),
                Self::No | Self::Done(Err(_)) => return Poll::Pending,
            }
        }
    }
}

/// Carries what is no HTTP to where it was going. Whoever cannot be taken there is reset, as a port without a listener does it.
async fn carry(wire: Wire, reaching: Reaching, course: &Course, worker: &Worker) {
    let reached = match if matches!(reaching, Reaching::No) { course.reach() } else { reaching } {
        Reaching::Dialing(dialing) => dialing.await,
        Reaching::Done(reached) => reached,
        Reaching::No => Err(Refused::Unreachable),
    };
    match reached {
        Ok(far) => tunnelled::carry(wire, Bytes::new(), far, (Kind::Tcp, &Passed::default()), worker).await,
        Err(refused) => {
            refuse(refused, course.remote, worker);
            wire.reset();
        }
    }
}
