//! Holds the passive health of endpoints to its rules, in virtual time.
#![cfg(test)]

use std::time::Duration;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(ms)
}

fn reach(count: u16) -> Reach {
    let reach = Reach::new(false);
    reach.replace((1..=count).map(|port| Endpoint::from(([10, 0, 0, 1], port))).collect());
    reach
}

fn place(reach: &Reach, index: usize) -> Arc<Place> {
    Arc::clone(&reach.list().load().places[index])
}

fn fail(reach: &Reach, index: usize, now: Timestamp) {
    (0..outlier::FAILURES).for_each(|_| reach.failed(&place(reach, index), now));
}

#[test]
fn an_endpoint_of_four_that_fails_is_left_out_probed_once_and_returns() {
    let reach = reach(4);
    (1..outlier::FAILURES).for_each(|_| reach.failed(&place(&reach, 2), at(0)));
    assert!(place(&reach, 2).is_in(), "one failure less than it takes");
    reach.answered(&place(&reach, 2), at(0));
    fail(&reach, 2, at(0));
    assert!(!place(&reach, 2).is_in());
    assert_eq!((reach.standing(), reach.deeds.ejections.load(Ordering::Relaxed)), (Standing::Usable, 1));
    assert!(!reach.owes_probe(at(4_999)) && reach.owes_probe(at(5_000)));
    assert!(!place(&reach, 2).take_probe(at(4_999)));
    assert!(place(&reach, 2).take_probe(at(5_000)));
    assert!(!place(&reach, 2).take_probe(at(5_000)), "one request probes");
    reach.answered(&place(&reach, 2), at(5_001));
    assert!(place(&reach, 2).is_in() && !reach.owes_probe(at(60_000)));
}

#[test]
fn a_probe_that_fails_doubles_the_term_and_what_was_on_its_way_before_does_not() {
    let reach = reach(4);
    fail(&reach, 0, at(0));
    fail(&reach, 0, at(1_000));
    assert!(place(&reach, 0).take_probe(at(5_000)), "failures of requests that were there before change nothing");
    reach.failed(&place(&reach, 0), at(5_000));
    assert!(!place(&reach, 0).take_probe(at(14_999)));
    assert!(place(&reach, 0).take_probe(at(15_000)));
    reach.answered(&place(&reach, 0), at(15_000));
    fail(&reach, 0, at(16_000));
    assert!(!place(&reach, 0).take_probe(at(35_999)) && place(&reach, 0).take_probe(at(36_000)), "it fails again soon");
    reach.answered(&place(&reach, 0), at(36_000));
    fail(&reach, 0, at(400_000));
    assert!(place(&reach, 0).take_probe(at(405_000)), "after five good minutes it begins anew");
}

#[test]
fn at_most_half_are_left_out_and_a_version_of_which_all_fail_has_failed() {
    let reach = reach(4);
    (0..3).for_each(|index| fail(&reach, index, at(0)));
    let out = (0..4).filter(|index| !place(&reach, *index).is_in()).count();
    assert_eq!((out, reach.standing()), (2, Standing::Usable));
    fail(&reach, 3, at(0));
    let out = (0..4).filter(|index| !place(&reach, *index).is_in()).count();
    assert_eq!((out, reach.standing()), (2, Standing::Failed));
    assert!(!reach.admits(at(4_999)));
    assert!(reach.admits(at(5_000)) && !reach.admits(at(5_000)), "one request probes");
    assert!(reach.admits(at(10_000)), "a probe that says nothing is followed by another");
    reach.answered(&place(&reach, 3), at(10_001));
    assert_eq!(reach.standing(), Standing::Usable);
    assert!(reach.admits(at(10_001)) && reach.admits(at(10_001)));
}

#[test]
fn the_only_endpoint_stays_in_when_it_fails_and_its_term_grows_once_per_term() {
    let reach = reach(1);
    for _ in 0..100 {
        reach.failed(&place(&reach, 0), at(0));
    }
    assert!(place(&reach, 0).is_in(), "a stable version has nothing else");
    assert_eq!(reach.standing(), Standing::Failed);
    assert!(reach.admits(at(5_000)));
    reach.failed(&place(&reach, 0), at(5_000));
    assert!(!reach.admits(at(14_999)) && reach.admits(at(15_000)));
    reach.answered(&place(&reach, 0), at(15_000));
    assert_eq!(reach.standing(), Standing::Usable);
}

