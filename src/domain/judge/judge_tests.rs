//! Feeds the judge request by request in virtual time: prefixes, overdue requests, trials and steps.
#![cfg(test)]

use super::*;
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::Verdict;
use crate::domain::gate::evidence::Rule;
use crate::domain::judge::drive::{Drive, STABLE, at, failed, judge, ms, nothing, took};

const CANARY: Arm = Arm::Canary;
const NO_ANSWER: Fate =
    Fate::Measured { latency: Duration::from_millis(2), duration: Duration::from_millis(2), errors: ErrorKinds::CONNECT, unanswered: true };

fn feed(judge: &mut Judge, seqs: std::ops::RangeInclusive<u64>, fate: Fate) {
    for seq in seqs {
        judge.started(CANARY, 1, seq, at(seq));
        judge.ended(CANARY, seq, fate);
    }
}

#[test]
fn seventy_four_clean_requests_pass_a_p95_gate_and_seventy_three_do_not() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    feed(&mut judge, 1..=73, took(10));
    let before = judge.tick(at(100), &[nothing()]);
    assert_eq!((before.passes(), before.needs()), (false, Some(1)));
    feed(&mut judge, 74..=74, took(10));
    let after = judge.tick(at(101), &[nothing()]);
    assert!(after.passes());
    let gate = &after.gates[0];
    assert_eq!((gate.value, gate.limit, gate.needs), (Some(0.0), Some(0.05), Some(0)));
    for (judgement, verdict) in [(&before, Verdict::Inconclusive), (&after, Verdict::Pass)] {
        let evidence = judgement.gates[0].evidence(&"v2".parse().unwrap(), 1);
        assert_eq!((evidence.verdict, evidence.verify()), (verdict, Ok(())));
    }
}

#[test]
fn a_request_whose_block_is_gone_is_waited_for_by_nobody() {
    for gate in ["errors < 5%", "mean < 200ms", "p95 <= stable * 1.2"] {
        let mut judge = judge(&[gate], &Policy::default());
        for seq in 1..=50 {
            judge.started(STABLE, 1, seq, at(seq));
            judge.ended(STABLE, seq, took(10));
        }
        feed(&mut judge, 1..=50, took(10));
        judge.tick(at(20_000), &[nothing()]);
        assert_eq!(judge.remembered(), (0, 0), "{gate}");
        judge.started(STABLE, 1, 51, at(60));
        judge.tick(at(20_100), &[nothing()]);
        assert_eq!(judge.remembered(), (0, 0), "{gate}");
    }
}

#[test]
fn a_margin_lets_pass_what_is_shown_to_be_within_it() {
    let mut gate = crate::domain::judge::drive::gates(&["p95 < 1s"]).remove(0);
    gate.margin = 100;
    let mut judge = Judge::new("v2".parse().unwrap(), &[gate], &Policy::default(), 5);
    let needed = judge.tick(at(0), &[nothing()]).needs();
    assert_eq!(needed, Some(crate::domain::stats::exceedance::pass_n_min(0, 0.1, 20_f64.ln())));
}

#[test]
fn a_request_in_flight_holds_the_prefix_until_its_limit_and_then_counts_as_a_breach() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    judge.started(CANARY, 1, 1, at(0));
    feed(&mut judge, 2..=140, took(10));
    let waiting = judge.tick(at(1_000), &[nothing()]);
    assert_eq!((waiting.gates[0].requests, waiting.passes()), (0, false), "exactly the limit is good");
    let over = judge.tick(at(1_001), &[nothing()]);
    assert_eq!((over.gates[0].requests, over.gates[0].breaches, over.passes()), (140, 1, true));
}

