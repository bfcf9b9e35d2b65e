//! Models of the tripwire: trip against pick, breaches against each other, and a deadline against the answer.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use portcullis_models::check;
use portcullis_models::tripwire::{Claims, Tables, Trial};

/// Makes a trial with one wire.
fn armed(n_max: &[u64]) -> Arc<Trial> {
    Arc::new(Trial::new(vec![Tables::without_step(n_max.into())], 1))
}

/// How many of these start numbers are at most `n`.
fn among(n: u64, numbers: &[u64]) -> u64 {
    numbers.iter().filter(|seq| **seq <= n).count() as u64
}

/// Says what a worker does at a pick that drew the canary: `true` gives it the request.
fn picks_canary(trial: &Trial) -> bool {
    !trial.is_tripped()
}

#[test]
fn no_pick_after_the_trip_gives_the_canary_a_request() {
    check(None, || {
        let trial = armed(&[1]);
        let told = Arc::new(AtomicBool::new(false));
        let breaching = {
            let (trial, told) = (Arc::clone(&trial), Arc::clone(&told));
            thread::spawn(move || {
                assert!(trial.breach(0, 1, 0, false));
                assert!(!picks_canary(&trial), "the worker that tripped sees it at once");
                told.store(true, Ordering::Release);
            })
        };
        let picking = {
            let (trial, told) = (Arc::clone(&trial), Arc::clone(&told));
            thread::spawn(move || {
                let known = told.load(Ordering::Acquire);
                assert!(!(known && picks_canary(&trial)), "the trip came before this pick");
            })
        };
        breaching.join().unwrap();
        assert!(!picks_canary(&trial), "the trip came before the join");
        picking.join().unwrap();
    });
}

