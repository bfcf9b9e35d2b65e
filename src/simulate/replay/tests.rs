//! What replays of small logs find.
#![cfg(test)]

use std::time::Duration;

use crate::domain::outcome::{Failure, Outcome, Role};
use crate::formats::access_log::Recorded;
use crate::formats::hlog::{Interval, Values};
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::replay::log::Log;
use crate::simulate::replay::replayed::Replayed;

/// A request that began at so many milliseconds and took so many.
fn recorded(start: u64, took: u64, outcome: Outcome) -> Recorded {
    let duration = Duration::from_millis(took);
    let answered = matches!(outcome, Outcome::Answered(_));
    Recorded { written_ns: (start + took) * 1_000_000, duration, response_time: answered.then_some(duration), role: Role::Canary, outcome }
}

fn replay(requests: &[Recorded], gate: &str) -> Replayed {
    let mut log = Log::default();
    assert!(requests.iter().all(|request| log.add(request)));
    log.replay(&[gate.parse().unwrap()], 0.001, 0.05).unwrap().remove(0)
}

#[test]
fn the_third_slow_request_fires_when_its_limit_passes() {
    let slow: Vec<Recorded> = (0..20).map(|n| recorded(n * 100, 5_000, Outcome::Answered(200))).collect();
    let fired = replay(&slow, "p95 < 1s").fired.unwrap();
    assert_eq!((fired.request, fired.breaches, fired.harmed, fired.spared), (Some(3), 3, 13, 7));
    assert!((fired.after_seconds - 1.201).abs() < 1e-9, "{}", fired.after_seconds);
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let mut mixed: Vec<Recorded> =
        (0..200).map(|n| recorded(n * 10, if n % 4 == 0 { 3_000 } else { 20 }, Outcome::Answered(200))).collect();
    let in_order = replay(&mixed, "p95 < 1s");
    mixed.sort_by_key(|request| request.written_ns);
    assert_eq!(replay(&mixed, "p95 < 1s"), in_order);
    assert!(in_order.fired.is_some());
}

#[test]
fn a_good_log_passes_where_the_table_says_and_leavers_do_not_count() {
    let good: Vec<Recorded> = (0..100)
        .flat_map(|n| [recorded(n * 10, 20, Outcome::Answered(200)), recorded(n * 10, 20, Outcome::Failed(Failure::ClientGone))])
        .collect();
    let replayed = replay(&good, "p95 < 1s");
    assert_eq!((replayed.fired, replayed.passed_at, replayed.requests), (None, Some(74), 200));
}

#[test]
fn failures_fire_an_error_gate() {
    let failing: Vec<Recorded> = (0..10).map(|n| recorded(n * 10, 5, Outcome::Answered(503))).collect();
    assert_eq!(replay(&failing, "errors < 1%").fired.unwrap().breaches, 2);
}

#[test]
fn a_mean_and_an_apdex_fire_on_slow_requests_and_pass_on_fast_ones() {
    let requests = |took: u64| (0..600).map(|n| recorded(n * 20, took, Outcome::Answered(200))).collect::<Vec<_>>();
    for gate in ["mean < 200ms", "apdex(200ms) > 0.9"] {
        let slow = replay(&requests(1_000), gate);
        let fired = slow.fired.clone().unwrap_or_else(|| panic!("{gate} does not fire"));
        assert!(fired.request.is_none() && fired.requests > 0 && fired.after_seconds < 3.0, "{gate}: {fired:?}");
        assert_eq!((slow.passed_at, slow.breaches, fired.harmed + fired.spared), (None, 600, 600), "{gate}");
        let fast = replay(&requests(10), gate);
        assert!(fast.fired.is_none() && fast.passed_at.is_some_and(|at| at < 600) && fast.breaches == 0, "{gate}: {fast:?}");
    }
    let failing: Vec<Recorded> = (0..600).map(|n| recorded(n * 20, 10, Outcome::Answered(500))).collect();
    assert!(replay(&failing, "apdex(200ms) > 0.9").fired.is_some());
}

#[test]
fn what_is_timed_to_the_last_byte_is_judged_by_it() {
    let mut requests: Vec<Recorded> = (0..600).map(|n| recorded(n * 20, 1_000, Outcome::Answered(200))).collect();
    requests.iter_mut().for_each(|request| request.response_time = Some(Duration::from_millis(5)));
    for (gate, fires) in [("mean < 200ms", false), ("mean(duration) < 200ms", true), ("p95(duration) < 200ms", true)] {
        assert_eq!(replay(&requests, gate).fired.is_some(), fires, "{gate}");
    }
}