#[test]
fn a_request_that_takes_exactly_the_limit_is_a_good_one() {
    let longer = |fate: fn(Duration) -> Fate| {
        let mut judge = judge(&["p95 < 1s"], &Policy::default());
        feed(&mut judge, 1..=80, fate(ms(1_000)));
        let exactly = judge.tick(at(2_000), &[nothing()]).gates[0].clone();
        feed(&mut judge, 81..=82, fate(ms(1_000) + Duration::from_nanos(1)));
        let over = judge.tick(at(3_000), &[nothing()]).gates[0].clone();
        (exactly.breaches, over.breaches)
    };
    let measured = |taken| Fate::Measured { latency: taken, duration: taken, errors: ErrorKinds::NONE, unanswered: false };
    assert_eq!(longer(measured), (0, 2));
    assert_eq!(longer(|after| Fate::Excluded { after }), (0, 2), "a client that leaves at the limit has seen no breach");
}

#[test]
fn a_fast_refusal_is_a_breach_of_a_latency_gate() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    feed(&mut judge, 1..=200, NO_ANSWER);
    let judgement = judge.tick(at(300), &[nothing()]);
    assert_eq!((judgement.gates[0].breaches, judgement.passes()), (200, false));
}

#[test]
fn a_step_begins_without_pass_evidence() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    feed(&mut judge, 1..=100, took(10));
    assert!(judge.tick(at(200), &[nothing()]).passes());
    judge.begin_step(101);
    assert!(!judge.tick(at(300), &[nothing()]).passes());
}

#[test]
fn a_step_passes_by_its_own_requests_alone() {
    let mut judge = judge(&["p95 < 1s"], &Policy::default());
    judge.begin_step(101);
    feed(&mut judge, 1..=173, took(10));
    let before = judge.tick(at(300), &[nothing()]);
    assert_eq!((before.gates[0].requests, before.needs(), before.passes()), (73, Some(1), false));
    feed(&mut judge, 174..=174, took(10));
    assert!(judge.tick(at(301), &[nothing()]).passes());
}

#[test]
fn a_client_that_left_neither_helps_nor_harms() {
    let mut judge = judge(&["errors < 1%", "p95 < 1s"], &Policy::default());
    feed(&mut judge, 1..=50, Fate::Excluded { after: ms(3) });
    let judgement = judge.tick(at(1_000), &[nothing(); 2]);
    assert!(judgement.gates.iter().all(|g| (g.requests, g.breaches) == (0, 0)));
    assert_eq!(judgement.needs(), Some(377));
}

#[test]
fn hanging_requests_breach_a_mean_gate_while_in_flight() {
    let mut judge = judge(&["mean < 100ms"], &Policy::default());
    (1..=8).for_each(|seq| judge.started(CANARY, 1, seq, at(0)));
    assert!(judge.tick(at(100), &[]).brake.is_none());
    let brake = judge.tick(at(2_000), &[]).brake.expect("eight requests out for two seconds");
    assert_eq!((brake.verdict, brake.rule, brake.verify()), (Verdict::Fail, Rule::Mean, Ok(())));
    assert!(brake.sentence.starts_with("braked after 8 requests took 2 s on average"), "{}", brake.sentence);
}

#[test]
fn a_fast_version_passes_a_mean_gate_and_an_apdex_gate() {
    for text in ["mean < 800ms", "apdex(500ms) > 0.9"] {
        let mut judge = judge(&[text], &Policy::default());
        let needed = judge.tick(at(0), &[]).needs().unwrap();
        feed(&mut judge, 1..=needed, took(1));
        assert!(judge.tick(at(10_000), &[]).needs().unwrap() <= 1, "{text}");
        feed(&mut judge, needed + 1..=needed + 2, took(1));
        let passed = judge.tick(at(20_000), &[]);
        assert!(passed.passes(), "{text}");
        let evidence = passed.gates[0].evidence(&"v2".parse().unwrap(), 1);
        assert_eq!((evidence.verdict, evidence.verify()), (Verdict::Pass, Ok(())), "{text}");
    }
}

#[test]
fn no_gate_and_no_data_never_pass() {
    assert!(!judge(&[], &Policy::default()).tick(at(0), &[]).passes());
    assert!(!judge(&["p95 < 1s"], &Policy::default()).tick(at(99_999), &[nothing()]).passes());
}

