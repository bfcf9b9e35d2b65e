//! The judge against a judge without memory, which at each tick evaluates the whole history by the rules of the statistics.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::Arm;
use super::drive::{STABLE, at, gates, judge, ms, nothing};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::Policy;
use crate::domain::start_order::{Course, Fate};
use crate::domain::stats::chained::{Block, ChainedBlocks};
use crate::domain::stats::chained_mean::{ChainedMean, MeanBlock};
use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::{log_e_breach, log_e_pass};
use crate::domain::stats::grid::{log_e_bounded, log_e_bounded_pass, odds_grid};
use crate::domain::stats::mean::{MeanBreach, log_e_mean_pass};

/// The gates of the test: all that do not compare.
const GATES: [&str; 4] = ["p95 < 300ms", "errors < 5%", "mean < 200ms", "apdex(200ms) > 0.8"];

/// How a request turns out.
#[derive(Clone, Copy, Debug)]
struct Turn {
    canary: bool,
    generation: u64,
    at: u64,
    /// The time to its end; none for one that never ends.
    after: Option<u64>,
    errors: bool,
    unanswered: bool,
    excluded: bool,
}

/// What is known of a request's loss at a moment.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Its latency, or how long it has been out.
    taken: u64,
    ended: bool,
}

impl Turn {
    fn known(&self, now: u64) -> Option<Known> {
        let ended = self.after.is_some_and(|after| self.at + after <= now);
        (self.at <= now).then(|| Known { taken: if ended { self.after.unwrap() } else { now - self.at }, ended })
    }

    /// For each gate: whether it is resolved, what is lost at least (of 2, for the mean in ms), what at most; nothing for one
    /// that is none of the gate's.
    fn loss(&self, gate: usize, now: u64) -> Option<(bool, f64, Option<f64>)> {
        let Known { taken, ended } = self.known(now)?;
        let over = |limit: u64| if taken > limit { 2.0 } else { 0.0 };
        let tolerated = if taken <= 200 {
            0.0
        } else if taken <= 800 {
            1.0
        } else {
            2.0
        };
        match (gate, ended, self.excluded) {
            (0, true, true) => (taken > 300).then_some((true, 2.0, Some(2.0))),
            (0, true, false) if self.unanswered => Some((true, 2.0, Some(2.0))),
            (0, _, _) => Some((ended || taken > 300, over(300), Some(over(300)))),
            (1 | 3, true, true) if gate == 1 || tolerated == 0.0 => None,
            (1, _, _) => Some((ended, if ended && self.errors { 2.0 } else { 0.0 }, Some(if self.errors { 2.0 } else { 0.0 }))),
            (2, true, true) => Some((true, taken as f64, None)),
            (2, true, false) if self.unanswered => Some((true, taken as f64, Some(f64::INFINITY))),
            (2, _, _) => Some((ended, taken as f64, Some(taken as f64))),
            (_, true, true) => Some((true, tolerated, Some(2.0))),
            (_, true, false) if self.errors || self.unanswered => Some((true, 2.0, Some(2.0))),
            (_, _, _) => Some((ended || tolerated == 2.0, tolerated, Some(tolerated))),
        }
    }
}

/// What the tests say after the whole history up to each of the ticks.
#[derive(Default)]
struct Naive {
    confirm: [f64; 4],
    brake: [f64; 4],
    pass: [(u64, u64, f64); 4],
}

impl Naive {
    fn tick(&mut self, turns: &[Turn], now: u64) {
        for gate in 0..4 {
            self.confirm[gate] = self.confirm[gate].max(confirm(turns, gate, now));
            self.pass[gate] = pass(turns, gate, now);
        }
        self.brake[1] = self.brake[1].max(by_order(turns, now));
        self.brake[2] = self.brake[2].max(mean(turns, now));
        self.brake[3] = self.brake[3].max(losses(turns, now));
    }
}

/// The slices of time, or those of each epoch.
fn blocks<K: Ord>(turns: &[Turn], now: u64, key: impl Fn(&Turn) -> K) -> BTreeSet<K> {
    turns.iter().filter(|turn| turn.at <= now).map(key).collect()
}

fn slice(turn: &Turn) -> u64 {
    turn.at / 200
}

fn part(turn: &Turn) -> (u64, u64) {
    (slice(turn), turn.generation)
}

