//! THE HOT PATH, whole and in order: what happens to a request between its head and its answer's head.
//!
//! Each step is one call into a sibling. No lock, no allocation for routing, no metrics call, no log above debug.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, header};

use crate::domain::invariants;
use crate::domain::outcome::{Failure, Role};
use crate::domain::route::{Asked, Disagreement};
use crate::domain::time::Timestamp;
use crate::proxy::body::{Answer, Measured};
use crate::proxy::choice::{self, Chosen, Wanted};
use crate::proxy::client;
use crate::proxy::error;
use crate::proxy::grpc;
use crate::proxy::intercept::{self, Onward};
use crate::proxy::mirror::Copy;
use crate::proxy::passage::Passage;
use crate::proxy::record;
use crate::proxy::repeat;
use crate::proxy::rescue;
use crate::proxy::respond::{self, Form};
use crate::proxy::rules::Rules;
use crate::proxy::sanitise::{self, Clean, Outgoing, Peer, Refusal, WireNotes};
use crate::proxy::upgrade;
use crate::proxy::upload::{Source, Upload};
use crate::proxy::upstream::{self, Parcel, Reply};
use crate::proxy::wire::Line;
use crate::proxy::worker::{Found, Worker};
use crate::seam::record::Access;
use crate::seam::sample::Sample;

/// The service of one client connection.
#[derive(Clone)]
pub struct Serve {
    worker: Rc<Worker>,
    rules: Rc<Rules>,
    peer: Rc<Peer>,
    line: Option<Rc<Line>>,
    /// Where a redirected connection was going.
    onward: Option<Rc<Onward>>,
}

impl Serve {
    /// Serves one connection; `line` is absent when there is no socket.
    #[must_use]
    pub fn new(worker: Rc<Worker>, peer: Rc<Peer>, line: Option<Rc<Line>>) -> Self {
        Self { rules: worker.rules(), worker, peer, line, onward: None }
    }

    /// Passes on what no service answers, to where the connection was going.
    #[must_use]
    pub fn going_to(self, onward: Option<Onward>) -> Self {
        Self { onward: onward.map(Rc::new), ..self }
    }

