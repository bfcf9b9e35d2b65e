//! Versions of known quality, and how long each takes to be found out.

use std::time::Duration;

use portcullis::domain::rollout::Phase;
use portcullis::domain::time::Timestamp;
use portcullis::seam::tripwire::{Test, Trip};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::setup::{Manner, Setup, answers, ms, secs, seeds};
use crate::world::World;

fn slow(rng: &mut SmallRng) -> Manner {
    answers(rng, 1_050, 1_900)
}

fn hung(_: &mut SmallRng) -> Manner {
    Manner::default()
}

fn thirty_percent_hung(rng: &mut SmallRng) -> Manner {
    if rng.random_bool(0.3) { Manner::default() } else { answers(rng, 20, 300) }
}

#[test]
fn a_healthy_version_with_one_percent_over_the_limit_is_promoted() {
    let (mut longest, mut requests) = (Duration::ZERO, 0);
    for seed in seeds(200) {
        let mut world = World::new(&Setup::default(), seed);
        let phase = world.run(secs(600));
        assert_eq!(phase, Phase::Promoted, "seed = {seed}: {:?}", world.controller.rollout.record());
        longest = longest.max(world.now.since(Timestamp::ZERO));
        requests += world.canary_starts.len();
    }
    println!(
        "healthy, 1 % over: promoted in each of {} runs; the longest took {longest:.1?}; {requests} canary requests",
        seeds(200).count()
    );
}

/// Runs a version all of whose requests breach: the third breach trips, a millisecond after the third request's limit.
fn all_breach(name: &str, setup: &Setup, runs: u64) {
    let mut worst = 0.0_f64;
    let mut harmed = 0;
    for seed in seeds(runs) {
        let mut world = World::new(setup, seed);
        let phase = world.run(secs(600));
        assert_eq!(phase, Phase::RolledBack, "seed = {seed}");
        let (at, trip) = world.trip.expect("a rollback of this version comes from its tripwire");
        assert_eq!(trip, Trip { wire: 0, test: Test::Cumulative, breaches: 3, requests: 3 }, "seed = {seed}");
        assert!(world.canary_starts.iter().all(|start| *start <= at), "seed = {seed}: a canary request started after the trip");
        let third = at.since(world.canary_starts[2]);
        assert!(third <= secs(1) + ms(1), "seed = {seed}: the third breach counted {third:?} after its request");
        let gaps = world.canary_starts[2].since(world.canary_starts[0]).as_secs_f64() * setup.rps * 0.1;
        assert!(gaps <= 6.0, "seed = {seed}: {gaps:.1} inter-arrival times between the first and the third canary request");
        worst = worst.max(gaps);
        harmed = harmed.max(world.canary_starts.len());
    }
    println!(
        "{name}: breach 3 of 3 in each of {} runs, at the limit + at most {worst:.1} inter-arrival times; at most {harmed} requests harmed",
        seeds(runs).count()
    );
}

#[test]
fn a_slow_version_trips_on_its_third_breach() {
    all_breach("all slow", &Setup { canary: slow, ..Setup::default() }, 200);
}

#[test]
fn a_hung_version_trips_on_its_third_breach() {
    all_breach("all hung", &Setup { canary: hung, ..Setup::default() }, 200);
}

#[test]
fn a_hung_version_trips_as_fast_at_low_traffic() {
    all_breach("all hung at 5 requests per second", &Setup { canary: hung, rps: 5.0, ..Setup::default() }, 50);
}

#[test]
fn a_version_that_hangs_three_requests_of_ten_is_never_promoted() {
    let setup = Setup { canary: thirty_percent_hung, ..Setup::default() };
    let (mut rolled_back, mut latest) = (0, Duration::ZERO);
    for seed in seeds(200) {
        let mut world = World::new(&setup, seed);
        let phase = world.run(secs(120));
        assert_ne!(phase, Phase::Promoted, "seed = {seed}");
        assert_eq!(world.controller.rollout.record().step, 0, "seed = {seed}: it was given more");
        if phase == Phase::RolledBack {
            rolled_back += 1;
            latest = latest.max(world.now.since(Timestamp::ZERO));
        }
    }
    assert_eq!(rolled_back, seeds(200).count());
    println!("30 % hung: promoted in none and rolled back in {rolled_back} of {} runs, the last after {latest:.1?}", seeds(200).count());
}