#[test]
fn breaches_beyond_the_table_are_judged_by_the_formula() {
    let count = |breaches| {
        let count = Count { requests: 10_000, breaches, unanswered: 0 };
        WireCount { cumulative: count, step: Count::default() }
    };
    let brake = |policy, breaches| judge(&["p95 < 1s"], &policy).tick(at(0), &[count(breaches)]).brake;
    let found = brake(Policy::default(), 700).unwrap();
    assert_eq!((found.rule, found.verify()), (Rule::Tripwire { test: Test::Cumulative }, Ok(())));
    assert_eq!(found.log_threshold, Some(2000_f64.ln()), "half of the gate's share");
    assert!(brake(Policy::default(), 500).is_none());
    let careful = Policy { min_clients: 3, ..Policy::default() };
    let few = WireCount { cumulative: Count { requests: 5, breaches: 5, unanswered: 0 }, step: Count::default() };
    assert!(brake(careful, 700).is_some());
    assert!(judge(&["p95 < 1s"], &careful).tick(at(0), &[few]).brake.is_none(), "only the wire knows the clients");
}

#[test]
fn an_answer_whose_body_still_streams_took_as_long_as_its_head() {
    let mut judge = judge(&["mean < 100ms", "p95 < 1s", "errors < 1%"], &Policy::default());
    for seq in 1..=80 {
        judge.started(CANARY, 1, seq, at(0));
        judge.answered(CANARY, seq, ms(5));
    }
    let judgement = judge.tick(at(60_000), &[nothing(); 2]);
    assert_eq!(judgement.brake, None);
    assert_eq!((judgement.gates[1].requests, judgement.gates[1].breaches, judgement.gates[1].verdict), (80, 0, Verdict::Pass));
    assert_eq!(judgement.gates[2].requests, 0, "whether it fails is known at its end");
    (1..=80).for_each(|seq| judge.ended(CANARY, seq, took(5)));
    let ended = judge.tick(at(60_000), &[nothing(); 2]);
    assert_eq!(ended.gates.iter().map(|g| g.requests).collect::<Vec<_>>(), [80, 80, 80], "each counts once for each gate");
}

#[test]
fn a_request_that_never_ends_holds_nothing_up_for_ever() {
    let mut judge = judge(&["errors < 1%", "mean < 1s", "p95 <= stable * 1.1", "apdex(500ms) > 0.5"], &Policy::default());
    // The first is a slow upload, the second a stream that was answered; of the third only its successors are known.
    judge.started(CANARY, 1, 1, at(0));
    judge.started(CANARY, 1, 2, at(0));
    judge.answered(CANARY, 2, ms(5));
    judge.started(STABLE, 1, 1, at(0));
    for seq in 4..=1_000 {
        judge.started(CANARY, 1, seq, at(10));
        judge.ended(CANARY, seq, took(10));
        judge.started(STABLE, 1, seq, at(10));
        judge.ended(STABLE, seq, took(10));
    }
    let waiting = judge.tick(at(60_000), &[nothing()]);
    assert_eq!(waiting.gates.iter().take(2).map(|g| g.requests).collect::<Vec<_>>(), [0, 0]);
    let over = judge.tick(at(60_011), &[nothing()]);
    assert_eq!(over.gates.iter().take(2).map(|g| (g.requests, g.breaches)).collect::<Vec<_>>(), [(999, 2), (1_000, 0)]);
    assert!(over.brake.is_none(), "a slow upload and a lost report are nobody's failures: {:?}", over.brake);
    judge.tick(at(60_111), &[nothing()]);
    assert_eq!(judge.remembered().0, 0, "nothing is remembered");
    judge.ended(CANARY, 1, NO_ANSWER);
    judge.started(CANARY, 1, 3, at(5));
    let late = judge.tick(at(70_000), &[nothing()]);
    assert_eq!((late.gates[0].requests, judge.remembered()), (999, (0, 0)), "each counts once");
}

