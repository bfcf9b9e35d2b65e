//! What a moment looks like, and that nothing in it steers a terminal.
#![cfg(test)]

use std::sync::Arc;

use super::*;
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::{Origin, Verdict};
use crate::domain::rollout::Phase;
use crate::domain::version::Version;

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec!["127.0.0.1:1".parse().unwrap()])
}

fn gate() -> GateStatus {
    GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict: Verdict::Inconclusive,
        requests: 1_234,
        breaches: 12,
        unit: Unit::Share,
        value: Some(0.0125),
        limit: Some(0.05),
        lower: Some(0.001),
        upper: Some(0.037),
        log_e: 10_f64.ln(),
        log_threshold: 100_f64.ln(),
        basis: None,
        brake_log_e: 0.0,
        brake_log_threshold: 4_000_f64.ln(),
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: Some(41),
        awaits_stable: None,
    }
}

fn service(rollout: Option<RolloutStatus>) -> ServiceStatus {
    ServiceStatus {
        name: "carts".parse().unwrap(),
        owner: version("0.8.1"),
        rollout,
        waits: None,
        rejected: Vec::new(),
        endpoints: Vec::new(),
        way_back: None,
    }
}

fn rollout(phase: Phase) -> RolloutStatus {
    RolloutStatus {
        id: 3,
        stable: version("0.8.1"),
        canary: version("0.8.2"),
        phase,
        step: 1,
        steps: 4,
        weight: "10%".parse().unwrap(),
        generation: 5,
        actor: None,
        warned: false,
        reason: "0.8.2 gets 10% of carts".to_owned(),
        evidence: None,
        gates: [gate()].into(),
        file: None,
        needs: Some(41),
        needs_seconds: Some(400.0),
        held_seconds: Some(12.0),
        warm_up_seconds: None,
        rate: 12.34,
        brakes: 0,
        plan: None,
        policy: None,
        canary_requests: 1_234,
        trip: None,
        durable: true,
    }
}

fn point() -> Point {
    let stable = Figures {
        requests: 1_000,
        errors: 5,
        in_flight: 0,
        p50_us: Some([11_000, 12_000, 13_000]),
        p95_us: Some([40_000, 45_000, 50_000]),
        p99_us: Some([80_000, 90_000, 900_000]),
    };
    let canary = Figures { requests: 0, errors: 0, in_flight: 2, p50_us: None, p95_us: None, p99_us: None };
    Point { at_ms: 1, weight: "10%".parse().unwrap(), stable: Some(stable), canary: Some(canary), gates: Vec::new() }
}

