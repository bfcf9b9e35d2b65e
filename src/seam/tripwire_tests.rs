//! Counts, tables and flag of the tripwire, one thread at a time; `tests/loom` has the threads.
#![cfg(test)]

use super::*;

const TABLE: [u64; 5] = [0, 0, 3, 6, 10];

fn armed() -> Trial {
    Trial::new(vec![Tables::without_step(TABLE.into())], 1)
}

/// Begins and breaches so many requests of one client; returns at which of them it tripped.
fn breach(trial: &Trial, times: usize, client: u64) -> Option<usize> {
    (1..=times).find(|_| trial.breach(0, trial.begin(), client, false))
}

#[test]
fn three_of_three_trip_and_two_do_not() {
    let trial = armed();
    assert_eq!(breach(&trial, 2, 0), None);
    assert_eq!((trial.is_tripped(), trial.trip()), (false, None));
    assert_eq!(breach(&trial, 1, 0), Some(1));
    assert!(trial.is_tripped());
    assert_eq!(trial.trip(), Some(Trip { wire: 0, test: Test::Cumulative, breaches: 3, requests: 3 }));
}

#[test]
fn the_newest_breach_decides_which_request_it_was() {
    let trial = armed();
    for _ in 0..7 {
        trial.begin();
    }
    assert!(!trial.breach(0, 7, 0, false));
    assert!(!trial.breach(0, 1, 0, false));
    assert!(!trial.breach(0, 2, 0, false), "the third breach is request 7, not request 2");
    assert!(!trial.breach(0, 3, 0, true), "four of seven are still too few");
    assert!(trial.breach(0, 4, 0, false), "five of seven suffice");
    assert_eq!(trial.counts()[0].cumulative, Count { requests: 7, breaches: 5, unanswered: 1 });
}

#[test]
fn a_trial_trips_once() {
    let trial = armed();
    let tripped = (1..=5).filter(|_| trial.breach(0, trial.begin(), 0, false)).count();
    assert_eq!(tripped, 1);
}

#[test]
fn a_step_counts_from_its_first_request_and_the_trial_from_its_own() {
    let begin = Trial::new(vec![Tables { cumulative: [0; 9].into(), step: TABLE.into() }], 1);
    (1..20).for_each(|_| assert!(begin.begin() < 20));
    let old = begin.begin();
    assert!(!begin.breach(0, old - 1, 0, false), "one of nineteen");
    let step = begin.next_step(vec![TABLE.into()]);
    assert_eq!(step.first(), 21);
    assert!(!step.breach(0, old, 0, false), "the last request of the step before");
    let count = |requests, breaches| Count { requests, breaches, unanswered: 0 };
    assert_eq!(step.counts(), [WireCounts { cumulative: count(20, 2), step: count(0, 0) }]);
    assert_eq!(breach(&step, 9, 0), Some(3), "three of three in this step");
    assert_eq!(step.trip(), Some(Trip { wire: 0, test: Test::Step, breaches: 3, requests: 3 }));
    assert_eq!(step.counts(), [WireCounts { cumulative: count(23, 5), step: count(3, 3) }]);
    assert_eq!(begin.counts(), [WireCounts { cumulative: count(23, 5), step: count(23, 1) }], "nothing new for the old step");
    assert_eq!(begin.trip(), step.trip(), "all steps share one flag");
    assert!(begin.next_step(Vec::new()).is_tripped());
}

#[test]
fn steps_go_on_with_the_counts_of_the_trial() {
    let begin = armed();
    assert_eq!(breach(&begin, 2, 0), None);
    let step = begin.next_step(Vec::new());
    assert_eq!(breach(&step, 1, 0), Some(1));
    assert_eq!(step.trip(), Some(Trip { wire: 0, test: Test::Cumulative, breaches: 3, requests: 3 }));
}