fn confirm(turns: &[Turn], gate: usize, now: u64) -> f64 {
    let mut shares = ChainedBlocks::new([0.05, 0.05, 0.5, 0.2][gate], 5).unwrap();
    let mut means = ChainedMean::new(5).unwrap();
    let mut best = 0.0_f64;
    for index in blocks(turns, now, slice) {
        let arm = |canary: bool| {
            let of_block = turns.iter().filter(move |turn| turn.canary == canary && turn.at / 200 == index);
            of_block.filter_map(|turn| turn.loss(gate, now)).collect::<Vec<_>>()
        };
        let (canary, stable) = (arm(true), arm(false));
        if canary.is_empty() {
            continue;
        }
        let least = |losses: &[(bool, f64, Option<f64>)]| losses.iter().map(|(_, least, _)| least).sum::<f64>();
        best = best.max(if gate == 2 {
            let average = |losses: &[_]| if losses.is_empty() { 0.0 } else { least(losses) / losses.len() as f64 / 200.0 };
            let ratio = (average(&canary) - (average(&stable) - 1.0).max(0.0)).max(0.0);
            means.update(&MeanBlock { index, ratio }).unwrap()
        } else {
            let most: f64 = stable.iter().map(|(resolved, least, _)| if *resolved { *least } else { 2.0 }).sum();
            let canary = Counts::new(canary.len() as u64 * 2, least(&canary) as u64);
            let stable = Counts::new(stable.len() as u64 * 2, most as u64);
            shares.update(&Block { index, p0: None, canary, stable }).unwrap()
        });
    }
    best
}

fn pass(turns: &[Turn], gate: usize, now: u64) -> (u64, u64, f64) {
    let canary = turns.iter().filter(|turn| turn.canary);
    // Only what ended may be none of the gate's.
    let resolved = canary.map_while(|turn| {
        turn.known(now)?;
        match turn.loss(gate, now) {
            None => Some(None),
            Some((true, _, most)) => Some(most),
            Some((false, ..)) => None,
        }
    });
    let losses: Vec<f64> = resolved.flatten().collect();
    let (n, bad) = (losses.len() as u64, losses.iter().filter(|loss| **loss > 0.0).count() as u64);
    match gate {
        2 => (n, 0, log_e_mean_pass(&losses, 200.0, 2_000.0).unwrap()),
        3 => {
            let count = |loss: f64| losses.iter().filter(|found| **found == loss).count() as u64;
            let counts = [(0.0, count(0.0)), (0.5, count(1.0)), (1.0, count(2.0))];
            (n, bad, log_e_bounded_pass(&counts, &odds_grid(0.8).unwrap()))
        }
        _ => (n, bad, log_e_pass(n, bad, 0.05)),
    }
}

fn by_order(turns: &[Turn], now: u64) -> f64 {
    let canary = turns.iter().filter(|turn| turn.canary).zip(1_u64..);
    let known = canary.filter(|(turn, _)| turn.loss(1, now).is_some_and(|(_, least, _)| least > 0.0));
    known.zip(1..).map(|((_, m), k)| log_e_breach(m, k, 0.05)).fold(0.0, f64::max)
}

/// Of what is in flight in a block all have been out at least as long as its latest request.
fn mean(turns: &[Turn], now: u64) -> f64 {
    let mut test = MeanBreach::new(200.0);
    let mut best = 0.0_f64;
    for key in blocks(turns, now, part) {
        let block: Vec<&Turn> = turns.iter().filter(|turn| turn.canary && turn.at <= now && part(turn) == key).collect();
        let latest = block.iter().map(|turn| turn.at).max().unwrap_or_default();
        for turn in block {
            let (resolved, least, _) = turn.loss(2, now).unwrap();
            test.add(if resolved { least } else { (now - latest) as f64 });
        }
        best = best.max(test.log_e());
    }
    best
}

fn losses(turns: &[Turn], now: u64) -> f64 {
    let grid = odds_grid(0.2).unwrap();
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    let mut best = 0.0_f64;
    for key in blocks(turns, now, part) {
        let block = turns.iter().filter(|turn| turn.canary && turn.at <= now && part(turn) == key);
        block.filter_map(|turn| turn.loss(3, now)).for_each(|(_, least, _)| *counts.entry(least as u64).or_default() += 1);
        let classes: Vec<(f64, u64)> = counts.iter().map(|(loss, count)| (*loss as f64 / 2.0, *count)).collect();
        best = best.max(log_e_bounded(&classes, &grid));
    }
    best
}

