//! The controller of the simulation: takes in marks, judges on its tick, carries out effects, and checks each step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use portcullis::domain::gate::{Criterion, Evidence, Gate};
use portcullis::domain::invariants;
use portcullis::domain::outcome::Role;
use portcullis::domain::rollout::judge::alpha_of_one_gate;
use portcullis::domain::rollout::{Effect, Event, Judge, Phase, Record, Rollout, WireCount};
use portcullis::domain::start_order::Fate;
use portcullis::domain::time::Timestamp;
use portcullis::domain::weight::Weight;
use portcullis::seam::table::{Canary, Epoch, Watch};
use portcullis::seam::tripwire::{Tables, Trial};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::setup::{Setup, table, version};

/// How long an epoch is valid unless renewed.
pub const VALIDITY: Duration = Duration::from_secs(2);

/// One event of a canary request, as a worker reports it.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    Started(u64, Timestamp),
    Answered(u64, Duration),
    Ended(u64, Fate),
}

/// The controller of one service.
pub struct Controller {
    pub rollout: Rollout,
    pub judge: Judge,
    pub trial: Arc<Trial>,
    pub epoch: Arc<Epoch>,
    pub durable: Option<Record>,
    /// Until when each worker has reported everything.
    pub known: Vec<Timestamp>,
    /// How many effects are carried out before the process is killed.
    pub crash_in: Option<usize>,
    gates: Vec<Gate>,
    watches: Arc<[Watch]>,
    disk_fails: f64,
    judged_too_late: bool,
    seed: u64,
}

impl Controller {
    pub fn new(setup: &Setup, id: u64, durable: Option<Record>, seed: u64) -> Self {
        let gates = setup.gates();
        let alpha = alpha_of_one_gate(setup.alpha, gates.len());
        let wires = gates.iter().filter_map(|gate| match gate.criterion {
            Criterion::Latency { share, limit, .. } => Some((Watch::Latency(limit), Tables::without_step(table(share, alpha)))),
            Criterion::Errors { share, kinds } => Some((Watch::Errors(kinds), Tables::without_step(table(share, alpha)))),
            _ => None,
        });
        let (watches, tables): (Vec<Watch>, Vec<Tables>) = wires.unzip();
        let generation = durable.as_ref().map_or(1, |r| r.generation);
        let service = || "carts".parse().unwrap();
        Self {
            rollout: Rollout::new(id, service(), version("v1"), version("v2"), setup.plan(), generation),
            judge: Judge::new("v2".parse().unwrap(), &gates, setup.alpha, setup.beta),
            trial: Arc::new(Trial::new(tables, 1)),
            epoch: Arc::new(Epoch::new(service(), id, generation, Arc::new(version("v1")), None, Timestamp::NEVER)),
            durable,
            known: vec![Timestamp::ZERO; setup.workers],
            crash_in: None,
            gates,
            watches: watches.into(),
            disk_fails: setup.disk_fails,
            judged_too_late: setup.judged_too_late,
            seed,
        }
    }

    pub fn phase(&self) -> Phase {
        self.rollout.record().phase
    }

