//! Single runs: what fails, hangs, is stopped or cannot be written, and what is then done.

use std::time::Duration;

use super::world::{MANUAL, Script, World, artifact, begun, seed, seed_with, stage};
use crate::domain::delivery::shipyard::default_schedule;
use crate::domain::delivery::{
    Concurrency, Deadlines, Delivery, Effect, Event, Mode, OnWarning, Outcome, Phase, Shipyard, Strategy, TestReport, Ticket,
};
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;

fn arrival(version: &str) -> Event {
    Event::Artifact { context: "c".to_owned(), artifact: artifact(version), stage: None, retry: false, actor: "me".to_owned() }
}

/// Answers writes, and everything else well, until an effect is asked that `stop` names; returns that effect's ticket.
fn until(machine: &mut Delivery, now: Timestamp, first: Event, stop: impl Fn(&Effect) -> bool) -> Ticket {
    let mut effects = machine.handle(now, first);
    loop {
        assert!(!effects.is_empty(), "{:#?}", machine.record());
        let effect = effects.remove(0);
        let asked = match &effect {
            Effect::Deploy { ticket, .. }
            | Effect::CheckHealth { ticket, .. }
            | Effect::Switch { ticket, .. }
            | Effect::Test { ticket, .. }
            | Effect::Evaluate { ticket, .. }
            | Effect::Rollout { ticket, .. }
            | Effect::AwaitApproval { ticket, .. }
            | Effect::Retire { ticket, .. } => *ticket,
            Effect::Persist { number, .. } => {
                effects.extend(machine.handle(now, Event::Persisted(*number)));
                continue;
            }
            _ => continue,
        };
        if stop(&effect) {
            return asked;
        }
        let answer = match effect {
            Effect::Deploy { ticket, .. } => Event::Deployed(ticket),
            Effect::CheckHealth { ticket, .. } => Event::Healthy(ticket),
            Effect::Switch { ticket, .. } => Event::Switched(ticket),
            Effect::Retire { ticket, .. } => Event::Retired(ticket),
            other => panic!("{other:?} came first"),
        };
        effects.extend(machine.handle(now, answer));
    }
}

fn outcome(world: &World, stage: &str) -> Option<Outcome> {
    world.machine.record().lane(&stage.parse().unwrap())?.last.as_ref().map(|last| last.outcome)
}

#[test]
fn a_deployment_that_fails_changes_nothing_and_may_be_tried_again() {
    let mut world = World::new(seed(Mode::Strict), Script::default());
    world.send("0.8.1");
    world.script.undeployable = [("staging", "0.8.2")].into();
    world.send("0.8.2");
    assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
    assert_eq!(outcome(&world, "staging"), Some(Outcome::Inconclusive));
    world.script.undeployable.clear();
    world.send_as("0.8.2", "another", false);
    assert_eq!(world.serving(), [Some("0.8.2"); 3]);
}

#[test]
fn a_version_that_failed_is_refused_until_a_retry_is_asked_for() {
    let script = Script { verdicts: [(("dev", "0.8.2"), Verdict::Fail)].into(), ..Script::default() };
    let mut world = World::new(seed(Mode::Strict), script);
    world.send("0.8.1");
    world.send("0.8.2");
    assert_eq!(world.serving()[0], Some("0.8.1"));
    world.script.verdicts.clear();
    world.send_as("0.8.2", "again", false);
    assert_eq!(world.serving()[0], Some("0.8.1"));
    assert_eq!(world.journal.last().unwrap().outcome, Some(Outcome::Refused));
    world.send_as("0.8.2", "with retry", true);
    assert_eq!(world.serving(), [Some("0.8.2"); 3]);
}

