//! What operators are told, and what the journal says of what they asked, also where the disk fails or others are waited for.
#![cfg(test)]

use super::*;
use crate::control::command::{Accepted, CommandError};
use crate::control::orders;

fn said() -> (String, String) {
    ("ann".to_owned(), "so it is".to_owned())
}

#[test]
fn a_resume_that_could_not_be_written_is_not_said_to_be_done() {
    let mut desk = Desk::begin(World::default());
    let now = desk.world.now;
    orders::pause(&mut desk.service, said(), now, &mut desk.world).unwrap();
    desk.world.broken = true;
    let answer = orders::resume(&mut desk.service, said(), now, &mut desk.world);
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Paused, 10));
    assert!(matches!(&answer, Err(CommandError::Conflict(why)) if why.contains("was not resumed")), "{answer:?}");
    desk.world.broken = false;
    let answer = orders::resume(&mut desk.service, said(), now, &mut desk.world);
    assert!(matches!(&answer, Ok(Accepted::Done(_))), "{answer:?}");
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Progressing, 10));
}

#[test]
fn a_waiver_is_written_once_and_refused_while_braked() {
    let mut desk = Desk::begin_under(World::default(), Policy::default());
    let now = desk.world.now;
    let waivers = |desk: &Desk| desk.world.written.iter().filter(|(_, entry)| entry.reason.contains("waives")).count();
    let first = orders::promote(&mut desk.service, said(), now, &mut desk.world);
    assert!(matches!(&first, Ok(Accepted::Done(_))), "{first:?}");
    let again = orders::promote(&mut desk.service, said(), now, &mut desk.world);
    assert!(matches!(&again, Ok(Accepted::Nothing(_))), "{again:?}");
    assert_eq!(waivers(&desk), 1);
    trip(&desk.trial());
    desk.tick();
    let braked = orders::promote(&mut desk.service, said(), now, &mut desk.world);
    assert!(matches!(&braked, Err(CommandError::Conflict(why)) if why.contains("nothing but probes")), "{braked:?}");
    assert_eq!((desk.record().phase, waivers(&desk)), (Phase::Braked, 1));
}
