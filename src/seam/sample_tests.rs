//! Samples, their blame and their books, without sockets.
#![cfg(test)]

use std::sync::mpsc::Receiver;

use super::*;
use crate::domain::gate::Share;
use crate::domain::observation::Window;
use crate::domain::tripwire::n_max_table;
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::seam::recorder::Recorder;
use crate::seam::report::{Report, channel};
use crate::seam::table::Canary;

fn epoch() -> Arc<Epoch> {
    let version = |name: &str| Arc::new(Version { name: name.parse().unwrap(), endpoints: vec![([127, 0, 0, 1], 1).into()] });
    let tables = vec![n_max_table(Share::FIVE_PERCENT, 0.001), n_max_table(Share::FIVE_PERCENT, 0.001)];
    let watches: Arc<[Watch]> = vec![Watch::Latency(Duration::from_millis(50)), Watch::Errors].into();
    let canary = Canary { version: version("v2"), weight: Weight::FULL, trial: Arc::new(Trial::new(tables)), watches };
    Arc::new(Epoch::new("carts".parse().unwrap(), 1, 1, version("v1"), Some(canary), Timestamp::NEVER))
}

struct Bench {
    epoch: Arc<Epoch>,
    recorder: Recorder,
    reports: Receiver<Report>,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let (sender, reports) = channel();
        Self { epoch: epoch(), recorder: Recorder::new(0, sender), reports, clock: Clock::start() }
    }

    /// Begins a canary request that started `ago` before now.
    fn begin(&mut self, role: Role) -> Sample {
        let books = self.recorder.open(&self.epoch);
        Sample::begin(&books, self.clock, role, self.clock.now())
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        self.epoch.canary.as_ref().unwrap().trial.counts().iter().map(|c| (c.requests, c.breaches)).collect()
    }

    fn drain(&mut self) -> (Window, Vec<Mark>, usize) {
        assert!(self.recorder.report(self.clock.now()));
        let (mut window, mut all, mut trips) = (Window::default(), Vec::new(), 0);
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Observed { observations, marks, .. } => {
                    observations.iter().for_each(|o| window.merge(o));
                    all.extend(marks);
                }
                Report::Tripped { evident, at, .. } => {
                    assert!(evident <= at);
                    trips += 1;
                }
                Report::UpTo { .. } | Report::Wake => {}
            }
        }
        (window, all, trips)
    }
}

#[test]
fn a_good_request_breaches_nothing() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    sample.head(200);
    sample.complete();
    assert_eq!(bench.counts(), [(0, 0), (0, 0)]);
    let (window, marks, trips) = bench.drain();
    assert_eq!((window.decided, window.answered, window.response_time.len(), trips), (1, 1, 1, 0));
    assert!(matches!(
        marks[..],
        [Mark::Started(1, _), Mark::Answered(1, _), Mark::Ended(1, Fate::Measured { errors: ErrorKinds::NONE, unanswered: false, .. })]
    ));
}

#[test]
fn a_deadline_counts_once_and_the_late_answer_not_again() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    let flight = Rc::clone(sample.flight().unwrap());
    assert!(!flight.expire(0));
    assert!(!flight.expire(0));
    sample.started = Timestamp::ZERO;
    sample.head(200);
    sample.complete();
    assert_eq!(bench.counts()[0], (1, 1));
}

#[test]
fn an_answer_within_the_limit_silences_its_deadline() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    let flight = Rc::clone(sample.flight().unwrap());
    sample.head(200);
    assert!(!flight.expire(0));
    assert_eq!(bench.counts()[0], (0, 0));
}

#[test]
fn only_the_version_is_charged() {
    for (end, charged) in [
        (Failure::ClientGone, false),
        (Failure::RequestBodyInvalid, false),
        (Failure::ProxyExhausted, false),
        (Failure::ConnectionRefused, true),
        (Failure::ResponseTimeout, true),
        (Failure::ResponseInvalid, true),
    ] {
        let mut bench = Bench::new();
        bench.begin(Role::Canary).fail(end);
        let expected = if charged { [(1, 1), (1, 1)] } else { [(0, 0), (0, 0)] };
        assert_eq!(bench.counts(), expected, "{end:?}");
    }
}

