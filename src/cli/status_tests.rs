//! What `portcullis status` shows of every phase, and that it understands what the controller shows.
#![cfg(test)]

use super::*;
use crate::control::status::FileStatus;
use crate::domain::gate::Origin;
use crate::domain::gate::criterion::Unit;
use crate::domain::version::Version;

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec!["127.0.0.1:1".parse().unwrap()])
}

fn latency(verdict: Verdict) -> GateStatus {
    GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict,
        requests: 1_234,
        breaches: 12,
        unit: Unit::Share,
        value: Some(0.0125),
        limit: Some(0.05),
        lower: Some(0.001),
        upper: Some(0.037),
        log_e: 1.1,
        log_threshold: 20_f64.ln(),
        basis: None,
        brake_log_e: 0.0,
        brake_log_threshold: 4_000_f64.ln(),
        confirm_log_e: 0.0,
        confirm_log_threshold: Some(1_000_f64.ln()),
        needs: Some(41),
        awaits_stable: None,
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
        gates: [latency(Verdict::Inconclusive)].into(),
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

fn shown(rollout: RolloutStatus) -> ServiceStatus {
    ServiceStatus {
        name: "carts".parse().unwrap(),
        owner: version("0.8.1"),
        rollout: Some(rollout),
        waits: None,
        rejected: Vec::new(),
        endpoints: Vec::new(),
        way_back: None,
    }
}

#[test]
fn a_rollout_is_told_with_what_it_waits_for_and_each_gate_on_one_line() {
    let mean = GateStatus {
        gate: "mean < 2 s".to_owned(),
        unit: Unit::Nanoseconds,
        value: None,
        limit: Some(2e9),
        confirm_log_threshold: None,
        ..latency(Verdict::Pass)
    };
    let both = RolloutStatus { gates: [latency(Verdict::Inconclusive), mean].into(), ..rollout(Phase::Progressing) };
    let expected = "\
carts: owned by 0.8.1
  rollout  3 of 0.8.2 against 0.8.1
  stands   progressing with 10% of the traffic, step 2 of 4, 12.3 requests/s over both versions
  because  0.8.2 gets 10% of carts
  waits    needs 41 more clean requests, about 7 min at this traffic; the hold lasts another 12 s
  gate        verdict       requests  value                 limit  pass     brake       confirm
  p95 < 1 s   inconclusive  1,234     1.25% (0.1% to 3.7%)  5%     3 of 20  1 of 4,000  1 of 1,000
  mean < 2 s  pass          1,234     -                     2 s    3 of 20  1 of 4,000  -
  pass, brake, confirm: evidence of 1 in N, of the N at which it decides
";
    assert_eq!(table(&[shown(both)]), expected);
}

#[test]
fn every_phase_says_what_it_waits_for() {
    let with = |phase, change: fn(&mut RolloutStatus)| {
        let mut rollout = rollout(phase);
        change(&mut rollout);
        waits(&rollout)
    };
    let cases = [
        (
            with(Phase::Progressing, |r| r.needs_seconds = None),
            "needs 41 more clean requests, and there is no traffic now; the hold lasts another 12 s",
        ),
        (
            with(Phase::Progressing, |r| (r.needs, r.held_seconds) = (Some(1), Some(0.0))),
            "needs 1 more clean request, about 7 min at this traffic",
        ),
        (
            with(Phase::Progressing, |r| r.needs = None),
            "no number of clean requests would suffice as things are; the hold lasts another 12 s",
        ),
        (with(Phase::Progressing, |r| r.gates = [].into()), "for the first judgement; the hold lasts another 12 s"),
        (
            with(Phase::Progressing, |r| (r.gates, r.needs) = ([latency(Verdict::Pass)].into(), Some(0))),
            "every gate passes; the hold lasts another 12 s",
        ),
        (with(Phase::Progressing, |r| r.warm_up_seconds = Some(29.2)), "for the warm-up, another 30 s"),
        (with(Phase::Braked, |r| r.brakes = 2), "for the breach to be confirmed within 12 s; else it begins again (resume 2 of 3)"),
        (with(Phase::Braked, |r| r.brakes = 4), "for the breach to be confirmed within 12 s; else it is held with nothing"),
        (with(Phase::Watching, |_| ()), "for the watch, another 12 s"),
        (with(Phase::AwaitingApproval, |_| ()), "for somebody to approve or deny it within 12 s"),
        (with(Phase::Paused, |_| ()), "until an operator resumes or aborts it"),
    ];
    for (said, expected) in cases {
        assert_eq!(said.as_deref(), Some(expected));
    }
    for phase in [Phase::Promoted, Phase::RolledBack, Phase::Aborted] {
        assert_eq!(with(phase, |_| ()), None);
    }
}

#[test]
fn what_is_out_of_the_ordinary_is_told() {
    let odd = RolloutStatus {
        durable: false,
        brakes: 1,
        file: Some(FileStatus { verdict: Verdict::Inconclusive, reason: "12 requests".to_owned() }),
        ..rollout(Phase::RolledBack)
    };
    let text = table(&[ServiceStatus { rejected: vec!["0.7.9".parse().unwrap()], ..shown(odd) }]);
    for part in ["rolled back with", "braked once", "gate file  inconclusive: 12 requests", "not durable", "rejected  0.7.9"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("waits") && !text.contains("step "), "{text}");
    let none = ServiceStatus { rollout: None, ..shown(rollout(Phase::Promoted)) };
    assert_eq!(table(&[none]), "carts: owned by 0.8.1\n  no rollout yet\n");
    let about_to =
        ServiceStatus { rollout: None, waits: Some("0.8.3 begins in a few seconds".to_owned()), ..shown(rollout(Phase::Promoted)) };
    assert_eq!(table(std::slice::from_ref(&about_to)), "carts: owned by 0.8.1\n  0.8.3 begins in a few seconds\n");
    let after = ServiceStatus { rollout: Some(rollout(Phase::Promoted)), ..about_to };
    let text = table(&[after]);
    assert!(text.contains("promoted with") && text.ends_with("  0.8.3 begins in a few seconds\n"), "{text}");
    assert_eq!(table(&[]), "the proxy has no services\n");
}

#[test]
fn what_the_controller_shows_is_read_back_as_it_was() {
    let status = shown(rollout(Phase::Braked));
    let read: ServiceStatus = serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap();
    assert_eq!(read, status);
}

#[test]
fn a_comparison_that_has_not_begun_says_what_it_waits_for() {
    let relative = |awaits_stable| {
        let gate = GateStatus { awaits_stable, needs: None, ..latency(Verdict::Inconclusive) };
        waits(&RolloutStatus { gates: [gate].into(), needs: None, held_seconds: None, ..rollout(Phase::Progressing) }).unwrap()
    };
    let expected = "for up to 1,200 more requests of the stable version; how many clean ones are needed is not known before";
    assert_eq!(relative(Some(1_200)), expected);
    assert!(relative(None).contains("no number of clean requests"), "{}", relative(None));
}
