//! How the end of a rollout is taken: what failed, what nobody could say, what passed with a warning, and who said so.

use super::world::{Script, World, seed, seed_with};
use crate::domain::delivery::shipyard::default_schedule;
use crate::domain::delivery::{Effect, Mode, OnWarning, Outcome, Phase, RolloutEnd, Strategy};
use crate::domain::gate::Verdict;

#[test]
fn a_warning_of_a_rollout_is_held_too_and_the_story_says_whose_it_is() {
    let ask = |effect: &&Effect| matches!(effect, Effect::AwaitApproval { .. });
    for (end, hold, asked) in [(RolloutEnd::Warned, true, 1), (RolloutEnd::Warned, false, 0), (RolloutEnd::Promoted, true, 0)] {
        let shipyard = seed_with(|stages| {
            (stages[1].strategy, stages[1].test) = (Strategy::Canary(default_schedule()), None);
            stages[1].on_warning = if hold { OnWarning::Hold } else { OnWarning::Pass };
        });
        let mut world = World::new(shipyard, Script { rollouts: [(("staging", "0.8.2"), end)].into(), ..Script::default() });
        world.send("0.8.1");
        world.send("0.8.2");
        assert_eq!(world.effects.iter().filter(ask).count(), asked, "{end:?} {hold}");
        assert_eq!(world.serving(), [Some("0.8.2"); 3]);
        let staging = world.journal.iter().find(|entry| entry.stage.as_str() == "staging" && entry.outcome.is_some() && entry.run > 4);
        let verdict = if end == RolloutEnd::Warned { Verdict::Warning } else { Verdict::Pass };
        assert_eq!(staging.map(|entry| (entry.actor.as_str(), entry.verdict)), Some(("sources", Some(verdict))), "{:#?}", world.journal);
    }
}

#[test]
fn what_the_sources_are_against_in_a_rollout_has_failed_and_what_nobody_could_say_may_be_tried_again() {
    for (end, outcome, rejected) in [(RolloutEnd::RolledBack, Outcome::Failed, 1), (RolloutEnd::Aborted, Outcome::Inconclusive, 0)] {
        let mut world = World::new(seed(Mode::Strict), Script { rollouts: [(("production", "0.8.2"), end)].into(), ..Script::default() });
        world.send("0.8.1");
        world.send("0.8.2");
        assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.2"), Some("0.8.1")]);
        let lane = world.machine.record().lane(&"production".parse().unwrap()).unwrap();
        assert_eq!((lane.last.as_ref().map(|last| last.outcome), lane.rejected.len()), (Some(outcome), rejected));
        let back = world.journal.iter().find(|entry| entry.phase == Some(Phase::Returning));
        assert_eq!(back.map(|entry| entry.actor.as_str()), Some("sources"));
    }
}
