//! Nobody notices while shares shift, the configuration is read again, well and badly, and new processes take over.
#![cfg(test)]

#[path = "support/upheaval.rs"]
mod upheaval;

use upheaval::{Counts, run, survive_a_bad_successor};

#[test]
fn no_request_fails_and_none_is_refused_meanwhile() {
    let counts = Counts { shifts: 40, reloads: 8, restarts: 6, clients: 6 };
    let tally = run(env!("CARGO_BIN_EXE_portcullis"), counts);
    assert_eq!((tally.failed, tally.refused, &tally.failures), (0, 0, &Vec::new()), "{tally:?}");
    assert_eq!((tally.shifts, tally.reloads, tally.restarts), (40, (4, 4), 6));
    assert!(tally.answered > 100, "{tally:?}");
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let tally = survive_a_bad_successor(env!("CARGO_BIN_EXE_portcullis"));
    assert_eq!((tally.failed, tally.refused, &tally.failures), (0, 0, &Vec::new()), "{tally:?}");
    assert!(tally.answered > 10, "{tally:?}");
}
