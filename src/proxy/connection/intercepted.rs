//! A redirected connection until it is known what it speaks, and to its end where that is no HTTP.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use crate::proxy::connection::tunnelled;
use crate::proxy::intercept::{Far, Interception, PATIENCE, Refused, Spoken, dial};
use crate::proxy::plain::Remote;
use crate::proxy::rules::Rules;
use crate::proxy::tunnel::{self, Kind, Passed};
use crate::proxy::wire::{Protocol, Wire};
use crate::proxy::worker::Worker;

/// How much is kept of what a client says while a connection is made for it, in bytes.
const MOST_AHEAD: usize = 64 * 1024;

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
/// then connected to; but one that has only connected in time for its next request, however much later that comes, still gets what it asks
/// for judged.
async fn meet(wire: &mut Wire, course: &Course, rules: &Rules) -> io::Result<(Spoken, Reaching)> {
    let timeouts = &rules.settings.timeouts;
    if let Ok(spoken) = tokio::time::timeout(timeouts.detect, poll_fn(|cx| poll_spoken(wire, cx))).await {
        return Ok((spoken?, Reaching::No));
    }
    let mut patient = wire.heard().is_empty();
    let mut reaching = if patient { course.reach() } else { Reaching::No };
    let mut limit = pin!(tokio::time::sleep(if patient { tunnel::IDLE } else { timeouts.header }));
    let spoken = poll_fn(|cx| {
        if let Poll::Ready(spoken) = poll_spoken(wire, cx) {
            return Poll::Ready(spoken);
        }
        if reaching.poll_speaks(cx).is_ready() {
            return Poll::Ready(Ok(Spoken::Opaque));
        }
        if patient && (!wire.heard().is_empty() || reaching.has_failed()) {
            patient = false;
            limit.as_mut().reset(Instant::now() + timeouts.header);
        }
        ready!(limit.as_mut().poll(cx));
        // Who says no more than half a word for so long speaks something else, and who may wait for one that is not there waits in vain.
        Poll::Ready(if patient { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Spoken::Opaque) })
    });
    Ok((spoken.await?, reaching))
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
    /// Waits until there is a connection, or none.
    async fn end(self, course: &Course) -> Result<Far, Refused> {
        let reaching = if matches!(self, Self::No) { course.reach() } else { self };
        match reaching {
            Self::Dialing(dialing) => dialing.await,
            Self::Done(reached) => reached,
            Self::No => Err(Refused::Unreachable),
        }
    }

    /// Says whether there is no connection, and will be none.
    const fn has_failed(&self) -> bool {
        matches!(self, Self::Done(Err(_)))
    }

    /// Waits until the other side speaks, or it is known that the client is this process itself; for ever where it cannot be connected to,
    /// because the client may still ask for what can.
    fn poll_speaks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Dialing(dialing) => *self = Self::Done(ready!(dialing.as_mut().poll(cx))),
                Self::Done(Ok(far)) => return far.poll_speaks(cx),
                Self::Done(Err(Refused::Loop)) => return Poll::Ready(()),
                Self::No | Self::Done(Err(_)) => return Poll::Pending,
            }
        }
    }
}

/// Carries what is no HTTP to where it was going. Whoever cannot be taken there is reset, as a port without a listener does it.
async fn carry(mut wire: Wire, reaching: Reaching, course: &Course, worker: &Worker) {
    wire.never_hurries();
    let reached = tokio::select! {
        biased;
        reached = reaching.end(course) => reached,
        () = poll_fn(|cx| poll_leaves(&mut wire, cx)) => return,
        () = tunnelled::cut(worker) => return wire.reset(),
    };
    match reached {
        Ok(far) => tunnelled::carry(wire, Bytes::new(), far, (Kind::Tcp, &Passed::default()), worker).await,
        Err(refused) => {
            refuse(refused, course.remote, worker);
            wire.reset();
        }
    }
}

/// Waits until the client's connection breaks. What the client says meanwhile is kept, as far as there is room; one that only ends sending
/// may wait for what there is to hear.
fn poll_leaves(wire: &mut Wire, cx: &mut Context<'_>) -> Poll<()> {
    while wire.heard().len() < MOST_AHEAD {
        match ready!(wire.poll_heard(cx)) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return Poll::Ready(()),
        }
    }
    Poll::Pending
}
