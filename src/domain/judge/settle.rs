//! Turns the events of requests into counts: each request counts once for each gate, at its answer, its end or its deadline.

use std::time::Duration;

use crate::domain::gate::Criterion;
use crate::domain::gate::criterion::Timing;
use crate::domain::judge::arms::{Arm, Lane, Request};
use crate::domain::judge::blocks::{Blocks, Cell, Key, Tally};
use crate::domain::judge::case::Case;
use crate::domain::judge::score::{self, HALF, Score};
use crate::domain::judge::terms;
use crate::domain::start_order::Stage;
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
    pub fn begin(&mut self, seq: u64, request: &mut Request, (key, offset): (Key, u64)) {
        let Some(cells) = self.blocks.cells_mut(key) else { return request.leave_out() };
        for (gate, (case, cell)) in self.cases.iter_mut().zip(cells).enumerate() {
            let mut count = Count { arm: self.arm, gate, offset, case, cell };
            count.begin(request);
            count.tell(seq, request);
        }
    }

    /// Counts what an answer or an end tells.
    pub fn tell(&mut self, seq: u64, request: &mut Request) {
        if !request.started {
            return;
        }
        let (key, offset) = self.blocks.place(request.course.at, request.generation);
        let Some(cells) = self.blocks.cells_mut(key) else { return request.leave_out() };
        for (gate, (case, cell)) in self.cases.iter_mut().zip(cells).enumerate() {
            Count { arm: self.arm, gate, offset, case, cell }.tell(seq, request);
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
            let is_over = known_until.since(request.course.at) > self.patience;
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
            if !is_settled && (!request.started || known_until.since(request.course.at) <= self.deadline(gate, stage, &request)) {
                let is_lost = !request.started && known_until.since(request.course.at) > self.patience;
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
                let cell = self.blocks.get(self.blocks.place(request.course.at, request.generation).0, gate);
                cell.map_or(Duration::ZERO, |cell| limit(self.arm, cell))
            }
            (Some(Criterion::Apdex { satisfied, .. }), 0) => *satisfied,
            (Some(Criterion::Apdex { satisfied, .. }), _) => satisfied.saturating_mul(4),
            _ => Duration::MAX,
        }
    }

    /// Returns one gate's part of counting one request, `None` where its block is gone.
    fn of(&mut self, gate: usize, request: &Request) -> Option<Count<'_>> {
        let (key, offset) = self.blocks.place(request.course.at, request.generation);
        let (case, cell) = (self.cases.get_mut(gate)?, self.blocks.get_mut(key, gate)?);
        Some(Count { arm: self.arm, gate, offset, case, cell })
    }

    /// Counts a request for a gate if that is possible by now.
    fn resolve(&mut self, gate: usize, seq: u64, request: &mut Request, known_until: Timestamp) {
        match self.of(gate, request) {
            Some(mut count) => count.resolve(seq, request, known_until),
            None => request.settled |= bit(gate),
        }
    }

    /// Counts what is left of a request that has been out for too long.
    fn give_up(&mut self, seq: u64, request: &mut Request, known_until: Timestamp) {
        if !request.started {
            return;
        }
        for gate in 0..self.cases.len() {
            if let Some(mut count) = self.of(gate, request) {
                count.resolve(seq, request, known_until);
                if request.settled & bit(gate) == 0 {
                    count.settle(seq, request, Score::NEITHER, known_until);
                }
                count.take_latency(request, true);
            }
        }
    }

    /// Returns one bit for each gate that takes in how long the stable version's requests took.
    fn awaiting_latencies(&self) -> u64 {
        self.cases.iter().enumerate().filter(|(_, case)| awaits_latencies(case)).fold(0, |bits, (gate, _)| bits | bit(gate))
    }
}

/// What one gate counts of one request, in the request's block.
struct Count<'a> {
    arm: Arm,
    gate: usize,
    /// How long after the block's beginning the request began, in nanoseconds.
    offset: u64,
    case: &'a mut Case,
    cell: &'a mut Cell,
}

