//! Turns the events of requests into counts: each request counts once for each gate, at its answer, its end or its deadline.

use std::time::Duration;

use crate::domain::gate::Criterion;
use crate::domain::gate::criterion::Timing;
use crate::domain::judge::arms::{Arm, Lane, Request, Stage};
use crate::domain::judge::blocks::{Blocks, Cell};
use crate::domain::judge::case::Case;
use crate::domain::judge::score::{self, HALF, Score};
use crate::domain::judge::terms;
use crate::domain::stats::mean::LAMBDAS;
use crate::domain::time::Timestamp;

/// The most gates that can be judged: each has a bit in a request. Those beyond never pass.
pub(super) const MOST_GATES: usize = 64;

const fn bit(gate: usize) -> u64 {
    1 << gate
}

/// What the events of one arm's requests are counted in.
pub(super) struct Counting<'a> {
    pub arm: Arm,
    pub cases: &'a mut [Case],
    pub blocks: &'a mut Blocks,
    /// How long a request is waited for, whatever the gate.
    pub patience: Duration,
}

impl Counting<'_> {
    /// Counts a request that began, and what was reported of it before its beginning.
    pub fn begin(&mut self, seq: u64, request: &mut Request) {
        let (key, offset) = (self.blocks.key(request.at, request.generation), self.blocks.offset(request.at));
        let given_up = request.settled;
        for (gate, case) in self.cases.iter().enumerate().filter(|(gate, _)| given_up & bit(*gate) == 0) {
            match self.blocks.get_mut(key, gate).filter(|cell| !cell.frozen.out || awaits_latencies(case)) {
                Some(cell) => {
                    let is_stable = self.arm != Arm::Canary;
                    cell.awaited += u64::from(is_stable && awaits_latencies(case));
                    if cell.frozen.out {
                        request.settled |= bit(gate);
                    } else if is_stable {
                        cell.stable.begin(offset);
                    } else {
                        cell.canary.begin(offset);
                    }
                }
                None => {
                    request.settled |= bit(gate);
                    request.halved |= bit(gate);
                }
            }
        }
        self.tell(seq, request);
    }

    /// Counts what an answer or an end tells.
    pub fn tell(&mut self, seq: u64, request: &mut Request) {
        if request.started {
            for gate in 0..self.cases.len() {
                // Of time nothing is said here.
                self.resolve(gate, seq, request, request.at);
                self.take_latency(gate, request, false);
            }
        }
    }

    /// Counts what the passing of time tells of the requests of a lane.
    pub fn expire(&mut self, lane: &mut Lane, known_until: Timestamp) {
        let every = self.cases.len().checked_sub(1).map_or(0, |last| u64::MAX >> (MOST_GATES - 1 - last));
        let told = if self.arm == Arm::Canary { 0 } else { self.awaiting_latencies() };
        let is_done = |request: &Request| request.settled & every == every && request.halved & told == told;
        // Most requests are done with when their turn comes, and no gate has to look at them.
        while lane.get(lane.overdue).is_some_and(is_done) {
            lane.overdue += 1;
        }
        lane.due.iter_mut().flatten().for_each(|due| *due = lane.overdue.max(*due));
        for gate in 0..self.cases.len() {
            for stage in 0..2 {
                self.pass_deadlines(lane, gate, stage, known_until);
            }
        }
        while let Some(request) = lane.get_mut(lane.overdue) {
            let is_over = known_until.since(request.at) > self.patience;
            if !is_over && !is_done(request) {
                return;
            }
            let mut last = *request;
            if is_over {
                self.give_up(lane.overdue, &mut last, known_until);
                last.settled |= every;
                if let Some(request) = lane.get_mut(lane.overdue) {
                    *request = last;
                }
            }
            lane.overdue += 1;
        }
    }

    fn pass_deadlines(&mut self, lane: &mut Lane, gate: usize, stage: usize, known_until: Timestamp) {
        loop {
            let Some(due) = lane.due.get(gate).and_then(|due| due.get(stage)).copied() else { return };
            let Some(mut request) = lane.get(due).copied() else { return };
            let is_settled = request.settled & bit(gate) != 0;
            if !is_settled && (!request.started || known_until.since(request.at) <= self.deadline(gate, stage, &request)) {
                let is_lost = !request.started && known_until.since(request.at) > self.patience;
                if !is_lost {
                    return;
                }
            } else if !is_settled {
                self.resolve(gate, due, &mut request, known_until);
                if let Some(kept) = lane.get_mut(due) {
                    *kept = request;
                }
            }
            if let Some(due) = lane.due.get_mut(gate).and_then(|due| due.get_mut(stage)) {
                *due += 1;
            }
        }
    }

    fn deadline(&self, gate: usize, stage: usize, request: &Request) -> Duration {
        match (self.cases.get(gate).map(|case| &case.gate.criterion), stage) {
            (Some(Criterion::Latency { limit, .. }), 0) => *limit,
            (Some(Criterion::RelativeLatency { .. }), 0) => {
                let cell = self.blocks.get(self.blocks.key(request.at, request.generation), gate);
                cell.map_or(Duration::ZERO, |cell| self.limit(cell))
            }
            (Some(Criterion::Apdex { satisfied, .. }), 0) => *satisfied,
            (Some(Criterion::Apdex { satisfied, .. }), _) => satisfied.saturating_mul(4),
            _ => Duration::MAX,
        }
    }

    const fn limit(&self, cell: &Cell) -> Duration {
        let [canary, stable] = cell.frozen.limits;
        if matches!(self.arm, Arm::Canary) { canary } else { stable }
    }

    /// Counts a request for a gate if that is possible by now.
    fn resolve(&mut self, gate: usize, seq: u64, request: &mut Request, known_until: Timestamp) {
        if request.settled & bit(gate) != 0 {
            return;
        }
        let key = self.blocks.key(request.at, request.generation);
        let (Some(case), Some(cell)) = (self.cases.get(gate), self.blocks.get(key, gate)) else {
            request.settled |= bit(gate);
            return;
        };
        let criterion = case.gate.criterion;
        match score::score(&criterion, self.limit(cell), request, known_until) {
            Some(score) => self.settle(gate, seq, request, score, known_until),
            None => {
                if let Criterion::Apdex { satisfied, .. } = criterion
                    && request.halved & bit(gate) == 0
                    && score::is_half_lost(satisfied, request, known_until)
                    && let Some(cell) = self.blocks.get_mut(key, gate)
                {
                    request.halved |= bit(gate);
                    if self.arm == Arm::Canary { cell.canary.halve() } else { cell.stable.halve() }
                }
            }
        }
    }

    fn settle(&mut self, gate: usize, seq: u64, request: &mut Request, score: Score, known_until: Timestamp) {
        request.settled |= bit(gate);
        let (key, offset) = (self.blocks.key(request.at, request.generation), self.blocks.offset(request.at));
        let (Some(case), Some(cell)) = (self.cases.get_mut(gate), self.blocks.get_mut(key, gate)) else { return };
        let (is_canary, is_apdex) = (self.arm == Arm::Canary, matches!(case.gate.criterion, Criterion::Apdex { .. }));
        let is_mean = matches!(case.gate.criterion, Criterion::Mean { .. });
        let halved = is_apdex && request.halved & bit(gate) != 0;
        let null = cell.frozen.null;
        let tally = if is_canary { &mut cell.canary } else { &mut cell.stable };
        let Some(loss) = score.breach else {
            tally.exclude(offset, halved);
            return;
        };
        let limit = terms::mean_limit(&case.gate.criterion);
        let is_bad = if is_mean { loss as f64 > limit } else { loss > HALF };
        tally.settle(offset, loss, halved, is_apdex && loss == HALF, is_bad && score.unanswered);
        if is_canary && is_mean {
            let ratio = loss as f64 / (limit * null);
            for (log, lambda) in tally.logs.iter_mut().zip(LAMBDAS) {
                *log += (1.0 - lambda + lambda * ratio).ln();
            }
        }
        if is_canary && is_bad {
            case.tip(seq, request, known_until);
        }
    }

    /// Counts what is left of a request that has been out for too long.
    fn give_up(&mut self, seq: u64, request: &mut Request, known_until: Timestamp) {
        if !request.started {
            return;
        }
        for gate in 0..self.cases.len() {
            self.resolve(gate, seq, request, known_until);
            if request.settled & bit(gate) == 0 {
                self.settle(gate, seq, request, Score::NEITHER, known_until);
            }
            self.take_latency(gate, request, true);
        }
    }

    /// Notes how long a stable request took, for the quantile that the canary is compared with.
    fn take_latency(&mut self, gate: usize, request: &mut Request, is_over: bool) {
        let Some(Criterion::RelativeLatency { timing, .. }) = self.cases.get(gate).map(|case| &case.gate.criterion) else { return };
        if self.arm == Arm::Canary || request.halved & bit(gate) != 0 {
            return;
        }
        let by_duration = *timing == Timing::Duration;
        let latency = match request.stage {
            Stage::Ended { unanswered: true } => Some(u64::MAX),
            Stage::Ended { .. } | Stage::Answered if !by_duration => Some(request.latency),
            Stage::Ended { .. } => Some(request.duration),
            Stage::Excluded => None,
            Stage::InFlight | Stage::Answered if is_over => Some(u64::MAX),
            Stage::InFlight | Stage::Answered => return,
        };
        request.halved |= bit(gate);
        if let Some(cell) = self.blocks.get_mut(self.blocks.key(request.at, request.generation), gate) {
            cell.awaited -= 1;
            cell.latencies.extend(latency.map(|ns| u32::try_from(ns / 1_000).unwrap_or(u32::MAX)));
        }
    }

    /// Returns one bit for each gate that takes in how long the stable version's requests took.
    fn awaiting_latencies(&self) -> u64 {
        self.cases.iter().enumerate().filter(|(_, case)| awaits_latencies(case)).fold(0, |bits, (gate, _)| bits | bit(gate))
    }
}

const fn awaits_latencies(case: &Case) -> bool {
    matches!(case.gate.criterion, Criterion::RelativeLatency { .. })
}

/// Returns from which request on a gate's two deadlines are to be looked at; never where it has none.
pub(super) const fn first_due(criterion: &Criterion) -> [u64; 2] {
    match criterion {
        Criterion::Latency { .. } | Criterion::RelativeLatency { .. } => [1, u64::MAX],
        Criterion::Apdex { .. } => [1, 1],
        _ => [u64::MAX; 2],
    }
}
