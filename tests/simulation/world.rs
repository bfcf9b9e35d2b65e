//! The workers and the network of the simulation, on one virtual clock.
//!
//! A worker draws, picks, measures and counts breaches as the proxy does, and hands its marks over every 100 ms; the controller
//! ticks every 100 ms at another phase. Deadlines fall due a millisecond after their limit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::invariants;
use portcullis::domain::outcome::Role;
use portcullis::domain::rollout::{Event, Phase, Record};
use portcullis::domain::split::Draw;
use portcullis::domain::start_order::Fate;
use portcullis::domain::time::Timestamp;
use portcullis::seam::table::{Epoch, Watch};
use portcullis::seam::tripwire::{Claims, Trip};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::controller::{Controller, Mark};
use crate::setup::{Manner, Setup, answers, ms};

const ROUND: Duration = ms(100);
const GRACE: Duration = ms(1);
/// When the proxy gives up on a version that does not answer.
const RESPONSE_TIMEOUT: Duration = ms(15_000);

/// What comes next for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Head,
    End,
    TimeOut,
    Leave,
}

/// A request in flight.
struct Flight {
    worker: usize,
    epoch: Arc<Epoch>,
    decided: (u64, Role),
    /// The start number, 0 for stable.
    seq: u64,
    started: Timestamp,
    manner: Manner,
    claims: Claims,
    head: Option<Duration>,
}

struct Worker {
    draw: Draw,
    marks: Vec<Mark>,
    next_seal: Timestamp,
}

/// Requests of one role.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub decided: u64,
    pub answered: u64,
    pub failed: u64,
    pub aborted: u64,
    pub in_flight: u64,
}

/// Everything, on one virtual clock.
pub struct World {
    pub now: Timestamp,
    pub controller: Controller,
    pub rng: SmallRng,
    /// Stable, canary.
    pub tallies: [Tally; 2],
    /// When each canary request started, in order.
    pub canary_starts: Vec<Timestamp>,
    /// When the flag was set, and what tripped.
    pub trip: Option<(Timestamp, Trip)>,
    /// Until when the controller stands still.
    pub stalled: Timestamp,
    setup: Setup,
    workers: Vec<Worker>,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    queue: BinaryHeap<Reverse<(Timestamp, u64, Next)>>,
    deadlines: Vec<VecDeque<(Timestamp, u64)>>,
    next_arrival: Timestamp,
    next_tick: Timestamp,
    wake: Timestamp,
    seed: u64,
}

impl World {
    /// Makes a world whose rollout has begun.
    pub fn new(setup: &Setup, seed: u64) -> Self {
        let mut world = Self::asleep(setup, seed, 1, None);
        world.command(Event::Begin);
        world
    }

    /// Makes a world whose rollout has not begun.
    pub fn asleep(setup: &Setup, seed: u64, id: u64, durable: Option<Record>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let controller = Controller::new(setup, id, durable, seed);
        let mut worker = || Worker { draw: Draw::new(rng.random()), marks: Vec::new(), next_seal: phase(&mut rng) };
        let workers = (0..setup.workers).map(|_| worker()).collect();
        Self {
            now: Timestamp::ZERO,
            controller,
            tallies: [Tally::default(); 2],
            canary_starts: Vec::new(),
            trip: None,
            stalled: Timestamp::ZERO,
            setup: setup.clone(),
            workers,
            flights: BTreeMap::new(),
            next_flight: 0,
            queue: BinaryHeap::new(),
            deadlines: setup.gates.iter().map(|_| VecDeque::new()).collect(),
            next_arrival: Timestamp::ZERO,
            next_tick: phase(&mut rng),
            wake: Timestamp::NEVER,
            rng,
            seed,
        }
    }

    /// Hands an event of an operator to the controller.
    pub fn command(&mut self, event: Event) {
        self.controller.drive(event, self.now, &mut self.rng);
    }

    /// Runs until the rollout is over or the clock shows `end`.
    pub fn run(&mut self, end: Duration) -> Phase {
        let end = Timestamp::ZERO + end;
        while self.now < end && self.controller.phase() == Phase::Progressing {
            self.step();
        }
        self.controller.phase()
    }

