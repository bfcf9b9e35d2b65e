//! Samples, their blame and their books, without sockets.
#![cfg(test)]

use std::sync::mpsc::Receiver;

use super::*;
use crate::domain::gate::Share;
use crate::domain::observation::Window;
use crate::domain::start_order::Course;
use crate::domain::tripwire::n_max_table;
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::seam::recorder::Recorder;
use crate::seam::report::{Report, channel};
use crate::seam::table::Canary;
use crate::seam::tripwire::Tables;
use crate::seam::tripwire::Trial;

const LIMIT: Duration = Duration::from_millis(50);

fn canary(watches: &[Watch]) -> Canary {
    let tables = watches.iter().map(|_| Tables::without_step(n_max_table(Share::FIVE_PERCENT, 0.001))).collect();
    let (version, trial) = (version("v2"), Arc::new(Trial::new(tables, 1)));
    Canary { version, weight: Weight::FULL, trial, watches: watches.into(), outcome_deadline: None, probe_spacing: None }
}

fn version(name: &str) -> Arc<Version> {
    Arc::new(Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 1).into()]))
}

fn epoch_of(rollout: u64, canary: Option<Canary>) -> Arc<Epoch> {
    Arc::new(Epoch::new("carts".parse().unwrap(), rollout, 1, version("v1"), canary, Timestamp::NEVER))
}

fn epoch() -> Arc<Epoch> {
    epoch_of(1, Some(canary(&[Watch::Latency(LIMIT), Watch::Errors(ErrorKinds::DEFAULT)])))
}

struct Bench {
    epoch: Arc<Epoch>,
    recorder: Recorder,
    reports: Receiver<Report>,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        Self::of(epoch())
    }

    fn of(epoch: Arc<Epoch>) -> Self {
        let (sender, reports) = channel();
        Self { epoch, recorder: Recorder::new(0, sender), reports, clock: Clock::start() }
    }

    /// A bench whose canary is watched by these wires, with an outcome deadline of `LIMIT`.
    fn with_deadline(watches: &[Watch]) -> Self {
        Self::of(epoch_of(1, Some(Canary { outcome_deadline: Some(LIMIT), ..canary(watches) })))
    }

    /// Begins a request now.
    fn begin(&mut self, role: Role) -> Sample {
        self.begin_by(role, 0)
    }

    fn begin_by(&mut self, role: Role, client: u64) -> Sample {
        let books = self.recorder.open(&self.epoch);
        Sample::begin(&books, self.clock, role, self.clock.now(), client)
    }

    /// Begins a request that has been under way for more than `LIMIT`.
    fn begin_earlier(&mut self, role: Role) -> Sample {
        let mut sample = self.begin(role);
        sample.started = Timestamp::ZERO;
        while self.clock.now().since(Timestamp::ZERO) <= LIMIT {
            std::hint::spin_loop();
        }
        sample
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        let counts = self.epoch.canary.as_ref().unwrap().trial.counts();
        counts.iter().map(|c| (c.cumulative.requests, c.cumulative.breaches)).collect()
    }

    fn breaches(&self) -> Vec<u64> {
        self.counts().iter().map(|c| c.1).collect()
    }

    /// Returns what was told of stable requests, which all began since the last time, with their numbers.
    fn stable_courses(&mut self) -> Vec<(u64, Course)> {
        assert!(self.recorder.report(self.clock.now()));
        let mut all = Vec::new();
        for report in self.reports.try_iter() {
            if let Report::Observed { stable_marks, .. } = report {
                assert!(stable_marks.others().is_empty());
                all.extend(stable_marks.begun().map(|(number, course)| (number, *course)));
            }
        }
        all
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
    assert!(!flight.expire(Due::Wire(0)));
    assert!(!flight.expire(Due::Wire(0)));
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
    assert!(!flight.expire(Due::Wire(0)));
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
        assert!(!flight.expire(Due::Wire(0)), "the deadline looks at it when the limit has passed");
    }
    assert_eq!(bench.counts(), [(0, 0), (0, 0)]);
}