#[test]
fn a_retry_holds_for_every_stage_from_where_it_is_sent() {
    let script = Script { verdicts: [(("staging", "0.8.2"), Verdict::Fail)].into(), ..Script::default() };
    let mut world = World::new(seed(Mode::Strict), script);
    world.send("0.8.1");
    world.send("0.8.2");
    assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
    world.script.verdicts.clear();
    world.send_as("0.8.2", "again", false);
    assert_eq!(world.serving()[1], Some("0.8.1"), "nobody has said that it may be tried again");
    world.send_as("0.8.2", "with retry", true);
    assert_eq!(world.serving(), [Some("0.8.2"); 3]);
    let said = "to be tried again where it has failed: in staging";
    assert_eq!(world.journal.iter().filter(|entry| entry.reason.contains(said)).count(), 1);
    // It holds once: what fails again is refused again.
    world.script.verdicts = [(("staging", "0.8.3"), Verdict::Fail)].into();
    world.send("0.8.3");
    world.send_as("0.8.3", "retry", true);
    world.send_as("0.8.3", "no retry", false);
    assert_eq!(world.serving()[1..], [Some("0.8.2"); 2]);
}

#[test]
fn production_never_sees_what_failed_earlier_not_even_by_retry() {
    let script = Script { verdicts: [(("staging", "0.8.2"), Verdict::Fail)].into(), ..Script::default() };
    let mut world = World::new(seed(Mode::Strict), script);
    world.send("0.8.1");
    world.send("0.8.2");
    let stage = Some("production".parse().unwrap());
    let event = Event::Artifact { context: "x".to_owned(), artifact: artifact("0.8.2"), stage, retry: true, actor: "somebody".to_owned() };
    assert!(world.handle(event).iter().all(|effect| !matches!(effect, Effect::Deploy { .. })));
    let production = world.machine.record().lane(&"production".parse().unwrap()).unwrap();
    assert!(production.run.is_none() && production.queue.is_empty());
}

#[test]
fn without_rollback_a_direct_stage_keeps_the_bad_version_and_goes_no_further() {
    let shipyard = seed_with(|stages| stages[0].rollback = false);
    let mut world = World::new(shipyard, Script { failing_tests: [("dev", "0.8.2")].into(), ..Script::default() });
    world.send("0.8.1");
    world.send("0.8.2");
    assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")]);
    assert_eq!(world.live()[0], Some("0.8.2"));
    assert_eq!(outcome(&world, "dev"), Some(Outcome::Failed));
}

#[test]
fn a_first_version_that_fails_is_withdrawn_with_an_alarm() {
    let script = Script { verdicts: [(("dev", "0.8.1"), Verdict::Inconclusive)].into(), ..Script::default() };
    let mut world = World::new(seed(Mode::Strict), script);
    world.send("0.8.1");
    assert_eq!((world.serving(), world.live()), ([None; 3], [None; 3]));
    let alarms = world
        .effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Notify { sentence, alarm: true } if sentence.contains("nothing serves")));
    assert_eq!(alarms.count(), 1);
}

#[test]
fn failed_tests_fail_the_run_and_the_gate_is_still_asked() {
    let script = Script { failing_tests: [("staging", "0.8.2")].into(), ..Script::default() };
    for (mode, asked) in [(Mode::Strict, 2), (Mode::Keptn, 1)] {
        let mut world = World::new(seed(mode), script.clone());
        world.send("0.8.1");
        world.send("0.8.2");
        assert_eq!(world.serving(), [Some("0.8.2"), Some("0.8.1"), Some("0.8.1")], "{mode:?}");
        let staging = |effect: &&Effect| matches!(effect, Effect::Evaluate { stage, .. } if stage.as_str() == "staging");
        assert_eq!(world.effects.iter().filter(staging).count(), asked, "{mode:?}");
    }
}

#[test]
fn a_warning_goes_on_unless_the_stage_holds_it_or_the_next_one_asks() {
    let verdicts = [(("dev", "0.8.1"), Verdict::Warning)];
    let ask = |effect: &&Effect| matches!(effect, Effect::AwaitApproval { .. });
    for (hold, approval, asked) in [(false, false, 0), (true, false, 1), (false, true, 1)] {
        let shipyard = seed_with(|stages| {
            stages[0].on_warning = if hold { OnWarning::Hold } else { OnWarning::Pass };
            stages[1].approval = approval.then_some(MANUAL);
        });
        let mut world = World::new(shipyard, Script { verdicts: verdicts.into(), ..Script::default() });
        world.send("0.8.1");
        assert_eq!(world.effects.iter().filter(ask).count(), asked, "{hold} {approval}");
        assert_eq!(world.serving(), [Some("0.8.1"); 3]);
    }
}