    /// Does what comes next, and checks that no request was lost.
    pub fn step(&mut self) {
        let seal = (0..self.workers.len()).min_by_key(|w| self.workers[*w].next_seal).unwrap();
        let wire = (0..self.deadlines.len()).min_by_key(|w| self.due(*w)).unwrap();
        let tick = self.next_tick.max(self.stalled);
        let times = [
            self.next_arrival,
            self.queue.peek().map_or(Timestamp::NEVER, |Reverse(next)| next.0),
            self.due(wire),
            self.workers[seal].next_seal,
            self.wake.max(self.stalled),
            tick,
        ];
        let which = (0..times.len()).min_by_key(|i| times[*i]).unwrap();
        self.now = times[which];
        match which {
            0 => self.arrive(),
            1 => self.go_on(),
            2 => self.expire(wire),
            3 => self.seal(seal),
            4 => {
                self.wake = Timestamp::NEVER;
                self.controller.check_trip(self.now, &mut self.rng);
            }
            _ => {
                self.next_tick = self.now + ROUND;
                self.controller.tick(self.now, &mut self.rng);
            }
        }
        let in_flight = self.tallies[0].in_flight + self.tallies[1].in_flight;
        assert_eq!(in_flight, self.flights.len() as u64, "seed = {}", self.seed);
        for t in self.tallies {
            self.controller.demand(invariants::i14_requests_are_conserved(t.decided, t.answered, t.failed, t.aborted, t.in_flight));
        }
    }

    fn due(&self, wire: usize) -> Timestamp {
        self.deadlines[wire].front().map_or(Timestamp::NEVER, |entry| entry.0)
    }

    fn arrive(&mut self) {
        let gap = -(1.0 - self.rng.random::<f64>()).ln() / self.setup.rps;
        self.next_arrival = self.now + Duration::from_secs_f64(gap);
        let worker = self.rng.random_range(0..self.workers.len());
        let epoch = Arc::clone(&self.controller.epoch);
        let role = self.pick(worker, &epoch);
        let manner = match role {
            Role::Canary => (self.setup.canary)(&mut self.rng),
            Role::Stable => answers(&mut self.rng, 1, 20),
        };
        let mut flight = Flight {
            worker,
            decided: (epoch.generation, role),
            epoch,
            seq: 0,
            started: self.now,
            manner,
            claims: Claims::new(),
            head: None,
        };
        let key = self.next_flight;
        self.next_flight += 1;
        if role == Role::Canary {
            flight.seq = self.controller.trial.begin();
            self.canary_starts.push(self.now);
            self.workers[worker].marks.push(Mark::Started(flight.seq, self.now));
            for (wire, watch) in flight.epoch.canary.as_ref().unwrap().watches.iter().enumerate() {
                if let Watch::Latency(limit) = watch {
                    self.deadlines[wire].push_back((self.now + *limit + GRACE, key));
                }
            }
        }
        let next = manner.head.map_or((RESPONSE_TIMEOUT, Next::TimeOut), |head| (head, Next::Head));
        self.queue.push(Reverse((self.now + next.0, key, next.1)));
        if let Some(leaves) = manner.leaves {
            self.queue.push(Reverse((self.now + leaves, key, Next::Leave)));
        }
        let tally = &mut self.tallies[role as usize];
        (tally.decided, tally.in_flight) = (tally.decided + 1, tally.in_flight + 1);
        self.flights.insert(key, flight);
    }

    fn pick(&mut self, worker: usize, epoch: &Epoch) -> Role {
        let Some(canary) = &epoch.canary else { return Role::Stable };
        let drawn = self.workers[worker].draw.next(canary.weight, self.rng.random());
        let role = epoch.pick(drawn, self.now);
        let taken_back = canary.trial.is_tripped() || matches!(self.controller.phase(), Phase::RolledBack | Phase::Aborted);
        self.controller.demand(invariants::i2_i12_a_canary_pick_is_allowed(taken_back, epoch.valid_until(), self.now, role));
        role
    }

