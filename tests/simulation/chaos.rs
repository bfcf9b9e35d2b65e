//! Random versions, traffic, operators, disks and stalls: no step of any run may break an invariant.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis::domain::rollout::{Event, Phase};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::setup::{Manner, Setup, answers, between, is_replay, ms, seeds};
use crate::world::World;

/// Whatever a version and its clients may do, mostly good.
fn anything(rng: &mut SmallRng) -> Manner {
    let mut manner = match rng.random_range(0..100) {
        0..=94 => answers(rng, 1, 45),
        95..=96 => answers(rng, 45, 300),
        97 => Manner { fails: true, ..answers(rng, 1, 80) },
        _ => Manner::default(),
    };
    match rng.random_range(0..20) {
        0 => manner.leaves = Some(between(rng, 1, 200)),
        1 => manner.body = between(rng, 1, 500),
        _ => {}
    }
    manner
}

fn mostly_bad(rng: &mut SmallRng) -> Manner {
    if rng.random_bool(0.5) { anything(rng) } else { answers(rng, 40, 400) }
}

fn good(rng: &mut SmallRng) -> Manner {
    answers(rng, 1, 45)
}

fn setup(rng: &mut SmallRng) -> Setup {
    const GATES: [&[&str]; 5] =
        [&["p70 < 50ms"], &["errors < 20%"], &["mean < 60ms"], &["p80 < 50ms", "errors < 10%"], &["p60 < 50ms", "mean < 200ms"]];
    const STEPS: [&[(&str, Duration)]; 3] =
        [&[("50%", ms(100)), ("100%", ms(100))], &[("100%", ms(300))], &[("20%", ms(0)), ("60%", ms(50)), ("100%", ms(0))]];
    Setup {
        workers: rng.random_range(1..=4),
        rps: rng.random_range(50.0..600.0),
        gates: GATES[rng.random_range(0..GATES.len())],
        steps: STEPS[rng.random_range(0..STEPS.len())],
        alpha: [0.05, 0.001][rng.random_range(0..2)],
        beta: 0.05,
        canary: [anything, mostly_bad, good][rng.random_range(0..3)],
        disk_fails: [0.0, 0.0, 0.3, 0.9][rng.random_range(0..4)],
        judged_too_late: false,
    }
}

/// What may come from outside before a step.
fn disturb(world: &mut World, chance: &mut SmallRng) {
    let said = || ("ann".to_owned(), "so it is".to_owned());
    match chance.random_range(0..1_000) {
        0 => {
            let (actor, reason) = said();
            world.command(Event::Abort { actor, reason });
        }
        1..=4 => {
            let (actor, reason) = said();
            world.command(Event::Promote { actor, reason });
        }
        // A controller that stands still for longer than an epoch is valid: the dead man's switch.
        5..=6 => world.stalled = world.now + between(chance, 1, 4_000),
        7 => world.command(Event::Begin),
        // Answers of the disk that nobody waits for.
        8 => world.command(Event::PersistFailed("late".to_owned())),
        _ => {}
    }
}

#[test]
fn no_run_breaks_an_invariant() {
    const RUNS: u64 = 10_000;
    let mut ends = BTreeMap::<&str, usize>::new();
    let mut steps = 0_u64;
    for seed in seeds(RUNS) {
        let mut chance = SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new(&setup(&mut chance), seed);
        for _ in 0..chance.random_range(100..=500) {
            disturb(&mut world, &mut chance);
            world.step();
            steps += 1;
        }
        if let Some((at, _)) = world.trip {
            assert!(world.canary_starts.iter().all(|start| *start <= at), "seed = {seed}: a canary request started after the trip");
        }
        *ends.entry(world.controller.phase().as_str()).or_default() += 1;
    }
    println!("chaos: {steps} steps in {} runs, no invariant broken; {ends:?}", seeds(RUNS).count());
    for phase in [Phase::Progressing, Phase::Promoted, Phase::RolledBack, Phase::Aborted] {
        assert!(is_replay() || ends.get(phase.as_str()).is_some_and(|n| *n > 100), "too few runs ended {}: {ends:?}", phase.as_str());
    }
}
