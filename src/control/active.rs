//! A rollout under control with everything that belongs to it: machine, judge, trial, and what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::control::setup::{Grader, ServiceSetup};
use crate::control::status::{FileStatus, RolloutStatus, TripStatus};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::live::Measured;
use crate::domain::gate::{Criterion, Gate};
use crate::domain::observation::Window;
use crate::domain::rollout::judge::{alpha_of_one_gate, is_latency_breach};
use crate::domain::rollout::{Judge, Judgement, Phase, Record, Rollout, ServiceState};
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::domain::tripwire::n_max_table;
use crate::domain::version::Version;
use crate::seam::table::{Epoch, Watch};
use crate::seam::tripwire::{Tables, Trial};

/// A rollout with everything that belongs to it.
pub(super) struct Active {
    pub(super) machine: Rollout,
    pub(super) judge: Judge,
    pub(super) gates: Vec<Gate>,
    pub(super) trial: Arc<Trial>,
    pub(super) canary: Arc<Version>,
    pub(super) watches: Arc<[Watch]>,
    /// What was seen of the canary in the current or last step.
    pub(super) step_window: Window,
    /// The generation of that step; 0 before the first.
    pub(super) step_generation: u64,
    /// Whether `file` says what `step_window` holds.
    pub(super) is_graded: bool,
    pub(super) judgement: Judgement,
    pub(super) file: Option<FileStatus>,
    /// Canary requests that have not ended: when each began, and whether its response head is there.
    pub(super) open: BTreeMap<u64, (Timestamp, bool)>,
    pub(super) trip: Option<TripStatus>,
    /// Whether its times are those of the data plane.
    pub(super) is_trip_exact: bool,
    pub(super) first_breach: Option<Timestamp>,
    pub(super) last_started: Option<Timestamp>,
}

pub(super) fn bare_status(record: &Record) -> RolloutStatus {
    RolloutStatus {
        id: record.id,
        stable: record.stable.clone(),
        canary: record.canary.clone(),
        phase: record.phase,
        step: record.step,
        steps: 0,
        weight: record.weight,
        generation: record.generation,
        reason: record.reason.clone(),
        evidence: record.evidence.clone(),
        gates: Vec::new(),
        file: None,
        needs: None,
        canary_requests: 0,
        trip: None,
        durable: false,
    }
}

impl Active {
    /// Arms a rollout that has not begun with the service's gates.
    pub(super) fn new(machine: Rollout, setup: &ServiceSetup) -> Self {
        let gates = setup.gates.clone();
        let alpha = alpha_of_one_gate(setup.policy.alpha, gates.len());
        let watched = gates.iter().filter_map(|gate| match gate.criterion {
            Criterion::Latency { share, limit, .. } => Some((Watch::Latency(limit), Tables::without_step(n_max_table(share, alpha)))),
            Criterion::Errors { share, kinds } => Some((Watch::Errors(kinds), Tables::without_step(n_max_table(share, alpha)))),
            _ => None,
        });
        let (watches, tables): (Vec<Watch>, Vec<Tables>) = watched.unzip();
        let canary = machine.record().canary.clone();
        Self {
            judge: Judge::new(canary.name.clone(), &gates, setup.policy.alpha, setup.policy.beta),
            machine,
            gates,
            trial: Arc::new(Trial::new(tables, 1)),
            canary: Arc::new(canary),
            watches: watches.into(),
            step_window: Window::default(),
            step_generation: 0,
            is_graded: false,
            judgement: Judgement::default(),
            file: None,
            open: BTreeMap::new(),
            trip: None,
            is_trip_exact: false,
            first_breach: None,
            last_started: None,
        }
    }

    pub(super) fn is_breach(&self, fate: Fate) -> bool {
        self.gates.iter().any(|gate| match (gate.criterion, fate) {
            (Criterion::Latency { limit, .. }, Fate::Measured { latency, unanswered, .. }) => is_latency_breach(latency, unanswered, limit),
            (Criterion::Errors { kinds, .. }, Fate::Measured { errors, .. }) => kinds.meets(errors),
            (Criterion::Mean { limit, .. }, Fate::Measured { latency, .. }) => latency > limit,
            // The client left, but only after the limit had passed.
            (Criterion::Latency { limit, .. } | Criterion::Mean { limit, .. }, Fate::Excluded { after }) => after > limit,
            _ => false,
        })
    }

