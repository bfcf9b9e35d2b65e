//! Runs one peer on one stream: feeds it what completes, asks it on its interval, and counts the harm until it acts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::gate::Criterion;
use crate::domain::outcome::Role;
use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::{Phase, Schedule};
use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;
use crate::simulate::outcome::{Brake, Outcome};
use crate::simulate::peers::argo::Argo;
use crate::simulate::peers::completion::{InOrderOfCompletion, Says};
use crate::simulate::peers::flagger::Flagger;
use crate::simulate::peers::judge::{Check, Judge};
use crate::simulate::peers::kayenta::Kayenta;
use crate::simulate::peers::stream::{self, Buckets, Request, Stream};
use crate::simulate::scenario::spec::PeerKind;
use crate::simulate::scenario::{Scenario, Text};

/// The first gate as a peer has it: a limit on a share of the requests.
#[derive(Clone, Copy, Debug)]
struct Objective {
    share: f64,
    limit: Option<Duration>,
}

/// What has happened so far, and when the peer acted.
struct Run {
    requests: u64,
    harmed: u64,
    total: u64,
    acted: Option<(Timestamp, Phase)>,
}

/// Runs a peer once on the requests of this seed.
#[must_use]
pub fn run(kind: &PeerKind, scenario: &Scenario, seed: u64) -> Outcome {
    let criterion = scenario.gates.first().map(|Text(criterion)| *criterion);
    let objective = match criterion {
        Some(Criterion::Latency { share, limit, .. }) => Objective { share: share.ratio(), limit: Some(limit) },
        Some(Criterion::Errors { share, .. }) => Objective { share: share.ratio(), limit: None },
        _ => Objective { share: 0.05, limit: scenario.harm.as_ref().and_then(|harm| harm.over).map(|over| over.0) },
    };
    let harm = match &scenario.harm {
        Some(harm) => (harm.over.map(|over| over.0), harm.errors),
        None => (objective.limit, objective.limit.is_none()),
    };
    let weight = match scenario.plan.schedule() {
        Ok(Schedule::Steps(plan)) => plan.step(0).map_or(Weight::ZERO, |step| step.weight),
        Ok(schedule) => schedule
            .plan(&Pace { rate: scenario.traffic.rate.map_or(0.0, |rate| rate.0), reveal: Duration::from_secs(1), ..Pace::default() })
            .ok()
            .and_then(|plan| plan.step(0).map(|step| step.weight))
            .unwrap_or_default(),
        Err(_) => Weight::ZERO,
    };
    let stream = Stream::new(scenario, weight, harm, seed);
    let end = Timestamp::ZERO + scenario.length.0;
    let run = match *kind {
        PeerKind::Flagger { interval, threshold } => {
            let interval = interval.0.max(Duration::from_secs(10));
            look(stream, end, interval, objective, &mut Flagger::new(threshold.0 as u64))
        }
        PeerKind::Argo { interval, failure_limit } => look(stream, end, interval.0, objective, &mut Argo::new(failure_limit)),
        PeerKind::Kayenta { interval } => compare(stream, end, interval.0, 1.0 - objective.share),
        PeerKind::CompletionOrder { alpha, beta } => {
            in_order(stream, end, objective, &mut InOrderOfCompletion::new(objective.share, alpha.0, beta.0))
        }
    };
    run.outcome()
}

impl Run {
    const fn new() -> Self {
        Self { requests: 0, harmed: 0, total: 0, acted: None }
    }

    fn count(&mut self, request: &Request) {
        self.total += 1;
        self.requests += u64::from(request.role == Role::Canary);
        self.harmed += u64::from(request.harmed);
    }

    fn outcome(self) -> Outcome {
        let seconds = |at: Timestamp| Duration::from_nanos(at.as_nanos()).as_secs_f64();
        let rolled_back = self.acted.filter(|(_, phase)| *phase == Phase::RolledBack);
        let brake = rolled_back.map(|(at, _)| Brake { at: seconds(at), harmed: self.harmed, requests: self.requests, breaches: 0 });
        Outcome {
            phase: self.acted.map_or(Phase::Progressing, |(_, phase)| phase),
            ended: self.acted.map(|(at, _)| seconds(at)),
            onset: 0.0,
            full: None,
            brakes: u64::from(brake.is_some()),
            brake,
            late: 0,
            shed: 0,
            harmed: self.harmed,
            canary_requests: self.requests,
            requests: self.total,
            broken: None,
        }
    }
}

/// Runs a controller that looks at the counts of each interval.
fn look(mut stream: Stream, end: Timestamp, interval: Duration, objective: Objective, judge: &mut dyn Judge) -> Run {
    let interval = interval.max(Duration::from_secs(1));
    let (mut run, mut buckets) = (Run::new(), Buckets::default());
    let mut tick = Timestamp::ZERO + interval;
    let mut index = 0;
    while tick <= end {
        while let Some(request) = stream.next(tick) {
            run.count(&request);
            if let Some(completion) = request.completion.filter(|_| request.role == Role::Canary) {
                buckets.add(&completion, interval, objective.limit);
            }
        }
        let bucket = buckets.take(index);
        let bad = if objective.limit.is_some() { bucket.over } else { bucket.failed };
        let check = match bucket.count {
            0 => Check::NoValues,
            count if bad as f64 / count as f64 > objective.share => Check::Bad,
            _ => Check::Good,
        };
        if judge.tick(check) {
            run.acted = Some((tick, Phase::RolledBack));
            break;
        }
        (tick, index) = (tick + interval, index + 1);
    }
    debug_assert!(index <= stream::index(end, interval));
    run
}

/// Runs Kayenta.
fn compare(mut stream: Stream, end: Timestamp, interval: Duration, quantile: f64) -> Run {
    const MINUTE: Duration = Duration::from_secs(60);
    let (mut run, mut kayenta) = (Run::new(), Kayenta::default());
    let mut minute = Timestamp::ZERO + MINUTE;
    let mut judge = Timestamp::ZERO + interval;
    while minute <= end {
        while let Some(request) = stream.next(minute) {
            run.count(&request);
            if let Some(completion) = &request.completion {
                kayenta.add(request.role, completion);
            }
        }
        kayenta.close(minute.as_nanos(), quantile);
        if minute >= judge {
            judge = judge + interval;
            if kayenta.is_high() == Some(true) {
                run.acted = Some((minute, Phase::RolledBack));
                break;
            }
        }
        minute = minute + MINUTE;
    }
    run
}

/// Runs the sequential tests in the order of completion; they look at each completion.
fn in_order(mut stream: Stream, end: Timestamp, objective: Objective, tests: &mut InOrderOfCompletion) -> Run {
    let mut run = Run::new();
    let mut waiting: BinaryHeap<Reverse<(Timestamp, u64, bool)>> = BinaryHeap::new();
    let mut number = 0_u64;
    loop {
        let request = stream.next(end);
        let until = request.map_or(end, |request| request.started);
        while let Some(Reverse((at, _, bad))) = waiting.peek().copied()
            && at <= until
        {
            waiting.pop();
            let phase = match tests.add(bad) {
                Says::Nothing => continue,
                Says::RollBack => Phase::RolledBack,
                Says::Pass => Phase::Promoted,
            };
            run.acted = Some((at, phase));
            return run;
        }
        let Some(request) = request else { return run };
        run.count(&request);
        if let Some(completion) = request.completion.filter(|_| request.role == Role::Canary) {
            let bad = objective.limit.map_or(completion.fails, |limit| completion.latency > limit);
            waiting.push(Reverse((completion.at, number, bad)));
            number += 1;
        }
    }
}
