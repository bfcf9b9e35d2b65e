//! The data plane of a run: workers that draw, pick, measure and report, and what becomes of each request.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::domain::outcome::{Failure, Outcome, Role};
use crate::domain::split::Draw;
use crate::domain::time::Timestamp;
use crate::domain::timeouts::Timeouts;
use crate::seam::report::Mark;
use crate::seam::sample::Due;
use crate::seam::table::Epoch;
use crate::seam::valve::Valve;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::versions::Manner;
use crate::simulate::world::control::Batch;
use crate::simulate::world::flight::{End, Flight};

/// How long after its limit a request is looked at, as in the proxy.
const GRACE: Duration = Duration::from_millis(1);

/// How many clients there are; which of them asks is drawn.
const CLIENTS: usize = 1_000;

/// What comes next for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Head,
    End(End),
}

/// A place in the slab with the request that had it.
type Key = (usize, u64);

/// When what of which request comes due.
type Lane = VecDeque<(Timestamp, Key, Due)>;

#[derive(Debug)]
struct Worker {
    draw: Draw,
    batches: Vec<Batch>,
    next_report: Timestamp,
    /// Its stable requests of which rollout, so far.
    stable: (u64, u64),
    /// How many requests of the stable version it holds.
    held: u32,
}

impl Worker {
    fn batch(&mut self, epoch: &Epoch) -> &mut Batch {
        let (rollout, generation) = (epoch.rollout, epoch.generation);
        let at = self.batches.iter().rposition(|batch| batch.rollout == rollout && batch.generation == generation);
        let at = at.unwrap_or(self.batches.len());
        if at == self.batches.len() {
            self.batches.push(Batch::new(rollout, generation));
        }
        // It was found or has just been pushed.
        #[expect(clippy::indexing_slicing, reason = "the index was found or made two lines above")]
        &mut self.batches[at]
    }

    fn mark(&mut self, epoch: &Epoch, role: Role, mark: Mark) {
        let batch = self.batch(epoch);
        match role {
            Role::Canary => batch.marks.push(mark),
            Role::Stable | Role::Beside => batch.stable_marks.note(mark),
        }
    }
}

/// Something that happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The request that ended, and how.
    pub ended: Option<(Role, End)>,
    /// The rollout whose trial has just tripped.
    pub tripped: Option<u64>,
    /// The breaches that tripped it.
    pub breaches: u64,
}

/// The data plane of a run.
#[derive(Debug)]
pub struct Plane {
    workers: Vec<Worker>,
    flights: Slab<Flight>,
    queue: BinaryHeap<Reverse<(Timestamp, u64, usize, Next)>>,
    /// Requests that wait, by limit, in the order in which they come due.
    lanes: Vec<(Duration, Lane)>,
    round: Duration,
    chance: Chance,
    last: u64,
    response_timeout: Duration,
    /// Whether it tells how the stable version answers, which costs time and matters where it can be overrun.
    observes: bool,
}

impl Plane {
    /// Makes workers that report once per `round`, each at its own moment of it.
    pub fn new(workers: usize, round: Duration, observes: bool, seed: u64) -> Self {
        let mut chance = Chance::new(seed, Stream::Plane);
        let worker = |chance: &mut Chance| Worker {
            draw: Draw::new(chance.word()),
            batches: Vec::new(),
            next_report: Timestamp::ZERO + round.mul_f64(chance.unit()),
            stable: (0, 0),
            held: 0,
        };
        Self {
            workers: (0..workers).map(|_| worker(&mut chance)).collect(),
            flights: Slab::new(),
            queue: BinaryHeap::new(),
            lanes: Vec::new(),
            round,
            chance,
            last: 0,
            observes,
            response_timeout: Timeouts::default().response,
        }
    }

    /// Returns how many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Draws the worker and the version of a request that begins now; what was drawn, and what is picked.
    pub fn pick(&mut self, epoch: &Epoch, now: Timestamp) -> (usize, Role) {
        let worker = self.chance.below(self.workers.len());
        let (Some(canary), Some(state)) = (&epoch.canary, self.workers.get_mut(worker)) else { return (worker, Role::Stable) };
        let drawn = state.draw.next(canary.weight, self.chance.word());
        (worker, epoch.pick(drawn, now))
    }

    /// Says whether the valve lets a worker take one more request of the stable version; one that it does not is counted as failed.
    pub fn admits(&mut self, worker: usize, epoch: &Epoch, valve: &Valve, now: Timestamp) -> bool {
        let Some(state) = self.workers.get_mut(worker) else { return true };
        let admitted = valve.admits(worker, state.held, now);
        if !admitted {
            let batch = state.batch(epoch);
            batch.count(Role::Stable);
            batch.ended(Outcome::Failed(Failure::Shed), None, Duration::ZERO);
        }
        admitted
    }