#[test]
fn a_pick_that_saw_the_trip_never_unsees_it() {
    check(Some(3), || {
        let trial = armed(&[1, 2]);
        let threads: Vec<_> = [1, 2]
            .into_iter()
            .map(|seq| {
                let trial = Arc::clone(&trial);
                thread::spawn(move || {
                    trial.breach(0, seq, 0, false);
                })
            })
            .collect();
        let seen: Vec<(bool, Option<_>)> = (0..2).map(|_| (trial.is_tripped(), trial.trip())).collect();
        for pair in seen.windows(2) {
            assert!(!pair[0].0 || pair[1].0, "the flag fell: {seen:?}");
            assert!(pair[0].1.is_none() || pair[0].1 == pair[1].1, "the evidence changed: {seen:?}");
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(trial.is_tripped());
    });
}

/// Two or three workers breach at once; every entry of the table suffices, so that all of them may cross it.
fn exactly_one_trips(numbers: &'static [u64], preemptions: Option<usize>) {
    check(preemptions, move || {
        let trial = armed(&[9, 9, 9]);
        let winners = Arc::new(AtomicUsize::new(0));
        let breach = |seq: u64| {
            let (trial, winners) = (Arc::clone(&trial), Arc::clone(&winners));
            move || {
                if trial.breach(0, seq, 0, false) {
                    winners.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let threads: Vec<_> = numbers[1..].iter().map(|seq| thread::spawn(breach(*seq))).collect();
        breach(numbers[0])();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(winners.load(Ordering::Relaxed), 1);
        let (trip, counts) = (trial.trip().unwrap(), trial.counts());
        assert!(trip.breaches >= 1 && among(trip.requests, numbers) >= trip.breaches, "{trip:?} of {numbers:?}");
        assert_eq!((counts[0].cumulative.breaches, counts[0].cumulative.requests), (numbers.len() as u64, *numbers.iter().max().unwrap()));
    });
}

#[test]
fn exactly_one_of_two_breaches_trips() {
    exactly_one_trips(&[2, 1], None);
}

#[test]
fn exactly_one_of_three_breaches_trips() {
    exactly_one_trips(&[3, 1, 2], Some(3));
}

/// Breaches `numbers` at once against a table and says how the whole set ends.
///
/// Whatever the order: a trip of k breaches among n requests needs k start numbers up to n, so it claims no evidence that is
/// not there; and the last to count covers all, so that the whole set is judged as one.
fn judged_as_one(n_max: &'static [u64], numbers: &'static [u64], trips: bool, preemptions: Option<usize>) {
    check(preemptions, move || {
        let trial = armed(n_max);
        let threads: Vec<_> = numbers[1..]
            .iter()
            .map(|seq| {
                let (trial, seq) = (Arc::clone(&trial), *seq);
                thread::spawn(move || trial.breach(0, seq, 0, false))
            })
            .collect();
        let mut tripped = usize::from(trial.breach(0, numbers[0], 0, false));
        tripped += threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum::<usize>();
        assert_eq!((tripped, trial.is_tripped()), (usize::from(trips), trips), "{n_max:?} {numbers:?}");
        if let Some(trip) = trial.trip() {
            let k = trip.breaches as usize;
            assert!(among(trip.requests, numbers) >= trip.breaches, "{trip:?} of {numbers:?}");
            assert!(trip.requests <= n_max[k - 1], "{trip:?} is not in the table");
            assert!(k < numbers.len() || trip.requests == *numbers.iter().max().unwrap(), "{trip:?} does not cover {numbers:?}");
        }
    });
}

#[test]
fn two_breaches_trip_when_the_table_allows_both_together() {
    judged_as_one(&[0, 5], &[5, 1], true, None);
}

#[test]
fn two_breaches_do_not_trip_when_the_table_forbids_both_together() {
    judged_as_one(&[0, 3], &[9, 1], false, None);
    judged_as_one(&[0, 3], &[1, 9], false, None);
}

#[test]
fn three_breaches_trip_when_the_table_allows_all_together() {
    judged_as_one(&[0, 0, 3], &[3, 1, 2], true, Some(3));
}

#[test]
fn three_breaches_do_not_trip_when_the_table_forbids_all_together() {
    judged_as_one(&[0, 0, 3], &[9, 1, 2], false, Some(3));
}

#[test]
fn what_the_judge_reads_covers_what_it_counts() {
    check(None, || {
        let trial = armed(&[0, 0]);
        let breaching = {
            let trial = Arc::clone(&trial);
            thread::spawn(move || {
                trial.breach(0, 9, 0, true);
                trial.breach(0, 1, 0, false);
            })
        };
        let count = trial.counts()[0].cumulative;
        assert!(among(count.requests, &[1, 9]) >= count.breaches, "{count:?}");
        assert!(count.breaches == 0 || count.requests == 9, "the first breach counted was request 9: {count:?}");
        breaching.join().unwrap();
    });
}

#[test]
fn start_numbers_are_taken_once() {
    check(None, || {
        let trial = armed(&[]);
        let other = {
            let trial = Arc::clone(&trial);
            thread::spawn(move || [trial.begin(), trial.begin()])
        };
        let mine = [trial.begin(), trial.begin()];
        let mut all = [mine, other.join().unwrap()].concat();
        all.sort_unstable();
        assert_eq!((all, trial.started()), (vec![1, 2, 3, 4], 4));
    });
}

/// A request's deadline and its end at once: the deadline breaches if it is first, the end when it is `slow` and first.
fn deadline_against_end(slow: bool) {
    check(None, move || {
        let (trial, claims) = (armed(&[7]), Arc::new(Claims::new()));
        let deadline = {
            let (trial, claims) = (Arc::clone(&trial), Arc::clone(&claims));
            thread::spawn(move || {
                let first = claims.claim(0);
                (first, first && trial.breach(0, 7, 0, true))
            })
        };
        let first = claims.claim(0);
        let tripped = first && slow && trial.breach(0, 7, 0, false);
        assert!(claims.is_settled(0));
        let (deadline_first, deadline_tripped) = deadline.join().unwrap();
        assert!(first != deadline_first, "exactly one of the two has its say");
        let count = trial.counts()[0].cumulative;
        assert_eq!(count.breaches, u64::from(slow || deadline_first), "counted once, or not at all when the good answer was first");
        assert_eq!(count.unanswered, u64::from(deadline_first));
        assert_eq!((tripped || deadline_tripped, trial.is_tripped()), (count.breaches == 1, count.breaches == 1));
    });
}

#[test]
fn a_good_answer_against_its_deadline_counts_one_or_the_other() {
    deadline_against_end(false);
}

#[test]
fn a_slow_answer_against_its_deadline_counts_once() {
    deadline_against_end(true);
}

#[test]
fn the_wires_of_a_request_are_claimed_one_by_one() {
    check(None, || {
        let claims = Arc::new(Claims::new());
        let other = {
            let claims = Arc::clone(&claims);
            thread::spawn(move || [claims.claim(0), claims.claim(1)])
        };
        let mine = [claims.claim(1), claims.claim(0)];
        let theirs = other.join().unwrap();
        assert!(mine[1] != theirs[0], "wire 0 was claimed once");
        assert!(mine[0] != theirs[1], "wire 1 was claimed once");
    });
}
