//! What operators are told, and what the journal says of what they asked, also where the disk fails or others are waited for.
#![cfg(test)]

use super::*;
use crate::control::command::{Accepted, CommandError};
use crate::control::orders::{self, Word};
use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::schedule::{Ramp, Start};
use crate::domain::webhook::Webhook;

/// The journal: who did what, with which share after it.
fn journal(desk: &Desk) -> Vec<(String, Phase, String)> {
    desk.world.written.iter().map(|(_, entry)| (entry.actor.clone(), entry.phase, entry.to.to_string())).collect()
}

fn line(actor: &str, phase: Phase, share: &str) -> (String, Phase, String) {
    (actor.to_owned(), phase, share.to_owned())
}

/// A webhook of this occasion.
fn board(occasion: Occasion) -> Arc<[Webhook]> {
    let metadata = std::collections::BTreeMap::default();
    let (name, url) = ("change-board".to_owned(), "http://127.0.0.1:9/".to_owned());
    Arc::from([Webhook { name, occasion, url, timeout: SECOND, retries: 0, metadata }])
}

impl Desk {
    /// Has somebody say something to the service.
    fn said_by(&mut self, actor: &str, reason: &str) -> Word<'_> {
        let (actor, reason, now) = (actor.to_owned(), reason.to_owned(), self.world.now);
        Word { service: &mut self.service, actor, reason, now, shell: &mut self.world }
    }

    /// Has ann say something to the service.
    fn said(&mut self) -> Word<'_> {
        self.said_by("ann", "so it is")
    }

    /// Ends the first rollout, forgets what was written, and has ann start one of v3.
    fn started(mut self, change: impl FnOnce(&mut Self)) -> Self {
        let now = self.world.now;
        assert!(matches!(self.said().abort(), Ok(Accepted::Done(_))));
        self.world.written.clear();
        change(&mut self);
        let accepted = orders::begin(&mut self.service, version("v3"), false, "ann", now, &mut self.world);
        assert_eq!(accepted, Ok(Accepted::Done("the rollout of v3 begins".to_owned())));
        self
    }
}

#[test]
fn a_rollout_begins_in_the_name_of_whoever_started_it_however_late_that_is_written() {
    let desk = Desk::begin(World::default()).started(|_| {});
    assert_eq!(journal(&desk), [line("ann", Phase::Progressing, "10%")]);
    let mut late = Desk::begin(World::default()).started(|desk| desk.world.broken = true);
    late.pass(SECOND);
    assert_eq!((journal(&late), late.percent()), (Vec::new(), 0));
    late.world.broken = false;
    late.pass(SECOND);
    assert_eq!((journal(&late), late.percent()), (vec![line("ann", Phase::Progressing, "10%")], 10));
}

#[test]
fn a_resume_that_could_not_be_written_is_not_said_to_be_done() {
    let mut desk = Desk::begin(World::default());
    desk.said().pause().unwrap();
    desk.world.broken = true;
    let answer = desk.said().resume();
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Paused, 10));
    assert!(matches!(&answer, Err(CommandError::Conflict(why)) if why.contains("was not resumed")), "{answer:?}");
    desk.world.broken = false;
    let answer = desk.said().resume();
    assert!(matches!(&answer, Ok(Accepted::Done(_))), "{answer:?}");
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Progressing, 10));
}

#[test]
fn a_waiver_is_written_once_and_refused_while_braked() {
    let mut desk = Desk::begin_under(World::default(), Policy::default());
    let waivers = |desk: &Desk| desk.world.written.iter().filter(|(_, entry)| entry.reason.contains("waives")).count();
    let first = desk.said().promote();
    assert!(matches!(&first, Ok(Accepted::Done(_))), "{first:?}");
    let again = desk.said().promote();
    assert!(matches!(&again, Ok(Accepted::Nothing(_))), "{again:?}");
    assert_eq!(waivers(&desk), 1);
    trip(&desk.trial());
    desk.tick();
    let braked = desk.said().promote();
    assert!(matches!(&braked, Err(CommandError::Conflict(why)) if why.contains("nothing but probes")), "{braked:?}");
    assert_eq!((desk.record().phase, waivers(&desk)), (Phase::Braked, 1));
}

#[test]
fn a_start_that_waits_for_a_webhook_is_in_the_journal_at_once() {
    let mut desk = Desk::begin(World::default()).started(|desk| desk.service.setup.webhooks = board(Occasion::Start));
    assert_eq!((journal(&desk), desk.percent()), (vec![line("ann", Phase::Progressing, "0%")], 0));
    assert!(desk.world.written[0].1.reason.contains("ann starts a rollout of v3"), "{}", desk.world.written[0].1.reason);
    let now = desk.world.now;
    desk.service.drive(Event::Consulted { number: 1, refusal: None }, now, &mut desk.world);
    desk.tick();
    assert_eq!(journal(&desk).last(), Some(&line("ann", Phase::Progressing, "10%")));
}