#[test]
fn the_picture_shows_shares_both_distributions_evidence_and_what_comes_next() {
    let (service, point) = (service(Some(rollout(Phase::Progressing))), point());
    let moment = Moment { service: &service, figures: Some(&point), judged_ms: 100 };
    let expected = "\
carts: rollout 3 of 0.8.2 against 0.8.1, progressing, step 2 of 4
  0.8.1 ████████████████████████████████████░░░░ 0.8.2  90% | 10%
  last 10 s  requests  wrong  p50                     p95                     p99
  0.8.1      1,000     0.5%   12 ms (11 ms to 13 ms)  45 ms (40 ms to 50 ms)  90 ms (80 ms to 900 ms)
  0.8.2      0         0.0%   -                       -                       -
  p95 < 1 s  inconclusive  1,234  pass ━━━━━━━━━━────────── 1 in 10 of 1 in 100  brake ──────────────────── 1 in 1 of 1 in 4,000
next: needs 41 more clean requests, about 7 min at this traffic; the hold lasts another 12 s
because: 0.8.2 gets 10% of carts";
    assert_eq!(moment.picture(false, 140).join("\n"), expected);
    // With colours it is the same text.
    let coloured = moment.picture(true, 140).join("\n");
    let bare: String =
        coloured.split('\u{1b}').enumerate().map(|(i, part)| if i == 0 { part } else { part.split_once('m').unwrap().1 }).collect();
    assert!(coloured.contains("\u{1b}[33m░░░░\u{1b}[0m"), "{coloured}");
    assert_eq!(bare.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
}

/// At 80 columns and fewer everything is still there: only the bounds of the percentiles give way.
#[test]
fn a_narrow_picture_leaves_nothing_out_that_matters_and_never_overflows() {
    let mut braked = rollout(Phase::Braked);
    let gate = &mut Arc::make_mut(&mut braked.gates)[0];
    (gate.confirm_log_e, gate.confirm_log_threshold) = (25.4_f64.ln(), Some(3_000_f64.ln()));
    braked.reason = "braked after 8 of 48 requests exceeded 1.5 times the stable version's quantile; it gets nothing but probes".to_owned();
    let (service, point) = (service(Some(braked)), point());
    let moment = Moment { service: &service, figures: Some(&point), judged_ms: 100 };
    let expected = "\
carts: rollout 3 of 0.8.2 against 0.8.1, braked, step 2 of 4
  0.8.1 ████████████████████████████████░░░ 0.8.2  90% | 10%
  last 10 s  requests  wrong  p50    p95    p99
  0.8.1      1,000     0.5%   12 ms  45 ms  90 ms
  0.8.2      0         0.0%   -      -      -
  p95 < 1 s: inconclusive, 1,234 requests
    pass      ━━━━━━━━━━────────── 1 in 10 of 1 in 100
    brake     ──────────────────── 1 in 1 of 1 in 4,000
    roll back ━━━━━━━━──────────── 1 in 25 of 1 in 3,000
next: for the breach to be confirmed within 12 s; else it
      begins again (resume 0 of 3)
because: braked after 8 of 48 requests exceeded 1.5 times
         the stable version's quantile; it gets nothing but
         probes";
    assert_eq!(moment.picture(false, 60).join("\n"), expected);
    // Overwhelming evidence takes more room to write.
    let mut sure = service.clone();
    sure.rollout.iter_mut().flat_map(|rollout| Arc::make_mut(&mut rollout.gates)).for_each(|gate| gate.log_e = 19.0);
    let sure = Moment { service: &sure, figures: None, judged_ms: 0 };
    assert!(sure.picture(false, 50).iter().any(|line| line.ends_with("1 in 170,000,000 of 1 in 100") && line.chars().count() <= 50));
    for width in 50..200 {
        for colour in [false, true] {
            for line in moment.picture(colour, width) {
                let bare: String =
                    line.split('\u{1b}').enumerate().map(|(i, part)| if i == 0 { part } else { part.split_once('m').unwrap().1 }).collect();
                assert!(bare.chars().count() <= width, "{width}: {bare}");
            }
        }
        let text = moment.picture(false, width).join("\n");
        for part in ["p99", "pass ", "brake ", "roll back ", "1 in 3,000", "within 12 s", "probes"] {
            assert!(text.contains(part), "{part} is missing at {width}:\n{text}");
        }
    }
}

#[test]
fn one_line_tells_the_same_without_a_terminal() {
    let (shown, point) = (service(Some(rollout(Phase::Progressing))), point());
    let moment = Moment { service: &shown, figures: Some(&point), judged_ms: 0 };
    assert_eq!(
        moment.line("12:00"),
        "12:00 carts 10% progressing, step 2 of 4; 0.8.1 p50 12 ms p95 45 ms p99 90 ms, 5 of 1,000 wrong; 0.8.2 p50 - p95 - p99 -, 0 of 0 \
         wrong; p95 < 1 s: inconclusive, evidence 1 in 10 of 1 in 100; needs 41 more clean requests, about 7 min at this traffic; the hold \
         lasts another 12 s"
    );
    let stand = moment.stand();
    let mut later = rollout(Phase::Progressing);
    Arc::make_mut(&mut later.gates)[0].verdict = Verdict::Pass;
    let later = service(Some(later));
    assert_ne!(Moment { service: &later, figures: None, judged_ms: 0 }.stand(), stand, "a new verdict is news");
}

#[test]
fn a_service_without_a_rollout_and_an_old_judgement_are_told() {
    let none = service(None);
    let moment = Moment { service: &none, figures: None, judged_ms: 0 };
    assert_eq!(moment.picture(true, 140), ["carts: owned by 0.8.1; waiting for a rollout to begin"]);
    assert_eq!(moment.line("t"), "t carts waits for a rollout to begin");
    let over = service(Some(rollout(Phase::RolledBack)));
    let picture = Moment { service: &over, figures: None, judged_ms: 4_200 }.picture(false, 140).join("\n");
    assert!(picture.contains("0.8.1, rolled back\n") && picture.ends_with("the last judgement is 4.2 s old"), "{picture}");
}

#[test]
fn nothing_a_proxy_says_steers_the_terminal() {
    let mut nasty = rollout(Phase::Progressing);
    nasty.reason = "\u{1b}[2J\u{1b}[31mred\u{7}\r\u{9b}2K".to_owned();
    Arc::make_mut(&mut nasty.gates)[0].gate = "\u{1b}]0;title\u{7}".to_owned();
    let service = service(Some(nasty));
    for colour in [false, true] {
        let picture = Moment { service: &service, figures: None, judged_ms: 0 }.picture(colour, 140).join("");
        let codes = picture.split('\u{1b}').skip(1);
        for code in codes {
            assert!(["[0m", "[31m", "[32m", "[33m", "[90m"].iter().any(|ours| code.starts_with(ours)), "{code:?}");
        }
        assert!(!picture.contains(['\u{7}', '\r', '\u{9b}']), "{picture:?}");
    }
}
