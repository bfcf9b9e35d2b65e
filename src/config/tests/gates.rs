//! Gates and policies that contradict each other, their service or its traffic.

use std::time::{Duration, Instant};

use super::*;
use crate::domain::rollout::outlook::{Pace, time_for};
use crate::formats::problem::Severity;

fn with(line: &str) -> String {
    format!("{WITH_CANARY}    {line}\n")
}

fn gated(line: &str) -> String {
    format!("{WITH_CANARY}    gates: [p95 < 1s]\n    {line}\n")
}

/// Claims that a text has one error, at this path, with these words in the message and the hint.
#[track_caller]
fn refuses(text: &str, path: &str, message: &str, hint: &str) -> Problem {
    let problems = refused(text);
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.is_error()).collect();
    assert_eq!(errors.len(), 1, "{text}\n{}", shown(&problems));
    assert_eq!(errors[0].path, path, "{}", errors[0]);
    assert!(errors[0].message.contains(message), "{message:?} is not in {}", errors[0]);
    assert!(errors[0].hint.as_deref().unwrap().contains(hint), "{hint:?} is not in {}", errors[0]);
    errors[0].clone()
}

#[test]
fn a_mistake_within_a_gate_is_shown_at_its_character() {
    for (line, column) in [
        ("gates: [p95 > 1s]", 17),
        ("gates: [\"p95 > 1s\"]", 18),
        ("gates: 'p95 > 1s'", 17),
        ("gates: {gate: p95 > 1s}", 23),
        ("gates: [\"p95\\t> 1s\"]", 13),
    ] {
        let problems = refused(&with(line));
        assert_eq!((problems.len(), problems[0].line, problems[0].column), (1, Some(6), Some(column)), "{line}: {}", problems[0]);
    }
}

#[test]
fn margins_and_policies_are_in_range_and_do_not_contradict() {
    for (line, path, message, hint) in [
        ("gates: [{gate: errors < 1%, margin: 50}]", "gates[0].margin", "not a margin", "add the percent sign: 50%"),
        ("gates: [{gate: errors < 1%, margin: -5%}]", "gates[0].margin", "not a margin", "50%"),
        ("gates: [{gate: errors < 1%, margin: NaN%}]", "gates[0].margin", "not a margin", "50%"),
        ("gates: [{gate: errors < 1%, margin: 1.5%}]", "gates[0].margin", "not a margin", "whole percent"),
        ("gates: [{gate: errors < 1%, margin: 99999%}]", "gates[0].margin", "not a margin", "10000%"),
        ("gates: [{gate: errors < 60%, margin: 100%}]", "gates[0].margin", "every version passes", "smaller margin"),
        ("gates: [{gate: p95 <= stable * 1.1, margin: 0%}]", "gates[0].margin", "as good as stable", "100%"),
        ("gates: [{margin: 5%}]", "gates[0].gate", "gate is missing", "margin: 50%"),
        ("gates: [{gat: p95 < 1s}]", "gates[0].gat", "unknown key", "did you mean \"gate\"?"),
        ("gates: [p95 < 10.1s]", "gates[0]", "after the outcome_deadline of 10 s", "raise outcome_deadline"),
        ("gates: [mean(duration) < 1h]", "gates[0]", "after the outcome_deadline of 10 s", "raise outcome_deadline"),
        ("gates: [apdex(11s) > 0.5]", "gates[0]", "after the outcome_deadline of 10 s", "raise outcome_deadline"),
    ] {
        refuses(&with(line), &format!("services[0].{path}"), message, hint);
    }
    for (line, path, message, hint) in [
        ("alpha_brake: 0", "alpha_brake", "above 0", "0.001"),
        ("burst_tolerance: 61s", "burst_tolerance", "out of range", "at most 60 s"),
        ("burst_tolerance: 1ms", "burst_tolerance", "shorter than what can be told apart", "0s"),
        ("burst_tolerance: -1s", "burst_tolerance", "out of range", "at least 0 s"),
        ("warm_up: 2h", "warm_up", "out of range", "at most 1 h"),
        ("warm_up: 30m", "warm_up", "not over before", "longer than warm_up"),
        ("outcome_deadline: 0s", "outcome_deadline", "out of range", "at least 1 ms"),
        ("max_bake: 0s", "max_bake", "out of range", "at least 1 s"),
        ("max_bake: 25h", "max_bake", "out of range", "at most 24 h"),
        ("inconclusive: rollback", "inconclusive", "\"rollback\" is not what", "did you mean roll_back?"),
        ("inconclusive: promote", "inconclusive", "is not what", "nothing is promoted without evidence"),
        ("watch: forever", "watch", "not a duration", "300ms"),
        ("min_clients: 0", "min_clients", "not a number in range", "1 to 8"),
        ("min_clients: 9", "min_clients", "not a number in range", "1 to 8"),
        ("expected_traffic: 100", "expected_traffic", "no amount of traffic", "100/s are requests per second"),
        ("expected_traffic: 100/day", "expected_traffic", "no amount of traffic", "s, min and h"),
        ("expected_traffic: 0/s", "expected_traffic", "no amount of traffic", "2/s"),
        ("expected_traffic: -1/s", "expected_traffic", "no amount of traffic", "2/s"),
        ("expected_traffic: NaN/s", "expected_traffic", "no amount of traffic", "2/s"),
        ("expected_traffic: inf/s", "expected_traffic", "no amount of traffic", "2/s"),
        ("expected_traffic: 99999999999/s", "expected_traffic", "no amount of traffic", "at most 10000000"),
    ] {
        refuses(&gated(line), &format!("services[0].{path}"), message, hint);
    }
    let both = gated("burst_tolerance: 0s\n    alpha_brake: 0.01");
    refuses(&both, "services[0].alpha_brake", "the chance of a false rollback is 0.01 and not 0.001", "leave alpha_brake out");
    let late = with("gates: [p95 < 20s]\n    outcome_deadline: 1m");
    refuses(&late, "services[0].gates[0]", "after the response time-out of 15 s", "timeouts.response");
}

