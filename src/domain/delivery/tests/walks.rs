//! Kills: the process ends at every effect of whole runs, with the effect done and not done, and the end is the same.

use super::world::{Kill, MANUAL, Script, World, seed, seed_with};
use crate::domain::delivery::shipyard::default_schedule;
use crate::domain::delivery::{Mode, OnWarning, RolloutEnd, Shipyard, Strategy};
use crate::domain::gate::Verdict;

type Ends<'a> = [Option<&'a str>; 3];

/// Sends 0.8.1 and 0.8.2 with these kills and returns the world at rest.
fn walk(shipyard: &Shipyard, script: &Script, kills: Vec<Kill>) -> World {
    let mut world = World::new(shipyard.clone(), script.clone());
    world.kills = kills;
    world.send("0.8.1");
    world.send("0.8.2");
    world
}

fn ends_well(world: &World, wanted: Ends<'_>, kills: &[Kill]) {
    assert_eq!(world.serving(), wanted, "{kills:?}\n{:#?}", world.journal);
    assert_eq!(world.live(), wanted, "{kills:?}");
    let disk = world.disk.as_ref().unwrap();
    assert!(disk.lanes.iter().all(|lane| lane.run.is_none() && lane.queue.is_empty()), "{kills:?}: {disk:#?}");
}

/// Kills once at every effect, and twice at pairs of effects; returns how many walks that were.
fn everywhere(shipyard: &Shipyard, script: &Script, wanted: Ends<'_>) -> usize {
    let whole = walk(shipyard, script, Vec::new());
    ends_well(&whole, wanted, &[]);
    let mut walks = 0;
    for at in 0..whole.count {
        for (done, traffic_outlives) in [(false, false), (false, true), (true, false), (true, true)] {
            let first = Kill { at, done, traffic_outlives };
            let kills = vec![first];
            ends_well(&walk(shipyard, script, kills.clone()), wanted, &kills);
            // The second one strikes while the first is taken up again, and some way on.
            for after in [1, 6] {
                let kills = vec![first, Kill { at: at + after, done: !done, traffic_outlives }];
                ends_well(&walk(shipyard, script, kills.clone()), wanted, &kills);
                walks += 1;
            }
            walks += 1;
        }
    }
    assert!(walks > 12 * 25, "only {walks} walks");
    walks
}

#[test]
fn a_good_version_owns_every_stage_after_any_kill() {
    everywhere(&seed(Mode::Strict), &Script::default(), [Some("0.8.2"); 3]);
}

#[test]
fn a_version_that_fails_in_staging_goes_no_further_after_any_kill() {
    let script = Script { verdicts: [(("staging", "0.8.2"), Verdict::Fail)].into(), ..Script::default() };
    everywhere(&seed(Mode::Strict), &script, [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
}

#[test]
fn a_version_that_fails_in_a_direct_stage_is_taken_back_after_any_kill() {
    let script = Script { failing_tests: [("dev", "0.8.2")].into(), ..Script::default() };
    everywhere(&seed(Mode::Strict), &script, [Some("0.8.1"); 3]);
}

#[test]
fn a_version_that_needs_approval_gets_it_after_any_kill() {
    let shipyard = seed_with(|stages| stages[2].approval = Some(MANUAL));
    everywhere(&shipyard, &Script::default(), [Some("0.8.2"); 3]);
}

#[test]
fn a_version_that_is_not_let_in_stays_out_after_any_kill() {
    let shipyard = seed_with(|stages| stages[2].approval = Some(MANUAL));
    let script = Script { deny: true, ..Script::default() };
    everywhere(&shipyard, &script, [Some("0.8.2"), Some("0.8.2"), None]);
}

#[test]
fn a_rollout_that_is_rolled_back_leaves_production_as_it_was_after_any_kill() {
    let script = Script { rollouts: [(("production", "0.8.2"), RolloutEnd::RolledBack)].into(), ..Script::default() };
    everywhere(&seed(Mode::Strict), &script, [Some("0.8.2"), Some("0.8.2"), Some("0.8.1")]);
}

#[test]
fn a_rollout_that_nobody_could_judge_leaves_production_as_it_was_after_any_kill() {
    let script = Script { rollouts: [(("production", "0.8.2"), RolloutEnd::Aborted)].into(), ..Script::default() };
    everywhere(&seed(Mode::Strict), &script, [Some("0.8.2"), Some("0.8.2"), Some("0.8.1")]);
}

#[test]
fn a_warning_of_a_rollout_is_held_and_let_in_after_any_kill() {
    let shipyard = seed_with(|stages| {
        (stages[1].strategy, stages[1].test) = (Strategy::Canary(default_schedule()), None);
        stages[1].on_warning = OnWarning::Hold;
    });
    let script = Script { rollouts: [(("staging", "0.8.2"), RolloutEnd::Warned)].into(), ..Script::default() };
    everywhere(&shipyard, &script, [Some("0.8.2"); 3]);
}

#[test]
fn a_canary_with_tests_is_promoted_after_any_kill() {
    let shipyard = seed_with(|stages| stages[1].strategy = Strategy::Canary(default_schedule()));
    everywhere(&shipyard, &Script::default(), [Some("0.8.2"); 3]);
}

#[test]
fn as_in_keptn_the_ends_are_the_same_after_any_kill() {
    let script = Script { verdicts: [(("staging", "0.8.2"), Verdict::Fail)].into(), ..Script::default() };
    everywhere(&seed(Mode::Keptn), &script, [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
}
