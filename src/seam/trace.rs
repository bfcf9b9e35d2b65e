//! One sampled request's trace on its way from a worker to whoever sends it on: what was asked of which endpoint, when, and how it ended.
//!
//! Most requests have none. One that has is described by its line of the access log, and by the attempts that were made for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::{Failure, Role};
use crate::domain::time::Timestamp;
use crate::domain::trace::{SpanId, TraceContext, TraceId};
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::access::Line;
use crate::seam::sample::Sample;

/// How many traces may wait before further ones are dropped and counted.
const CAPACITY: usize = 2_048;

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The share of those of which nobody has decided.
    pub share: Weight,
    /// Whether a caller's decision holds.
    pub follow: bool,
}

impl Sampling {
    /// Decides about a request; `number` is uniform, and drawn only where it is needed.
    #[must_use]
    pub fn takes(&self, context: Option<&TraceContext>, number: impl FnOnce() -> u32) -> bool {
        match context.and_then(|context| context.sampled).filter(|_| self.follow) {
            Some(decided) => decided,
            None => number() % 10_000 < u32::from(self.share.basis_points()),
        }
    }
}

/// What became of spans; written by workers and by whoever sends them on, read at exposition.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// Those that were taken.
    pub sent: AtomicU64,
    /// Those that did not fit into the queue.
    pub full: AtomicU64,
    /// Those that were refused for good.
    pub refused: AtomicU64,
    /// Those that could not be brought in time.
    pub undelivered: AtomicU64,
}

/// A worker's end of the traces.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// Which requests are recorded.
    pub sampling: Sampling,
    traces: SyncSender<Box<Finished>>,
    counts: Arc<SpanCounts>,
}

/// The other end of the traces.
#[derive(Debug)]
pub struct TraceReceiver {
    /// The traces.
    pub traces: Receiver<Box<Finished>>,
    /// What becomes of their spans.
    pub counts: Arc<SpanCounts>,
}

/// Makes the channel from the workers to whoever sends traces on.
#[must_use]
pub fn channel(sampling: Sampling) -> (Tracer, TraceReceiver) {
    let (sender, traces) = sync_channel(CAPACITY);
    let counts = Arc::<SpanCounts>::default();
    (Tracer { sampling, traces: sender, counts: Arc::clone(&counts) }, TraceReceiver { traces, counts })
}

impl Tracer {
    /// Sends a trace; never waits. One that does not fit is dropped and its spans are counted.
    pub fn send(&self, trace: Box<Finished>) {
        let spans = trace.spans();
        if self.traces.try_send(trace).is_err() {
            self.counts.full.fetch_add(spans, Ordering::Relaxed);
        }
    }
}

/// Who a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The trace.
    pub trace: TraceId,
    /// The span of the request itself.
    pub span: SpanId,
    /// The caller's span, where there is one.
    pub parent: Option<SpanId>,
    /// Whether the trace's id is random, as is passed on.
    pub random: bool,
    /// The caller's `tracestate`.
    pub state: String,
    /// How the client spoke: http or https.
    pub scheme: &'static str,
    /// When the head was read, in nanoseconds since 1970.
    pub began_ns: u64,
}

/// The trace of a request that has not ended.
#[derive(Debug)]
pub struct Trace {
    origin: Origin,
    trail: Rc<Trail>,
}

/// The attempts at one request so far, shared by who makes them and who tells of them.
#[derive(Debug)]
pub struct Trail {
    started: Timestamp,
    first: SpanId,
    /// When the measurement of the current version began.
    given: Cell<Timestamp>,
    current: RefCell<Option<(Arc<Version>, Role)>>,
    attempts: RefCell<Vec<Attempt>>,
    rescued: Cell<bool>,
}

/// One attempt at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its span, the parent of what the version records.
    pub span: SpanId,
    /// The version.
    pub version: Option<Name>,
    /// The part it plays.
    pub role: Option<Role>,
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// When it began, since the head was read.
    pub began: Duration,
    /// When it ended without an answer, since the head was read.
    pub ended: Option<Duration>,
    /// Why it did.
    pub failure: Option<Failure>,
    /// It is made because the canary failed the request.
    pub rescue: bool,
}

/// The trace of a request that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Whose it is.
    pub origin: Origin,
    /// What was asked and how it ended.
    pub line: Box<Line>,
    /// When it ended, since the head was read.
    pub ended: Duration,
    /// The attempts, in their order.
    pub attempts: Vec<Attempt>,
}

impl Finished {
    /// Returns how many spans it has.
    #[must_use]
    pub fn spans(&self) -> u64 {
        1 + self.attempts.len() as u64
    }
}

impl Trace {
    /// Begins the trace of a request whose head was read at `started`.
    #[must_use]
    pub fn begin(origin: Origin, started: Timestamp) -> Self {
        let first = origin.span.next(0);
        let given = Cell::new(started);
        let trail = Trail { started, first, given, current: RefCell::default(), attempts: RefCell::default(), rescued: Cell::new(false) };
        Self { origin, trail: Rc::new(trail) }
    }

