//! Replays a gate that is not judged request by request: a mean, an Apdex, a comparison with the stable version.
//!
//! The judge of real rollouts is told of every request when it began, answered and ended, and is asked as often as a controller
//! asks it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::Timing;
use crate::domain::gate::{Criterion, Gate, Policy};
use crate::domain::judge::{Arm, Judge};
use crate::domain::outcome::Role;
use crate::domain::time::{Timestamp, nanos};
use crate::domain::version::Name;
use crate::domain::weight::Weight;
use crate::simulate::replay::log::{Doubt, Kept, Log};
use crate::simulate::replay::replayed::{Fired, Replayed};

/// How often the judge is asked, as in the proxy.
const TICK_NS: u64 = 100_000_000;

/// After so long without anything in flight a silence of the log is skipped.
const SILENCE_NS: u64 = 2_000_000_000;

/// The only epoch of a replay.
const GENERATION: u64 = 1;

/// What is reported of a request: its head or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answered,
    Ended,
}

/// What the judge found in one pass over the log.
struct Found {
    fired: Option<Fired>,
    passed_at: Option<u64>,
}

/// Replays a gate whose evidence is that of the judge.
pub(super) fn replay(log: &Log, criterion: Criterion, alpha: f64, beta: f64) -> Replayed {
    let found = run(log, criterion, alpha, beta, Doubt::NotFiring);
    let passed_at = if log.is_vague() { run(log, criterion, alpha, beta, Doubt::NotPassing).passed_at } else { found.passed_at };
    let breaches = bad(log, criterion).filter(|(_, is_bad)| *is_bad).count() as u64;
    Replayed { gate: criterion.to_string(), fired: found.fired, passed_at, requests: log.counts().0, breaches }
}

fn run(log: &Log, criterion: Criterion, alpha: f64, beta: f64, doubt: Doubt) -> Found {
    let mut requests = arrivals(log, doubt).peekable();
    let Some(from) = requests.peek().map(|(_, kept)| kept.started_ns) else { return Found { fired: None, passed_at: None } };
    let mut judge = judge(log, criterion, alpha, beta);
    let mut due: BinaryHeap<Reverse<(u64, Event, u64, bool)>> = BinaryHeap::new();
    let mut waiting: std::collections::HashMap<(bool, u64), Kept> = std::collections::HashMap::new();
    let (mut now, mut next, mut last) = (from, [1_u64, 1], from);
    let (mut fired, mut passed_at) = (None, None);
    loop {
        now += TICK_NS;
        loop {
            let started = requests.peek().map(|(_, kept)| kept.started_ns).filter(|at| *at <= now);
            let told = due.peek().map(|Reverse((at, ..))| *at).filter(|at| *at <= now);
            match (started, told) {
                (Some(started), told) if told.is_none_or(|told| started <= told) => {
                    let Some((role, kept)) = requests.next() else { break };
                    let is_canary = role == Role::Canary;
                    let [canary, stable] = &mut next;
                    let number = if is_canary { canary } else { stable };
                    let seq = *number;
                    *number += 1;
                    judge.started(arm(is_canary), GENERATION, seq, Timestamp::from_nanos(kept.started_ns));
                    if let Some(head_ns) = kept.head_ns {
                        due.push(Reverse((kept.started_ns.saturating_add(head_ns), Event::Answered, seq, is_canary)));
                    }
                    due.push(Reverse((kept.started_ns.saturating_add(kept.ended_ns), Event::Ended, seq, is_canary)));
                    waiting.insert((is_canary, seq), kept);
                    last = last.max(started);
                }
                (_, Some(_)) => {
                    let Some(Reverse((at, event, seq, is_canary))) = due.pop() else { break };
                    last = last.max(at);
                    match event {
                        Event::Answered => {
                            if let Some(head_ns) = waiting.get(&(is_canary, seq)).and_then(|kept| kept.head_ns) {
                                judge.answered(arm(is_canary), seq, Duration::from_nanos(head_ns));
                            }
                        }
                        Event::Ended => {
                            if let Some(kept) = waiting.remove(&(is_canary, seq)) {
                                judge.ended(arm(is_canary), seq, kept.fate());
                            }
                        }
                    }
                }
                _ => break,
            }
        }
        let judgement = judge.tick(Timestamp::from_nanos(now), &[]);
        if let (None, Some(evidence)) = (&fired, &judgement.brake) {
            fired = Some(told(log, criterion, now, evidence));
        }
        passed_at = passed_at.or(judgement.gates.first().filter(|gate| gate.log_e >= gate.log_threshold).map(|gate| gate.requests));
        let is_over = due.is_empty() && now > last.saturating_add(SILENCE_NS);
        match requests.peek() {
            None if is_over || (fired.is_some() && passed_at.is_some()) => return Found { fired, passed_at },
            Some((_, kept)) if is_over && kept.started_ns > now + TICK_NS => now = kept.started_ns - TICK_NS,
            _ => {}
        }
    }
}

