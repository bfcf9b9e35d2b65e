//! A client's connection that carries bytes of a protocol nobody here looks at, from where HTTP has ended or from its beginning.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::outcome::{Failure, Role};
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::proxy::client;
use crate::proxy::plain::GiveUp;
use crate::proxy::sanitise::Peer;
use crate::proxy::tunnel::{self, Ended, Kind, Passed, Patience};
use crate::proxy::upstream::{self, Tunnel};
use crate::proxy::wire::Wire;
use crate::proxy::worker::{Counters, Found, Worker};
use crate::seam::access::Line;
use crate::seam::clock::Clock;
use crate::seam::record::Access;
use crate::seam::sample::Sample;

/// Carries bytes both ways to the end of either; `early` is what the client has sent already.
pub async fn carry<V>(mut wire: Wire, early: Bytes, mut far: V, (kind, passed): (Kind, &Passed), worker: &Worker)
where
    V: AsyncRead + AsyncWrite + GiveUp + Unpin,
{
    if !wire.begin_tunnel() || worker.is_cutting() {
        // The client has not taken all of what came before the tunnel.
        if kind == Kind::Tcp {
            give_up(wire, far);
        }
        return;
    }
    let _open = Open::new(&worker.counters, kind);
    let ended = tunnel::carry(&mut wire, early, &mut far, kind, (Patience::default(), passed), cut(worker)).await;
    tracing::debug!(kind = kind.as_str(), ?ended, "a tunnel ended");
    if kind == Kind::Tcp && !matches!(ended, Ok(Ended::Both)) {
        return give_up(wire, far);
    }
    drop(far);
    if matches!(ended, Ok(Ended::Cut | Ended::Idle)) {
        wire.end_tunnel();
        let _ = poll_fn(|cx| Pin::new(&mut wire).poll_shutdown(cx)).await;
    }
}

/// Ends both sides by a reset: of many protocols an end in good order says that all was sent.
fn give_up(wire: Wire, far: impl GiveUp) {
    far.give_up();
    wire.reset();
}

/// Carries WebSocket frames both ways over one of a client's streams.
pub async fn carry_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, mut far: Tunnel, worker: &Worker) {
    let _open = Open::new(&worker.counters, Kind::WebSocket);
    let (patience, passed) = (Patience::default(), Passed::default());
    let ended = tunnel::carry(&mut stream, Bytes::new(), &mut far, Kind::WebSocket, (patience, &passed), cut(worker)).await;
    tracing::debug!(?ended, "a tunnel over a stream ended");
}

/// Waits until the worker's drain time is over.
pub async fn cut(worker: &Worker) {
    let mut notified = pin!(worker.cut.notified());
    notified.as_mut().enable();
    if !worker.is_cutting() {
        notified.await;
    }
}

/// Gives a connection of a listener without HTTP to a version of this service, and carries what it says.
///
/// It is one request to a gate: it fails where the version cannot be connected to, and is answered once it is.
pub async fn serve(wire: Wire, service: &Name, peer: &Peer, worker: &Worker) {
    let Some(found) = worker.find_service(service) else {
        worker.refused();
        return tracing::warn!(%service, "a connection for a service that is not there");
    };
    let mut record = Record::begin(&found, peer, worker);
    match open(&found, peer, worker, &mut record).await {
        Ok(far) => carry(wire, Bytes::new(), far, (Kind::Tcp, &record.passed), worker).await,
        Err(failure) => {
            record.failure = Some(failure);
            tracing::debug!(%service, ?failure, "a connection could not be passed on");
        }
    }
}

/// Draws a version, connects to it and measures that; a canary that cannot be connected to leaves the connection to stable.
async fn open(found: &Found, peer: &Peer, worker: &Worker, record: &mut Record) -> Result<Tunnel, Failure> {
    let (books, now) = (&found.books, worker.clock.now());
    let epoch = books.epoch();
    worker.deadlines.look(now);
    let picked = epoch.pick(worker.draw(found), now);
    let (role, pool) = worker.pools.admit(epoch, picked, now, |role| worker.pool(found, role));
    let rules = worker.rules();
    let number = if role == Role::Canary { client::of(&HeaderMap::new(), peer, &rules.settings.trusted) } else { 0 };
    let sample = Sample::begin(books, worker.clock, role, now, number);
    record.given(&sample);
    let limit = rules.settings.timeouts.connect;
    let failure = match upstream::open(&pool, limit).await {
        Ok(far) => return Ok(record.connected(sample, far)),
        Err(failure) => failure,
    };
    sample.fail(failure);
    let stable = worker.pools.of(&epoch.stable);
    if role != Role::Canary || !failure.is_rescuable() || !epoch.rules.rescue || !stable.reach().standing().is_usable() {
        return Err(failure);
    }
    pool.reach().deeds.rescues.fetch_add(1, Ordering::Relaxed);
    let sample = Sample::begin(books, worker.clock, Role::Stable, worker.clock.now(), 0);
    record.given(&sample);
    record.rescued(failure);
    match upstream::open(&stable, limit).await {
        Ok(far) => Ok(record.connected(sample, far)),
        Err(failure) => {
            sample.fail(failure);
            Err(failure)
        }
    }
}

/// A connection's line of the access log, which is written when this is dropped.
struct Record {
    /// Absent where there is no such log.
    access: Option<Access>,
    begun: Timestamp,
    clock: Clock,
    passed: Passed,
    failure: Option<Failure>,
}

impl Record {
    fn begin(found: &Found, peer: &Peer, worker: &Worker) -> Self {
        let records = worker.records.clone().filter(|records| records.log.is_some());
        let access = records.map(|records| {
            let epoch = found.books.epoch();
            let (client, service) = (peer.address, Some(epoch.service.clone()));
            Access::new(Box::new(Line { client, service, generation: epoch.generation, ..Line::default() }), None, records)
        });
        Self { access, begun: worker.clock.now(), clock: worker.clock, passed: Passed::default(), failure: None }
    }

    /// Notes which version gets the connection.
    fn given(&mut self, sample: &Sample) {
        if let Some(access) = &mut self.access {
            (access.line.version, access.line.role) = (Some(sample.version().name.clone()), Some(sample.role()));
        }
    }

    /// Notes why the canary did not.
    fn rescued(&mut self, failure: Failure) {
        if let Some(access) = &mut self.access {
            access.line.rescued = Some(failure);
        }
    }

    /// Ends the measurement: a version that can be connected to has answered.
    fn connected(&mut self, mut sample: Sample, far: Tunnel) -> Tunnel {
        sample.head(101);
        if let Some(access) = &mut self.access {
            access.line.response_time = sample.response_time();
        }
        sample.complete();
        far
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(mut access) = self.access.take() {
            access.line.uploaded = self.passed.up.load(Ordering::Relaxed);
            access.finish(self.passed.down.load(Ordering::Relaxed), self.clock.now().since(self.begun), self.failure);
        }
    }
}

/// Counts a tunnel, and that it is open for as long as this is kept.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>, kind: Kind) -> Self {
        if let Some(begun) = counters.tunnels.begun.get(kind.index()) {
            begun.fetch_add(1, Ordering::Relaxed);
        }
        counters.tunnels.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tunnels.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "tunnelled_tests.rs"]
mod tests;
