//! Restarts: the process is killed at a random effect, memory is lost, and only what was durable decides what comes next.

use std::time::Duration;

use portcullis::control::restore::{self, Known};
use portcullis::domain::invariants;
use portcullis::domain::rollout::{Phase, Record, ServiceState};
use portcullis::domain::weight::Weight;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::setup::{Manner, Setup, answers, is_replay, ms, secs, seeds, version};
use crate::world::World;

fn good(rng: &mut SmallRng) -> Manner {
    answers(rng, 5, 40)
}

fn bad(rng: &mut SmallRng) -> Manner {
    answers(rng, 60, 200)
}

/// What the store holds for a record, as the controller writes it.
fn kept(record: &Record) -> ServiceState {
    let owner = if record.phase == Phase::Promoted { &record.canary } else { &record.stable };
    let rejected = (record.phase == Phase::RolledBack).then(|| record.canary.name.clone());
    ServiceState {
        owner: owner.clone(),
        configured: record.stable.name.clone(),
        rollout: Some(record.clone()),
        rejected: rejected.into_iter().collect(),
        tried: vec![record.canary.name.clone()],
    }
}

/// Lives until it is killed and returns what was durable and what was last published.
fn live_and_die(setup: &Setup, seed: u64) -> (Option<Record>, Weight, bool) {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
    let mut world = World::asleep(setup, seed, 1, None);
    // A ramp of three steps has about fifteen effects; some runs are killed between two of them.
    world.controller.crash_in = Some(rng.random_range(0..16));
    world.command(portcullis::domain::rollout::Event::Begin);
    let end = world.now + ms(rng.random_range(1..12_000));
    while world.now < end && !world.controller.is_dead() {
        world.step();
    }
    let published = world.controller.epoch.canary.as_ref().map_or(Weight::ZERO, |c| c.weight);
    (world.controller.durable.take(), published, world.controller.epoch.stable.name.as_str() == "v2")
}

#[test]
fn a_restart_never_gives_the_canary_more_than_was_durable() {
    let mut found = std::collections::BTreeMap::<&str, usize>::new();
    for seed in seeds(400) {
        let canary = if seed % 2 == 0 { good } else { bad };
        const STEPS: &[(&str, Duration)] = &[("20%", ms(300)), ("60%", ms(300)), ("100%", ms(300))];
        let setup = Setup { gates: &["p80 < 50ms"], steps: STEPS, canary, disk_fails: 0.1, ..Setup::default() };
        let (durable, published, promoted) = live_and_die(&setup, seed);
        *found.entry(durable.as_ref().map_or("nothing", |r| r.phase.as_str())).or_default() += 1;
        let (stable, second) = (version("v1"), version("v2"));
        let known = durable.as_ref().map_or(Known::Nothing, |record| Known::State(Box::new(kept(record))));
        let start = restore::start(&"carts".parse().unwrap(), &stable, Some(&second), known);
        let after = start.state.rollout.as_ref().filter(|r| r.phase == Phase::Progressing).map_or(Weight::ZERO, |r| r.weight);
        if let Err(broken) = invariants::i11_unknown_is_safe(durable.as_ref(), after) {
            panic!("seed = {seed}: {broken}");
        }
        match durable.as_ref().map(|r| r.phase) {
            Some(Phase::Promoted) => assert_eq!(start.state.owner, second, "seed = {seed}"),
            Some(Phase::RolledBack | Phase::Aborted | Phase::Progressing) => {
                assert_eq!((&start.state.owner, &start.begin), (&stable, &None), "seed = {seed}: it came back");
                assert!(!promoted, "seed = {seed}: v2 owned everything before that was durable");
            }
            None => {
                assert_eq!((published, &start.begin), (Weight::ZERO, &Some(second.clone())), "seed = {seed}");
                let mut again = World::asleep(&setup, seed + 1_000_000, 2, None);
                again.command(portcullis::domain::rollout::Event::Begin);
                again.run(secs(1));
            }
        }
    }
    println!("restarts: what was durable in {} runs: {found:?}", seeds(400).count());
    for phase in ["nothing", "progressing", "promoted", "rolled_back"] {
        assert!(is_replay() || found.get(phase).is_some_and(|n| *n >= 10), "too few runs died with {phase}: {found:?}");
    }
}
