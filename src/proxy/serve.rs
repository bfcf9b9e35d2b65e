//! THE HOT PATH, whole and in order: what happens to a request between its head and its answer's head.
//!
//! Each step is one call into a sibling. No lock, no allocation for routing, no metrics call, no log above debug.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};

use crate::domain::invariants;
use crate::domain::outcome::{Failure, Role};
use crate::domain::time::Timestamp;
use crate::proxy::body::{Answer, Measured};
use crate::proxy::client;
use crate::proxy::error;
use crate::proxy::grpc;
use crate::proxy::passage::Passage;
use crate::proxy::respond::Form;
use crate::proxy::sanitise::{self, Outgoing, Peer, Refusal, WireNotes};
use crate::proxy::upload::{Source, Upload};
use crate::proxy::upstream::{self, Reply};
use crate::proxy::wire::Line;
use crate::proxy::worker::Worker;
use crate::seam::access::{self, Access};
use crate::seam::recorder::EpochBooks;
use crate::seam::sample::Sample;

/// The service of one client connection.
#[derive(Clone)]
pub struct Serve {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    line: Option<Rc<Line>>,
}

impl Serve {
    /// Serves one connection; `line` is absent when there is no socket.
    #[must_use]
    pub const fn new(worker: Rc<Worker>, peer: Rc<Peer>, line: Option<Rc<Line>>) -> Self {
        Self { worker, peer, line }
    }

    /// Refuses a request when the worker has as many in flight as it may have connections: each takes one to a version.
    ///
    /// Over HTTP/1 the connections themselves bound them.
    #[must_use]
    pub fn refuse_if_full<B>(&self, request: &Request<B>) -> Option<Response<Answer>> {
        let full = self.worker.patrol.requests() >= self.worker.settings.connections;
        let grpc = grpc::is_call(request.version(), request.headers());
        let form = Form { json: false, http1: false, bodyless: request.method() == http::Method::HEAD, grpc };
        full.then(|| self.refuse(Refusal { status: 503, reason: "the proxy has as many requests in flight as it may" }, form, None))
    }

    /// Takes one request from its head to its answer's head; the answer's body carries the measurement on.
    pub async fn handle(self, request: Request<Source>) -> Response<Answer> {
        // 1. The head was read: the request begins.
        let worker = &self.worker;
        let started = worker.clock.now();
        let notes = self.line.as_ref().map_or_else(WireNotes::default, |line| line.take_notes());
        let (mut head, body) = request.into_parts();
        let form = Form::wanted(&head);
        let access = self.access(&head, worker);

        // 2. Refuse it or clean it.
        let clean = match sanitise::request(&mut head, notes, &self.peer, &worker.policy) {
            Ok(clean) => clean,
            Err(refusal) => return self.refuse(refusal, form, access),
        };

        // 3. One table, kept to the end. 4. The route's epoch, or 404. 5. Pick a version.
        let Some(books) = worker.books_for(&clean.host) else {
            return self.no_route(form, access);
        };
        let (role, pool) = self.pick(&books, started);

        // 6. The sample begins; a canary request enters the deadline queue.
        let client = if role == Role::Canary { client::of(&head.headers, &self.peer, &worker.settings.trusted) } else { 0 };
        let sample = Sample::begin(&books, worker.clock, role, started, client);
        let (guard, ticket) = worker.patrol.request();
        worker.deadlines.watch(&sample, &guard);
        if form.grpc {
            guard.call(worker.clock, grpc::timeout(&head.headers));
        }
        let mut passage = Passage::new(sample, access, &clean);

        // 7. To the version, within one time budget.
        let mut upload = Upload::new(body, Rc::clone(&guard), self.line.clone());
        let framing = upload.framing(&head, clean.framing);
        let outgoing = if may_multiplex(&books) { Outgoing::for_either } else { Outgoing::new };
        let request = outgoing(head, framing, &self.peer, &worker.policy);
        let sent = upstream::send(&pool, request, upload, &guard, worker.settings.timeouts.connect).await;

        // 8. The head of the answer: time, blame and class are known.
        let Reply { head, body } = match sent.and_then(|reply| clean_reply(reply, worker)) {
            Ok(answer) => answer,
            Err(failure) => {
                passage.fail(failure);
                return error::failed(failure, form, &worker.policy);
            }
        };
        if form.grpc {
            passage.head_of_call(&head, guard.sent_last())
        } else {
            passage.head(head.status.as_u16())
        }
        guard.answered();

        // 9. The body streams on and carries the sample.
        let body = Measured::new(body, passage, guard, ticket);
        Response::from_parts(head, Answer::Measured(Box::new(body)))
    }

    /// Draws a version and asks the epoch whether it may have the request: here a trip takes effect.
    fn pick(&self, books: &Rc<EpochBooks>, now: Timestamp) -> (Role, Rc<upstream::Pool>) {
        let epoch = books.epoch();
        let drawn = self.worker.draw(epoch);
        let tripped = cfg!(debug_assertions) && epoch.canary.as_ref().is_some_and(|c| c.trial.is_tripped());
        let role = epoch.pick(drawn, now);
        debug_assert_eq!(invariants::i2_i12_a_canary_pick_is_allowed(tripped, epoch.valid_until(), now, role), Ok(()));
        (role, self.worker.pools.of(epoch.version(role)))
    }

    fn refuse(&self, refusal: Refusal, form: Form, access: Option<Box<Access>>) -> Response<Answer> {
        if let Some(mut access) = access {
            access.line.status = refusal.status;
            access.line.refusal = Some(refusal.reason);
            access.finish(0, std::time::Duration::ZERO, None);
        }
        self.worker.refused();
        error::refused(refusal, form, &self.worker.policy)
    }

    fn no_route(&self, form: Form, access: Option<Box<Access>>) -> Response<Answer> {
        if let Some(mut access) = access {
            access.line.status = 404;
            access.finish(0, std::time::Duration::ZERO, None);
        }
        error::no_route(form, &self.worker.policy)
    }

    /// Begins a line of the access log when there is one; the only part of the path that copies text.
    fn access(&self, head: &http::request::Parts, worker: &Worker) -> Option<Box<Access>> {
        let sender = worker.access.clone()?;
        let line = Box::new(access::Line {
            client: self.peer.address,
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            host: String::new(),
            service: None,
            version: None,
            role: None,
            generation: 0,
            status: 0,
            response_time: None,
            duration: std::time::Duration::ZERO,
            bytes: 0,
            failure: None,
            refusal: None,
        });
        Some(Box::new(Access { line, sender }))
    }
}

/// Says whether a version that may get the request may speak HTTP/2.
fn may_multiplex(books: &EpochBooks) -> bool {
    let (stable, canary) = (&books.epoch().stable, &books.epoch().canary);
    stable.transport.may_multiplex() || canary.as_ref().is_some_and(|canary| canary.version.transport.may_multiplex())
}

/// Cleans the head of a version's answer, or turns it into the version's failure.
fn clean_reply(mut reply: Reply, worker: &Worker) -> Result<Reply, Failure> {
    let via = worker.policy.via_of(reply.head.version);
    sanitise::response(&mut reply.head, via)?;
    Ok(reply)
}

impl tower::Service<Request<Source>> for Serve {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Source>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.handle(request).await) })
    }
}
