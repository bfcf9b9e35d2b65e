//! The censored test against a naive copy of the reference, its cost, its memory, and false alarms under informative delays.
#![cfg(test)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::stats::support::Chance;

/// The reference, word for word: every prefix that ends in a breach is looked at again.
struct Naive {
    test: BetaMixture,
    outcomes: BTreeMap<u64, Slot>,
    best: f64,
}

impl Naive {
    fn report(&mut self, seq: u64, outcome: Slot) {
        if self.outcomes.contains_key(&seq) {
            return;
        }
        self.outcomes.insert(seq, outcome);
        if outcome == Slot::Breach {
            let breaches = self.outcomes.iter().filter(|(_, outcome)| **outcome == Slot::Breach);
            for (k, (m, _)) in (1..).zip(breaches) {
                if *m >= seq {
                    self.best = self.best.max(self.test.log_e(*m, k));
                }
            }
        }
    }

    /// The resolved prefix without the excluded, and its breaches.
    fn resolved(&self) -> Counts {
        let prefix = || (1..).map_while(|seq| self.outcomes.get(&seq));
        let count = |kind: Slot| prefix().filter(|outcome| **outcome == kind).count() as u64;
        Counts::new(prefix().count() as u64 - count(Slot::Excluded), count(Slot::Breach))
    }
}

fn report(test: &mut CensoredExceedance, seq: u64, outcome: Slot) {
    let known = test.log_e();
    let _ = match outcome {
        Slot::Open => false,
        Slot::Good => test.good(seq),
        Slot::Breach => test.breach(seq) > known,
        Slot::Excluded => test.exclude(seq),
    };
}