#[test]
fn memory_is_bounded_while_a_request_hangs_for_ever() {
    let mut drive = Drive::new(&["errors < 1%", "p95 < 1s", "mean < 1s", "p95 <= stable * 1.1"], &Policy::default());
    let mut most = (0, 0);
    for second in 0..300 {
        if second % 50 == 0 {
            drive.hangs(CANARY, second * 1_000);
            drive.hangs(STABLE, second * 1_000);
        }
        for index in 0..20 {
            drive.request(CANARY, second * 1_000 + 1 + index * 49, 20);
            drive.request(STABLE, second * 1_000 + 1 + index * 49, 20);
        }
        drive.tick(second * 1_000 + 999);
        let now = drive.judge.remembered();
        most = (most.0.max(now.0), most.1.max(now.1));
    }
    assert!(most.0 <= 2 * 62 * 21 && most.1 <= 62 * 5, "{most:?}");
}

#[test]
fn failures_are_judged_in_start_order_however_late_they_are_known() {
    let policy = Policy::default();
    let mut judge = judge(&["errors < 1%"], &policy);
    // The data plane knows only the highest start number, 300; the judge knows that 1 and 2 failed before.
    for seq in 1..=300 {
        judge.started(CANARY, 1, seq, at(seq));
    }
    let wire = |breaches| WireCount { cumulative: Count { requests: 300, breaches, unanswered: 0 }, step: Count::default() };
    judge.ended(CANARY, 300, failed(5));
    judge.ended(CANARY, 1, failed(400));
    assert!(judge.tick(at(500), &[wire(2)]).brake.is_none(), "one of one would need less than one in a thousand");
    judge.ended(CANARY, 2, failed(499));
    let brake = judge.tick(at(600), &[wire(3)]).brake.unwrap();
    assert_eq!((brake.rule, brake.requests, brake.breaches), (Rule::StartOrder { test: Test::Cumulative }, 2, 2));
    assert_eq!((brake.verify(), brake.tipped_by.len(), brake.generation), (Ok(()), 3, Some(1)));
}

#[test]
fn a_resume_begins_the_brake_tests_again_with_half_of_their_alpha() {
    let mut judge = judge(&["errors < 1%", "mean < 100ms", "apdex(100ms) > 0.9"], &Policy::default());
    feed(&mut judge, 1..=10, failed(500));
    let brake = judge.tick(at(1_000), &[nothing()]).brake.unwrap();
    assert!(judge.tick(at(1_100), &[nothing()]).brake.is_some(), "it stays found");
    judge.resume(11, 1);
    assert!(judge.tick(at(2_000), &[nothing()]).brake.is_none());
    for seq in 11..=20 {
        judge.started(CANARY, 2, seq, at(2_000 + seq));
        judge.ended(CANARY, seq, failed(500));
    }
    let again = judge.tick(at(3_000), &[nothing()]).brake.unwrap();
    assert!((again.log_threshold.unwrap() - brake.log_threshold.unwrap() - 2_f64.ln()).abs() < 1e-12);
    assert_eq!(again.tipped_by.first().map(|tipping| tipping.seq), Some(11), "the earlier ones are done with");
}

#[test]
fn a_warm_up_forgives_half_and_not_all() {
    let policy = Policy { warm_up: ms(30_000), ..Policy::default() };
    let run = |slow: fn(u64) -> bool| {
        let mut drive = Drive::new(&["p95 < 1s", "mean < 1s", "apdex(1000ms) > 0.9"], &policy);
        drive.judge.warm_until(at(30_000));
        (0..250).for_each(|index| drive.request(CANARY, index * 100, if slow(index) { 5_000 } else { 10 }));
        drive.run(29_900, 100, |judgement| judgement.confirmed.is_some() || judgement.brake.is_some())
    };
    let (found, judgement) = run(|index| index % 2 == 0);
    assert_eq!((found, judgement.passes()), (None, false), "{:?} {:?}", judgement.brake, judgement.confirmed);
    assert!(run(|_| true).0.is_some_and(|at| at < 15_000), "a dead version is found while it warms up");
}

