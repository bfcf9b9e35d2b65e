//! Who waits for whom: one run at a time in each stage, and what a newer artifact does to those that wait.

use super::world::{MANUAL, artifact, begun, seed, seed_stages, seed_with};
use crate::domain::delivery::{Concurrency, Delivery, Effect, Event, Mode, Outcome, Phase, Shipyard};
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::ZERO;

fn arrival(version: &str) -> Event {
    let context = format!("context of {version}");
    Event::Artifact { context, artifact: artifact(version), stage: None, retry: false, actor: "me".to_owned() }
}

/// Answers writes and returns everything else that is asked, with the outcomes that were journaled.
fn written(machine: &mut Delivery, event: Event) -> (Vec<Effect>, Vec<(String, Outcome)>) {
    let (mut asked, mut ended) = (Vec::new(), Vec::new());
    let mut effects = machine.handle(NOW, event);
    while !effects.is_empty() {
        match effects.remove(0) {
            Effect::Persist { number, entries, .. } => {
                ended.extend(entries.into_iter().filter_map(|entry| Some((entry.artifact.version().to_string(), entry.outcome?))));
                effects.extend(machine.handle(NOW, Event::Persisted(number)));
            }
            Effect::Emit { .. } | Effect::Notify { .. } => {}
            effect => asked.push(effect),
        }
    }
    (asked, ended)
}

fn waiting(machine: &Delivery, lane: usize) -> Vec<String> {
    machine.record().lanes[lane].queue.iter().map(|waiting| waiting.artifact.version().to_string()).collect()
}

#[test]
fn a_newer_artifact_takes_the_place_of_those_that_wait_and_the_one_on_trial_is_finished_first() {
    let mut machine = begun(seed(Mode::Strict));
    let (asked, _) = written(&mut machine, arrival("1"));
    assert!(matches!(asked[..], [Effect::Deploy { .. }]));
    assert_eq!(written(&mut machine, arrival("2")), (vec![], vec![]));
    let (asked, ended) = written(&mut machine, arrival("3"));
    assert_eq!((asked, ended), (vec![], vec![("2".to_owned(), Outcome::Superseded)]));
    assert_eq!(waiting(&machine, 0), ["3"]);
    let run = machine.record().lanes[0].run.as_ref().unwrap();
    assert_eq!(run.candidate.name.as_str(), "1");
    let ticket = crate::domain::delivery::Ticket { run: run.id, attempt: run.attempt };
    let (asked, ended) = written(&mut machine, Event::DeployFailed(ticket, "no".to_owned()));
    assert_eq!(ended, [("1".to_owned(), Outcome::Inconclusive)]);
    let next = asked.iter().find_map(|effect| match effect {
        Effect::Deploy { deployment, .. } => Some(deployment.name.to_string()),
        _ => None,
    });
    assert_eq!(next.as_deref(), Some("3"));
}

#[test]
fn in_a_queue_all_wait_in_their_order_up_to_a_hundred() {
    let shipyard = Shipyard::new(seed_stages(), Concurrency::Queue, Mode::Strict).unwrap();
    let mut machine = begun(shipyard);
    for version in 0..=100 {
        assert_eq!(written(&mut machine, arrival(&version.to_string())).1, []);
    }
    assert_eq!(waiting(&machine, 0).len(), 100);
    assert_eq!(waiting(&machine, 0)[..2], ["1", "2"]);
    let (_, ended) = written(&mut machine, arrival("one-too-many"));
    assert_eq!(ended, [("one-too-many".to_owned(), Outcome::Refused)]);
}

#[test]
fn the_same_event_twice_is_one_delivery() {
    let mut machine = begun(seed(Mode::Strict));
    written(&mut machine, arrival("1"));
    written(&mut machine, arrival("2"));
    let before = machine.record().clone();
    assert_eq!(written(&mut machine, arrival("1")), (vec![], vec![]));
    assert_eq!(written(&mut machine, arrival("2")), (vec![], vec![]));
    assert_eq!(*machine.record(), before);
}

#[test]
fn what_nobody_has_let_in_yet_gives_way_and_its_approval_comes_too_late() {
    let mut machine = begun(seed_with(|stages| stages[0].approval = Some(MANUAL)));
    let (asked, _) = written(&mut machine, arrival("1"));
    let [Effect::AwaitApproval { ticket: first, .. }] = asked[..] else { panic!("{asked:?}") };
    let (asked, ended) = written(&mut machine, arrival("2"));
    assert_eq!(ended, [("1".to_owned(), Outcome::Superseded)]);
    let [Effect::AwaitApproval { ticket: second, .. }] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(written(&mut machine, Event::Approved { run: first.run, actor: "me".to_owned() }), (vec![], vec![]));
    let (asked, _) = written(&mut machine, Event::Approved { run: second.run, actor: "me".to_owned() });
    assert!(matches!(&asked[..], [Effect::Deploy { deployment, .. }] if deployment.name.as_str() == "2"));
}

#[test]
fn stages_work_side_by_side_and_never_two_runs_in_one() {
    let mut machine = begun(seed(Mode::Strict));
    let mut asked = written(&mut machine, arrival("1")).0;
    let mut open = Vec::new();
    let mut sent = 1;
    for _ in 0..100 {
        if asked.is_empty() && sent < 3 {
            sent += 1;
            asked.extend(written(&mut machine, arrival(&sent.to_string())).0);
        }
        let Some(effect) = (!asked.is_empty()).then(|| asked.remove(0)) else { break };
        let answer = match effect {
            Effect::Deploy { ticket, .. } => Event::Deployed(ticket),
            Effect::CheckHealth { ticket, .. } => Event::Healthy(ticket),
            Effect::Switch { ticket, .. } => Event::Switched(ticket),
            // Staging's test is left running while dev takes the next version.
            Effect::Test { ticket, stage, .. } if stage.as_str() == "staging" => {
                open.push(ticket);
                continue;
            }
            Effect::Test { ticket, .. } => Event::TestEnded(
                ticket,
                crate::domain::delivery::TestReport {
                    passed: true,
                    stopped_early: false,
                    requests: 1,
                    errors: 0,
                    reason: "fine".to_owned(),
                },
            ),
            Effect::Evaluate { ticket, .. } => {
                let verdict = crate::domain::gate::Verdict::Pass;
                Event::Evaluated { ticket, verdict, reason: "fine".to_owned() }
            }
            Effect::Retire { ticket, .. } => Event::Retired(ticket),
            _ => continue,
        };
        asked.extend(written(&mut machine, answer).0);
    }
    assert_eq!(open.len(), 1, "staging had two runs at once");
    assert_eq!(machine.record().lanes[0].live.as_ref().unwrap().deployment.name.as_str(), "3");
    assert_eq!(waiting(&machine, 1), ["3"]);
    assert_eq!(machine.record().lanes[1].run.as_ref().unwrap().phase, Phase::Testing);
}