fn outcomes(bad: f64) -> impl Strategy<Value = Slot> {
    let weight = |share: f64| (share * 1000.0) as u32 + 1;
    prop_oneof![weight(1.0 - bad) => Just(Slot::Good), weight(bad) => Just(Slot::Breach), 20 => Just(Slot::Excluded)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tree_finds_what_looking_at_everything_finds(
        p0 in 0.001..0.5_f64,
        reports in (0.0..=1.0_f64).prop_flat_map(|bad| prop::collection::vec((outcomes(bad), 0..200_u64), 1..400)),
    ) {
        // Request i is reported at time i + delay.
        let mut order: Vec<(u64, u64, Slot)> =
            (1..).zip(&reports).map(|(seq, (outcome, delay))| (seq + delay, seq, *outcome)).collect();
        order.sort_by_key(|(at, seq, _)| (*at, *seq));
        let test = BetaMixture::new(p0).unwrap();
        let mut naive = Naive { test, outcomes: BTreeMap::new(), best: 0.0 };
        let mut ours = CensoredExceedance::with(test);
        for (step, (_, seq, outcome)) in order.into_iter().enumerate() {
            naive.report(seq, outcome);
            report(&mut ours, seq, outcome);
            prop_assert!((ours.log_e() - naive.best).abs() < 1e-9, "{} {}", ours.log_e(), naive.best);
            if step % 16 == 0 {
                prop_assert_eq!(ours.resolved(), naive.resolved());
                // Reported twice, it stands as it was.
                report(&mut ours, seq, Slot::Breach);
                let read: CensoredExceedance = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
                prop_assert!((read.log_e() - ours.log_e()).abs() < 1e-12);
                prop_assert_eq!((read.resolved(), read.tip(), read.started()), (ours.resolved(), ours.tip(), ours.started()));
                ours = read;
            }
        }
        prop_assert_eq!(ours.resolved().requests, reports.iter().filter(|(outcome, _)| *outcome != Slot::Excluded).count() as u64);
    }

    #[test]
    fn the_order_of_reports_does_not_matter_in_the_end(reports in prop::collection::vec((outcomes(0.2), any::<u32>()), 1..200)) {
        let mut shuffled: Vec<(u64, Slot, u32)> = (1..).zip(&reports).map(|(seq, (outcome, key))| (seq, *outcome, *key)).collect();
        let run = |order: &[(u64, Slot, u32)]| {
            let mut test = CensoredExceedance::new(0.05).unwrap();
            order.iter().for_each(|(seq, outcome, _)| report(&mut test, *seq, *outcome));
            test
        };
        let in_order = run(&shuffled);
        shuffled.sort_by_key(|(_, _, key)| *key);
        let other = run(&shuffled);
        prop_assert!((in_order.log_e() - other.log_e()).abs() < 1e-9);
        prop_assert_eq!((in_order.resolved(), in_order.tip()), (other.resolved(), other.tip()));
    }
}

/// Runs requests whose breaches are known after `delay(breach)` more requests; returns evaluations and the most memory.
fn cost(requests: u64, p0: f64, bad: f64, delay: impl Fn(bool, &mut Chance) -> u64) -> (u64, usize) {
    let (mut chance, mut evaluations, mut most) = (Chance::new(9), 0, 0);
    let mut test = CensoredExceedance::new(p0).unwrap();
    let mixture = test.test;
    let mut due: BTreeMap<u64, Vec<(u64, bool)>> = BTreeMap::new();
    for now in 1..=requests {
        let (seq, breach) = (test.start(), chance.heads(bad));
        due.entry(now + delay(breach, &mut chance)).or_default().push((seq, breach));
        while let Some(entry) = due.first_entry().filter(|entry| *entry.key() <= now) {
            for (seq, breach) in entry.remove() {
                if breach {
                    test.breach_by(seq, &mut |n, k| {
                        evaluations += 1;
                        mixture.log_e(n, k)
                    });
                } else {
                    test.good(seq);
                }
            }
        }
        most = most.max(test.remembered());
    }
    (evaluations, most)
}

#[test]
fn a_breach_costs_a_few_evaluations_and_memory_is_bounded_by_what_is_unresolved() {
    const REQUESTS: u64 = 20_000;
    // Known at once, after up to 4 000 more requests in any order, or fast errors among slow successes; healthy, at the limit, worse.
    let any_order = |_: bool, chance: &mut Chance| (chance.next() * 4000.0) as u64;
    let fast_errors = |breach: bool, _: &mut Chance| if breach { 1 } else { 4000 };
    for bad in [0.01, 0.05, 0.07, 0.5] {
        for (name, most_each, (evaluations, memory)) in [
            ("at once", 2.0, cost(REQUESTS, 0.05, bad, |_, _| 0)),
            ("any order", 80.0, cost(REQUESTS, 0.05, bad, any_order)),
            ("fast errors", 2.0, cost(REQUESTS, 0.05, bad, fast_errors)),
        ] {
            let each = evaluations as f64 / (REQUESTS as f64 * bad);
            println!("{name}, {bad} bad: {each:.2} evaluations for each breach, memory for {memory} requests");
            assert!(each <= most_each, "{name} {bad}: {each}");
            assert!(memory <= if name == "at once" { SHORTEST } else { 4 * 4096 }, "{name}: {memory}");
        }
    }
}

#[test]
fn false_alarms_stay_below_alpha_when_errors_are_known_first() {
    let mut alarms = 0;
    for seed in 0..400 {
        let (mut chance, mut test) = (Chance::new(seed), CensoredExceedance::new(0.05).unwrap());
        // Errors are known at once, successes a hundred requests later.
        for seq in 1..=400_u64 {
            if chance.heads(0.05) {
                test.breach(seq);
            } else if seq > 100 {
                test.good(seq - 100);
            }
        }
        alarms += u32::from(test.log_e() >= 20_f64.ln());
    }
    assert!(alarms <= 20, "{alarms} of 400");
}

#[test]
fn three_hung_requests_suffice_and_a_resolved_prefix_passes() {
    let mut hung = CensoredExceedance::new(0.05).unwrap();
    for _ in 0..40 {
        hung.start();
    }
    assert!(hung.breach(1) < 1000_f64.ln() && hung.breach(2) < 1000_f64.ln() && hung.breach(3) >= 1000_f64.ln());
    assert_eq!((hung.resolved(), hung.tip(), hung.started()), (Counts::new(3, 3), Counts::new(3, 3), 40));
    let mut passing = CensoredExceedance::new(0.05).unwrap();
    assert_eq!(passing.log_e_pass(0.05), 0.0);
    for _ in 0..80 {
        passing.start();
    }
    assert!(passing.exclude(40));
    for seq in (1..=74).filter(|seq| *seq != 2) {
        assert_eq!(passing.good(seq), seq != 40);
    }
    assert_eq!(passing.resolved(), Counts::new(1, 0), "request 2 hangs");
    passing.good(2);
    assert_eq!(passing.resolved(), Counts::new(73, 0), "the excluded one does not count");
    assert!(passing.log_e_pass(0.05) < 20_f64.ln());
    passing.good(75);
    assert!(passing.log_e_pass(0.05) >= 20_f64.ln());
}

#[test]
fn broken_reports_are_ignored_and_broken_states_refused() {
    let mut test = CensoredExceedance::new(0.05).unwrap();
    let before = test.clone();
    for seq in [0, SANE + 1, u64::MAX] {
        assert!(!test.good(seq) && test.breach(seq) == 0.0 && !test.exclude(seq), "{seq}");
    }
    assert_eq!(test, before);
    let written = |rest: &str, breaches: u64| {
        let mixture = r#"{"p0":0.05,"a":0.5,"b":0.5}"#;
        let prefix = format!(r#"{{"requests":5,"breaches":{breaches}}}"#);
        format!(r#"{{"test":{mixture},"started":9,"prefix":{prefix},"excluded":1,"newest_breach":5,"best":0.5,"rest":"{rest}"}}"#)
    };
    let read: CensoredExceedance = serde_json::from_str(&written("gbx.b", 4)).unwrap();
    assert_eq!((read.resolved(), read.tip()), (Counts::new(6, 5), Counts::new(5, 6)));
    for (text, words) in [(written("g?", 4), "one of . g b x"), (written("", 5), "at most that of resolved")] {
        let error = serde_json::from_str::<CensoredExceedance>(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    for p in [f64::NAN, 0.0, 1.0] {
        assert!(CensoredExceedance::new(p).is_err());
    }
}
