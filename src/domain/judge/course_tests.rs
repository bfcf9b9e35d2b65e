//! What is told of a request in one go, or once more, counts as what is told event by event, whatever the gate.
#![cfg(test)]

use proptest::prelude::*;

use super::drive::{Dice, STABLE, at, judge, ms, nothing};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::Policy;
use crate::domain::judge::Arm;
use crate::domain::start_order::{Course, Fate};

const GATES: [&str; 9] = [
    "p95 < 300ms",
    "p90(duration) < 400ms",
    "errors < 5%",
    "mean < 200ms",
    "mean(duration) < 300ms",
    "apdex(200ms) > 0.8",
    "p95 <= stable * 1.2",
    "p90(duration) <= stable * 1.2",
    "errors <= stable * 2",
];
const TICK: u64 = 100;

/// A request and its moments, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Plan {
    arm: Arm,
    seq: u64,
    starts: u64,
    answers: Option<u64>,
    ends: Option<(u64, Fate)>,
}

fn plan(arm: Arm, seq: u64, starts: u64, dice: &mut Dice) -> Plan {
    let latency = if dice.next().is_multiple_of(3) { 200 + dice.next() % 900 } else { 1 + dice.next() % 250 };
    let kind = dice.next() % 12;
    let duration = latency + [0, 1, 150, 700][(dice.next() % 4) as usize];
    let errors = if kind < 3 { ErrorKinds::SERVER } else { ErrorKinds::NONE };
    let (answers, fate) = match kind {
        0 => (None, Some(Fate::Excluded { after: ms(duration) })),
        1 => (None, Some(Fate::Measured { latency: ms(duration), duration: ms(duration), errors, unanswered: true })),
        // Nothing after it passes, and one of the stable version would be waited for until nothing is compared any more.
        11 if arm == Arm::Canary && starts > 2_700 => (Some(latency), None),
        _ => (Some(latency), Some(Fate::Measured { latency: ms(latency), duration: ms(duration), errors, unanswered: false })),
    };
    Plan { arm, seq, starts, answers: answers.map(|latency| starts + latency), ends: fate.map(|fate| (starts + duration, fate)) }
}

/// Tells two judges the same traffic and holds that they find the same; returns how many requests each gate counted.
fn play(seed: u64, gap: u64) -> Result<Vec<u64>, TestCaseError> {
    let policy = Policy { alpha: 1e-12, alpha_brake: 1e-12, ..Policy::default() };
    let (mut single, mut whole, mut dice) = (judge(&GATES, &policy), judge(&GATES, &policy), Dice(seed));
    let (mut plans, mut moment, mut seqs) = (Vec::new(), 0, [0_u64; 2]);
    while moment < 3_000 {
        let is_canary = dice.next().is_multiple_of(4);
        let seq = &mut seqs[usize::from(is_canary)];
        *seq += 1;
        plans.push(plan(if is_canary { Arm::Canary } else { STABLE }, *seq, moment, &mut dice));
        moment += dice.next() % (2 * gap);
    }
    for now in (TICK..5_000).step_by(TICK as usize) {
        let fresh = |when: u64| when <= now && when > now - TICK || (when == 0 && now == TICK);
        for Plan { arm, seq, starts, answers, ends } in &plans {
            let (begins, answers, ends) = (fresh(*starts), answers.filter(|when| fresh(*when)), ends.filter(|(when, _)| fresh(*when)));
            let (latency, fate) = (answers.map(|when| ms(when - starts)), ends.map(|(_, fate)| fate));
            if begins {
                single.started(*arm, 1, *seq, at(*starts));
                let mut course = Course::begun(at(*starts));
                latency.into_iter().for_each(|latency| _ = course.answer(latency));
                fate.into_iter().for_each(|fate| _ = course.end(fate));
                if dice.next().is_multiple_of(3) {
                    whole.started(*arm, 1, *seq, at(*starts));
                }
                whole.took_course(*arm, 1, *seq, &course);
            }
            for (judge, is_told) in [(&mut single, false), (&mut whole, begins)] {
                latency.filter(|_| !is_told).into_iter().for_each(|latency| judge.answered(*arm, *seq, latency));
                fate.filter(|_| !is_told).into_iter().for_each(|fate| judge.ended(*arm, *seq, fate));
            }
        }
        let wires = [nothing(); 3];
        prop_assert_eq!(single.tick(at(now), &wires), whole.tick(at(now), &wires), "at {}", now);
    }
    Ok(whole.tick(at(5_000), &[nothing(); 3]).gates.iter().map(|gate| gate.requests).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_course_counts_as_its_events(seed in any::<u64>(), gap in 3..12_u64) {
        play(seed, gap)?;
    }
}

#[test]
fn every_gate_counts_courses() {
    let counted = play(1, 3).unwrap();
    assert!(counted.len() == GATES.len() && counted.iter().all(|count| *count > 0), "{counted:?}");
}
