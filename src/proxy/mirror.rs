//! Copies of requests for another version, off the critical path: no request waits for its copy or learns what becomes of it.
//!
//! A copy is made once the whole request is here, is sent by a task of its own with its own deadline, says that it is one, and its
//! answer is read and thrown away. How many there are is bounded; what does not fit is dropped and counted. No gate sees a copy.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::request::Parts;
use http_body_util::Full;

use crate::domain::outcome::{Failure, Role};
use crate::domain::version::Version;
use crate::proxy::patrol::RequestGuard;
use crate::proxy::sanitise::{self, Framing, MIRROR, Outgoing, Peer};
use crate::proxy::upload::{Copying, Source, Upload};
use crate::proxy::upstream::{self, Parcel, Pool, Reply};
use crate::proxy::worker::Worker;
use crate::seam::choice::{FlightOfCopy, Held, Mirror, MirrorTo};
use crate::seam::recorder::EpochBooks;
use crate::seam::sample::Sample;

/// How much of a copy's answer is read, in bytes; a connection with more to come is closed.
const MOST_ANSWER: usize = 1 << 20;

/// A request that is being copied while its body passes by.
pub struct Copy {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    books: Rc<EpochBooks>,
    choice: Rc<Held>,
    version: Arc<Version>,
    head: Parts,
    framing: Framing,
    body: BytesMut,
    flight: FlightOfCopy,
}

impl Copy {
    /// Begins the copy of a cleaned request, `None` where there is to be none.
    pub fn begin(
        choice: &Rc<Held>,
        worker: &Rc<Worker>,
        peer: &Rc<Peer>,
        sample: &Sample,
        head: &Parts,
        framing: Framing,
    ) -> Option<Box<Self>> {
        let mirror = choice.mirror.as_ref().filter(|mirror| mirror.methods.contains(&head.method))?;
        if sample.role() == Role::Beside || worker.random() % 10_000 >= u32::from(mirror.share.basis_points()) {
            return None;
        }
        let version = match &mirror.to {
            // What goes there anyway is not sent there twice.
            MirrorTo::Canary if sample.role() == Role::Canary => return None,
            MirrorTo::Canary => Arc::clone(&sample.epoch().canary.as_ref()?.version),
            MirrorTo::Other(name) => Arc::clone(choice.others.find(name.as_str())?),
        };
        if !may_go(mirror, sample.books(), worker) {
            return None;
        }
        let long = matches!(framing, Framing::Length(bytes) if bytes > mirror.bytes as u64);
        let Some(flight) = mirror.flights.begin(mirror.most).filter(|_| !long) else {
            count(&worker.counters.choices.mirror_dropped);
            return None;
        };
        let mut head = head.clone();
        head.extensions.clear();
        head.headers.insert(MIRROR, HeaderValue::from_static("1"));
        Some(Box::new(Self {
            worker: Rc::clone(worker),
            peer: Rc::clone(peer),
            books: Rc::clone(sample.books()),
            choice: Rc::clone(choice),
            version,
            head,
            framing,
            body: BytesMut::new(),
            flight,
        }))
    }
}

impl Copying for Copy {
    fn hold(&mut self, data: &Bytes) -> bool {
        let most = self.choice.mirror.as_ref().map_or(0, |mirror| mirror.bytes);
        if self.body.len() + data.len() > most {
            count(&self.worker.counters.choices.mirror_dropped);
            return false;
        }
        self.body.extend_from_slice(data);
        true
    }

    /// Sends the copy by a task of its own, which ends by its deadline at the latest.
    fn send(self: Box<Self>) {
        let Self { worker, peer, books, choice, version, head, framing, body, flight } = *self;
        let Some(mirror) = choice.mirror.as_ref().filter(|mirror| may_go(mirror, &books, &worker)) else { return };
        // A ticket would count it among the clients' requests, which it must not keep out; its own deadline watches it.
        let (guard, _) = worker.patrol.request();
        let mut upload = Upload::new(Source::Whole(Full::new(body.freeze())), Rc::clone(&guard), None);
        let framing = upload.framing(&head, framing);
        let pool = worker.pools.of(&version);
        let request = Outgoing::complete(head, pool.may_multiplex(), framing, &peer, &worker.rules().policy);
        let mut sample = Sample::beside(&books, worker.clock, version, worker.clock.now());
        let deadline = mirror.deadline;
        count(&worker.counters.choices.mirrored);
        tokio::task::spawn_local(async move {
            let exchange = exchange(&mut sample, &pool, Parcel::new(request, upload, None), &guard, &worker);
            let outcome = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Failure::ResponseTimeout));
            match outcome {
                Ok(()) => drop(sample.complete()),
                Err(failure) => {
                    count(&worker.counters.choices.mirror_failed);
                    sample.fail(failure);
                }
            }
            drop(flight);
        });
    }
}

/// Says whether a copy may go to its version: to the canary only while it has a share, and never past a trip.
fn may_go(mirror: &Mirror, books: &EpochBooks, worker: &Worker) -> bool {
    mirror.to != MirrorTo::Canary || books.epoch().admits_beside(worker.clock.now())
}

/// Sends a copy and reads its answer to the end, or as far as it is read.
async fn exchange(
    sample: &mut Sample,
    pool: &Rc<Pool>,
    mut parcel: Parcel,
    guard: &Rc<RequestGuard>,
    worker: &Worker,
) -> Result<(), Failure> {
    let rules = worker.rules();
    let Reply { mut head, mut body } = upstream::send(pool, &mut parcel, guard, rules.settings.timeouts.connect).await?;
    sanitise::response(&mut head, &rules.policy.via, false)?;
    sample.head(head.status.as_u16());
    let mut read = 0;
    while !body.is_end_stream() {
        match poll_fn(|cx| body.poll_data(cx)).await {
            Some(data) => read += data?.len(),
            None => break,
        }
        if read > MOST_ANSWER {
            return Ok(());
        }
    }
    body.finish();
    Ok(())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
