//! Feeds the judge request by request in virtual time.
#![cfg(test)]

use super::*;

fn judge(gates: &[&str]) -> Judge {
    let gates: Vec<Gate> = gates.iter().map(|g| Gate::written(g.parse().unwrap())).collect();
    Judge::new("v2".parse().unwrap(), &gates, 0.001, 0.05)
}

fn good(ms: u64) -> Fate {
    Fate::Measured { latency: Duration::from_millis(ms), duration: Duration::from_millis(ms), errors: ErrorKinds::NONE, unanswered: false }
}

const NO_ANSWER: Fate =
    Fate::Measured { latency: Duration::from_millis(2), duration: Duration::from_millis(2), errors: ErrorKinds::CONNECT, unanswered: true };

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(ms)
}

#[test]
fn seventy_four_clean_requests_pass_a_p95_gate_and_seventy_three_do_not() {
    let mut judge = judge(&["p95 < 1s"]);
    for seq in 1..=73 {
        judge.started(seq, at(seq));
        judge.ended(seq, good(10));
    }
    let before = judge.tick(at(100), &[WireCount::default()]);
    assert!(!before.passes());
    assert_eq!(before.needs(), Some(1));
    judge.started(74, at(74));
    judge.ended(74, good(10));
    assert!(judge.tick(at(101), &[WireCount::default()]).passes());
}

#[test]
fn a_request_in_flight_holds_the_prefix_until_its_limit_and_then_counts_as_a_breach() {
    let mut judge = judge(&["p95 < 1s"]);
    judge.started(1, at(0));
    for seq in 2..=140 {
        judge.started(seq, at(seq));
        judge.ended(seq, good(10));
    }
    let waiting = judge.tick(at(1_000), &[WireCount::default()]);
    assert_eq!((waiting.gates[0].requests, waiting.passes()), (0, false));
    let over = judge.tick(at(1_001), &[WireCount::default()]);
    assert_eq!((over.gates[0].requests, over.gates[0].breaches), (140, 1));
    assert!(over.passes());
}

#[test]
fn a_fast_refusal_is_a_breach_of_a_latency_gate() {
    let mut judge = judge(&["p95 < 1s"]);
    for seq in 1..=200 {
        judge.started(seq, at(seq));
        judge.ended(seq, NO_ANSWER);
    }
    let judgement = judge.tick(at(300), &[WireCount::default()]);
    assert_eq!((judgement.gates[0].breaches, judgement.passes()), (200, false));
}

#[test]
fn a_step_begins_without_pass_evidence() {
    let mut judge = judge(&["p95 < 1s"]);
    for seq in 1..=100 {
        judge.ended(seq, good(10));
    }
    assert!(judge.tick(at(1), &[WireCount::default()]).passes());
    judge.begin_step(101);
    assert!(!judge.tick(at(2), &[WireCount::default()]).passes());
}

#[test]
fn a_client_that_left_neither_helps_nor_harms() {
    let mut judge = judge(&["errors < 1%", "p95 < 1s"]);
    for seq in 1..=50 {
        judge.ended(seq, Fate::Excluded { after: Duration::from_millis(3) });
    }
    let judgement = judge.tick(at(1), &[WireCount::default(); 2]);
    assert!(judgement.gates.iter().all(|g| (g.requests, g.breaches) == (0, 0)));
    assert_eq!(judgement.needs(), Some(377));
}

#[test]
fn hanging_requests_breach_a_mean_gate_while_in_flight() {
    let mut judge = judge(&["mean < 100ms"]);
    for seq in 1..=8 {
        judge.started(seq, at(0));
    }
    assert!(judge.tick(at(100), &[]).brake.is_none());
    let breach = judge.tick(at(2_000), &[]).brake.expect("eight requests out for two seconds");
    assert_eq!(breach.verdict, Verdict::Fail);
    assert!(breach.sentence.contains("took 2 s on average"), "{}", breach.sentence);
}

#[test]
fn a_fast_version_passes_a_mean_gate() {
    let mut judge = judge(&["mean < 800ms"]);
    let needed = judge.tick(at(0), &[]).needs().unwrap();
    for seq in 1..=needed {
        judge.ended(seq, good(1));
    }
    assert!(judge.tick(at(1), &[]).needs().unwrap() <= 1);
    for seq in needed + 1..=needed + 2 {
        judge.ended(seq, good(1));
    }
    assert!(judge.tick(at(1), &[]).passes());
}

#[test]
fn no_gate_and_no_data_never_pass() {
    assert!(!judge(&[]).tick(at(0), &[]).passes());
    assert!(!judge(&["p95 < 1s"]).tick(at(99_999), &[WireCount::default()]).passes());
}

#[test]
fn breaches_beyond_the_table_are_judged_by_the_formula() {
    let mut judge = judge(&["p95 < 1s"]);
    let wire = WireCount { requests: 10_000, breaches: 700, unanswered: 0 };
    assert!(judge.tick(at(0), &[wire]).brake.is_some());
    let fine = WireCount { requests: 10_000, breaches: 500, unanswered: 0 };
    assert!(judge.tick(at(0), &[fine]).brake.is_none());
}

#[test]
fn an_answer_whose_body_still_streams_took_as_long_as_its_head() {
    let mut judge = judge(&["mean < 100ms", "p95 < 1s", "errors < 1%"]);
    for seq in 1..=80 {
        judge.started(seq, at(0));
        judge.answered(seq, Duration::from_millis(5));
    }
    let judgement = judge.tick(at(60_000), &[WireCount::default(); 2]);
    assert_eq!(judgement.brake, None);
    assert_eq!((judgement.gates[1].requests, judgement.gates[1].breaches, judgement.gates[1].verdict), (80, 0, Verdict::Pass));
    assert_eq!(judgement.gates[2].requests, 0, "whether it fails is known at its end");
    for seq in 1..=80 {
        judge.ended(seq, good(5));
    }
    let ended = judge.tick(at(60_001), &[WireCount::default(); 2]);
    assert_eq!(ended.gates.iter().map(|g| g.requests).collect::<Vec<_>>(), [80, 80, 80], "each counts once for each gate");
}

#[test]
fn a_request_that_never_ends_holds_nothing_up_for_ever() {
    let mut judge = judge(&["errors < 1%", "mean < 1s"]);
    // The first is a slow upload, the second a stream that was answered.
    judge.started(1, at(0));
    judge.started(2, at(0));
    judge.answered(2, Duration::from_millis(5));
    for seq in 3..=1_000 {
        judge.started(seq, at(10));
        judge.ended(seq, good(10));
    }
    let waiting = judge.tick(at(60_000), &[WireCount::default()]);
    assert_eq!(waiting.gates.iter().map(|g| g.requests).collect::<Vec<_>>(), [0, 0]);
    let over = judge.tick(at(60_001), &[WireCount::default()]);
    assert_eq!(over.gates.iter().map(|g| (g.requests, g.breaches)).collect::<Vec<_>>(), [(999, 1), (1_000, 0)]);
    assert!(over.brake.is_none() && judge.order.is_empty(), "nothing is remembered");
    judge.ended(1, NO_ANSWER);
    judge.ended(2, NO_ANSWER);
    assert_eq!(judge.tick(at(70_000), &[WireCount::default()]).gates[0].requests, 999, "each counts once");
}