fn judge(log: &Log, criterion: Criterion, alpha: f64, beta: f64) -> Judge {
    let policy = Policy { alpha, alpha_brake: alpha, beta, burst_tolerance: Duration::ZERO, ..Policy::default() };
    let canary: Name = "canary".parse().expect("it is written here and is a name");
    let mut judge = Judge::new(canary, &[Gate::written(criterion)], &policy, 1);
    // The comparison rests on the shares in fact; this says only how many requests belong together.
    let (canary, stable) = log.counts();
    let share = (canary as f64 * 1e4 / (canary + stable).max(1) as f64).round().clamp(1.0, 9_999.0);
    judge.epoch(GENERATION, Weight::from_basis_points(share as u16).ok().filter(|_| stable > 0));
    judge
}

fn told(log: &Log, criterion: Criterion, now: u64, evidence: &crate::domain::gate::Evidence) -> Fired {
    let first = log.requests(Role::Canary, Doubt::NotFiring).next().map_or(now, |kept| kept.started_ns);
    let bad = || bad(log, criterion).filter(|(_, is_bad)| *is_bad);
    let harmed = bad().filter(|(started_ns, _)| *started_ns <= now).count() as u64;
    Fired {
        after_seconds: Duration::from_nanos(now.saturating_sub(first)).as_secs_f64(),
        request: None,
        requests: evidence.requests,
        breaches: evidence.breaches,
        harmed,
        spared: bad().count() as u64 - harmed,
        sentence: evidence.sentence.clone(),
    }
}

/// Returns the requests of both versions in the order of their starts.
fn arrivals(log: &Log, doubt: Doubt) -> impl Iterator<Item = (Role, Kept)> {
    let mut canary = log.requests(Role::Canary, doubt).peekable();
    let mut stable = log.requests(Role::Stable, doubt).peekable();
    std::iter::from_fn(move || {
        let is_canary = match (canary.peek(), stable.peek()) {
            (Some(canary), Some(stable)) => canary.started_ns < stable.started_ns,
            (canary, _) => canary.is_some(),
        };
        if is_canary { canary.next().map(|kept| (Role::Canary, kept)) } else { stable.next().map(|kept| (Role::Stable, kept)) }
    })
}

/// Returns when each request of the canary began and whether it is bad for the gate.
fn bad(log: &Log, criterion: Criterion) -> impl Iterator<Item = (u64, bool)> {
    let compared = match criterion {
        Criterion::RelativeLatency { share, ratio, timing } => {
            let mut times: Vec<u64> =
                log.requests(Role::Stable, Doubt::NotFiring).map(|kept| timed(&kept, timing).unwrap_or(u64::MAX)).collect();
            let place = ((times.len() as f64 * (1.0 - share.ratio())) as usize).min(times.len().saturating_sub(1));
            if times.is_empty() { u64::MAX } else { (*times.select_nth_unstable(place).1 as f64 * ratio.factor()) as u64 }
        }
        _ => u64::MAX,
    };
    let over = |kept: &Kept, timing, limit| timed(kept, timing).map_or(kept.blamed, |took| took > limit);
    log.requests(Role::Canary, Doubt::NotFiring).map(move |kept| {
        let is_bad = match criterion {
            Criterion::Latency { limit, timing, .. } | Criterion::Mean { limit, timing } => over(&kept, timing, nanos(limit)),
            Criterion::Apdex { satisfied, .. } => {
                over(&kept, Timing::ResponseTime, nanos(satisfied)) || ErrorKinds::DEFAULT.meets(kept.errors)
            }
            Criterion::RelativeLatency { timing, .. } => over(&kept, timing, compared),
            Criterion::Errors { kinds, .. } | Criterion::RelativeErrors { kinds, .. } => kinds.meets(kept.errors),
        };
        (kept.started_ns, is_bad)
    })
}

/// Returns what a gate times of an answered request.
fn timed(kept: &Kept, timing: Timing) -> Option<u64> {
    kept.head_ns.map(|head_ns| if timing == Timing::Duration { kept.ended_ns } else { head_ns })
}

const fn arm(is_canary: bool) -> Arm {
    if is_canary { Arm::Canary } else { Arm::Stable { worker: 0 } }
}