#[test]
fn whatever_hangs_ends_as_inconclusive_and_the_live_version_keeps_serving() {
    let kinds: [fn(&Effect) -> bool; 4] = [
        |effect| matches!(effect, Effect::Deploy { .. }),
        |effect| matches!(effect, Effect::CheckHealth { .. }),
        |effect| matches!(effect, Effect::Switch { .. }),
        |effect| matches!(effect, Effect::Test { .. }),
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let mut world = World::new(seed(Mode::Strict), Script::default());
        world.send("0.8.1");
        let mut machine = world.machine;
        let now = Timestamp::ZERO + Duration::from_secs(10);
        let ticket = until(&mut machine, now, arrival("0.8.2"), kind);
        let late = now + Deadlines::default().test;
        let effects = machine.handle(late, Event::Tick);
        let back = effects.iter().position(|effect| matches!(effect, Effect::Switch { to: Some(to), .. } if to.name.as_str() == "0.8.1"));
        assert_eq!(back.is_some(), index >= 2, "{effects:?}");
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::StopTest { .. })), index == 3);
        if back.is_some() {
            let again = machine.record().lanes[0].run.as_ref().unwrap().attempt;
            let _writes = machine.handle(late, Event::Switched(Ticket { attempt: again, ..ticket }));
        }
        let lane = &machine.record().lanes[0];
        assert_eq!(lane.last.as_ref().unwrap().outcome, Outcome::Inconclusive);
        assert_eq!(lane.live.as_ref().unwrap().deployment.name.as_str(), "0.8.1");
        assert!(lane.rejected.is_empty());
        // The answer comes after all, and changes nothing.
        let before = machine.record().clone();
        for late_answer in [Event::Deployed(ticket), Event::Healthy(ticket), Event::Switched(ticket)] {
            let _nothing = machine.handle(late, late_answer);
        }
        assert_eq!(*machine.record(), before);
    }
}

#[test]
fn a_rollout_that_is_held_for_good_is_aborted_at_its_deadline_and_the_live_version_keeps_the_stage() {
    let shipyard = seed_with(|stages| stages[0].strategy = Strategy::Canary(default_schedule()));
    let mut world = World::new(shipyard, Script::default());
    world.send("0.8.1");
    let mut machine = world.machine;
    let now = Timestamp::ZERO + Duration::from_secs(10);
    let limit = Deadlines::default().rollout;
    let mut first = arrival("0.8.2");
    // Its test goes well; then the rollout begins, and is paused by its gates or by an operator: nothing more is heard of it.
    let ticket = loop {
        let ticket = until(&mut machine, now, first, |effect| {
            matches!(effect, Effect::Test { .. } | Effect::Evaluate { .. } | Effect::Rollout { .. })
        });
        first = match machine.record().lanes[0].run.as_ref().unwrap().phase {
            Phase::Testing => {
                let reason = "fine".to_owned();
                Event::TestEnded(ticket, TestReport { passed: true, stopped_early: false, requests: 1, errors: 0, reason })
            }
            Phase::Evaluating => Event::Evaluated { ticket, verdict: Verdict::Pass, reason: "fine".to_owned() },
            _ => break ticket,
        };
    };
    let early = machine.handle(now + (limit - Duration::from_secs(1)), Event::Tick);
    assert!(!early.iter().any(|effect| matches!(effect, Effect::AbortRollout { .. })), "{early:?}");
    let late = now + limit;
    let effects = machine.handle(late, Event::Tick);
    let aborted =
        |effect: &Effect| matches!(effect, Effect::AbortRollout { ticket: of, reason, .. } if *of == ticket && reason.contains("604800 s"));
    assert!(effects.iter().any(aborted), "{effects:?}");
    for effect in effects {
        if let Effect::Switch { ticket, to, .. } = effect {
            assert_eq!(to.unwrap().name.as_str(), "0.8.1");
            let _writes = machine.handle(late, Event::Switched(ticket));
        }
    }
    let lane = &machine.record().lanes[0];
    assert_eq!(
        (lane.last.as_ref().unwrap().outcome, lane.live.as_ref().unwrap().deployment.name.as_str()),
        (Outcome::Inconclusive, "0.8.1")
    );
    // That it was promoted after all comes too late.
    let before = machine.record().clone();
    let end = crate::domain::delivery::RolloutEnd::Promoted;
    assert_eq!(machine.handle(late, Event::RolloutEnded { ticket, end, actor: "plan".to_owned(), reason: "promoted".to_owned() }), []);
    assert_eq!(*machine.record(), before);
}