    /// Returns whose it is.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the attempts, for who makes them.
    #[must_use]
    pub const fn trail(&self) -> &Rc<Trail> {
        &self.trail
    }

    /// Ends it with its line, whose duration is that of the last measurement.
    #[must_use]
    pub fn end(self, line: Box<Line>) -> Box<Finished> {
        let ended = self.trail.given.get().since(self.trail.started) + line.duration;
        let mut attempts = self.trail.attempts.take();
        if let Some(last) = attempts.last_mut().filter(|last| last.ended.is_none()) {
            last.failure = line.failure;
        }
        Box::new(Finished { origin: self.origin, line, ended, attempts })
    }
}

impl Trail {
    /// Notes who gets the request from now on.
    pub fn given(&self, sample: &Sample) {
        self.rescued.set(self.current.borrow().is_some());
        self.given.set(sample.started());
        self.current.replace(Some((Arc::clone(sample.version()), sample.role())));
    }

    /// Returns the span of the first attempt.
    #[must_use]
    pub const fn first(&self) -> SpanId {
        self.first
    }

    /// Begins an attempt; returns its span where it is not the first.
    pub fn attempt(&self, endpoint: &Endpoint, now: Timestamp) -> Option<SpanId> {
        let mut attempts = self.attempts.borrow_mut();
        let index = attempts.len() as u64;
        let span = if index == 0 { self.first } else { self.first.next(index) };
        let current = self.current.borrow();
        attempts.push(Attempt {
            span,
            version: current.as_ref().map(|(version, _)| version.name.clone()),
            role: current.as_ref().map(|(_, role)| *role),
            endpoint: endpoint.clone(),
            encrypted: current.as_ref().is_some_and(|(version, _)| version.transport.tls.is_some()),
            began: now.since(self.started),
            ended: None,
            failure: None,
            rescue: self.rescued.get(),
        });
        (index > 0).then_some(span)
    }

    /// Notes that the last attempt failed.
    pub fn failed(&self, failure: Failure, now: Timestamp) {
        if let Some(last) = self.attempts.borrow_mut().last_mut() {
            (last.ended, last.failure) = (Some(now.since(self.started)), Some(failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(sampled: Option<bool>) -> TraceContext {
        TraceContext { trace: TraceId::drawn(1), parent: SpanId::drawn(2), sampled, random: false }
    }

    fn origin() -> Origin {
        Origin {
            trace: TraceId::drawn(1),
            span: SpanId::drawn(2),
            parent: None,
            random: true,
            state: String::new(),
            scheme: "http",
            began_ns: 0,
        }
    }

    fn after(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_callers_decision_holds_where_it_is_followed() {
        let share = |text: &str, follow| Sampling { share: text.parse().unwrap(), follow };
        let never = || -> u32 { panic!("nothing is to be drawn") };
        assert!(share("0%", true).takes(Some(&context(Some(true))), never));
        assert!(!share("100%", true).takes(Some(&context(Some(false))), never));
        for undecided in [None, Some(context(None))] {
            assert!(share("1%", true).takes(undecided.as_ref(), || 99) && !share("1%", true).takes(undecided.as_ref(), || 100));
        }
        for decided in [true, false].map(|decided| context(Some(decided))) {
            assert!(share("1%", false).takes(Some(&decided), || 99) && !share("1%", false).takes(Some(&decided), || 100));
        }
        assert!(!share("0%", true).takes(None, || 0) && share("100%", true).takes(None, || u32::MAX));
    }

    #[test]
    fn every_attempt_has_a_span_of_its_own_and_its_end() {
        let trace = Trace::begin(origin(), after(100));
        let trail = Rc::clone(trace.trail());
        let endpoint: Endpoint = "127.0.0.1:1".parse().unwrap();
        assert_eq!(trail.attempt(&endpoint, after(110)), None, "the span of the first is told beforehand");
        trail.failed(Failure::ConnectionRefused, after(120));
        let second = trail.attempt(&endpoint, after(130)).unwrap();
        let line = Box::new(Line { duration: Duration::from_millis(90), failure: Some(Failure::ClientGone), ..Line::default() });
        let finished = trace.end(line);
        let told: Vec<_> =
            finished.attempts.iter().map(|a| (a.span, a.began.as_millis(), a.ended.map(|e| e.as_millis()), a.failure)).collect();
        let first = trail.first();
        assert_eq!(told, [(first, 10, Some(20), Some(Failure::ConnectionRefused)), (second, 30, None, Some(Failure::ClientGone))]);
        assert!(first != second && first != origin().span && finished.spans() == 3);
        assert_eq!(finished.ended.as_millis(), 90);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (tracer, receiver) = channel(Sampling { share: Weight::FULL, follow: true });
        for _ in 0..CAPACITY + 3 {
            tracer.send(Trace::begin(origin(), after(0)).end(Box::default()));
        }
        assert_eq!((receiver.traces.try_iter().count(), receiver.counts.full.load(Ordering::Relaxed)), (CAPACITY, 3));
    }
}
