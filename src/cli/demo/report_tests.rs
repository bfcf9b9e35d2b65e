//! Claims about the report: each promise is looked at, and a broken one is named.

use super::*;
use crate::cli::demo::admin::{Evidence, Trip};
use crate::cli::demo::pipeline::{Delivered, Users};
use crate::cli::demo::tally::Counted;
use crate::domain::version::Version;
use crate::domain::weight::Weight;

fn rollout(phase: Phase) -> Rollout {
    Rollout {
        canary: Version::new("0.8.2".parse().unwrap(), Vec::new()),
        phase,
        weight: Weight::ZERO,
        generation: 3,
        reason: "the reason".to_owned(),
        evidence: Some(Evidence { sentence: "rolled back after 3 of 3 requests exceeded 1 s".to_owned(), unanswered: 3 }),
        gates: Vec::new(),
        file: None,
        canary_requests: 12,
        trip: Some(Trip {
            evident_ns: 2_000_000_000,
            tripped_ns: 2_000_002_000,
            first_breach_started_ns: Some(1_000_000_000),
            last_canary_started_ns: Some(1_999_000_000),
            breaches: 3,
            requests: 4,
            started_after_trip: 0,
        }),
        durable: true,
    }
}

/// A report of a demo in which all went well.
fn good(mode: Mode) -> Report {
    let mut report = Report::new(mode);
    report.take_rollback(&rollout(Phase::RolledBack));
    report.take_promotion(&rollout(Phase::Promoted));
    let all = Pages { asked: 50, as_expected: 50 };
    (report.info_page_at_first, report.info_page_after_rollback, report.info_page_after_promotion) = (all, all, all);
    (report.canary_requests_arrived, report.canary_requests_arrived_after_trip) = (Some(12), Some(0));
    report.canary_posts_answered = Some(if mode == Mode::Hang { 0 } else { 10 });
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    report.stages = pipeline::PROMISED.iter().map(|(stage, served)| ((*stage).to_owned(), tags(served))).collect();
    report.pipeline.users = pipeline::PROMISED.iter().map(|(stage, _)| ((*stage).to_owned(), Users { requests: 9, failed: 0 })).collect();
    let outcomes = [("staging".to_owned(), "failed".to_owned())].into();
    report.pipeline.artifacts = vec![Delivered { tag: "0.8.2".into(), outcomes, seconds: 1.0, test_requests: 7, reason: "why".into() }];
    report
}

fn problems(report: &mut Report) -> Vec<String> {
    report.conclude(None, 20.0);
    assert_eq!(report.ok, report.problems.is_empty());
    report.problems.clone()
}

#[test]
fn a_demo_that_kept_its_promises_is_good() {
    assert_eq!(problems(&mut good(Mode::Slow)), Vec::<String>::new());
    assert_eq!(problems(&mut good(Mode::Hang)), Vec::<String>::new());
}

#[test]
fn nothing_measured_breaks_every_promise() {
    assert_eq!(problems(&mut Report::new(Mode::Hang)).len(), 17);
}

#[test]
fn each_promise_can_be_broken_and_is_named() {
    type Breaking = fn(&mut Report);
    let cases: [(Breaking, &str); 17] = [
        (|r| r.rolled_back = false, "0.8.2 was not rolled back"),
        (|r| r.breaches_at_trip = None, "an unknown number of breaches"),
        (|r| r.breaches_at_trip = Some(0), "took 0 breaches"),
        (|r| r.breaches_at_trip = Some(21), "took 21 breaches"),
        (|r| r.first_slow_sent_to_trip_ms = None, "an unknown time"),
        (|r| r.first_slow_sent_to_trip_ms = Some(3001.0), "3001 ms"),
        (|r| r.canary_requests_started_after_trip = Some(1), "1 requests to 0.8.2 began after the trip"),
        (|r| r.canary_requests_started_after_trip = None, "began after the trip"),
        (|r| r.canary_requests_arrived_after_trip = Some(2), "2 requests arrived at 0.8.2 after the trip"),
        (|r| r.canary_requests_arrived = Some(13), "13 requests arrived at 0.8.2, but the proxy knows of 12"),
        (|r| r.info_page_at_first.as_expected = 49, "at first v1 in 49 of 50"),
        (|r| r.info_page_after_rollback.as_expected = 49, "after the rollback v1 in 49 of 50"),
        (|r| r.info_page_after_promotion.asked = 51, "after the promotion v3 in 50 of 51"),
        (|r| r.requests_failed = 1, "1 client requests failed"),
        (|r| r.requests_lost_to_hang = 1, "1 client requests were lost to a hang"),
        (|r| (r.mode, r.canary_posts_answered) = (Mode::Hang, Some(1)), "0.8.2 answered 1 POSTs"),
        (|r| r.promoted = false, "0.8.3 was not promoted"),
    ];
    for (break_it, named) in cases {
        let mut report = good(Mode::Slow);
        break_it(&mut report);
        let problems = problems(&mut report);
        assert!(problems.len() == 1 && problems[0].contains(named), "{named}: {problems:?}");
    }
}

#[test]
fn the_times_of_a_trip_are_differences_of_the_proxys_clock() {
    let report = good(Mode::Slow);
    assert_eq!((report.first_slow_sent_to_trip_ms, report.breach_to_trip_us), (Some(1000.002), Some(2.0)));
    assert_eq!(report.trip_to_last_canary_request_us, Some(-1002.0));
    assert_eq!((report.breaches_at_trip, report.requests_at_trip, report.breaches_unanswered_at_trip), (Some(3), Some(4), Some(3)));
}

#[test]
fn a_decision_that_is_not_durable_does_not_count() {
    let mut report = good(Mode::Slow);
    report.take_rollback(&Rollout { durable: false, ..rollout(Phase::RolledBack) });
    report.take_promotion(&rollout(Phase::Aborted));
    assert_eq!(problems(&mut report).len(), 2);
}

#[test]
fn what_was_lost_to_the_hang_is_counted_apart_from_failures() {
    let counts = Counts { sent: 100, answered: 97, bad: 5, unanswered: 2, abandoned: 1, tally: Counted::default() };
    let mut report = good(Mode::Hang);
    report.requests_lost_to_hang = 5;
    report.take_counts(counts);
    assert_eq!((report.requests_sent, report.requests_failed), (100, 3));
}

#[test]
fn a_story_that_broke_off_says_so_first() {
    let mut report = good(Mode::Slow);
    report.promoted = false;
    report.conclude(Some("the proxy ended".to_owned()), 3.0);
    assert_eq!(report.problems, ["the proxy ended", "0.8.3 was not promoted for good"]);
    assert!(!report.ok);
}

#[test]
fn the_file_holds_the_last_report_only() {
    let path = std::env::temp_dir().join(format!("portcullis-report-{:016x}.json", rand::random::<u64>()));
    let mut file = File::options().create(true).read(true).append(true).open(&path).unwrap();
    file.write_all(&[b'x'; 10_000]).unwrap();
    let mut report = good(Mode::Slow);
    report.conclude(None, 20.5);
    report.write(&mut file).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((json["ok"].as_bool(), json["mode"].as_str(), json["wall_s"].as_f64()), (Some(true), Some("slow"), Some(20.5)));
    assert_eq!((json["rolled_back"].as_bool(), json["promoted"].as_bool()), (Some(true), Some(true)));
    assert_eq!(json["verdict"], "rolled back after 3 of 3 requests exceeded 1 s");
}