#[test]
fn a_start_that_waits_for_the_traffic_is_in_the_journal_and_so_is_its_abort() {
    let start = || {
        Desk::begin(World::default()).started(|desk| {
            let ramp = Ramp { start: Start::Auto, factor: 3, hold: SECOND, harm: None, approval: None };
            desk.service.setup.schedule = Schedule::Ramp(ramp);
        })
    };
    let mut desk = start();
    let (accepted, id) = (journal(&desk), desk.world.written[0].1.rollout);
    assert_eq!(accepted, [line("ann", Phase::Progressing, "0%")]);
    let answer = desk.said_by("bob", "not today").abort();
    assert_eq!(answer, Ok(Accepted::Done("the rollout of carts does not begin".to_owned())));
    assert_eq!(journal(&desk).last(), Some(&line("bob", Phase::Aborted, "0%")));
    let (state, entry) = desk.world.written.last().unwrap();
    assert_eq!((entry.rollout, entry.reason.as_str()), (id, "aborted by bob: not today"));
    assert_eq!(state.rollout.as_ref().map(|record| (record.id, record.phase)), Some((id, Phase::Aborted)));
    desk.pass(11 * SECOND);
    assert_eq!((desk.percent(), desk.world.written.len()), (0, 2), "it does not begin");
    let mut goes_on = start();
    goes_on.pass(5 * SECOND);
    assert_eq!(goes_on.world.written.last().map(|(_, entry)| (entry.actor.as_str(), entry.rollout)), Some(("ann", id)));
    assert!(goes_on.percent() > 0);
}

#[test]
fn a_rollout_that_waits_for_the_traffic_to_be_known_says_so() {
    let mut desk = Desk::begin(World::default());
    desk.service.drive(Event::Abort { actor: "ann".to_owned(), reason: "anew".to_owned() }, desk.world.now, &mut desk.world);
    let ramp = Ramp { start: Start::Auto, factor: 3, hold: SECOND, harm: None, approval: None };
    desk.service.accept(ServiceSetup { schedule: Schedule::Ramp(ramp), ..desk.service.setup().clone() });
    desk.service.begin(version("v3"), None, desk.world.now, &mut desk.world);
    let waits = desk.service.status(desk.world.now).waits.expect("a reason");
    assert!(waits.starts_with("v3 begins in a few seconds, once it is known how much traffic there is"), "{waits}");
    while desk.service.status(desk.world.now).waits.is_some() {
        desk.world.now = desk.world.now + TICK;
        desk.tick();
        assert!(desk.world.now < Timestamp::ZERO + 5 * SECOND, "it waits for no more than the traffic");
    }
    assert_eq!(desk.service.progressing().unwrap().canary.name, version("v3").name);
}

#[test]
fn an_automatic_rollout_begins_with_the_share_that_a_check_of_its_configuration_finds() {
    let mut desk = Desk::begin(World::default()).started(|desk| {
        let ramp = Ramp { start: Start::Auto, factor: 3, hold: SECOND, harm: None, approval: None };
        desk.service.setup.schedule = Schedule::Ramp(ramp);
        desk.service.setup.gates = vec![Gate::written("errors < 0.05%".parse().unwrap())];
    });
    let mut seen = Observation::new(Role::Stable);
    seen.decided = 20;
    while desk.service.progressing().is_none() {
        // 200 requests in a second, as `expected_traffic: 200/s` has it.
        desk.service.traffic.count(&[seen.clone()]);
        desk.pass(TICK);
        assert!(desk.world.now < Timestamp::ZERO + 10 * SECOND, "it waits for no more than the traffic");
    }
    let (setup, rate) = (&desk.service.setup, desk.service.traffic.rate());
    assert!((rate - 200.0).abs() < 10.0, "{rate}");
    let pace = Pace::of(&setup.gates, &setup.policy, rate);
    let share = |pace: &Pace| setup.schedule.plan(pace).unwrap().step(0).unwrap().weight;
    let few = share(&Pace { requests: 0, ..pace });
    assert!(few < share(&pace), "what its gates need is more than {few}");
    assert_eq!(desk.service.progressing().unwrap().weight, share(&pace));
}

#[test]
fn a_raise_that_waits_for_others_is_in_the_journal_and_in_the_state_until_that_is_decided() {
    for broken in [false, true] {
        let mut desk = Desk::begin(World::default()).started(|desk| desk.service.setup.webhooks = board(Occasion::Raise));
        desk.said().pause().unwrap();
        let kept = |desk: &Desk| desk.world.written.last().and_then(|(state, _)| state.asked.clone());
        assert_eq!(kept(&desk), None);
        desk.world.broken = broken;
        let answer = desk.said_by("bob", "it is Monday").set_weight("100%".parse().unwrap());
        assert!(matches!(&answer, Ok(Accepted::Done(told)) if told.contains("others are asked first")), "{answer:?}");
        if broken {
            let told =
                desk.world.told.iter().any(|told| told.contains("bob wants to give v3 100%") && told.contains("could not be written"));
            assert!(told, "{:?}", desk.world.told);
            continue;
        }
        assert_eq!(journal(&desk).last(), Some(&line("bob", Phase::Paused, "10%")));
        assert!(desk.world.written.last().unwrap().1.reason.contains("others are asked first"));
        assert_eq!(kept(&desk).as_deref(), Some("bob wants to give v3 100%: it is Monday"));
        let now = desk.world.now;
        desk.service.drive(Event::Consulted { number: 1, refusal: None }, now, &mut desk.world);
        assert_eq!(journal(&desk).last(), Some(&line("bob", Phase::Paused, "100%")));
        assert_eq!(kept(&desk), None, "it is carried out");
    }
}
