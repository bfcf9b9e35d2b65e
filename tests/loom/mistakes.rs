//! The mistakes that the models must find: each is the tripwire's breach with one line wrong, and loom must refuse it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use portcullis_models::check;
use portcullis_models::tripwire::{Tables, Trial};

/// How a breach is counted.
#[derive(Clone, Copy)]
enum Way {
    /// As the tripwire does.
    Right,
    /// The number of breaches before the highest start number.
    Swapped,
    /// The own start number in place of the highest among the counted.
    OwnNumber,
    /// The right order in the program, but nothing that makes other threads see it.
    Relaxed,
}

#[derive(Default)]
struct Wire {
    last: AtomicU64,
    breaches: AtomicU64,
}

impl Wire {
    /// Counts a breach and returns the evidence it would be judged by: requests and breaches.
    fn breach(&self, way: Way, seq: u64) -> (u64, u64) {
        let order = if matches!(way, Way::Relaxed) { Ordering::Relaxed } else { Ordering::AcqRel };
        if matches!(way, Way::Swapped) {
            let breaches = self.breaches.fetch_add(1, order) + 1;
            self.last.fetch_max(seq, order);
            return (self.last.load(Ordering::Acquire), breaches);
        }
        self.last.fetch_max(seq, order);
        let breaches = self.breaches.fetch_add(1, order) + 1;
        let load = if matches!(way, Way::Relaxed) { Ordering::Relaxed } else { Ordering::Acquire };
        if matches!(way, Way::OwnNumber) { (seq, breaches) } else { (self.last.load(load), breaches) }
    }
}

/// Two breaches at once, requests 9 and 1: whoever counts the second must see request 9.
fn the_second_sees_both(way: Way) {
    check(None, move || {
        let wire = Arc::new(Wire::default());
        let other = {
            let wire = Arc::clone(&wire);
            thread::spawn(move || wire.breach(way, 9))
        };
        for (requests, breaches) in [wire.breach(way, 1), other.join().unwrap()] {
            assert!(breaches < 2 || requests == 9, "false evidence: {breaches} of {requests}");
        }
    });
}

#[test]
fn the_right_way_passes() {
    the_second_sees_both(Way::Right);
}

#[test]
#[should_panic(expected = "false evidence: 2 of 1")]
fn counting_before_numbering_is_found() {
    the_second_sees_both(Way::Swapped);
}

#[test]
#[should_panic(expected = "false evidence: 2 of 1")]
fn judging_by_the_own_number_is_found() {
    the_second_sees_both(Way::OwnNumber);
}

#[test]
#[should_panic(expected = "false evidence: 2 of 1")]
fn relaxed_counting_is_found() {
    the_second_sees_both(Way::Relaxed);
}

#[test]
#[should_panic(expected = "picked after the trip")]
fn a_flag_told_of_without_release_is_found() {
    check(None, || {
        let (trial, told) = (Arc::new(Trial::new(vec![Tables::without_step([1].into())], 1)), Arc::new(AtomicU64::new(0)));
        let breaching = {
            let (trial, told) = (Arc::clone(&trial), Arc::clone(&told));
            thread::spawn(move || {
                trial.breach(0, 1, 0, false);
                told.store(1, Ordering::Relaxed);
            })
        };
        let known = told.load(Ordering::Relaxed) == 1;
        assert!(!known || trial.is_tripped(), "picked after the trip");
        breaching.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "counted 2 times")]
fn a_claim_by_load_and_store_is_found() {
    check(None, || {
        let (settled, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let claim = |settled: &AtomicU64, count: &AtomicU64| {
            if settled.load(Ordering::Acquire) == 0 {
                settled.store(1, Ordering::Release);
                count.fetch_add(1, Ordering::AcqRel);
            }
        };
        let other = {
            let (settled, count) = (Arc::clone(&settled), Arc::clone(&count));
            thread::spawn(move || claim(&settled, &count))
        };
        claim(&settled, &count);
        other.join().unwrap();
        let times = count.load(Ordering::Acquire);
        assert!(times == 1, "counted {times} times");
    });
}

#[test]
#[should_panic(expected = "2 probes within one spacing")]
fn a_turn_taken_by_load_and_store_is_found() {
    check(None, || {
        let next = Arc::new(AtomicU64::new(0));
        let take = |next: &AtomicU64, now: u64| {
            let due = now >= next.load(Ordering::Acquire);
            if due {
                next.store(now + 500, Ordering::Release);
            }
            u64::from(due)
        };
        let other = {
            let next = Arc::clone(&next);
            thread::spawn(move || take(&next, 100))
        };
        let probes = take(&next, 101) + other.join().unwrap();
        assert!(probes == 1, "{probes} probes within one spacing");
    });
}

/// Two breaches of two clients, of which each counts and notes its client; whoever counts the second must know both.
fn the_second_knows_both_clients(note_first: bool) {
    check(None, move || {
        let (clients, breaches) = (Arc::new([AtomicU64::new(0), AtomicU64::new(0)]), Arc::new(AtomicU64::new(0)));
        let note = |clients: &[AtomicU64; 2], client: u64| {
            let _ = clients.iter().any(|slot| slot.compare_exchange(0, client, Ordering::AcqRel, Ordering::Acquire).is_ok());
        };
        let breach = move |clients: &[AtomicU64; 2], breaches: &AtomicU64, client: u64| {
            if note_first {
                note(clients, client);
            }
            let k = breaches.fetch_add(1, Ordering::AcqRel) + 1;
            let known = clients[1].load(Ordering::Acquire) != 0;
            if !note_first {
                note(clients, client);
            }
            k < 2 || known
        };
        let other = {
            let (clients, breaches) = (Arc::clone(&clients), Arc::clone(&breaches));
            thread::spawn(move || breach(&clients, &breaches, 7))
        };
        let mine = breach(&clients, &breaches, 8);
        assert!(mine & other.join().unwrap(), "a trip was lost");
    });
}

#[test]
fn clients_noted_before_the_count_pass() {
    the_second_knows_both_clients(true);
}

#[test]
#[should_panic(expected = "a trip was lost")]
fn clients_noted_after_the_count_are_found() {
    the_second_knows_both_clients(false);
}