impl Count<'_> {
    fn begin(&mut self, request: &mut Request) {
        if request.settled & bit(self.gate) != 0 {
            return;
        }
        let is_stable = self.arm != Arm::Canary;
        self.cell.awaited += u64::from(is_stable && awaits_latencies(self.case));
        if !self.cell.frozen.out {
            let offset = self.offset;
            return self.tally().begin(offset);
        }
        request.settled |= bit(self.gate);
        if !awaits_latencies(self.case) {
            request.halved |= bit(self.gate);
        }
    }

    /// Counts what is known but for the passing of time.
    fn tell(&mut self, seq: u64, request: &mut Request) {
        self.resolve(seq, request, request.course.at);
        self.take_latency(request, false);
    }

    const fn tally(&mut self) -> &mut Tally {
        if matches!(self.arm, Arm::Canary) { &mut self.cell.canary } else { &mut self.cell.stable }
    }

    /// Counts the request if that is possible by now.
    fn resolve(&mut self, seq: u64, request: &mut Request, known_until: Timestamp) {
        if request.settled & bit(self.gate) != 0 {
            return;
        }
        match score::score(&self.case.gate.criterion, limit(self.arm, self.cell), request, known_until) {
            Some(score) => self.settle(seq, request, score, known_until),
            None => {
                if let Criterion::Apdex { satisfied, .. } = self.case.gate.criterion
                    && request.halved & bit(self.gate) == 0
                    && score::is_half_lost(satisfied, request, known_until)
                {
                    request.halved |= bit(self.gate);
                    self.tally().halve();
                }
            }
        }
    }

    fn settle(&mut self, seq: u64, request: &mut Request, score: Score, known_until: Timestamp) {
        request.settled |= bit(self.gate);
        let (is_canary, is_apdex) = (self.arm == Arm::Canary, matches!(self.case.gate.criterion, Criterion::Apdex { .. }));
        let is_mean = matches!(self.case.gate.criterion, Criterion::Mean { .. });
        let halved = is_apdex && request.halved & bit(self.gate) != 0;
        let (null, offset) = (self.cell.frozen.null, self.offset);
        let Some(loss) = score.breach else {
            self.tally().exclude(offset, halved);
            return;
        };
        let limit = terms::mean_limit(&self.case.gate.criterion);
        let is_bad = if is_mean { loss as f64 > limit } else { loss > HALF };
        let tally = self.tally();
        tally.settle(offset, loss, halved, is_apdex && loss == HALF, is_bad && score.unanswered);
        if is_canary && is_mean {
            let ratio = loss as f64 / (limit * null);
            for (log, lambda) in tally.logs.iter_mut().zip(LAMBDAS) {
                *log += (1.0 - lambda + lambda * ratio).ln();
            }
        }
        if is_canary && is_bad {
            self.case.tip(seq, request, known_until);
        }
    }

    /// Notes how long a stable request took, for the quantile that the canary is compared with.
    fn take_latency(&mut self, request: &mut Request, is_over: bool) {
        let Criterion::RelativeLatency { timing, .. } = &self.case.gate.criterion else { return };
        if self.arm == Arm::Canary || request.halved & bit(self.gate) != 0 {
            return;
        }
        let by_duration = *timing == Timing::Duration;
        let latency = match request.course.stage {
            Stage::Ended { unanswered: true } => Some(u64::MAX),
            Stage::Ended { .. } | Stage::Answered if !by_duration => Some(request.course.latency),
            Stage::Ended { .. } => Some(request.course.duration),
            Stage::Excluded => None,
            Stage::InFlight | Stage::Answered if is_over => Some(u64::MAX),
            Stage::InFlight | Stage::Answered => return,
        };
        request.halved |= bit(self.gate);
        self.cell.awaited = self.cell.awaited.saturating_sub(1);
        self.cell.latencies.extend(latency.map(|ns| u32::try_from(ns / 1_000).unwrap_or(u32::MAX)));
    }
}

/// Returns what a request of an arm may take where latencies are compared.
const fn limit(arm: Arm, cell: &Cell) -> Duration {
    let [canary, stable] = cell.frozen.limits;
    if matches!(arm, Arm::Canary) { canary } else { stable }
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
