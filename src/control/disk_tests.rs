//! What the journal says of a service whose disk was slow or broken: every change once, in its order, with the time it was decided. And
//! when a service no longer stands where it is shown.
#![cfg(test)]

use super::*;

fn generations(desk: &Desk) -> Vec<u64> {
    desk.world.written.iter().map(|(_, entry)| entry.generation).collect()
}

#[test]
fn what_trips_while_the_end_of_its_warm_up_is_written_is_journaled_once() {
    let mut desk = Desk::begin_under(World::default(), Policy { warm_up: 5 * SECOND, ..Policy::default() });
    desk.world.trip_published_while = Some(Phase::Progressing);
    desk.pass(6 * SECOND);
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Braked, 0));
    let phases: Vec<Phase> = desk.world.written.iter().map(|(_, entry)| entry.phase).collect();
    assert_eq!(phases, [Phase::Progressing, Phase::Progressing, Phase::Braked]);
    assert!(generations(&desk).is_sorted_by(|a, b| a < b), "{:?}", generations(&desk));
}

#[test]
fn what_could_not_be_written_is_written_later_with_the_time_it_was_decided() {
    let mut desk = Desk::begin_under(World::default(), Policy::default());
    let before = desk.world.written.len();
    desk.world.broken = true;
    desk.pass(2 * SECOND);
    let now = desk.world.now;
    desk.service.drive(Event::Pause { actor: "ann".to_owned(), reason: "lunch".to_owned() }, now, &mut desk.world);
    desk.pass(2 * SECOND);
    trip(&desk.trial());
    desk.tick();
    desk.pass(SECOND);
    let now = desk.world.now;
    desk.service.drive(Event::Abort { actor: "ann".to_owned(), reason: "no".to_owned() }, now, &mut desk.world);
    desk.pass(3 * SECOND);
    assert_eq!((desk.world.written.len(), desk.percent()), (before, 0));
    desk.world.broken = false;
    desk.pass(SECOND);
    let phases: Vec<Phase> = desk.world.written[before..].iter().map(|(_, entry)| entry.phase).collect();
    assert_eq!(phases, [Phase::Paused, Phase::Braked, Phase::Aborted]);
    assert!(desk.world.written[before + 1].1.evidence.is_some(), "with what the brake rests on");
    let decided = [2, 4, 5].map(|second| Some(Timestamp::ZERO + second * SECOND));
    assert_eq!(desk.world.decided[before..], decided);
    assert!(generations(&desk).is_sorted_by(|a, b| a < b), "each once: {:?}", generations(&desk));
    assert_eq!(desk.service.state().rollout.as_ref().map(|record| record.phase), Some(Phase::Aborted));
}

#[test]
fn a_second_decision_of_the_same_phase_is_not_durable_because_the_first_was() {
    let mut desk = Desk::begin_under(World::default(), Policy::default());
    let durable = |desk: &Desk| desk.service.status(desk.world.now).rollout.map(|rollout| (rollout.phase, rollout.durable));
    let (actor, now) = ("ann".to_owned(), desk.world.now);
    desk.service.drive(Event::Pause { actor: actor.clone(), reason: "lunch".to_owned() }, now, &mut desk.world);
    assert_eq!(durable(&desk), Some((Phase::Paused, true)));
    desk.world.broken = true;
    desk.service.drive(Event::SetWeight { weight: Weight::ZERO, actor, reason: "less".to_owned() }, now, &mut desk.world);
    assert_eq!((durable(&desk), desk.percent()), (Some((Phase::Paused, false)), 0));
    desk.world.broken = false;
    desk.pass(SECOND);
    assert_eq!(durable(&desk), Some((Phase::Paused, true)));
}

#[test]
fn a_service_stands_where_it_is_shown_until_something_is_decided() {
    let mut desk = Desk::begin_under(World::default(), Policy::default());
    let shown = |desk: &Desk| desk.service.status(desk.world.now);
    let mut last = shown(&desk);
    let mut differs = |desk: &Desk| {
        let stood = desk.service.stands_as(&last);
        last = shown(desk);
        assert!(desk.service.stands_as(&last), "{last:?}");
        !stood
    };
    desk.answer(1, 3);
    desk.pass(SECOND);
    assert!(!differs(&desk), "figures are no decision");
    trip(&desk.trial());
    desk.tick();
    assert!(differs(&desk), "it has tripped");
    desk.world.broken = true;
    let (actor, now) = ("ann".to_owned(), desk.world.now);
    desk.service.drive(Event::Abort { actor, reason: "no".to_owned() }, now, &mut desk.world);
    assert!(differs(&desk), "it was aborted");
    desk.world.broken = false;
    desk.pass(SECOND);
    assert!(differs(&desk), "the abort is durable");
    desk.service.state.rejected.push("v9".parse().unwrap());
    assert!(differs(&desk), "a version was rejected");
}

#[test]
fn what_was_decided_is_shown_in_the_next_tick_and_figures_in_turn() {
    let (mut services, now): (Vec<Service>, _) = ((0..12).map(|_| Desk::begin(World::default()).service).collect(), Timestamp::ZERO);
    let (mut shown, endpoints) = (crate::control::shown::Shown::default(), crate::seam::endpoints::Endpoints::default());
    shown.all(&services, now, &endpoints);
    let mut anew = |services: &[Service]| {
        let before = shown.services().to_vec();
        shown.next_turn(services, now, &endpoints);
        let is_new = |index: &usize| !Arc::ptr_eq(&before[*index], &shown.services()[*index]);
        (0..services.len()).filter(is_new).collect::<Vec<_>>()
    };
    assert_eq!(anew(&services), (0..10).collect::<Vec<_>>());
    services[9].state.rejected.push("v9".parse().unwrap());
    assert_eq!(
        anew(&services),
        (0..12).filter(|index| *index != 8).collect::<Vec<_>>(),
        "the other two, eight in turn, and the decided one"
    );
}
