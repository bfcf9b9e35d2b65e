//! What `portcullis why` tells of a journal, and what it finds in one that was tampered with.
#![cfg(test)]

use super::*;
use crate::admin::journal::Line;
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::basis::Basis;
use crate::domain::gate::evidence::{Estimate, Rule, Tipping};
use crate::domain::gate::{Evidence, Gate, Verdict};
use crate::domain::outcome::Role;
use crate::domain::rollout::{Entry, Phase};
use crate::domain::stats::exceedance::log_e_pass;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn entry(service: &str, rollout: u64, canary: &str, phase: Phase) -> Entry {
    Entry {
        service: name(service),
        rollout,
        at: Some("2026-11-23T10:00:00.000Z".to_owned()),
        stable: Some(name("0.8.1")),
        canary: Some(name(canary)),
        actor: "plan".to_owned(),
        phase,
        owner: Role::Stable,
        from: Weight::ZERO,
        to: "10%".parse().unwrap(),
        generation: 2,
        reason: "the rollout begins".to_owned(),
        evidence: None,
        gates: Vec::new(),
    }
}

fn gate() -> Gate {
    Gate::written("p95 < 1s".parse().unwrap())
}

fn raise() -> Entry {
    let basis = Basis::Pass { p1: 0.05, requests: 90, breaches: 0 };
    let pass = Evidence {
        requests: 90,
        estimate: Some(Estimate { value: 0.0, lower: None, upper: Some(0.04) }),
        generation: Some(2),
        sentence: "passed with 0 of 90 requests in breach".to_owned(),
        ..Evidence::new(&gate(), Verdict::Pass, Rule::Pass)
    };
    Entry {
        from: "10%".parse().unwrap(),
        to: "30%".parse().unwrap(),
        generation: 3,
        reason: "1 gate(s) passed on 90 requests at 10%".to_owned(),
        gates: vec![pass.reaching(log_e_pass(90, 0, 0.05), 0.05, basis)],
        ..entry("carts", 2, "0.8.2", Phase::Progressing)
    }
}

fn rollback() -> Entry {
    let tipping = Tipping { seq: 1_203, started_ns: 1, latency_ns: 1_004_000_000, errors: ErrorKinds::NONE };
    let trip = Evidence { tipped_by: vec![tipping], generation: Some(3), ..Evidence::of_trip(&gate(), &name("0.8.2"), 0.001, 3, 3, 1) };
    Entry {
        actor: "gate".to_owned(),
        from: "30%".parse().unwrap(),
        to: Weight::ZERO,
        generation: 4,
        reason: trip.sentence.clone(),
        evidence: Some(trip),
        ..entry("carts", 2, "0.8.2", Phase::RolledBack)
    }
}

fn journal(entries: Vec<Entry>) -> Journal {
    let line = |(entry, sequence)| Line { sequence, entry: Some(entry), unreadable: None };
    Journal { entries: entries.into_iter().zip(11..).map(line).collect(), complete: true }
}

fn carts() -> Journal {
    journal(vec![
        entry("carts", 1, "0.8.0", Phase::Aborted),
        entry("orders", 1, "2.0", Phase::Promoted),
        entry("carts", 2, "0.8.2", Phase::Progressing),
        raise(),
        rollback(),
    ])
}

fn told(journal: &Journal, target: &str) -> (String, bool) {
    let stories = story::pick(journal, Some(&target.parse().unwrap())).unwrap();
    tell(journal, &stories, false)
}

#[test]
fn the_story_is_told_in_order_and_verified() {
    let expected = "\
carts, rollout 2 of 0.8.2 against 0.8.1: rolled back

#13  2026-11-23T10:00:00.000Z  generation 2  progressing  0% → 10%  by plan
    the rollout begins

#14  2026-11-23T10:00:00.000Z  generation 3  progressing  10% → 30%  by plan
    1 gate(s) passed on 90 requests at 10%
    p95 < 1 s: pass, by pass evidence of the step
      passed with 0 of 90 requests in breach
      0 of 90 requests in breach; generation 2
      estimate 0% (at most 4%)
      ln E = LOG (ODDS), decides at 3.00 (1 in 20)
      verified: recomputed ln E = LOG

#15  2026-11-23T10:00:00.000Z  generation 4  rolled back  30% → 0%  by gate
    rolled back after 3 of 3 requests exceeded 1 s (1 of them still unanswered then); had 0.8.2 met the gate, the chance of ever seeing evidence this strong would be below 1 in 2,900
    p95 < 1 s: fail, by the tripwire over the trial
      3 of 3 requests in breach, 1 of them unanswered; generation 3
      ln E = 7.98 (1 in 2,900), decides at 6.91 (1 in 1,000)
      tipped by request 1,203 after 1.004 s
      verified: recomputed ln E = 7.98
";
    let log_e = log_e_pass(90, 0, 0.05);
    let expected = expected.replace("LOG", &format!("{log_e:.2}")).replace("ODDS", &crate::cli::figures::odds(log_e));
    assert_eq!(told(&carts(), "carts"), (expected, true));
}