#[test]
fn answers_of_5xx_leave_an_outlier_out_but_never_make_a_version_fail() {
    let reach = reach(4);
    for index in 0..4 {
        for _ in 0..50 {
            reach.erred(&place(&reach, index), at(0));
        }
    }
    let out = (0..4).filter(|index| !place(&reach, *index).is_in()).count();
    assert_eq!((out, reach.standing()), (2, Standing::Usable));
    let only = self::reach(1);
    (0..50).for_each(|_| only.erred(&place(&only, 0), at(0)));
    assert_eq!(only.standing(), Standing::Usable);
    fail(&only, 0, at(0));
    only.erred(&place(&only, 0), at(1));
    assert_eq!(only.standing(), Standing::Usable, "who answers can be reached");
}

#[test]
fn a_checked_version_is_unready_until_an_endpoint_has_passed() {
    let reach = Reach::new(true);
    assert_eq!(reach.standing(), Standing::Absent);
    reach.replace(vec![([10, 0, 0, 1], 1).into(), ([10, 0, 0, 1], 2).into()]);
    assert_eq!((reach.standing(), reach.admits(at(1_000_000))), (Standing::Unready, false));
    reach.check(&place(&reach, 1), true);
    assert_eq!((reach.standing(), reach.admits(at(0))), (Standing::Usable, true));
    assert!(!place(&reach, 0).is_in() && place(&reach, 1).is_in());
    reach.check(&place(&reach, 1), false);
    assert_eq!(reach.standing(), Standing::Unready);
}

#[test]
fn a_list_in_another_order_or_without_a_place_keeps_what_is_known_of_the_others() {
    let reach = reach(3);
    fail(&reach, 0, at(0));
    let before = reach.list().load_full();
    reach.replace(before.places.iter().map(|place| place.target().clone()).collect());
    assert!(Arc::ptr_eq(&before, &reach.list().load_full()), "the same list makes no change");
    reach.replace(before.places.iter().rev().map(|place| place.target().clone()).collect());
    assert!(!place(&reach, 2).is_in());
    reach.replace(before.places.iter().take(1).map(|place| place.target().clone()).collect());
    assert_eq!(reach.standing(), Standing::Failed, "the last one left is the one that failed");
    reach.replace(Vec::new());
    assert_eq!((reach.standing(), reach.admits(at(1_000_000))), (Standing::Absent, false));
}

#[test]
fn while_a_probe_is_on_its_way_nobody_looks_for_another() {
    let reach = reach(4);
    fail(&reach, 2, at(0));
    assert!(reach.owes_probe(at(5_000)) && place(&reach, 2).take_probe(at(5_000)));
    reach.probed();
    assert!(!reach.owes_probe(at(5_000)) && !reach.owes_probe(at(9_999)));
    assert!(reach.owes_probe(at(10_000)), "whose end nobody hears of is probed again");
    reach.answered(&place(&reach, 2), at(10_001));
    assert!(!reach.owes_probe(at(60_000)));
}

#[test]
fn whoever_follows_the_changes_knows_who_is_in() {
    let reach = reach(4);
    let mut seen = reach.changes();
    let mut changed = || std::mem::replace(&mut seen, reach.changes()) != reach.changes();
    reach.failed(&place(&reach, 0), at(0));
    assert!(!changed(), "one failure leaves it in");
    fail(&reach, 0, at(0));
    assert!(changed() && !place(&reach, 0).is_in());
    reach.answered(&place(&reach, 0), at(1));
    assert!(changed() && place(&reach, 0).is_in());
    reach.check(&place(&reach, 1), false);
    assert!(changed() && !place(&reach, 1).is_in());
    reach.check(&place(&reach, 1), false);
    assert!(!changed(), "nothing has changed");
}