#[test]
fn a_gate_on_small_answers_needs_to_be_told_what_is_small() {
    let line = "gates: [errors(small) <= stable + 1pp]";
    refuses(&with(line), "services[0].gates[0]", "can never fire", "min_body: 200B");
    assert_eq!(loaded(&with(&format!("{line}\n    min_body: 200B"))).notes, []);
    refuses(&gated("min_body: 200"), "services[0].min_body", "not a size in range", "64KiB");
    let idle = loaded(&gated("min_body: 200B")).notes;
    assert!(idle.len() == 1 && idle[0].path == "services[0].min_body" && idle[0].message.contains("no gate"), "{}", shown(&idle));
}

#[test]
fn a_gate_that_says_nothing_beyond_another_is_noted() {
    let notes = |gates: &str| loaded(&with(&format!("gates: [{gates}]"))).notes;
    for fine in ["p95 < 1s, p99 < 2s", "p50 < 500ms, p95 < 1s", "errors < 1%, errors(grpc) < 0.1%", "p95 < 1s, mean < 2s"] {
        assert_eq!(notes(fine), [], "{fine}");
    }
    for (gates, path, message) in [
        ("p95 < 1s, p95 < 2s", "services[0].gates[1]", "'p95 < 2 s' says nothing beyond 'p95 < 1 s'"),
        ("p95 < 2s, p99 < 1s", "services[0].gates[0]", "'p95 < 2 s' says nothing beyond 'p99 < 1 s'"),
        ("errors < 0.1%, errors(5xx) < 1%", "services[0].gates[1]", "says nothing beyond 'errors < 0.1%'"),
    ] {
        let notes = notes(gates);
        assert_eq!(notes.len(), 1, "{}", shown(&notes));
        assert_eq!((notes[0].severity, notes[0].path.as_str()), (Severity::Note, path));
        assert!(notes[0].message.contains(message) && notes[0].hint.is_some(), "{}", notes[0]);
    }
}

#[test]
fn ten_thousand_gates_are_refused_at_once() {
    for gates in [
        (0..10_000).map(|n| format!("p95 < {n}ms")).collect::<Vec<_>>().join(", "),
        vec!["nonsense"; 10_000].join(", "),
        vec!["p95 < 1s"; 10_000].join(", "),
    ] {
        let text = with(&format!("gates: [{gates}]"));
        let begun = Instant::now();
        let problem = refuses(&text, "services[0].gates", "10000 gates", "at most 64");
        assert!(begun.elapsed() < Duration::from_secs(10), "a debug build takes a tenth of that");
        assert!(problem.to_string().len() < 1_000);
    }
}

#[test]
fn more_confidence_than_the_traffic_gives_is_refused_with_the_numbers() {
    let asks = |traffic: &str, rest: &str| with(&format!("gates: [p95 < 1s]\n    expected_traffic: {traffic}\n    {rest}"));
    // 74 clean requests at 10 % of 0.4 per second take 1850 s, and 1800 s are there.
    let problem =
        refuses(&asks("0.4/s", ""), "services[0].gates[0]", "the 74 clean requests it needs take 30 min 50 s", "raise max_bake to 31m");
    assert!(problem.message.contains("step 1") && problem.message.contains("10%") && problem.message.contains("30 min"), "{problem}");
    let hint = problem.hint.unwrap();
    assert!(hint.contains("start at 10.3% or more") && hint.contains("beta above 0.05") && hint.contains("margin than 0%"), "{hint}");
    for enough in [
        asks("0.42/s", ""),
        asks("24.7/min", ""),
        asks("0.4/s", "max_bake: 31m"),
        asks("0.4/s", "plan: {start: 10.3%}"),
        asks("0.4/s", "beta: 0.1"),
        asks("0.05/s", "plan: {harm: 10}"),
        with("gates: [{gate: p95 < 1s, margin: 10%}]\n    expected_traffic: 0.4/s"),
        with("gates: [mean < 1s]\n    expected_traffic: 1/h"),
    ] {
        loaded(&enough);
    }
    refuses(&asks("0.42/s", "warm_up: 10m"), "services[0].gates[0]", "the step may take 20 min", "raise max_bake to 40m");
    refuses(&asks("0.03/s", "plan: {harm: 10}"), "services[0].gates[0]", "step 3", "raise max_bake");
    let rare = with("gates: [errors < 0.0001%]\n    expected_traffic: 1/h");
    refuses(&rare, "services[0].gates[0]", "of 1 requests per hour", "beta above");
}

#[test]
fn an_automatic_first_share_is_one_at_which_the_gates_can_pass() {
    // Five requests out within 3 s were 0.83 % of 200 requests per second: 50 minutes for the clean ones, where a step may take 30.
    let auto = |rest: &str| format!("{WITH_CANARY}    gates: [p95 < 3s, errors < 0.05%]\n    expected_traffic: 200/s\n{rest}");
    refuses(&auto("    plan: {start: 0.8%}\n"), "services[0].gates[1]", "cannot pass step 1 in time: at 0.8% of 200", "max_bake");
    let service = &loaded(&auto("    plan: {start: auto}\n")).settings.services[0];
    let pace = Pace::of(&service.gates, &service.policy, 200.0);
    let share = service.schedule.plan(&pace).unwrap().step(0).unwrap().weight.basis_points();
    let half = service.policy.max_bake / 2;
    assert!(time_for(pace.requests, share, 200.0) <= half && time_for(pace.requests, share - 1, 200.0) > half, "{share}");
}
