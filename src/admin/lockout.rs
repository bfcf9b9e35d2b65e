//! Keeps whoever brings wrong tokens waiting: a source with too many of them is told 429 for a time that grows.
//!
//! Only requests that bring a token are kept waiting: what everybody may do, and what a client certificate proves, needs no guess. Whoever
//! comes over a Unix socket has no source and is never locked out, and right tokens of other sources count as ever. An abort with a
//! right token is carried out even so: an operator may sit behind the same address as a robot with an old token, and what brings a
//! bad version back to stable must not wait. That a locked source may go on guessing by aborts is no danger, as a token of 256 bits
//! is not found by guessing, and its wrong ones only make it wait longer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admin::access::Peer;
use crate::admin::problem::Problem;
use crate::domain::lockout::{Lockout, STRIKES, network};
use crate::domain::time::{self, Timestamp};
use crate::telemetry::lockouts::Lockouts;

/// Who is locked out. Copies share everything.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// Guards who brought wrong tokens; taken by the admin listener's requests, one at a time, and never across I/O.
    sources: Arc<Mutex<Lockout>>,
    counts: Arc<Lockouts>,
}

impl Patience {
    /// Counts into these books.
    #[must_use]
    pub fn new(counts: Arc<Lockouts>) -> Self {
        Self { sources: Arc::default(), counts }
    }

    /// Returns the source of a request whose token, should it be wrong, counts against it.
    #[must_use]
    pub fn source(head: &Parts) -> Option<IpAddr> {
        let brings_one = head.headers.contains_key(header::AUTHORIZATION);
        head.extensions.get::<Peer>().and_then(|peer| peer.source).filter(|_| brings_one)
    }

    /// Answers a request of a source that is locked out; `None` where it is to be looked at.
    #[must_use]
    pub fn refuse(&self, source: IpAddr, head: &Parts, now: Timestamp) -> Option<Response> {
        let left = self.sources().left(source, now).filter(|_| !is_abort(&head.method, head.uri.path()))?;
        self.counts.refused();
        let seconds = left.as_secs() + 1;
        let detail = format!(
            "too many wrong tokens came from {}; come again in {seconds} s, over the Unix socket, or from elsewhere (an abort with a right token is \
             carried out even so)",
            network(source)
        );
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        Some(response)
    }

    /// Takes in that the token of a source was wrong.
    pub fn strike(&self, source: IpAddr, now: Timestamp) {
        self.counts.wrong();
        let locked = self.sources().strike(source, now);
        if let Some(length) = locked {
            self.counts.locked_out();
            let (source, length) = (network(source), time::human(length));
            tracing::warn!(%source, "{STRIKES} wrong tokens came from there within a minute; it is not listened to for {length}");
        }
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, Lockout> {
        // A panic in between leaves counts.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether a request stops a rollout, or what is on trial in a stage.
fn is_abort(method: &Method, path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    method == Method::POST
        && matches!(parts.as_slice(), ["v1", "rollouts", _, "abort"] | ["v1", "projects", _, "services", _, "stages", _, "abort"])
}