fn turn() -> impl Strategy<Value = (bool, u64, Option<u64>, u8)> {
    let after = prop_oneof![3 => (1..250_u64).prop_map(Some), 3 => (250..2_000_u64).prop_map(Some), 1 => Just(None)];
    (prop::bool::weighted(0.6), 0..120_u64, after, 0..10_u8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_says_what_an_evaluation_of_the_whole_history_says(
        turns in prop::collection::vec(turn(), 0..60), seed in any::<u64>(), every in prop::sample::select(vec![100, 130, 700]),
    ) {
        let mut start = 0;
        let turns: Vec<Turn> = turns.into_iter().enumerate().map(|(index, (canary, gap, after, kind))| {
            start += gap;
            let (errors, unanswered) = (kind < 3, kind == 0);
            Turn { canary, generation: 1 + u64::from(index > 30), at: start, after, errors, unanswered, excluded: kind == 9 }
        }).collect();
        let policy = Policy { alpha: 1e-12, alpha_brake: 1e-12, ..Policy::default() };
        let (mut judge, mut naive, mut dice) = (judge(&GATES, &policy), Naive::default(), super::drive::Dice(seed));
        assert_eq!(gates(&GATES).len(), 4);
        // What began and ended since the last tick is told in one, or in two.
        let in_one: Vec<bool> = turns.iter().map(|_| dice.next() % 2 == 0).collect();
        let mut before = None;
        for now in (every..6_000).step_by(every as usize) {
            let fresh = |when: u64| when <= now && before.is_none_or(|before| when > before);
            let mut reports: Vec<(u64, usize, bool)> = Vec::new();
            for (index, turn) in turns.iter().enumerate() {
                reports.extend(fresh(turn.at).then(|| (dice.next(), index, true)));
                reports.extend(turn.after.filter(|after| fresh(turn.at + after)).map(|_| (dice.next(), index, false)));
            }
            reports.sort();
            for (_, index, is_start) in reports {
                let turn = turns[index];
                let seq = turns[..=index].iter().filter(|other| other.canary == turn.canary).count() as u64;
                let arm = if turn.canary { Arm::Canary } else { STABLE };
                let latency = ms(turn.after.unwrap_or_default());
                let errors = if turn.errors { ErrorKinds::SERVER } else { ErrorKinds::NONE };
                let measured = Fate::Measured { latency, duration: latency + Duration::from_millis(1), errors, unanswered: turn.unanswered };
                let fate = if turn.excluded { Fate::Excluded { after: latency } } else { measured };
                let ended = turn.after.filter(|after| fresh(turn.at + after)).map(|_| fate);
                let answered = ended.filter(|_| !turn.excluded && !turn.unanswered).map(|_| latency);
                if is_start && in_one[index] {
                    let mut course = Course::begun(at(turn.at));
                    answered.into_iter().for_each(|latency| _ = course.answer(latency));
                    ended.into_iter().for_each(|fate| _ = course.end(fate));
                    judge.took_course(arm, turn.generation, seq, &course);
                } else if is_start {
                    judge.started(arm, turn.generation, seq, at(turn.at));
                } else if !in_one[index] || !fresh(turn.at) {
                    judge.ended(arm, seq, fate);
                }
            }
            let found = judge.tick(at(now), &[nothing(); 2]);
            naive.tick(&turns, now);
            before = Some(now);
            for (gate, status) in found.gates.iter().enumerate() {
                let (n, bad, log_e) = naive.pass[gate];
                prop_assert_eq!((status.requests, status.breaches), (n, bad), "{} at {}", status.gate, now);
                let close = |found: f64, wanted: f64| (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
                prop_assert!(close(status.log_e, log_e), "{} at {}: pass {} {}", status.gate, now, status.log_e, log_e);
                let (confirm, brake) = (naive.confirm[gate], naive.brake[gate]);
                prop_assert!(close(status.confirm_log_e, confirm), "{} at {}: {} {}", status.gate, now, status.confirm_log_e, confirm);
                prop_assert!(gate == 0 || close(status.brake_log_e, brake), "{} at {}: {} {}", status.gate, now, status.brake_log_e, brake);
            }
        }
    }
}