    /// A head, an end, a time-out or a leaving; what a finished request had in store is void.
    fn go_on(&mut self) {
        let Some(Reverse((_, key, next))) = self.queue.pop() else { return };
        let Some(flight) = self.flights.get_mut(&key) else { return };
        let latency = self.now.since(flight.started);
        match next {
            Next::Head => {
                flight.head = Some(latency);
                let (body, fails) = (flight.manner.body, flight.manner.fails);
                if flight.seq > 0 {
                    self.workers[flight.worker].marks.push(Mark::Answered(flight.seq, latency));
                    self.settle(key, |watch| matches!(watch, Watch::Latency(limit) if latency > *limit), false);
                    if fails {
                        self.settle(key, |watch| matches!(watch, Watch::Errors(_)), false);
                    }
                }
                if body.is_zero() {
                    self.end(key, Next::End);
                } else {
                    self.queue.push(Reverse((self.now + body, key, Next::End)));
                }
            }
            end => self.end(key, end),
        }
    }

    fn end(&mut self, key: u64, how: Next) {
        if how == Next::TimeOut {
            self.settle(key, |_| true, true);
        } else {
            // Whoever left before the limit says nothing about it; after it the deadline has spoken.
            self.settle(key, |_| false, false);
        }
        let Some(flight) = self.flights.remove(&key) else { return };
        let served = (flight.epoch.generation, if flight.seq > 0 { Role::Canary } else { Role::Stable });
        self.controller.demand(invariants::i3_one_request_one_decision(flight.decided, served));
        let tally = &mut self.tallies[flight.decided.1 as usize];
        tally.in_flight -= 1;
        match how {
            Next::TimeOut => tally.failed += 1,
            Next::Leave => tally.aborted += 1,
            Next::Head | Next::End => tally.answered += 1,
        }
        if flight.seq > 0 {
            let fate = match (flight.head, how) {
                (Some(latency), _) => {
                    let errors = if flight.manner.fails { ErrorKinds::SERVER } else { ErrorKinds::NONE };
                    Fate::Measured { latency, duration: self.now.since(flight.started), errors, unanswered: false }
                }
                (None, Next::TimeOut) => {
                    let out = self.now.since(flight.started);
                    Fate::Measured { latency: out, duration: out, errors: ErrorKinds::TIMEOUT, unanswered: true }
                }
                (None, _) => Fate::Excluded { after: self.now.since(flight.started) },
            };
            self.workers[flight.worker].marks.push(Mark::Ended(flight.seq, fate));
        }
    }

    /// Settles wires of a canary request; those that `breaches` counts breach.
    fn settle(&mut self, key: u64, breaches: impl Fn(&Watch) -> bool, unanswered: bool) {
        let Some(flight) = self.flights.get(&key).filter(|f| f.seq > 0) else { return };
        let watches = Arc::clone(&flight.epoch.canary.as_ref().unwrap().watches);
        for (wire, watch) in watches.iter().enumerate() {
            let breach = breaches(watch);
            // An answer settles its latency wires also when it was in time; an error wire is settled by a failure only.
            let first = (breach || !matches!(watch, Watch::Errors(_))) && self.flights[&key].claims.claim(wire);
            if breach && first {
                self.breach(wire, self.flights[&key].seq, unanswered);
            }
        }
    }

    fn breach(&mut self, wire: usize, seq: u64, unanswered: bool) {
        if self.controller.trial.breach(wire, seq, 0, unanswered) {
            assert!(self.trip.is_none(), "seed = {}: tripped twice", self.seed);
            self.trip = Some((self.now, self.controller.trial.trip().unwrap()));
            self.wake = self.now + Duration::from_micros(self.rng.random_range(0..2_000));
        }
    }

    fn expire(&mut self, wire: usize) {
        let Some((_, key)) = self.deadlines[wire].pop_front() else { return };
        let Some(flight) = self.flights.get(&key) else { return };
        if flight.claims.claim(wire) {
            self.breach(wire, flight.seq, true);
        }
    }

    fn seal(&mut self, worker: usize) {
        let sealing = &mut self.workers[worker];
        sealing.next_seal = self.now + ROUND;
        let marks = std::mem::take(&mut sealing.marks);
        self.controller.take_in(worker, marks, self.now);
    }
}

/// A moment within the first round, so that workers and controller do not tick in step.
fn phase(rng: &mut SmallRng) -> Timestamp {
    Timestamp::from_nanos(rng.random_range(0..100_000_000))
}