    /// Begins a request.
    pub fn begin(&mut self, worker: usize, epoch: &Arc<Epoch>, role: Role, manner: Manner, now: Timestamp) {
        let Some(state) = self.workers.get_mut(worker) else { return };
        self.last += 1;
        let id = self.last;
        let mut flight = Flight::new(id, worker, Arc::clone(epoch), role, now, manner);
        flight.client = 1 + self.chance.below(CLIENTS) as u64;
        flight.number = match (&epoch.canary, role) {
            (Some(canary), Role::Canary) => canary.trial.begin(),
            (Some(_), Role::Stable | Role::Beside) => {
                if state.stable.0 != epoch.rollout {
                    state.stable = (epoch.rollout, 0);
                }
                state.stable.1 += 1;
                state.stable.1
            }
            (None, _) => 0,
        };
        state.batch(epoch).count(role);
        state.held += u32::from(role == Role::Stable);
        if flight.number > 0 {
            state.mark(epoch, role, Mark::Started(flight.number, now));
        }
        let key = self.flights.insert(flight);
        let (after, next) = match manner.head {
            _ if manner.refused => (manner.head.unwrap_or_default(), Next::End(End::Refused)),
            Some(head) if head <= self.response_timeout => (head, Next::Head),
            _ => (self.response_timeout, Next::End(End::TimeOut)),
        };
        self.queue.push(Reverse((now + after, id, key, next)));
        if let Some(leaves) = manner.leaves.filter(|leaves| *leaves < after + manner.body) {
            self.queue.push(Reverse((now + leaves, id, key, Next::End(End::Left))));
        }
        if let Some(flight) = self.flights.get(key) {
            for (due, limit) in flight.dues() {
                let lane = self.lanes.iter().position(|lane| lane.0 == limit).unwrap_or_else(|| {
                    self.lanes.push((limit, Lane::new()));
                    self.lanes.len() - 1
                });
                if let Some((_, lane)) = self.lanes.get_mut(lane) {
                    lane.push_back((now + limit + GRACE, (key, id), due));
                }
            }
        }
    }

    /// Returns when something happens to a request next.
    pub fn next(&self) -> Timestamp {
        self.next_answer().min(self.next_deadline().0)
    }

    fn next_answer(&self) -> Timestamp {
        self.queue.peek().map_or(Timestamp::NEVER, |Reverse(next)| next.0)
    }

    fn next_deadline(&self) -> (Timestamp, usize) {
        let due = |lane: &Lane| lane.front().map_or(Timestamp::NEVER, |entry| entry.0);
        let lanes = self.lanes.iter().enumerate().map(|(index, lane)| (due(&lane.1), index));
        lanes.min().unwrap_or((Timestamp::NEVER, 0))
    }

    /// Lets what comes next happen to a request; answers come before deadlines of the same moment.
    pub fn go_on(&mut self) -> Happened {
        let nothing = Happened { ended: None, tripped: None, breaches: 0 };
        let (due, lane) = self.next_deadline();
        if due < self.next_answer() {
            let entry = self.lanes.get_mut(lane).and_then(|lane| lane.1.pop_front());
            let Some((_, (key, id), due)) = entry else { return nothing };
            let Some(flight) = self.flights.get_mut(key).filter(|flight| flight.id == id) else { return nothing };
            return if flight.expire(due) { with_trip(nothing, flight) } else { nothing };
        }
        let Some(Reverse((now, id, key, next))) = self.queue.pop() else { return nothing };
        let Some(flight) = self.flights.get_mut(key).filter(|flight| flight.id == id) else { return nothing };
        match next {
            Next::Head => {
                let latency = now.since(flight.started);
                let tripped = flight.answer(latency);
                if let Some(worker) = self.workers.get_mut(flight.worker).filter(|_| flight.number > 0) {
                    worker.mark(&flight.epoch, flight.role, Mark::Answered(flight.number, latency));
                }
                let happened = if tripped { with_trip(nothing, flight) } else { nothing };
                let body = flight.manner.body;
                if body.is_zero() {
                    let ended = self.end(key, End::Complete, now);
                    return Happened { ended: ended.ended, ..if tripped { happened } else { ended } };
                }
                self.queue.push(Reverse((now + body, id, key, Next::End(End::Complete))));
                happened
            }
            Next::End(how) => self.end(key, how, now),
        }
    }

    fn end(&mut self, key: usize, how: End, now: Timestamp) -> Happened {
        let flight = self.flights.remove(key);
        let (fate, tripped) = flight.end(how, now);
        if flight.role == Role::Stable
            && let Some(worker) = self.workers.get_mut(flight.worker)
        {
            worker.held = worker.held.saturating_sub(1);
            if self.observes {
                let (outcome, head) = flight.outcome(how);
                worker.batch(&flight.epoch).ended(outcome, head, now.since(flight.started));
            }
        }
        if let Some(worker) = self.workers.get_mut(flight.worker).filter(|_| flight.number > 0) {
            worker.mark(&flight.epoch, flight.role, Mark::Ended(flight.number, fate));
        }
        let happened = Happened { ended: Some((flight.role, how)), tripped: None, breaches: 0 };
        if tripped { with_trip(happened, &flight) } else { happened }
    }

    /// Returns which worker reports next, and when.
    pub fn next_report(&self) -> (Timestamp, usize) {
        let reports = self.workers.iter().enumerate().map(|(index, worker)| (worker.next_report, index));
        reports.min().unwrap_or((Timestamp::NEVER, 0))
    }

    /// Seals what a worker saw.
    pub fn report(&mut self, worker: usize) -> Vec<Batch> {
        let round = self.round;
        self.workers.get_mut(worker).map_or_else(Vec::new, |worker| {
            worker.next_report = worker.next_report + round;
            std::mem::take(&mut worker.batches)
        })
    }

    /// Keeps a worker's reports out until then.
    pub fn silence(&mut self, worker: usize, until: Timestamp) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.next_report = worker.next_report.max(until);
        }
    }

    /// Loses every request and everything not reported, because the process was killed; returns how many requests that were.
    pub fn lose_all(&mut self) -> usize {
        let lost = self.flights.len();
        self.flights.clear();
        self.queue.clear();
        self.lanes.clear();
        for worker in &mut self.workers {
            worker.batches.clear();
            worker.stable = (0, 0);
            worker.held = 0;
        }
        lost
    }
}

fn with_trip(happened: Happened, flight: &Flight) -> Happened {
    let breaches = flight.epoch.canary.as_ref().and_then(|canary| canary.trial.trip()).map_or(0, |trip| trip.breaches);
    Happened { tripped: Some(flight.epoch.rollout), breaches, ..happened }
}
