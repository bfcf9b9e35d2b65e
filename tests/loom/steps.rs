//! Models of what steps, fresh trials, clients and probes add to the tripwire.

use loom::sync::Arc;
use loom::thread;
use portcullis_models::check;
use portcullis_models::spacing::Spacing;
use portcullis_models::tripwire::{Count, Tables, Test, Trial};

fn both(cumulative: &[u64], step: &[u64]) -> Tables {
    Tables { cumulative: cumulative.into(), step: step.into() }
}

const fn count(requests: u64, breaches: u64) -> Count {
    Count { requests, breaches, unanswered: 0 }
}

#[test]
fn a_breach_of_the_old_step_counts_for_the_trial_and_not_for_the_new_step() {
    check(None, || {
        let old = Arc::new(Trial::new(vec![both(&[0, 0, 9], &[]), both(&[0, 9], &[])], 1));
        let seq = old.begin();
        let breaching = {
            let old = Arc::clone(&old);
            thread::spawn(move || usize::from(old.breach(0, seq, 0, false)) + usize::from(old.breach(1, seq, 0, false)))
        };
        let new = old.next_step(vec![[0, 9].into(), [].into()]);
        let mine = new.begin();
        assert_eq!((new.first(), mine), (2, 2));
        let mut tripped = usize::from(new.breach(1, mine, 0, false));
        tripped += breaching.join().unwrap();
        assert_eq!(tripped, 1, "two breaches of the second wire suffice, in whichever steps they were");
        assert!(old.is_tripped() && new.is_tripped());
        let trip = old.trip().unwrap();
        assert_eq!((trip, Some(trip.test)), (new.trip().unwrap(), Some(Test::Cumulative)));
        assert_eq!((trip.wire, trip.breaches, trip.requests), (1, 2, 2));
        let counts = new.counts();
        assert_eq!((counts[0].cumulative, counts[0].step), (count(1, 1), count(0, 0)));
        assert_eq!((counts[1].cumulative, counts[1].step), (count(2, 2), count(1, 1)));
    });
}

#[test]
fn two_wires_and_two_counts_that_all_suffice_trip_once() {
    check(Some(3), || {
        let trial = Arc::new(Trial::new(vec![both(&[9, 9], &[9, 9]), both(&[9, 9], &[9, 9])], 1));
        let other = {
            let trial = Arc::clone(&trial);
            thread::spawn(move || usize::from(trial.breach(0, 1, 0, false)) + usize::from(trial.breach(1, 1, 0, false)))
        };
        let mine = usize::from(trial.breach(1, 2, 0, false));
        assert_eq!(mine + other.join().unwrap(), 1);
        let trip = trial.trip().unwrap();
        assert!(trip.requests >= trip.breaches && trip.requests <= 2, "{trip:?}");
    });
}

#[test]
fn a_request_that_begins_while_the_step_does_counts_in_one_step_at_most() {
    check(None, || {
        let old = Arc::new(Trial::new(vec![both(&[], &[9])], 1));
        let beginning = {
            let old = Arc::clone(&old);
            thread::spawn(move || {
                let seq = old.begin();
                (seq, old.breach(0, seq, 0, false))
            })
        };
        let new = old.next_step(vec![[9].into()]);
        let (seq, tripped) = beginning.join().unwrap();
        assert_eq!((seq, tripped, new.is_tripped()), (1, true, true));
        // Whichever side of its number the new step begins on, it was decided by the old one.
        assert!(new.first() == 1 || new.first() == 2, "{}", new.first());
        assert_eq!((new.counts()[0].step.breaches, old.counts()[0].step.breaches), (0, 1));
    });
}

#[test]
fn a_fresh_trial_is_armed_whatever_becomes_of_the_one_that_tripped() {
    check(None, || {
        let old = Arc::new(Trial::new(vec![both(&[9, 9], &[9, 9])], 1));
        let seqs = [old.begin(), old.begin()];
        assert!(old.breach(0, seqs[0], 0, false));
        let straggling = {
            let old = Arc::clone(&old);
            thread::spawn(move || (old.breach(0, seqs[1], 0, true), old.begin()))
        };
        let fresh = old.fresh(vec![both(&[0, 9], &[])], 1);
        let mine = fresh.begin();
        assert!(!fresh.breach(0, mine, 0, false), "one breach is not enough in the fresh trial");
        let (tripped, theirs) = straggling.join().unwrap();
        assert!(!tripped, "the old trial had tripped");
        assert!(mine != theirs && mine >= fresh.first(), "numbers are taken once: {mine} {theirs}");
        assert!(!fresh.is_tripped() && old.is_tripped());
        assert_eq!(fresh.counts()[0].cumulative.breaches, 1);
        assert!(fresh.breach(0, fresh.begin(), 0, false));
        assert_eq!((fresh.started(), old.started()), (5, 5));
    });
}

/// Two breaches at once whose table suffices for both together, under a guard of two clients.
fn guarded(clients: [u64; 2], trips: bool) {
    check(None, move || {
        let trial = Arc::new(Trial::new(vec![both(&[0, 9], &[])], 2));
        let other = {
            let trial = Arc::clone(&trial);
            thread::spawn(move || trial.breach(0, 1, clients[0], false))
        };
        let mine = trial.breach(0, 2, clients[1], false);
        let tripped = usize::from(mine) + usize::from(other.join().unwrap());
        assert_eq!(tripped, usize::from(trips), "{clients:?}");
    });
}

#[test]
fn two_clients_at_once_are_both_seen_by_whoever_counts_last() {
    guarded([7, 8], true);
    guarded([0, 8], true);
}

#[test]
fn one_client_at_once_with_itself_stays_one() {
    guarded([7, 7], false);
    guarded([0, 0], false);
}

#[test]
fn two_workers_never_both_get_a_probe_within_one_spacing() {
    for (theirs, mine) in [([100, 700], [101, 600]), ([0, 499], [1, 500]), ([500, 0], [999, 1_000])] {
        check(None, move || {
            let spacing = Arc::new(Spacing::new(500));
            let other = {
                let spacing = Arc::clone(&spacing);
                thread::spawn(move || theirs.map(|now| spacing.take(now).then_some(now)))
            };
            let taken = mine.map(|now| spacing.take(now).then_some(now));
            let mut all: Vec<u64> = [taken, other.join().unwrap()].concat().into_iter().flatten().collect();
            all.sort_unstable();
            assert!(!all.is_empty(), "nobody was served");
            assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{all:?}");
        });
    }
}
