//! What a version has shown: what is enough, what is not shown, and when a stretch says something.
#![cfg(test)]

use super::*;
use crate::domain::observation::cell;
use crate::domain::outcome::{Outcome, Role};

fn stretch(rate: u64, slow: f64, failed: u64) -> Stretch {
    Stretch { length: Duration::from_secs(1), answered: rate, failed, in_flight: rate as f64 * slow, slow }
}

fn shown(rate: u64, endpoints: u32) -> Capacity {
    let mut capacity = Capacity::default();
    (0..60).for_each(|_| capacity.learn(&stretch(rate, 0.02, 0), endpoints));
    capacity
}

#[test]
fn a_version_that_was_scaled_down_cannot_take_what_it_took() {
    let capacity = shown(400, 10);
    assert_eq!(capacity.forecast(400.0, 10).room, Room::Enough);
    assert_eq!(capacity.forecast(490.0, 10).room, Room::Enough, "a quarter more is believed");
    assert_eq!(capacity.forecast(510.0, 10).room, Room::Unproven, "it was never asked for so much");
    let short = capacity.forecast(400.0, 2);
    assert_eq!(short.room, Room::Short);
    assert_eq!(short.to_string(), "cannot take the 400 requests/s: 2 usable endpoints have shown no more than 80");
    assert_eq!(capacity.forecast(80.0, 2).room, Room::Enough);
    assert_eq!(Capacity::default().forecast(1.0, 1).room, Room::Unknown);
}

#[test]
fn what_went_badly_is_not_shown() {
    let mut capacity = shown(100, 2);
    let overrun = stretch(300, 0.2, 0);
    assert!(capacity.is_overrun(&overrun) && !capacity.is_as_usual(&overrun));
    capacity.learn(&overrun, 2);
    assert_eq!(capacity.forecast(300.0, 2).room, Room::Unproven);
    let failing = stretch(300, 0.02, 90);
    assert!(capacity.is_overrun(&failing));
    capacity.learn(&failing, 2);
    assert_eq!(capacity.forecast(300.0, 2).room, Room::Unproven);
    for _ in 0..10 {
        capacity.learn(&stretch(50, 0.2, 0), 2);
    }
    let now = capacity.forecast(100.0, 2);
    assert_eq!(now.room, Room::Short, "it answers badly at half of what it took once: {now:?}");
    (0..60).for_each(|_| capacity.learn(&stretch(200, 0.02, 0), 2));
    assert_eq!(capacity.forecast(200.0, 2).room, Room::Enough);
}

#[test]
fn what_is_usual_follows_slowly() {
    let mut capacity = shown(100, 1);
    let slower = stretch(100, 0.05, 0);
    assert!(!capacity.is_as_usual(&slower));
    (0..60).for_each(|_| capacity.learn(&slower, 1));
    assert!(capacity.is_as_usual(&slower), "a version that is slower for good is not overrun for ever");
}

#[test]
fn the_bound_is_twice_what_it_held_and_room_for_chance() {
    let capacity = shown(400, 10);
    // 400 requests/s of 20 ms each are 8 in flight.
    assert_eq!(capacity.most(10), Some(28));
    assert_eq!(capacity.most(2), Some(9));
    assert_eq!(shown(1, 4).most(4), Some(4), "one for each endpoint at least");
    assert_eq!(Capacity::default().most(3), None);
}

#[test]
fn a_tape_is_cut_when_it_says_something() {
    let at = |ms: u64| Timestamp::ZERO + Duration::from_millis(ms);
    let second = Duration::from_secs(1);
    let mut seen = Observation::new(Role::Stable);
    (0..9).for_each(|_| seen.count(Outcome::Answered(200)));
    seen.count(Outcome::Answered(500));
    (0..5).for_each(|_| seen.count(Outcome::Failed(crate::domain::outcome::Failure::Shed)));
    seen.duration.sum_ns = 500_000_000;
    seen.response_time.cells = vec![(cell(1_000), 8), (cell(70_000), 2)];
    let mut tape = Tape::default();
    assert_eq!(tape.cut(at(0), second, 0), None);
    tape.add(&seen);
    assert_eq!(tape.cut(at(1_000), second, 5), None, "ten answers are too few");
    tape.add(&seen);
    assert_eq!(tape.cut(at(999), second, 10), None, "it is too short");
    let cut = tape.cut(at(2_000), second, 10).unwrap();
    assert_eq!((cut.length, cut.answered, cut.failed), (2 * second, 20, 2), "what was refused here says nothing");
    assert!((cut.in_flight - 0.5).abs() < 1e-9 && (cut.slow - 0.07).abs() < 1e-3, "{cut:?}");
    assert_eq!(tape.cut(at(11_999), second, 0), None);
    tape.add(&seen);
    assert!(tape.cut(at(12_000), second, 0).is_some_and(|cut| cut.failed == 6), "few answers are taken after a while");
    assert_eq!(tape.cut(at(30_000), second, 0), None, "nothing says nothing");
}
