//! One virtual user: takes the next request of its script when it is due, sends it and counts its end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::time::human;
use crate::formats::jmx::OnError;
use crate::load::client::Client;
use crate::load::connection::Failed;
use crate::load::counters::{Counters, Failure};
use crate::load::hook::{Hook, ResponseHead};
use crate::load::plan::{Pace, Rate};
use crate::load::script::{Group, Step};
use crate::load::target::Target;

/// The wait after the first of several failures in a row; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How far a run is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Halt {
    /// It goes on.
    No,
    /// No further request is sent.
    Asked,
    /// What is in flight is cut.
    Now,
}

/// What the users of a run share.
pub(super) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) counters: Arc<Counters>,
    pub(super) hook: Option<Hook>,
    /// Written by who stops the run and by users whose plan ends it at an error.
    pub(super) halt: watch::Sender<Halt>,
}

impl Shared {
    /// Stops the run this far, or as far as it was stopped before.
    pub(super) fn halt_at_least(&self, halt: Halt) {
        self.halt.send_if_modified(|now| {
            let further = halt > *now;
            *now = halt.max(*now);
            further
        });
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).field("halt", &self.halt).finish_non_exhaustive()
    }
}

/// A group that has begun.
pub(super) struct Ongoing {
    group: Group,
    begun: Instant,
    ends: Option<Instant>,
    /// The number of the next request at a constant rate, or of one among so many; every user takes from it.
    next: AtomicU64,
}

impl Ongoing {
    pub(super) fn begin(group: Group) -> Self {
        let begun = Instant::now() + group.delay;
        let ends = group.duration.and_then(|duration| begun.checked_add(duration));
        Self { group, begun, ends, next: AtomicU64::new(0) }
    }
}

/// One virtual user.
pub(super) struct User {
    shared: Arc<Shared>,
    group: Arc<Ongoing>,
    number: usize,
    halt: watch::Receiver<Halt>,
    client: Client,
    failures_in_a_row: u32,
}

/// What a user does after a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    Restart,
    End,
}

impl User {
    pub(super) fn new(shared: Arc<Shared>, group: Arc<Ongoing>, number: usize) -> Self {
        let (halt, client) = (shared.halt.subscribe(), Client::new(Arc::clone(&shared.target), number));
        Self { shared, group, number, halt, client, failures_in_a_row: 0 }
    }

    /// Sends until the script is done or the run is stopped.
    pub(super) async fn run(mut self) {
        let group = Arc::clone(&self.group);
        let Some(script) = group.group.scripts.get(self.number).filter(|script| !script.is_empty()) else { return };
        match group.group.pace {
            Pace::Closed { loops, think, ramp } => self.closed(script, loops, think, ramp).await,
            Pace::Constant { rate, requests } => self.constant(script, rate, requests).await,
        }
    }

    async fn closed(&mut self, script: &[Step], loops: Option<u64>, think: Duration, ramp: Duration) {
        let users = u32::try_from(self.group.group.scripts.len()).unwrap_or(u32::MAX);
        let turn = u32::try_from(self.number).unwrap_or(u32::MAX);
        if !self.wait_until(self.group.begun + ramp.mul_f64(f64::from(turn) / f64::from(users))).await {
            return;
        }
        let most = self.group.group.requests;
        let mut done = 0;
        while loops.is_none_or(|loops| done < loops) {
            self.begin_loop(script);
            for step in script {
                let pause = think.saturating_add(step.pause);
                if !self.wait_until(Instant::now() + pause).await {
                    return;
                }
                if most.is_some_and(|most| self.group.next.fetch_add(1, Ordering::Relaxed) >= most) {
                    return;
                }
                match self.send(step, None).await {
                    Then::Next => {}
                    Then::Restart => break,
                    Then::End => return,
                }
            }
            done += 1;
        }
    }

    async fn constant(&mut self, script: &[Step], rate: Rate, requests: Option<u64>) {
        let most = [requests, self.group.group.requests].into_iter().flatten().min();
        loop {
            self.begin_loop(script);
            for step in script {
                let number = self.group.next.fetch_add(1, Ordering::Relaxed);
                let Some(intended) = self.group.begun.checked_add(rate.offset(number)) else { return };
                if most.is_some_and(|most| number >= most) || !self.wait_until(intended).await {
                    return;
                }
                match self.send(step, Some(intended)).await {
                    Then::Next => {}
                    Then::Restart => break,
                    Then::End => return,
                }
            }
        }
    }

    fn begin_loop(&mut self, script: &[Step]) {
        if script.iter().filter_map(|step| step.cookies).any(|cookies| cookies.clear_each_iteration) {
            self.client.forget();
        }
    }

    /// Sends one request and counts its end; `intended` is when it was due, or `None` for now.
    async fn send(&mut self, step: &Step, intended: Option<Instant>) -> Then {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let ticket = shared.counters.begin();
        let attempt = self.client.perform(step, &shared.counters);
        let outcome = match step.timeout.or(self.group.group.timeout) {
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(late(limit))),
            None => attempt.await,
        };
        let finished = Instant::now();
        match outcome {
            Ok((status, headers)) => {
                self.failures_in_a_row = 0;
                let intended = intended.unwrap_or(started);
                let good = self.group.group.accept.accepts(status);
                ticket.answered(status, finished.duration_since(intended), good);
                if let Some(hook) = &shared.hook {
                    hook(&ResponseHead { user: self.number, status, headers, intended, started, finished });
                }
                if good { Then::Next } else { self.after_an_error() }
            }
            Err(Failed { failure, why }) => {
                ticket.failed(failure, why);
                self.client.hang_up();
                let then = self.after_an_error();
                if then != Then::End {
                    let pause = FIRST_PAUSE.saturating_mul(1 << self.failures_in_a_row.min(16)).min(LONGEST_PAUSE);
                    self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                    // Whether it was stopped is asked again before the next request.
                    let _ = self.wait_until(finished + pause).await;
                }
                then
            }
        }
    }

    fn after_an_error(&self) -> Then {
        match self.group.group.on_error {
            OnError::Continue => Then::Next,
            OnError::StartNextLoop => Then::Restart,
            OnError::StopThread => Then::End,
            OnError::StopTest => {
                self.shared.halt_at_least(Halt::Asked);
                Then::End
            }
            OnError::StopTestNow => {
                self.shared.halt_at_least(Halt::Now);
                Then::End
            }
        }
    }

    /// Waits until `moment` and says whether to go on; a stop or the end of the group ends the wait.
    async fn wait_until(&mut self, moment: Instant) -> bool {
        if *self.halt.borrow() != Halt::No {
            return false;
        }
        let now = Instant::now();
        let in_time = self.group.ends.is_none_or(|ends| moment < ends && now < ends);
        let moment = self.group.ends.map_or(moment, |ends| moment.min(ends));
        if moment <= now {
            return in_time;
        }
        tokio::select! {
            biased;
            _ = self.halt.wait_for(|halt| *halt != Halt::No) => false,
            () = tokio::time::sleep_until(moment.into()) => in_time,
        }
    }
}

fn late(limit: Duration) -> Failed {
    Failed { failure: Failure::Timeout, why: format!("no complete answer within {}", human(limit)) }
}