#[test]
fn a_fresh_trial_shares_nothing_but_the_numbers() {
    let before = armed();
    breach(&before, 3, 0);
    let probes = before.fresh(Vec::new(), 1);
    assert_eq!((probes.begin(), probes.breach(0, 4, 0, true), probes.counts().len()), (4, false, 0));
    let after = before.fresh(vec![Tables { cumulative: TABLE.into(), step: TABLE.into() }], 1);
    assert_eq!((after.first(), after.is_tripped()), (5, false));
    assert!(!after.breach(0, 4, 0, false), "it began before");
    assert_eq!(after.counts(), [WireCounts::default()]);
    assert_eq!(breach(&after, 3, 0), Some(3));
    assert_eq!(after.trip(), Some(Trip { wire: 0, test: Test::Cumulative, breaches: 3, requests: 3 }));
    assert_eq!((before.started(), after.started()), (7, 7));
}

#[test]
fn breaches_of_one_client_do_not_trip_where_two_are_asked_for() {
    for client in [0, 7, u64::MAX] {
        let trial = Trial::new(vec![Tables::without_step([9; 9].into())], 2);
        assert_eq!(breach(&trial, 5, client), None);
        assert_eq!(breach(&trial, 1, 8), Some(1), "the evidence of all breaches counts once a second client is there");
        assert_eq!(trial.trip().unwrap().breaches, 6);
    }
}

#[test]
fn as_many_clients_are_needed_as_were_asked_for() {
    for (asked, needed) in [(0, 1), (1, 1), (2, 2), (3, 3), (8, 8), (9, 8), (u8::MAX, 8)] {
        let trial = Trial::new(vec![Tables::without_step([99; 99].into())], asked);
        // Every client comes twice.
        let tripped = (0..20).find(|n| trial.breach(0, trial.begin(), n / 2, false));
        assert_eq!(tripped, Some((needed - 1) * 2), "{asked}");
    }
}

#[test]
fn a_step_asks_for_its_own_clients() {
    let trial = Trial::new(vec![Tables::default()], 2);
    breach(&trial, 1, 1);
    breach(&trial, 1, 2);
    let step = trial.next_step(vec![[9; 9].into()]);
    assert_eq!(breach(&step, 5, 1), None);
    assert_eq!(breach(&step, 1, 2), Some(1));
}

#[test]
fn every_trip_is_packed_whole() {
    for wire in [0, 1, MOST_WIRES - 1] {
        for test in [Test::Cumulative, Test::Step] {
            for breaches in [1, 2, 65_535] {
                for requests in [1, 3, 1 << 40, MOST_REQUESTS] {
                    let trip = Trip { wire, test, breaches, requests };
                    assert_eq!(Trip::unpack(trip.pack()), Some(trip));
                }
            }
        }
    }
    let beyond = Trip { wire: 31, test: Test::Step, breaches: 7, requests: u64::MAX };
    assert_eq!(Trip::unpack(beyond.pack()), Some(Trip { requests: MOST_REQUESTS, ..beyond }));
    assert_eq!(Trip::unpack(0), None);
}

#[test]
fn a_late_trip_says_its_true_number() {
    let trial = Trial::new(vec![Tables::without_step([u64::MAX].into())], 1);
    assert!(trial.breach(0, (1 << 40) + 5, 0, false));
    assert_eq!(trial.trip().unwrap().requests, (1 << 40) + 5);
}

#[test]
fn what_a_table_has_beyond_its_length_never_trips() {
    let trial = Trial::new(vec![Tables::without_step((0..70_000).map(|k| if k < 65_535 { 0 } else { u64::MAX }).collect())], 1);
    assert_eq!(breach(&trial, 69_000, 0), None);
}

#[test]
fn the_first_claim_wins() {
    let claims = Claims::new();
    assert!(claims.claim(3));
    assert!(!claims.claim(3));
    assert!(claims.claim(0));
    assert!(!claims.claim(32), "a wire that cannot be claimed never counts");
}