#[test]
fn traffic_that_does_not_come_back_is_sent_back_again_and_then_left_to_people() {
    let mut machine = begun(seed(Mode::Strict));
    let mut now = Timestamp::ZERO;
    let ticket = until(&mut machine, now, arrival("0.8.1"), |effect| matches!(effect, Effect::Test { .. }));
    let mut effects = machine.handle(now, Event::TestLost(ticket, "no output".to_owned()));
    let mut sent = 0;
    for _ in 0..20 {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Persist { number, .. } => effects.extend(machine.handle(now, Event::Persisted(number))),
                Effect::Switch { ticket, .. } => {
                    sent += 1;
                    effects.extend(machine.handle(now, Event::SwitchFailed(ticket, "no".to_owned())));
                }
                _ => {}
            }
        }
        now = now + Duration::from_secs(2);
        effects.extend(machine.handle(now, Event::Tick));
    }
    let lane = &machine.record().lanes[0];
    assert_eq!((sent, lane.run.is_none(), lane.stranded.len(), lane.leaving.len()), (5, true, 1, 0));
}

#[test]
fn an_abort_stops_the_test_brings_the_traffic_back_and_retires_the_candidate() {
    let mut world = World::new(seed(Mode::Strict), Script::default());
    world.send("0.8.1");
    let mut machine = world.machine;
    let now = Timestamp::ZERO;
    until(&mut machine, now, arrival("0.8.2"), |effect| matches!(effect, Effect::Test { .. }));
    let abort = Event::Abort { stage: None, actor: "me".to_owned(), reason: "wrong image".to_owned() };
    let effects = machine.handle(now, abort);
    let kinds: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::StopTest { .. } => "stop",
            Effect::Switch { .. } => "switch",
            Effect::Persist { .. } => "persist",
            _ => "tell",
        })
        .collect();
    assert_eq!(kinds, ["stop", "switch", "persist", "tell"]);
    let Effect::Switch { ticket, .. } = effects[1] else { panic!() };
    let Effect::Persist { number, .. } = effects[2] else { panic!() };
    let _nothing = machine.handle(now, Event::Persisted(number));
    until(&mut machine, now, Event::Switched(ticket), |effect| matches!(effect, Effect::Retire { .. }));
    assert_eq!(machine.record().lanes[0].last.as_ref().unwrap().outcome, Outcome::Aborted);
}

