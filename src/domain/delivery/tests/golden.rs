//! The run of the reference scenario: as it was in 2019, and as it is in strict mode.

use super::world::{Script, World, seed};
use crate::domain::delivery::{Announcement, Effect, Mode, Outcome, Strategy};
use crate::domain::gate::Verdict;

/// The slow version passes its functional test and fails the performance test's gate.
fn script() -> Script {
    Script { verdicts: [(("staging", "0.8.2"), Verdict::Fail)].into(), ..Script::default() }
}

fn whole_run(mode: Mode) -> World {
    let mut world = World::new(seed(mode), script());
    for version in ["0.8.1", "0.8.2", "0.8.3"] {
        world.send(version);
    }
    world
}

/// Returns stage and live version of each line of the published trace.
fn published() -> Vec<(String, String)> {
    let text = include_str!("../../../../tests/data/compat/golden-trace.csv");
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.map(|fields| (fields[2].to_owned(), fields[11].to_owned())).collect()
}

#[test]
fn as_in_keptn_the_stages_change_hands_exactly_as_published() {
    let world = whole_run(Mode::Keptn);
    // The routes of blue/green stages are made with the project, before anything is live.
    let stages = seed(Mode::Keptn);
    let routes = stages.stages().iter().filter(|stage| stage.strategy == Strategy::BlueGreen);
    let created = routes.map(|stage| (stage.name.to_string(), String::new()));
    let trace: Vec<_> = created.chain(world.trace.iter().cloned()).collect();
    assert_eq!(trace, published());
    assert_eq!(world.serving(), [Some("0.8.3"); 3]);
}

#[test]
fn strictly_the_same_ends_are_reached_and_the_slow_version_never_gets_staging() {
    let mut world = World::new(seed(Mode::Strict), script());
    world.send("0.8.1");
    assert_eq!(world.serving(), [Some("0.8.1"); 3]);
    world.send("0.8.2");
    assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
    assert_eq!(world.live(), world.serving());
    world.send("0.8.3");
    assert_eq!(world.serving(), [Some("0.8.3"); 3]);
    let last = published().into_iter().rev();
    for stage in ["dev", "staging", "production"] {
        let end = last.clone().find(|(found, _)| found == stage).unwrap().1;
        assert_eq!(world.traffic[stage].as_deref(), Some(end.as_str()));
    }
    let full = |stage: &str| world.trace.iter().any(|row| *row == (stage.to_owned(), "0.8.2".to_owned()));
    assert!(full("dev") && !full("staging") && !full("production"));
    let deployed = world.effects.iter().any(|effect| {
        matches!(effect, Effect::Deploy { stage, deployment, .. } if stage.as_str() == "production" && deployment.artifact.tag() == Some("0.8.2"))
    });
    assert!(!deployed, "production has seen 0.8.2");
}

#[test]
fn every_end_of_a_run_says_why_and_carries_one_verdict() {
    for mode in [Mode::Strict, Mode::Keptn] {
        let world = whole_run(mode);
        let ends: Vec<_> = world
            .told()
            .filter_map(|(stage, told)| match told {
                Announcement::Finished { outcome, reason } if !reason.is_empty() => Some((stage.to_owned(), *outcome)),
                _ => None,
            })
            .collect();
        let passed = |stage: &str| (stage.to_owned(), Outcome::Passed);
        let first = [passed("dev"), passed("staging"), passed("production")];
        let second = [passed("dev"), ("staging".to_owned(), Outcome::Failed)];
        assert_eq!(ends, [&first[..], &second, &first].concat(), "{mode:?}");
        let judged = world.told().filter(|(_, told)| matches!(told, Announcement::EvaluationDone { .. })).count();
        // The first version of production is live unjudged; the original never judges a stage without tests.
        assert_eq!(judged, if mode == Mode::Strict { 7 } else { 6 });
    }
}
