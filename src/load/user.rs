//! One virtual user: takes the next request of its script when it is due, sends it and counts its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::HOST;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use tokio::sync::watch;

use crate::load::connection::{Connection, Interrupted};
use crate::load::counters::{Counters, Failure};
use crate::load::hook::{Hook, ResponseHead};
use crate::load::plan::{Pace, Plan, Rate, Request};

/// The wait after the first of several failures in a row; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the users of a run share.
pub(super) struct Shared {
    pub(super) target: SocketAddr,
    pub(super) host: HeaderValue,
    pub(super) plan: Plan,
    pub(super) counters: Arc<Counters>,
    pub(super) hook: Option<Hook>,
    /// The number of the next request at a constant rate; every user takes from it.
    pub(super) next: AtomicU64,
    pub(super) begun: Instant,
}

/// One virtual user.
pub(super) struct User {
    shared: Arc<Shared>,
    number: usize,
    /// True once no further request is to be sent; an error means that the run was dropped.
    stopping: watch::Receiver<bool>,
    connection: Option<Connection>,
    failures_in_a_row: u32,
}

impl User {
    pub(super) fn new(shared: Arc<Shared>, number: usize, stopping: watch::Receiver<bool>) -> Self {
        Self { shared, number, stopping, connection: None, failures_in_a_row: 0 }
    }

    /// Sends until the plan is done or the run is stopped.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(script) = shared.plan.scripts.get(self.number).filter(|script| !script.is_empty()) else { return };
        match shared.plan.pace {
            Pace::Closed { loops, think, ramp } => self.closed(script, loops, think, ramp).await,
            Pace::Constant { rate, requests } => self.constant(script, rate, requests).await,
        }
    }

    async fn closed(&mut self, script: &[Request], loops: Option<u64>, think: Duration, ramp: Duration) {
        let users = u32::try_from(self.shared.plan.scripts.len()).unwrap_or(u32::MAX);
        let turn = u32::try_from(self.number).unwrap_or(u32::MAX);
        if !self.wait_until(self.shared.begun + ramp.mul_f64(f64::from(turn) / f64::from(users))).await {
            return;
        }
        let mut done = 0;
        while loops.is_none_or(|loops| done < loops) {
            for request in script {
                if !self.wait_until(Instant::now() + think).await {
                    return;
                }
                self.send(request, None).await;
            }
            done += 1;
        }
    }

    async fn constant(&mut self, script: &[Request], rate: Rate, requests: Option<u64>) {
        for request in script.iter().cycle() {
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(intended) = self.shared.begun.checked_add(rate.offset(number)) else { return };
            if requests.is_some_and(|requests| number >= requests) || !self.wait_until(intended).await {
                return;
            }
            self.send(request, Some(intended)).await;
        }
    }

    /// Sends one request and counts its end; `intended` is when it was due, or `None` for now.
    async fn send(&mut self, request: &Request, intended: Option<Instant>) {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let ticket = shared.counters.begin();
        let attempt = self.attempt(request);
        let outcome = match shared.plan.timeout {
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or(Err(Failure::Timeout)),
            None => attempt.await,
        };
        let finished = Instant::now();
        match outcome {
            Ok((status, headers)) => {
                self.failures_in_a_row = 0;
                let intended = intended.unwrap_or(started);
                ticket.answered(status, finished.duration_since(intended), shared.plan.accept.accepts(status));
                if let Some(hook) = &shared.hook {
                    hook(&ResponseHead { user: self.number, status, headers, intended, started, finished });
                }
            }
            Err(failure) => {
                ticket.failed(failure);
                self.connection = None;
                let pause = FIRST_PAUSE.saturating_mul(1 << self.failures_in_a_row.min(16)).min(LONGEST_PAUSE);
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                // Whether it was stopped is asked again before the next request.
                let _ = self.wait_until(finished + pause).await;
            }
        }
    }

    /// Sends on the open connection, and on a new one when that turns out to have been closed while idle.
    ///
    /// The connection is put back only after a complete answer; a cancelled attempt closes it.
    async fn attempt(&mut self, request: &Request) -> Result<(StatusCode, HeaderMap), Failure> {
        if let Some(mut idle) = self.connection.take() {
            match idle.exchange(self.shared.compose(request)).await {
                Ok(answer) => {
                    self.connection = Some(idle);
                    return Ok(answer);
                }
                Err(Interrupted::Unsent) => {}
                Err(Interrupted::Broken) => return Err(Failure::Broken),
            }
        }
        let mut fresh = Connection::open(self.shared.target).await.ok_or(Failure::Connect)?;
        let answer = fresh.exchange(self.shared.compose(request)).await.map_err(|_| Failure::Broken)?;
        self.connection = Some(fresh);
        Ok(answer)
    }

    /// Waits until `moment` and says whether to go on; a stop ends the wait.
    async fn wait_until(&mut self, moment: Instant) -> bool {
        if *self.stopping.borrow() {
            return false;
        }
        if moment <= Instant::now() {
            return true;
        }
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => false,
            () = tokio::time::sleep_until(moment.into()) => true,
        }
    }
}

impl Shared {
    fn compose(&self, request: &Request) -> http::Request<Full<bytes::Bytes>> {
        let mut composed = http::Request::new(Full::new(request.body.clone()));
        *composed.method_mut() = request.method.clone();
        *composed.uri_mut() = request.path.clone().into();
        *composed.headers_mut() = request.headers.clone();
        composed.headers_mut().insert(HOST, self.host.clone());
        composed
    }
}