#[test]
fn a_step_that_cannot_be_written_does_not_happen_and_is_given_up_in_the_end() {
    let mut machine = begun(seed(Mode::Strict));
    let mut now = Timestamp::ZERO;
    let ticket = until(&mut machine, now, arrival("0.8.1"), |effect| matches!(effect, Effect::Deploy { .. }));
    let mut effects = machine.handle(now, Event::Deployed(ticket));
    let mut tried = 0;
    for _ in 0..100 {
        for effect in std::mem::take(&mut effects) {
            assert!(!matches!(effect, Effect::CheckHealth { .. }), "the step was made and not written");
            if let Effect::Persist { number, .. } = effect {
                tried += 1;
                effects.extend(machine.handle(now, Event::PersistFailed(number, "the disk is full".to_owned())));
            }
        }
        now = now + Duration::from_secs(2);
        effects.extend(machine.handle(now, Event::Tick));
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(machine.record().lanes[0].last.as_ref().unwrap().outcome, Outcome::Inconclusive);
}

#[test]
fn a_run_that_outlives_no_process_is_given_up() {
    let mut machine = begun(seed(Mode::Strict));
    let now = Timestamp::ZERO;
    let mut first = arrival("0.8.1");
    for restart in 0..4 {
        until(&mut machine, now, first, |effect| matches!(effect, Effect::Deploy { .. }));
        let record = machine.record().clone();
        assert_eq!(record.lanes[0].run.as_ref().unwrap().restarts, restart);
        machine = Delivery::restore(record, seed(Mode::Strict), Deadlines::default());
        first = Event::Restored;
    }
    let _effects = machine.handle(now, first);
    assert_eq!(machine.record().lanes[0].last.as_ref().unwrap().outcome, Outcome::Inconclusive);
}

#[test]
fn an_answer_to_an_earlier_attempt_is_not_taken_for_one_to_the_last() {
    let mut machine = begun(seed(Mode::Strict));
    let now = Timestamp::ZERO;
    let deploy = |effect: &Effect| matches!(effect, Effect::Deploy { .. });
    let old = until(&mut machine, now, arrival("0.8.1"), deploy);
    let mut machine = Delivery::restore(machine.record().clone(), seed(Mode::Strict), Deadlines::default());
    let new = until(&mut machine, now, Event::Restored, deploy);
    assert_eq!((new.run, new.attempt), (old.run, old.attempt + 1));
    for answer in [Event::Deployed(old), Event::DeployFailed(old, "late".to_owned())] {
        assert_eq!(machine.handle(now, answer), []);
    }
    assert_eq!(machine.record().lanes[0].run.as_ref().unwrap().phase, Phase::Deploying);
    until(&mut machine, now, Event::Deployed(new), |effect| matches!(effect, Effect::CheckHealth { .. }));
}

#[test]
fn a_stage_that_the_shipyard_no_longer_has_keeps_what_is_live_and_tries_nothing_more() {
    let mut world = World::new(seed(Mode::Strict), Script::default());
    world.send("0.8.1");
    let mut machine = world.machine;
    until(&mut machine, Timestamp::ZERO, arrival("0.8.2"), |effect| matches!(effect, Effect::Test { .. }));
    let shipyard = Shipyard::new(vec![stage("other", Strategy::Direct, None)], Concurrency::Queue, Mode::Strict).unwrap();
    let mut machine = Delivery::restore(machine.record().clone(), shipyard, Deadlines::default());
    let effects = machine.handle(Timestamp::ZERO, Event::Restored);
    let back = |effect: &Effect| matches!(effect, Effect::Switch { to: Some(to), .. } if to.name.as_str() == "0.8.1");
    assert!(effects.iter().any(back), "{effects:?}");
    let dev = &machine.record().lanes[0];
    assert_eq!(dev.run.as_ref().unwrap().phase, Phase::Returning);
    assert_eq!(machine.record().lanes.len(), 4);
}

#[test]
fn a_stored_record_is_read_back_as_it_was_and_unknown_keys_are_refused() {
    let mut world = World::new(seed(Mode::Strict), Script::default());
    world.send("0.8.1");
    until(&mut world.machine, Timestamp::ZERO, arrival("0.8.2"), |effect| matches!(effect, Effect::Evaluate { .. } | Effect::Test { .. }));
    let record = world.machine.record();
    let json = serde_json::to_string(record).unwrap();
    assert_eq!(serde_json::from_str::<crate::domain::delivery::Record>(&json).unwrap(), *record);
    let strange = json.replacen("\"next\"", "\"nxt\":1,\"next\"", 1);
    assert!(serde_json::from_str::<crate::domain::delivery::Record>(&strange).unwrap_err().to_string().contains("nxt"));
}