#[test]
fn the_trial_begins_after_the_warm_up() {
    let policy = Policy { warm_up: ms(1_000), ..Policy::default() };
    let mut judge = judge(&["errors < 1%"], &policy);
    judge.warm_until(at(1_000));
    feed(&mut judge, 1..=3, failed(1));
    assert!(judge.tick(at(500), &[nothing()]).brake.is_none());
    judge.begin_trial(4);
    for seq in 4..=381 {
        judge.started(CANARY, 1, seq, at(1_000 + seq));
        judge.ended(CANARY, seq, took(1));
    }
    let judgement = judge.tick(at(2_000), &[nothing()]);
    assert_eq!((judgement.gates[0].requests, judgement.gates[0].breaches, judgement.passes()), (378, 0, true));
}

#[test]
fn harm_is_capped_by_the_bound_on_the_share_of_bad_requests() {
    let mut drive = Drive::new(&["p95 < 1s"], &Policy::default());
    (0..3_000).for_each(|index| drive.request(STABLE, index * 2, 10));
    (0..300).for_each(|index| drive.request(CANARY, index * 20, 10));
    assert_eq!(drive.tick(100).harm_cap, None, "no rule");
    drive.judge.allow_harm(Some(10.0));
    let early = drive.tick(1_500);
    let late = drive.tick(6_000);
    assert!((early.rate - 550.0).abs() < 1.0 && (late.rate - 550.0).abs() < 1.0, "{} {}", early.rate, late.rate);
    let upper = |n| crate::domain::stats::exceedance::rate_upper_bound(n, 0, 0.05);
    let expected = |n| (10.0 / (550.0 * 1.0 * upper(n)) * 10_000.0).min(10_000.0);
    assert!((f64::from(early.harm_cap.unwrap().basis_points()) - expected(75)).abs() < 25.0, "{early:?}");
    assert!(late.harm_cap > early.harm_cap, "{late:?}");
}

#[test]
fn a_version_that_turns_bad_late_is_found_in_the_watch() {
    let mut drive = Drive::new(&["p95 < 1s"], &Policy::default());
    (0..20_000).for_each(|index| drive.request(CANARY, index * 10, if index < 18_000 || index % 2 == 0 { 10 } else { 5_000 }));
    drive.tick(100_000);
    drive.judge.watch(10_001);
    drive.judge.begin_step(10_001);
    let none = |drive: &mut Drive, now| {
        drive.pass_until(now);
        drive.judge.tick(at(now), &[nothing()])
    };
    assert!(none(&mut drive, 180_000).brake.is_none());
    let brake = none(&mut drive, 181_500).brake.unwrap();
    assert_eq!((brake.rule, brake.verify()), (Rule::ChangePoint, Ok(())));
}

#[test]
fn bounds_are_worked_out_every_second_or_so_and_not_of_all_gates_at_once() {
    let texts: Vec<String> = (0..64).map(|index| format!("p95 < {}ms", 1_000 + index)).collect();
    let mut judge = judge(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &Policy::default());
    let nothing = [nothing(); 64];
    let mut upper = [(None, 0); 64];
    for tick in 0..100 {
        feed(&mut judge, tick * 97 + 1..=(tick + 1) * 97, took(1));
        let judgement = judge.tick(at((tick + 1) * 100), &nothing);
        let mut renewed = 0;
        for (gate, (known, since)) in judgement.gates.iter().zip(&mut upper) {
            assert!(gate.upper.is_some());
            if gate.upper != *known {
                (*known, *since, renewed) = (gate.upper, tick, renewed + 1);
            }
            // Each comes first once in 32 ticks, when it may have been worked out less than 10 ticks before.
            assert!(tick - *since < 43, "{} was worked out {} ticks ago", gate.gate, tick - *since);
        }
        assert!(renewed == 64 && tick == 0 || renewed <= MOST_SHOWN, "{renewed} in tick {tick}");
    }
}