    pub(super) fn answered(&mut self, seq: u64, latency: Duration) {
        let head = Fate::Measured { latency, duration: latency, errors: ErrorKinds::NONE, unanswered: false };
        let slow = self.is_breach(head);
        if let Some((at, answered)) = self.open.get_mut(&seq) {
            *answered = true;
            let at = *at;
            if slow {
                self.breached(at);
            }
        }
    }

    /// Grades the step by the gate file, when there is one and something has changed.
    pub(super) fn grade(&mut self, grader: Option<&Grader>) {
        let Some(grade) = grader else { return };
        if std::mem::replace(&mut self.is_graded, true) {
            return;
        }
        let window = &self.step_window;
        let quantile = |q: f64| window.response_time.value_at_quantile(q) as f64 * 1e3;
        let measured = Measured {
            key: self.canary.name.as_str(),
            count: window.response_time.len(),
            mean_ns: window.mean_response_time_ns().unwrap_or(f64::NAN),
            quantile: &quantile,
        };
        let (verdict, reason) = grade(&measured);
        self.file = Some(FileStatus { verdict, reason });
    }

    pub(super) fn breached(&mut self, started: Timestamp) {
        self.first_breach = Some(self.first_breach.map_or(started, |first| first.min(started)));
    }

    /// Notes a trip as a worker told it.
    pub(super) fn note_trip(&mut self, evident: Timestamp, at: Timestamp) {
        if !std::mem::replace(&mut self.is_trip_exact, true) {
            self.set_trip(evident, at);
        }
    }

    /// Notes a trip as a tick found it: the worker's message is on its way or was lost.
    pub(super) fn find_trip(&mut self, now: Timestamp) {
        if self.trip.is_none() {
            self.set_trip(now, now);
        }
    }

    fn set_trip(&mut self, evident: Timestamp, at: Timestamp) {
        let (breaches, requests) = self.trial.trip().map_or((0, 0), |t| (t.breaches, t.requests));
        self.trip =
            Some(TripStatus { evident_ns: evident.as_nanos(), tripped_ns: at.as_nanos(), breaches, requests, ..TripStatus::default() });
    }

    /// Completes what is known of the trip as the workers' marks come in.
    pub(super) fn follow_trip(&mut self, now: Timestamp) {
        let tripped = self.trip.as_ref().map_or(now, |t| Timestamp::from_nanos(t.tripped_ns));
        let shortest = self.watches.iter().filter_map(|w| match w {
            Watch::Latency(limit) => Some(*limit),
            Watch::Duration(_) | Watch::Errors(_) => None,
        });
        let waiting = self.open.values().find(|(_, answered)| !answered).map(|(at, _)| *at);
        if let (Some(limit), Some(at)) = (shortest.min(), waiting)
            && tripped.since(at) > limit
        {
            self.breached(at);
        }
        let (first, last) = (self.first_breach, self.last_started);
        if let Some(trip) = &mut self.trip {
            trip.first_breach_started_ns = first.map(Timestamp::as_nanos);
            trip.last_canary_started_ns = last.map(Timestamp::as_nanos);
            trip.started_after_trip =
                u64::from(last.is_some_and(|at| at > tripped)) * self.open.values().filter(|(at, _)| *at > tripped).count().max(1) as u64;
        }
    }

    pub(super) fn status(&self, epoch: &Epoch, state: &ServiceState) -> RolloutStatus {
        let record = self.machine.record();
        let durable = state.rollout.as_ref().is_some_and(|r| r.id == record.id && r.phase == record.phase);
        RolloutStatus {
            steps: self.machine.plan().steps().len(),
            weight: if record.phase == Phase::Progressing { epoch.weight() } else { record.weight },
            gates: self.judgement.gates.clone(),
            file: self.file.clone(),
            needs: self.judgement.needs(),
            canary_requests: self.trial.started(),
            trip: self.trip.clone(),
            durable,
            ..bare_status(record)
        }
    }
}