#[test]
fn a_client_that_left_after_the_limit_leaves_its_breach() {
    let mut bench = Bench::new();
    drop(bench.begin_earlier(Role::Canary));
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

#[test]
fn a_duration_is_settled_by_the_last_byte() {
    let mut bench = Bench::of(epoch_of(1, Some(canary(&[Watch::Duration(LIMIT), Watch::Latency(LIMIT)]))));
    let mut quick = bench.begin(Role::Canary);
    let flight = Rc::clone(quick.flight().unwrap());
    quick.head(200);
    assert!(!flight.is_settled(Due::Wire(0)), "its body has not ended");
    quick.complete();
    assert!(flight.is_settled(Due::Wire(0)));
    assert_eq!(bench.counts(), [(0, 0), (0, 0)]);
    let mut slow = bench.begin(Role::Canary);
    slow.head(200);
    slow.started = Timestamp::ZERO;
    drop(bench.begin_earlier(Role::Stable));
    slow.complete();
    assert_eq!(bench.counts(), [(2, 1), (0, 0)], "the head was in time, the last byte was not");
}

#[test]
fn a_duration_counts_at_its_deadline_once_though_the_head_is_there() {
    let mut bench = Bench::of(epoch_of(1, Some(canary(&[Watch::Duration(LIMIT)]))));
    let mut sample = bench.begin(Role::Canary);
    let flight = Rc::clone(sample.flight().unwrap());
    sample.head(200);
    assert!(!flight.expire(Due::Wire(0)));
    sample.complete();
    assert_eq!(bench.counts(), [(1, 1)]);
    assert_eq!(bench.epoch.canary.as_ref().unwrap().trial.counts()[0].cumulative.unanswered, 1);
    bench.begin(Role::Canary).fail(Failure::ConnectionRefused);
    assert_eq!(bench.counts(), [(2, 2)], "a version that does not answer at all is not fast");
    drop(bench.begin(Role::Canary));
    bench.begin(Role::Canary).fail(Failure::RequestBodyInvalid);
    assert_eq!(bench.counts(), [(2, 2)], "who left or sent nonsense says nothing");
}

#[test]
fn an_error_wire_counts_its_kinds_and_no_others() {
    let kinds = [ErrorKinds::SERVER, ErrorKinds::CLIENT, ErrorKinds::RESET, ErrorKinds::CONNECT.and(ErrorKinds::TIMEOUT)];
    let mut bench = Bench::of(epoch_of(1, Some(canary(&kinds.map(Watch::Errors)))));
    for (status, counted) in [(200, [0, 0, 0, 0]), (404, [0, 1, 0, 0]), (503, [1, 1, 0, 0])] {
        let mut sample = bench.begin(Role::Canary);
        sample.head(status);
        assert_eq!(bench.breaches(), counted, "a head settles them at once");
        sample.complete();
    }
    let mut cut = bench.begin(Role::Canary);
    cut.head(500);
    cut.fail(Failure::ResponseBodyCut);
    for failure in [Failure::ConnectionRefused, Failure::ResponseTimeout, Failure::ClientGone] {
        bench.begin(Role::Canary).fail(failure);
    }
    assert_eq!(bench.breaches(), [2, 1, 1, 2]);
}

/// Wires of which the outcome deadline concerns the first alone, among the errors.
const KINDS: [Watch; 3] = [Watch::Errors(ErrorKinds::DEFAULT), Watch::Errors(ErrorKinds::SERVER), Watch::Latency(Duration::from_secs(9))];

#[test]
fn a_request_without_a_head_at_its_outcome_deadline_is_a_time_out_once() {
    for ending in ["an answer", "a failure", "the client leaves"] {
        let mut bench = Bench::with_deadline(&KINDS);
        let mut sample = bench.begin(Role::Canary);
        let flight = Rc::clone(sample.flight().unwrap());
        assert!(flight.dues().any(|due| due == (LIMIT, Due::Outcome)));
        assert!(!flight.is_settled(Due::Outcome));
        for _ in 0..2 {
            assert!(!flight.expire(Due::Outcome));
            assert!(flight.is_settled(Due::Outcome));
        }
        assert_eq!(bench.breaches(), [1, 0, 0], "a gate that does not count time-outs is not concerned");
        let lost = match ending {
            "an answer" => {
                sample.head(503);
                sample.complete();
                0
            }
            "a failure" => {
                sample.fail(Failure::ConnectionTerminated);
                1
            }
            _ => {
                drop(sample);
                1
            }
        };
        assert_eq!(bench.breaches(), [1, u64::from(ending == "an answer"), lost], "{ending}");
        let (_, marks, _) = bench.drain();
        let Some(Mark::Ended(1, Fate::Measured { errors, unanswered, .. })) = marks.last() else { panic!("{marks:?}") };
        assert!(errors.meets(ErrorKinds::TIMEOUT), "the judge sees what the wire saw: {ending}");
        assert_eq!(*unanswered, lost == 1, "{ending}");
    }
}

#[test]
fn a_stream_is_no_time_out_and_neither_is_what_ended_or_was_freed() {
    let mut bench = Bench::with_deadline(&KINDS);
    let mut stream = bench.begin(Role::Canary);
    stream.head(200);
    let gone = bench.begin(Role::Canary);
    let (left, freed) = (Rc::clone(gone.flight().unwrap()), bench.begin(Role::Canary));
    drop(gone);
    freed.flight().unwrap().resolve();
    for flight in [stream.flight().unwrap(), &left, freed.flight().unwrap()] {
        assert!(flight.is_settled(Due::Outcome));
        assert!(!flight.expire(Due::Outcome));
    }
    stream.complete();
    drop(freed);
    assert_eq!(bench.breaches(), [0, 0, 0]);
    let (_, marks, _) = bench.drain();
    let ends: Vec<&Mark> = marks.iter().filter(|m| matches!(m, Mark::Ended(..))).collect();
    assert!(
        matches!(
            ends[..],
            [Mark::Ended(2, Fate::Excluded { .. }), Mark::Ended(1, Fate::Measured { errors: ErrorKinds::NONE, .. }), Mark::Ended(3, _)]
        ),
        "{marks:?}"
    );
}

#[path = "arms_tests.rs"]
mod arms;