#[test]
fn a_5xx_and_a_cut_body_are_one_failure() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    sample.head(503);
    sample.fail(Failure::ResponseBodyCut);
    assert_eq!(bench.counts(), [(0, 0), (1, 1)]);
}

#[test]
fn three_refusals_trip_and_wake_the_controller_once() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.begin(Role::Canary).fail(Failure::ConnectionRefused);
    }
    assert_eq!(bench.epoch.pick(Role::Canary, Timestamp::ZERO), Role::Stable);
    assert_eq!(bench.drain().2, 1);
}

#[test]
fn a_dropped_sample_is_a_client_that_left_and_the_books_stay_conserved() {
    let mut bench = Bench::new();
    let waiting = bench.begin(Role::Stable);
    drop(bench.begin(Role::Stable));
    let (window, _, _) = bench.drain();
    assert_eq!((window.decided, window.aborted, window.ended()), (2, 1, 1));
    waiting.fail(Failure::ResponseTimeout);
    assert_eq!(bench.drain().0.failed, 1);
}

#[test]
fn an_expired_epoch_gives_the_canary_nothing() {
    let epoch = epoch();
    epoch.renew(Timestamp::from_nanos(10));
    assert_eq!(epoch.pick(Role::Canary, Timestamp::from_nanos(10)), Role::Canary);
    assert_eq!(epoch.pick(Role::Canary, Timestamp::from_nanos(11)), Role::Stable);
    epoch.renew(Timestamp::from_nanos(20));
    assert_eq!(epoch.pick(Role::Canary, Timestamp::from_nanos(11)), Role::Canary);
}

#[test]
fn a_client_that_left_before_the_limit_silences_the_deadline() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        let sample = bench.begin(Role::Canary);
        let flight = Rc::clone(sample.flight().unwrap());
        drop(sample);
        assert!(!flight.expire(0), "the deadline looks at it when the limit has passed");
    }
    assert_eq!(bench.counts(), [(0, 0), (0, 0)]);
}

#[test]
fn a_client_that_left_after_the_limit_leaves_its_breach() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    sample.started = Timestamp::ZERO;
    while bench.clock.now().since(Timestamp::ZERO) <= Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    drop(sample);
    assert_eq!(bench.counts(), [(1, 1), (0, 0)]);
}

#[test]
fn a_5xx_whose_client_left_is_a_failure_for_wire_and_judge_alike() {
    let mut bench = Bench::new();
    let mut sample = bench.begin(Role::Canary);
    sample.head(503);
    drop(sample);
    assert_eq!(bench.counts()[1], (1, 1));
    let (_, marks, _) = bench.drain();
    assert!(matches!(marks[..], [_, _, Mark::Ended(1, Fate::Measured { errors: ErrorKinds::SERVER, .. })]), "{marks:?}");
}

#[test]
fn books_that_end_while_the_controller_is_behind_are_not_lost() {
    let (sender, reports) = channel();
    let mut bench = Bench { epoch: epoch(), recorder: Recorder::new(0, sender.clone()), reports, clock: Clock::start() };
    let sample = bench.begin(Role::Canary);
    while sender.try_send(Report::Wake).is_ok() {}
    assert!(!bench.recorder.report(bench.clock.now()), "the channel is full");
    sample.fail(Failure::ConnectionRefused);
    let mut marks = Vec::new();
    for _ in 0..2 {
        while let Ok(report) = bench.reports.try_recv() {
            if let Report::Observed { marks: seen, .. } = report {
                marks.extend(seen);
            }
        }
        bench.recorder.report(bench.clock.now());
    }
    marks.extend(bench.drain().1);
    assert!(matches!(marks[..], [Mark::Started(1, _), Mark::Ended(1, _)]), "{marks:?}");
}