#[test]
fn what_was_tampered_with_is_found() {
    let forged = |change: fn(&mut Evidence)| {
        let mut rollback = rollback();
        change(rollback.evidence.as_mut().unwrap());
        told(&journal(vec![rollback]), "carts")
    };
    type Change = fn(&mut Evidence);
    let cases: [(Change, &str); 5] = [
        (|e| e.log_e = Some(9.0), "recorded as ln E = 9, but its basis gives 7.9"),
        (|e| e.requests = 4, "shows 3 breaches of 4 requests, but rests on 3 of 3"),
        (|e| (e.log_threshold, e.alpha) = (Some(9.0), None), "does not reach the threshold 9"),
        (|e| e.log_threshold = Some(1.0), "its bound of 0.001 asks for 6.9"),
        (|e| e.basis = None, "without the figures it rests on"),
    ];
    for (change, part) in cases {
        let (text, verified) = forged(change);
        assert!(!verified && text.contains("does NOT verify: ") && text.contains(part), "{part} is missing in\n{text}");
        assert!(text.ends_with("\n1 piece(s) of evidence do NOT verify\n"), "{text}");
    }
    let (text, verified) = forged(|e| (e.rule, e.basis, e.log_e) = (Rule::File, None, None));
    assert!(verified && text.contains("not to be verified: "), "a gate file's own arithmetic is no test:\n{text}");
}

#[test]
fn of_a_mean_no_request_is_in_breach() {
    let mut entry = raise();
    let slow = Gate::written("mean < 300ms".parse().unwrap());
    let estimate = Some(Estimate { value: 2.5e6, lower: None, upper: None });
    entry.gates = vec![Evidence { requests: 75, estimate, ..Evidence::new(&slow, Verdict::Inconclusive, Rule::Pass) }];
    let text = told(&journal(vec![entry]), "carts").0;
    assert!(text.contains("      75 requests\n      estimate 2.5 ms\n") && !text.contains("in breach"), "{text}");
}

#[test]
fn a_raise_with_a_forged_pass_is_found() {
    let mut entry = raise();
    entry.gates[0].basis = Some(Basis::Pass { p1: 0.5, requests: 90, breaches: 0 });
    assert!(!told(&journal(vec![entry]), "carts").1);
}

#[test]
fn rollouts_are_found_by_number_and_by_version_and_else_those_there_are_are_listed() {
    let found = |target: &str| {
        story::pick(&carts(), Some(&target.parse().unwrap()))
            .map(|stories| stories.iter().map(|s| (s.service.to_string(), s.rollout)).collect())
    };
    let one = |service: &str, rollout| Ok(vec![(service.to_owned(), rollout)]);
    for (target, expected) in
        [("carts", one("carts", 2)), ("carts/1", one("carts", 1)), ("carts/0.8.0", one("carts", 1)), ("orders/2.0", one("orders", 1))]
    {
        assert_eq!(found(target), expected, "{target}");
    }
    let said = |target: &str| found(target).map(|_: Vec<(String, u64)>| ()).unwrap_err().to_string();
    assert_eq!(said("carts/9"), "there is no rollout 9 of carts; there are 1 (0.8.0, aborted), 2 (0.8.2, rolled back)");
    assert_eq!(said("baskets"), "the journal has no rollout of baskets; it has rollouts of carts, orders");
    assert_eq!(story::pick(&carts(), None).unwrap().len(), 2, "the newest of every service");
    assert_eq!(story::pick(&journal(Vec::new()), None).unwrap_err(), Untold::Nothing);
    for bad in ["", "/", "carts/", "/1", "a/b/c", "ca rts", "carts/../x"] {
        assert!(bad.parse::<Target>().is_err(), "{bad}");
    }
}

#[test]
fn json_carries_entries_and_checks() {
    let journal = carts();
    let stories = story::pick(&journal, Some(&"carts/2".parse().unwrap())).unwrap();
    let (text, verified) = tell(&journal, &stories, true);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let story = &value["rollouts"][0];
    assert!(verified && value["verified"] == true && value["complete"] == true && story["phase"] == "rolled_back", "{text}");
    assert_eq!(
        (&story["entries"][2]["checks"][0]["result"], &story["entries"][2]["checks"][0]["gate"]),
        (&"verified".into(), &"p95 < 1 s".into())
    );
    assert_eq!(story["entries"][1]["entry"]["gates"][0]["basis"]["pass"]["requests"], 90);
}

#[test]
fn what_is_missing_or_cannot_be_read_is_said_and_nothing_steers_the_terminal() {
    let mut journal = journal(vec![Entry { reason: "a\u{1b}[2Jb".to_owned(), ..entry("carts", 1, "0.8.2", Phase::Aborted) }]);
    journal.complete = false;
    journal.entries.push(Line { sequence: 99, entry: None, unreadable: Some("it has format 2".to_owned()) });
    let (text, verified) = told(&journal, "carts");
    assert!(verified && !text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("#99 cannot be read: it has format 2") && text.contains("older entries"), "{text}");
}