    /// Says whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.crash_in == Some(0)
    }

    /// Fails the test with the seed when an invariant is broken.
    pub fn demand(&self, held: Result<(), invariants::Broken>) {
        if let Err(broken) = held {
            panic!("seed = {}: {broken}", self.seed);
        }
    }

    pub fn take_in(&mut self, worker: usize, marks: Vec<Mark>, until: Timestamp) {
        for mark in marks {
            match mark {
                Mark::Started(seq, at) => self.judge.started(seq, at),
                Mark::Answered(seq, latency) => self.judge.answered(seq, latency),
                Mark::Ended(seq, fate) => self.judge.ended(seq, fate),
            }
        }
        self.known[worker] = until;
    }

    /// A worker says that the trial has tripped, or the tick looks for itself.
    pub fn check_trip(&mut self, now: Timestamp, rng: &mut SmallRng) {
        if self.phase() == Phase::Progressing
            && let Some(evidence) = self.trip_evidence()
        {
            self.drive(Event::Tripped(evidence), now, rng);
        }
    }

    fn trip_evidence(&self) -> Option<Evidence> {
        let trip = self.trial.trip()?;
        let gate = self.gates.iter().filter(|g| g.criterion.is_wired()).nth(trip.wire).unwrap();
        let evidence = Evidence::of_trip(gate, &"v2".parse().unwrap(), self.judge.alpha_each(), trip.requests, trip.breaches, 0);
        assert!(evidence.log_e >= evidence.log_threshold, "seed = {}: tripped without evidence: {evidence:?}", self.seed);
        Some(evidence)
    }

    /// Judges, decides, and renews the epoch.
    pub fn tick(&mut self, now: Timestamp, rng: &mut SmallRng) {
        self.check_trip(now, rng);
        if self.phase() == Phase::Progressing && now > self.epoch.valid_until() {
            self.judge.begin_step(self.trial.started() + 1);
            self.drive(Event::Lapsed, now, rng);
        }
        if self.phase().is_terminal() && !self.rollout.is_unsaved() {
            return;
        }
        let counts = self.trial.counts().into_iter().map(|c| c.cumulative);
        let wires: Vec<WireCount> =
            counts.map(|c| WireCount { requests: c.requests, breaches: c.breaches, unanswered: c.unanswered }).collect();
        let reported = self.known.iter().copied().min().unwrap();
        let judgement = self.judge.tick(if self.judged_too_late { now } else { reported }, &wires);
        self.drive(Event::Judged { judgement, file: None }, now, rng);
        if self.phase() == Phase::Progressing {
            self.epoch.renew(self.epoch.valid_until().max(reported + VALIDITY));
        }
    }

    /// Hands one event to the machine, carries out what it asks and what follows, and checks every step.
    pub fn drive(&mut self, event: Event, now: Timestamp, rng: &mut SmallRng) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let before = self.rollout.clone();
            let effects = self.rollout.handle(now, event.clone());
            self.demand(invariants::after_step(&before.view(), now, &event, &effects, &self.rollout.view()));
            for effect in effects {
                if self.is_dead() {
                    return;
                }
                self.crash_in = self.crash_in.map(|effects| effects - 1);
                match effect {
                    Effect::Publish { generation, owner, weight } => self.publish(generation, owner, weight, now),
                    Effect::Persist { record, .. } => events.push_back(self.persist(*record, rng)),
                    Effect::Notify { sentence, .. } => assert!(!sentence.is_empty()),
                }
                self.demand(self.nothing_beyond_what_is_durable());
            }
        }
    }

    /// I11 before the fact: were the process killed now, no restart could find less than what is published.
    fn nothing_beyond_what_is_durable(&self) -> Result<(), invariants::Broken> {
        if self.durable.as_ref().is_some_and(|r| r.phase == Phase::Promoted) {
            // Everything is the canary's, whether or not that is published yet.
            return Ok(());
        }
        assert_eq!(self.epoch.stable.name.as_str(), "v1", "seed = {}: promoted before it was durable", self.seed);
        invariants::i11_unknown_is_safe(self.durable.as_ref(), self.epoch.canary.as_ref().map_or(Weight::ZERO, |c| c.weight))
    }

    fn publish(&mut self, generation: u64, owner: Role, weight: Weight, now: Timestamp) {
        assert!(generation > self.epoch.generation, "seed = {}: {generation} after {}", self.seed, self.epoch.generation);
        let stable = if owner == Role::Canary { version("v2") } else { version("v1") };
        // Even a canary without a share stays in the epoch here: its weight alone must keep it from getting anything.
        let canary = (owner == Role::Stable).then(|| Canary {
            version: Arc::new(version("v2")),
            weight,
            trial: Arc::clone(&self.trial),
            watches: Arc::clone(&self.watches),
            outcome_deadline: None,
            probe_spacing: None,
        });
        if weight > Weight::ZERO {
            self.judge.begin_step(self.trial.started() + 1);
        }
        let (service, id) = (self.epoch.service.clone(), self.rollout.record().id);
        self.epoch = Arc::new(Epoch::new(service, id, generation, Arc::new(stable), canary, now + VALIDITY));
    }

    fn persist(&mut self, record: Record, rng: &mut SmallRng) -> Event {
        if self.disk_fails > 0.0 && rng.random_bool(self.disk_fails) {
            return Event::PersistFailed("the disk is full".to_owned());
        }
        let goes_forward = matches!(record.phase, Phase::Progressing | Phase::Promoted);
        self.durable = Some(record);
        match self.trip_evidence() {
            Some(evidence) if goes_forward => Event::Tripped(evidence),
            _ => Event::Persisted,
        }
    }
}