/// Both versions, two requests of stable for each of the canary's.
fn both(canary: u64, canary_status: u16, stable: u64) -> Vec<Recorded> {
    let of_stable = |start| Recorded { role: Role::Stable, ..recorded(start, stable, Outcome::Answered(200)) };
    let of_canary = |n: u64| recorded(n * 30 + 7, canary + n % 7, Outcome::Answered(canary_status));
    (0..3_000).flat_map(|n| [of_stable(n * 30 + n % 5), of_stable(n * 30 + 15), of_canary(n)]).collect()
}

#[test]
fn comparisons_take_both_versions_of_one_log() {
    for (gate, worse) in [("p95 <= stable * 1.5", both(300, 200, 50)), ("errors <= stable * 2", both(50, 500, 50))] {
        let fired = replay(&worse, gate).fired.unwrap_or_else(|| panic!("{gate} does not fire"));
        assert!(fired.after_seconds < 30.0 && fired.spared > fired.harmed, "{gate}: {fired:?}");
        assert_eq!(replay(&both(50, 200, 50), gate).fired, None, "{gate}");
    }
}

#[test]
fn a_log_of_stable_from_another_time_is_moved_to_where_the_canary_begins() {
    let (mut canary, mut stable) = (Log::default(), Log::default());
    let day = 86_400_000;
    for request in both(300, 200, 50) {
        let moved = Recorded { written_ns: request.written_ns + day * 1_000_000, ..request };
        assert!(if request.role == Role::Canary { canary.add(&moved) } else { stable.add(&request) });
    }
    let (by, later) = canary.compare_with(stable.as_stable()).unwrap();
    assert!(later && by.as_millis().abs_diff(u128::from(day)) < 100, "{by:?}");
    let replayed = canary.replay(&["p95 <= stable * 1.5".parse().unwrap()], 0.001, 0.05).unwrap();
    assert!(replayed[0].fired.is_some());
}

/// Intervals of a second with so many fast and so many slow requests.
fn intervals(count: u64, fast: u64, slow: u64) -> Log {
    let (mut log, mut chance) = (Log::default(), Chance::new(1, Stream::Canary));
    for second in 0..count {
        let values = vec![
            Values { at_least_ns: 20_000_000, at_most_ns: 20_015_000, count: fast },
            Values { at_least_ns: 3_000_000_000, at_most_ns: 3_001_000_000, count: slow },
        ];
        let interval = Interval { tag: None, start_ns: second * 1_000_000_000, length_ns: 1_000_000_000, total: fast + slow, values };
        assert!(log.add_interval(Role::Canary, &interval, &mut chance));
    }
    log
}

#[test]
fn an_interval_log_is_replayed_spread_over_its_intervals() {
    let gates = ["p95 < 1s", "mean < 200ms", "apdex(200ms) > 0.9"].map(|gate| gate.parse().unwrap());
    for replayed in intervals(60, 70, 30).replay(&gates, 0.001, 0.05).unwrap() {
        let fired = replayed.fired.unwrap_or_else(|| panic!("{} does not fire", replayed.gate));
        // The slow ones of the first interval began up to 3 s before it.
        assert!(fired.after_seconds < 5.0 && replayed.breaches == 1_800 && replayed.passed_at.is_none(), "{}: {fired:?}", replayed.gate);
    }
    for replayed in intervals(60, 100, 0).replay(&gates, 0.001, 0.05).unwrap() {
        assert!(replayed.fired.is_none() && replayed.passed_at.is_some(), "{replayed:?}");
    }
}

#[test]
fn where_a_time_is_in_doubt_no_gate_fires_and_none_passes() {
    let (mut log, mut chance) = (Log::default(), Chance::new(1, Stream::Canary));
    let values = vec![Values { at_least_ns: 999_000_000, at_most_ns: 1_001_000_000, count: 2_000 }];
    let interval = Interval { tag: None, start_ns: 0, length_ns: 20_000_000_000, total: 2_000, values };
    assert!(log.add_interval(Role::Canary, &interval, &mut chance));
    let gates = ["p95 < 1s".parse().unwrap(), "apdex(1s) > 0.9".parse().unwrap()];
    for replayed in log.replay(&gates, 0.001, 0.05).unwrap() {
        assert!(replayed.fired.is_none() && replayed.passed_at.is_none(), "{replayed:?}");
    }
}

#[test]
fn every_gate_that_the_log_cannot_answer_is_refused_with_a_way_out() {
    let gates = ["errors < 1%", "p95(duration) < 1s", "p95 <= stable * 1.1", "p95 < 1s"].map(|gate| gate.parse().unwrap());
    let refused = intervals(1, 5, 0).replay(&gates, 0.001, 0.05).unwrap_err();
    let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    for (text, part) in texts.iter().zip(["no failures", "one time for each request", "--stable"]) {
        assert!(text.contains(part) && text.contains("hint: "), "{text}");
    }
}
