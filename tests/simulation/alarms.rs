//! False alarms: versions exactly at their limit, whatever the delays, are rolled back no more often than α allows.

use std::time::Duration;

use portcullis::domain::rollout::Phase;
use portcullis::domain::stats::exceedance::log_e_breach;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::setup::{FOREVER, Manner, Setup, answers, between, is_replay, ms, secs, seeds};
use crate::world::World;

/// The 99.9 % point of Binomial(2000, 0.05): with more false alarms the bound of 5 % is broken.
const MOST_OF_2000: usize = 131;

/// Runs rollouts that are never promoted and counts those that were rolled back.
fn rolled_back(setup: &Setup, runs: u64, length: Duration) -> (usize, usize) {
    let (mut alarms, mut requests) = (0, 0);
    for seed in seeds(runs) {
        let mut world = World::new(setup, seed);
        let phase = world.run(length);
        assert_ne!(phase, Phase::Promoted, "seed = {seed}");
        alarms += usize::from(phase == Phase::RolledBack);
        requests += world.canary_starts.len();
    }
    (alarms, requests)
}

fn demand(name: &str, setup: &Setup, length: Duration) {
    let (alarms, requests) = rolled_back(setup, 2_000, length);
    println!("{name}: {alarms} false rollbacks of {} (at most {MOST_OF_2000}), {requests} requests", seeds(2_000).count());
    assert!(alarms <= MOST_OF_2000, "seed = 0..2000: {alarms} false rollbacks of 2000");
}

/// Exactly 5 % over 100 ms.
fn at_the_latency_limit(rng: &mut SmallRng) -> Manner {
    if rng.random_bool(0.05) { answers(rng, 110, 400) } else { answers(rng, 5, 60) }
}

#[test]
fn a_version_exactly_at_its_latency_limit() {
    let setup =
        Setup { gates: &["p95 < 100ms"], steps: FOREVER, alpha: 0.05, rps: 200.0, canary: at_the_latency_limit, ..Setup::default() };
    demand("exactly at p95 < 100 ms", &setup, secs(4));
}

/// Exactly 1 % fail, known after 5 ms; successes are known after 2 s.
fn fails_fast(rng: &mut SmallRng) -> Manner {
    let fails = rng.random_bool(0.01);
    Manner { head: Some(if fails { ms(5) } else { secs(2) }), fails, ..Manner::default() }
}

#[test]
fn a_version_exactly_at_its_error_limit_whose_errors_are_known_before_its_successes() {
    let setup = Setup { gates: &["errors < 1%"], steps: FOREVER, alpha: 0.05, rps: 500.0, canary: fails_fast, ..Setup::default() };
    demand("exactly at errors < 1 %, errors known first", &setup, secs(3));
}

/// Exactly 1 % fail, known after anything from 5 ms to 2 s, so that breaches come in any order.
fn fails_whenever(rng: &mut SmallRng) -> Manner {
    let fails = rng.random_bool(0.01);
    Manner { head: Some(if fails { between(rng, 5, 2_000) } else { secs(2) }), fails, ..Manner::default() }
}

#[test]
fn a_version_exactly_at_its_error_limit_whose_errors_come_in_any_order() {
    let setup = Setup { gates: &["errors < 1%"], steps: FOREVER, alpha: 0.05, rps: 500.0, canary: fails_whenever, ..Setup::default() };
    let (alarms, requests) = rolled_back(&setup, 400, secs(4));
    println!("exactly at errors < 1 %, in any order: {alarms} false rollbacks of {} (at most 35), {requests} requests", seeds(400).count());
    // The 99.9 % point of Binomial(400, 0.05) is 35. Each trip is also checked for the evidence it claims.
    assert!(alarms <= 35, "seed = 0..400: {alarms} false rollbacks of 400");
}

/// Errors that are known first have teeth: judged by completions in the order they come, most of the good versions fall.
#[test]
fn the_same_judged_in_the_order_of_completion_would_be_rolled_back() {
    let mut alarms = 0;
    for seed in seeds(200) {
        // A bound that nothing reaches, so that the run goes on; for two seconds nothing but errors has completed.
        let setup = Setup { gates: &["errors < 1%"], steps: FOREVER, alpha: 1e-100, rps: 500.0, canary: fails_fast, ..Setup::default() };
        let mut world = World::new(&setup, seed);
        world.run(secs(2));
        let errors = world.controller.trial.counts()[0].cumulative.breaches;
        alarms += usize::from(log_e_breach(errors, errors, 0.01) >= -0.05_f64.ln());
    }
    println!("errors known first, completion order: {alarms} of {} rolled back", seeds(200).count());
    assert!(is_replay() || alarms > 150, "{alarms} of 200");
}

/// Every request takes 20 to 45 ms, 32.5 ms on average.
fn steady(rng: &mut SmallRng) -> Manner {
    answers(rng, 20, 45)
}

fn mean_gate(judged_too_late: bool) -> Setup {
    Setup { gates: &["mean < 40ms"], steps: FOREVER, rps: 1_000.0, canary: steady, judged_too_late, ..Setup::default() }
}

#[test]
fn a_good_mean_is_not_rolled_back_while_reports_are_on_their_way() {
    let (alarms, requests) = rolled_back(&mean_gate(false), 200, secs(1));
    println!("mean 32.5 ms under 40 ms: {alarms} false rollbacks of 200, {requests} requests");
    assert_eq!(alarms, 0);
}

/// What `known_until` is for: judged by the tick's own time, answers that wait to be reported look like requests that hang.
#[test]
fn the_same_judged_by_the_time_of_the_tick_would_be_rolled_back() {
    let (alarms, _) = rolled_back(&mean_gate(true), 200, secs(1));
    println!("mean 32.5 ms under 40 ms, judged by the time of the tick: {alarms} of 200 rolled back");
    assert!(is_replay() || alarms > 20, "{alarms} of 200");
}

/// Heads after 5 to 20 ms, bodies for up to a minute.
fn streams(rng: &mut SmallRng) -> Manner {
    Manner { body: between(rng, 1_000, 60_000), ..answers(rng, 5, 20) }
}

#[test]
fn long_bodies_neither_roll_a_version_back_nor_keep_it_from_passing() {
    let setup = Setup { gates: &["mean < 100ms", "p95 < 1s"], rps: 50.0, canary: streams, ..Setup::default() };
    for seed in seeds(20) {
        let phase = World::new(&setup, seed).run(secs(120));
        assert_eq!(phase, Phase::Promoted, "seed = {seed}");
    }
    println!("answers within 20 ms whose bodies last a minute: promoted in each of {} runs", seeds(20).count());
}

/// Every client leaves before the version could answer, and before its limit.
fn abandoned(rng: &mut SmallRng) -> Manner {
    Manner { leaves: Some(between(rng, 50, 900)), ..Manner::default() }
}

#[test]
fn clients_that_leave_before_the_limit_are_not_charged_to_the_version() {
    let setup = Setup { gates: &["p95 < 1s", "errors < 1%"], canary: abandoned, ..Setup::default() };
    for seed in seeds(50) {
        let mut world = World::new(&setup, seed);
        assert_eq!(world.run(secs(20)), Phase::Progressing, "seed = {seed}");
        assert_eq!(world.controller.rollout.record().step, 0, "seed = {seed}: passed without an answer");
        assert!(world.controller.trial.counts().iter().all(|c| c.cumulative.breaches == 0), "seed = {seed}");
    }
    println!("clients that leave: neither rolled back nor given more in each of {} runs", seeds(50).count());
}
