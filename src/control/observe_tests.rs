//! What a service makes of what workers report: of a trip, of a client that left, and in how many pieces a long report is read.
#![cfg(test)]

use super::*;

#[test]
fn the_counts_of_a_trip_are_shown_also_when_its_worker_came_first() {
    let mut desk = Desk::begin(World::default());
    desk.pass(SECOND);
    trip(&desk.trial());
    desk.service.tripped(desk.record().id, desk.world.now, desk.world.now, desk.world.now, &mut desk.world);
    let trip = desk.service.status(desk.world.now).rollout.unwrap().trip.unwrap();
    assert_eq!((trip.breaches, trip.requests), (3, 3));
}

#[test]
fn a_client_that_left_after_the_limit_met_the_first_breach() {
    let mut desk = Desk::begin(World::default());
    let marks = [Mark::Started(1, desk.world.now), Mark::Ended(1, Fate::Excluded { after: 3 * SECOND })];
    let later = [Mark::Started(2, desk.world.now + SECOND), Mark::Ended(2, Fate::Excluded { after: SECOND })];
    desk.world.now = desk.world.now + 4 * SECOND;
    desk.see(desk.epoch().generation, &[], &[later, marks].concat());
    trip(&desk.trial());
    desk.tick();
    assert_eq!(desk.service.status(desk.world.now).rollout.unwrap().trip.unwrap().first_breach_started_ns, Some(0));
}

#[test]
fn a_long_report_is_read_in_pieces_and_a_tick_is_one() {
    let mut desk = Desk::begin(World::default());
    let marks: Vec<Mark> = (1..=1_000).map(|seq| Mark::Started(seq, desk.world.now)).collect();
    let mut stable_marks = StableMarks::default();
    marks.iter().for_each(|mark| stable_marks.note(*mark));
    let (rollout, generation) = (desk.record().id, desk.epoch().generation);
    let seen = Seen { rollout, generation, worker: 0, observations: &[], marks: &marks, stable_marks: &stable_marks };
    desk.service.observe(&seen, &mut desk.world);
    assert_eq!(desk.world.offers, 14, "seven for the canary's, seven for those of stable");
    desk.tick();
    assert_eq!(desk.world.offers, 15);
}