    /// Returns what the connection works by.
    #[must_use]
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules)
    }

    /// Takes one request from its head to its answer's head; the answer's body carries the measurement on.
    pub fn handle(&self, request: Request<Source>) -> impl Future<Output = Response<Answer>> {
        // Taken apart out here, so that what follows has room for one head and not for three.
        let (mut head, body) = request.into_parts();
        async move {
            // 1. The head was read: the request begins.
            let (worker, rules) = (&self.worker, &self.rules);
            let mut started = worker.clock.now();
            let notes = self.line.as_ref().map_or_else(WireNotes::default, |line| line.take_notes());
            let form = Form::wanted(&head);
            if let Some(reason) = worker.is_full(rules) {
                return self.refuse(Refusal { status: 503, reason }, form, None);
            }
            let access = record::begin(worker, &self.peer, &head, started);

            // 2. Refuse it or clean it.
            let clean = match self.clean(&mut head, notes) {
                Ok(clean) => clean,
                Err(refusal) => return self.refuse(refusal, form, access),
            };

            // 3. One table, kept to the end. 4. The route's epoch, or 404.
            let mut found = match worker.find(&asked(&head, &clean)) {
                Ok(Some(found)) => found,
                Ok(None) => match &self.onward {
                    None => return self.no_route(form, access),
                    Some(to) => return self.pass_on(to, intercept::Request { head, body, clean: &clean, form, access, started }).await,
                },
                Err(Disagreement) => return self.refuse(AMBIGUOUS, form, access),
            };
            if let Some(refusal) = upgrade::refused(&clean, &found.books) {
                return self.refuse(refusal, form, access);
            }

            // A body that may be sent again comes first: whoever takes a long time over it asks for what is true when it is here.
            let (guard, ticket) = worker.patrol.request();
            let mut upload = Upload::new(body, Rc::clone(&guard), self.line.clone());
            let framing = upload.framing(&head, clean.framing);
            if repeat::keep(&mut upload, worker, found.choice.as_deref().map(|choice| &**choice), &head, framing).await {
                started = worker.clock.now();
                found = match worker.find(&asked(&head, &clean)) {
                    Ok(Some(found)) => found,
                    Ok(None) | Err(Disagreement) => return self.no_route(form, access),
                };
            }

            // 5. Pick a version, once what has passed by now is known.
            worker.deadlines.look(started);
            let Chosen { version, keep } = match found.choice.clone() {
                None => Chosen::drawn(worker.draw(&found)),
                Some(choice) => choice::choose(&choice, worker, &found, &self.peer, &mut head, &clean),
            };

            // 6. The sample begins; a canary request enters the deadline queue.
            let (sample, pool) = self.begin(&found, version, started, &head);
            let mirrored = found.choice.as_ref().filter(|choice| choice.mirror.is_some() && !clean.upgrade);
            let copy = mirrored.and_then(|choice| Copy::begin(choice, worker, &self.peer, &sample, &head, clean.framing));
            worker.deadlines.watch(&sample, &guard);
            if form.grpc {
                guard.call(worker.clock, grpc::timeout(&head.headers));
            }
            let mut passage = Passage::new(sample, access, &clean);
            let trail = passage.announce(&mut head.headers);

            // 7. To the version, and to stable where a canary fails it, within one time budget.
            upload.copy_to(copy);
            let either = pool.may_multiplex() || found.books.epoch().may_multiplex();
            let mut request = Outgoing::complete(head, either, framing, &self.peer, &rules.policy);
            request.upgrade = clean.upgrade;
            let mut parcel = Parcel::new(request, upload, trail);
            let mut sent = rescue::send(worker, &pool, &mut parcel, &guard, &mut passage).await;

            // 8. The head of the answer: time, blame and class are known.
            clean_reply(&mut sent, rules, &clean);
            let Reply { mut head, body } = match sent {
                Ok(answer) => answer,
                Err(failure) => {
                    passage.fail(failure);
                    return error::failed(failure, form, &rules.policy);
                }
            };
            if form.grpc {
                passage.head_of_call(&head, guard.sent_last())
            } else {
                passage.head(head.status.as_u16())
            }
            guard.answered();
            respond::tell(rules.settings.tells, &mut head.headers, &passage);
            if let Some(cookie) = keep {
                head.headers.append(header::SET_COOKIE, cookie);
            }

            // 9. The body streams on and carries the sample; or the connection goes on as a tunnel.
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return upgrade::cross(head, body, passage, ticket).unwrap_or_else(|failure| error::failed(failure, form, &rules.policy));
            }
            let body = Measured::new(body, passage, guard, ticket);
            Response::from_parts(head, Answer::Measured(Box::new(body)))
        }
    }

    /// Refuses a head or cleans it; what only services are not told is put aside where it may go elsewhere.
    fn clean(&self, head: &mut http::request::Parts, notes: WireNotes) -> Result<Clean, Refusal> {
        self.onward.iter().for_each(|_| sanitise::put_aside(head));
        sanitise::request(head, notes, &self.peer, &self.rules.policy)
    }

    /// Asks the epoch whether the version that was drawn may have the request: here a trip takes effect. Then measures it.
    fn begin(&self, found: &Found, version: Wanted, now: Timestamp, head: &http::request::Parts) -> (Sample, Rc<upstream::Pool>) {
        let (worker, books) = (&self.worker, &found.books);
        let drawn = match version {
            Wanted::Drawn(role) => role,
            Wanted::Beside(version) => {
                let pool = worker.pools.of(&version);
                return (Sample::beside(books, worker.clock, version, now), pool);
            }
        };
        let epoch = books.epoch();
        let tripped = cfg!(debug_assertions) && epoch.canary.as_ref().is_some_and(|c| c.trial.is_tripped());
        let role = epoch.pick(drawn, now);
        debug_assert_eq!(invariants::i2_i12_a_canary_pick_is_allowed(tripped, epoch.valid_until(), now, role), Ok(()));
        let (role, pool) = worker.pools.admit(epoch, role, now, |role| worker.pool(found, role));
        let client = if role == Role::Canary { client::of(&head.headers, &self.peer, &self.rules.settings.trusted) } else { 0 };
        (Sample::begin(books, worker.clock, role, now, client), pool)
    }

    /// Sends what no service answers to where its connection was going; in a box, so that no other request carries the room for it.
    fn pass_on<'a>(&'a self, to: &'a Onward, asked: intercept::Request<'a>) -> Pin<Box<dyn Future<Output = Response<Answer>> + 'a>> {
        Box::pin(intercept::pass(to, &self.worker, &self.rules, self.line.clone(), asked))
    }

    fn refuse(&self, refusal: Refusal, form: Form, access: Option<Box<Access>>) -> Response<Answer> {
        if let Some(mut access) = access {
            access.line.status = refusal.status;
            access.line.refusal = Some(refusal.reason);
            access.finish(0, std::time::Duration::ZERO, None);
        }
        self.worker.refused();
        error::refused(refusal, form, &self.rules.policy)
    }

    fn no_route(&self, form: Form, access: Option<Box<Access>>) -> Response<Answer> {
        if let Some(mut access) = access {
            access.line.status = 404;
            access.finish(0, std::time::Duration::ZERO, None);
        }
        error::no_route(form, &self.rules.policy)
    }
}

/// The refusal of a path that reads differently to the rules than to a version.
const AMBIGUOUS: Refusal =
    Refusal { status: 400, reason: "the path can be read in two ways that lead to different services; leave out escapes and dots" };

/// Gathers what the rules look at.
fn asked<'a>(head: &'a http::request::Parts, clean: &'a Clean) -> Asked<'a> {
    Asked { host: &clean.host, method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers }
}

/// Cleans the head of a version's answer, or turns it into the version's failure.
fn clean_reply(sent: &mut Result<Reply, Failure>, rules: &Rules, clean: &Clean) {
    if let Ok(Reply { head, .. }) = sent
        && let Err(failure) = sanitise::answer(head, rules.policy.via_of(head.version), clean)
    {
        *sent = Err(failure);
    }
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
