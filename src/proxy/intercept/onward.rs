//! Requests on a redirected connection that no service of the configuration answers: they go where the connection was going, unjudged.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Response, StatusCode};

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::domain::transport::{Protocol, Transport};
use crate::domain::version::{Name, Version};
use crate::proxy::body::{Answer, Measured};
use crate::proxy::error;
use crate::proxy::grpc;
use crate::proxy::passage::Passage;
use crate::proxy::respond::Form;
use crate::proxy::rules::Rules;
use crate::proxy::sanitise::{self, Clean, Outgoing};
use crate::proxy::upgrade;
use crate::proxy::upload::{Source, Upload};
use crate::proxy::upstream::{self, Parcel, Pool, Reply};
use crate::proxy::wire::Line;
use crate::proxy::worker::Worker;
use crate::seam::record::Access;

/// How long connecting there may take: whoever was redirected would have the system's own patience.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a redirected connection was going, for the requests on it. The connections there are its own: nobody else's requests come over
/// them.
pub struct Onward {
    aim: SocketAddr,
    /// Whether HTTP/2 is spoken, there as here.
    http2: bool,
    /// What stands for it among the versions; made with the first such request.
    version: OnceCell<Option<Arc<Version>>>,
}

impl Onward {
    /// Will go there.
    #[must_use]
    pub const fn new(aim: SocketAddr, http2: bool) -> Self {
        Self { aim, http2, version: OnceCell::new() }
    }

    fn pool(&self, worker: &Worker) -> Option<Rc<Pool>> {
        let protocol = if self.http2 { Protocol::Http2 } else { Protocol::Http1 };
        let made = || {
            let name: Name = "elsewhere".parse().ok()?;
            let transport = Transport { protocol, tls: None };
            Some(Arc::new(Version { transport, ..Version::new(name, vec![Endpoint::Address(self.aim)]) }))
        };
        self.version.get_or_init(made).as_ref().map(|version| worker.pools.apart(version))
    }
}

/// A request that no service answers.
pub struct Request<'a> {
    /// Its head, cleaned.
    pub head: http::request::Parts,
    /// Its body, of which nothing was read.
    pub body: Source,
    /// What the cleaning has found.
    pub clean: &'a Clean,
    /// What an answer made here looks like.
    pub form: Form,
    /// Its line of the access log.
    pub access: Option<Box<Access>>,
    /// When it began.
    pub started: Timestamp,
}

/// Passes a request on to where its connection was going, and its answer back. It has the time that it would have without a proxy.
pub async fn pass(onward: &Onward, worker: &Worker, rules: &Rules, line: Option<Rc<Line>>, asked: Request<'_>) -> Response<Answer> {
    let Request { mut head, body, clean, form, access, started } = asked;
    worker.counters.intercepted.passed.fetch_add(1, Ordering::Relaxed);
    let (guard, ticket) = worker.patrol.request();
    guard.goes_elsewhere();
    if let Some(line) = &line {
        line.guard().never_hurries();
    }
    let mut upload = Upload::new(body, Rc::clone(&guard), line);
    let framing = upload.framing(&head, clean.framing);
    if form.grpc {
        guard.call(worker.clock, grpc::timeout(&head.headers));
    }
    let mut passage = Passage::elsewhere(access, clean, (worker.clock, started));
    sanitise::put_back(&mut head);
    let mut request = Outgoing::unnamed(head, onward.http2, framing, &rules.policy);
    request.upgrade = clean.upgrade;
    let mut parcel = Parcel::new(request, upload, None);
    let sent = match onward.pool(worker) {
        Some(pool) => upstream::send(&pool, &mut parcel, &guard, PATIENCE).await,
        None => Err(Failure::NoEndpoint),
    };
    let cleaned = sent.and_then(|mut reply| {
        let via = rules.policy.via_of(reply.head.version);
        sanitise::answer(&mut reply.head, via, clean)?;
        Ok(reply)
    });
    let Reply { head, body } = match cleaned {
        Ok(reply) => reply,
        Err(failure) => {
            passage.fail(failure);
            return error::failed(failure, form, &rules.policy);
        }
    };
    passage.head(head.status.as_u16());
    guard.answered();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::cross(head, body, passage, ticket).unwrap_or_else(|failure| error::failed(failure, form, &rules.policy));
    }
    let body = Measured::new(body, passage, guard, ticket);
    Response::from_parts(head, Answer::Measured(Box::new(body)))
}
