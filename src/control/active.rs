//! A rollout under control with everything that belongs to it: machine, judge, trial, and what is shown of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::control::arming::Armoury;
use crate::control::setup::{Grader, ServiceSetup};
use crate::control::status::{FileStatus, RolloutStatus, TripStatus};
use crate::control::terms::{PlanStatus, PolicyStatus};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::Timing;
use crate::domain::gate::live::Measured;
use crate::domain::gate::{Criterion, Gate};
use crate::domain::judge::{Arm, Judge, Judgement};
use crate::domain::observation::{Observation, Window};
use crate::domain::outcome::Role;
use crate::domain::rollout::{Arming, Phase, Record, Rollout, ServiceState};
use crate::domain::standing::Standing;
use crate::domain::start_order::Fate;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::seam::report::Mark;
use crate::seam::table::{Canary, Epoch, Watch};
use crate::seam::tripwire::{Trial, Trip};

/// A rollout with everything that belongs to it.
pub(super) struct Active {
    pub(super) machine: Rollout,
    pub(super) judge: Judge,
    pub(super) gates: Vec<Gate>,
    pub(super) trial: Arc<Trial>,
    pub(super) canary: Arc<Version>,
    armoury: Armoury,
    /// What was seen of the canary in the current or last step.
    step_window: Window,
    /// What was seen of stable at the same time, or in the step before as long as nothing was.
    stable_window: Window,
    /// Whether `stable_window` is that of the same step.
    is_stable_fresh: bool,
    /// The generations of that step: its own and that of its probes.
    pub(super) step_generations: BTreeSet<u64>,
    /// The generations of probes.
    pub(super) probes: BTreeSet<u64>,
    /// Whether `file` says what the windows hold.
    pub(super) is_graded: bool,
    pub(super) judgement: Judgement,
    pub(super) file: Option<FileStatus>,
    /// Canary requests that have not ended: when each began, and whether its response head is there.
    pub(super) open: BTreeMap<u64, (Timestamp, bool)>,
    pub(super) trip: Option<TripStatus>,
    /// What tripped last.
    pub(super) tripped: Option<Trip>,
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
        actor: record.actor.clone(),
        warned: record.warned,
        evidence: record.evidence.clone(),
        gates: Arc::default(),
        file: None,
        needs: None,
        needs_seconds: None,
        held_seconds: None,
        warm_up_seconds: None,
        plan: None,
        policy: None,
        rate: 0.0,
        brakes: record.brakes,
        canary_requests: 0,
        trip: None,
        durable: false,
    }
}

impl Active {
    /// Prepares a rollout that has not begun with the service's gates.
    pub(super) fn new(machine: Rollout, setup: &ServiceSetup) -> Self {
        let gates = setup.gates.clone();
        let canary = machine.record().canary.clone();
        let (policy, steps) = (*machine.policy(), machine.plan().steps().len());
        let mut judge = Judge::new(canary.name.clone(), &gates, &policy, steps);
        judge.allow_harm(machine.plan().harm());
        let armoury = Armoury::new(&gates, policy, steps);
        Self {
            judge,
            machine,
            gates,
            trial: armoury.unarmed(),
            armoury,
            canary: Arc::new(canary),
            step_window: Window::default(),
            stable_window: Window::default(),
            is_stable_fresh: false,
            step_generations: BTreeSet::new(),
            probes: BTreeSet::new(),
            is_graded: false,
            judgement: Judgement::default(),
            file: None,
            open: BTreeMap::new(),
            trip: None,
            tripped: None,
            is_trip_exact: false,
            first_breach: None,
            last_started: None,
        }
    }

    /// Arms the epoch of a generation and returns what the table says of the canary.
    pub(super) fn arm(&mut self, arming: Arming, weight: Weight, generation: u64, now: Timestamp) -> Option<Canary> {
        self.trial = self.armoury.trial(arming, &self.trial);
        let first = self.trial.started() + 1;
        match arming {
            Arming::Nothing => {}
            Arming::Probes(_) => {
                // Probes count for the step that was braked.
                self.probes.insert(generation);
                self.step_generations.insert(generation);
                self.judge.epoch(generation, None);
            }
            Arming::WarmUp => {
                self.judge.warm_until(now + self.machine.policy().warm_up);
                self.begin_step(first, weight, generation);
            }
            Arming::Fresh { halvings } => {
                self.forget_trip();
                self.judge.begin_trial(first);
                self.judge.resume(first, halvings);
                self.begin_step(first, weight, generation);
            }
            Arming::NextStep => {
                self.judge.end_watch();
                self.begin_step(first, weight, generation);
            }
            Arming::Held => {
                self.step_generations.insert(generation);
                self.judge.epoch(generation, Some(weight));
            }
            Arming::Watch => {
                self.begin_step(first, weight, generation);
                self.judge.watch(first);
            }
        }
        self.armoury.canary(arming, weight, &self.canary, &self.trial)
    }

    fn begin_step(&mut self, first: u64, weight: Weight, generation: u64) {
        self.judge.epoch(generation, Some(weight));
        self.step_generations.clear();
        self.step_generations.insert(generation);
        self.restart_step(first);
    }

    /// Lets the evidence of the step begin again with canary request number `first`.
    pub(super) fn restart_step(&mut self, first: u64) {
        self.judge.begin_step(first);
        self.step_window = Window::default();
        self.is_stable_fresh = false;
        self.is_graded = false;
    }

    /// Takes in what a worker saw of a version. An answer counts for the step that asked, also when it comes after the end. At
    /// 100 % nothing is seen of stable beside the canary: what was seen of it in the step before then stands.
    pub(super) fn observe(&mut self, generation: u64, observation: &Observation) {
        if !self.step_generations.contains(&generation) {
            return;
        }
        if observation.role == Role::Canary {
            self.step_window.merge(observation);
        } else {
            if !std::mem::replace(&mut self.is_stable_fresh, true) {
                self.stable_window = Window::default();
            }
            self.stable_window.merge(observation);
        }
        self.is_graded = false;
    }

    fn forget_trip(&mut self) {
        (self.trip, self.tripped, self.is_trip_exact) = (None, None, false);
        (self.first_breach, self.last_started) = (None, None);
    }

    pub(super) fn is_breach(&self, fate: Fate) -> bool {
        self.gates.iter().any(|gate| match (gate.criterion, fate) {
            (Criterion::Latency { limit, timing, .. }, Fate::Measured { latency, duration, unanswered, .. }) => {
                unanswered || (if timing == Timing::Duration { duration } else { latency }) > limit
            }
            (Criterion::Errors { kinds, .. }, Fate::Measured { errors, .. }) => kinds.meets(errors),
            (Criterion::Mean { limit, .. }, Fate::Measured { latency, .. }) => latency > limit,
            // The client left, but only after the limit had passed.
            (Criterion::Latency { limit, .. } | Criterion::Mean { limit, .. }, Fate::Excluded { after }) => after > limit,
            _ => false,
        })
    }

    /// Takes in one event of a canary request.
    pub(super) fn take(&mut self, generation: u64, mark: Mark) {
        match mark {
            Mark::Started(seq, at) => {
                self.judge.started(Arm::Canary, generation, seq, at);
                if !self.probes.contains(&generation) {
                    self.open.insert(seq, (at, false));
                    self.last_started = self.last_started.max(Some(at));
                }
            }
            Mark::Answered(seq, latency) => {
                self.judge.answered(Arm::Canary, seq, latency);
                self.answered(seq, latency);
            }
            Mark::Ended(seq, fate) => {
                self.judge.ended(Arm::Canary, seq, fate);
                if let Some((at, _)) = self.open.remove(&seq)
                    && self.is_breach(fate)
                {
                    self.breached(at);
                }
            }
        }
    }

    fn answered(&mut self, seq: u64, latency: Duration) {
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
        let (canary, stable) = (&self.step_window, &self.stable_window);
        let quantiles = [canary, stable].map(|window| |q: f64| window.response_time.value_at_quantile(q) as f64 * 1e3);
        let [of_canary, of_stable] = &quantiles;
        let measured = |key, window: &Window, quantile| Measured {
            key,
            count: window.response_time.len(),
            mean_ns: window.mean_response_time_ns().unwrap_or(f64::NAN),
            quantile,
            classes: window.classes,
        };
        let compared = (stable.ended() > 0).then(|| measured("stable", stable, of_stable));
        let (verdict, reason) = grade(&measured(self.canary.name.as_str(), canary, of_canary), compared.as_ref());
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
        self.tripped = self.trial.trip().or(self.tripped);
        let (breaches, requests) = self.tripped.map_or((0, 0), |t| (t.breaches, t.requests));
        self.trip =
            Some(TripStatus { evident_ns: evident.as_nanos(), tripped_ns: at.as_nanos(), breaches, requests, ..TripStatus::default() });
    }

    /// Completes what is known of the trip as the workers' marks come in.
    pub(super) fn follow_trip(&mut self, now: Timestamp) {
        let tripped = self.trip.as_ref().map_or(now, |t| Timestamp::from_nanos(t.tripped_ns));
        let shortest = self.armoury.watches().iter().filter_map(|w| match w {
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

    /// Returns how long the missing evidence takes at the present traffic, in seconds.
    fn needs_seconds(&self, epoch: &Epoch) -> Option<f64> {
        let canary_rate = self.judgement.rate * epoch.weight().ratio();
        self.judgement.needs().filter(|_| canary_rate > 0.0).map(|needs| needs as f64 / canary_rate)
    }

    /// Returns how much of the step's hold is left, in seconds; `None` where nothing is held.
    fn held_seconds(&self, now: Timestamp) -> Option<f64> {
        let record = self.machine.record();
        let whole = match record.phase {
            Phase::Progressing => self.machine.plan().step(record.step)?.hold,
            Phase::AwaitingApproval => self.machine.owed()?.deadline,
            Phase::Watching => self.machine.policy().watch,
            Phase::Braked => self.machine.policy().confirm_within(),
            Phase::Receding => self.machine.view().recession?.within,
            _ => return None,
        };
        Some(whole.saturating_sub(now.since(self.machine.since())).as_secs_f64())
    }

    fn is_durable(&self, state: &ServiceState) -> bool {
        let record = self.machine.record();
        // Each decision is a generation of its own, also within a phase.
        state.rollout.as_ref().is_some_and(|r| (r.id, r.phase, r.generation) == (record.id, record.phase, record.generation))
    }

    fn shown_weight(&self, epoch: &Epoch) -> Weight {
        let record = self.machine.record();
        match self.machine.standings().0 {
            _ if record.phase.is_terminal() => record.weight,
            Standing::Usable => epoch.weight(),
            _ => Weight::ZERO,
        }
    }

    /// Says whether what was decided is what is shown; figures may have changed.
    pub(super) fn stands_as(&self, shown: &RolloutStatus, epoch: &Epoch, state: &ServiceState) -> bool {
        let record = self.machine.record();
        (shown.id, shown.generation, shown.phase, shown.durable) == (record.id, record.generation, record.phase, self.is_durable(state))
            && shown.weight == self.shown_weight(epoch)
            && shown.trip.is_some() == self.trip.is_some()
    }

    pub(super) fn status(&self, epoch: &Epoch, state: &ServiceState, now: Timestamp) -> RolloutStatus {
        let record = self.machine.record();
        RolloutStatus {
            steps: self.machine.plan().steps().len(),
            weight: self.shown_weight(epoch),
            gates: Arc::clone(&self.judgement.gates),
            file: self.file.clone(),
            needs: self.judgement.needs(),
            rate: self.judgement.rate,
            needs_seconds: self.needs_seconds(epoch),
            held_seconds: self.held_seconds(now),
            warm_up_seconds: self.machine.warming(now).filter(|_| !record.phase.is_terminal()).map(|left| left.as_secs_f64()),
            plan: Some(PlanStatus::from(self.machine.plan())),
            policy: Some(PolicyStatus::from(self.machine.policy())),
            canary_requests: self.trial.started(),
            trip: self.trip.clone(),
            durable: self.is_durable(state),
            ..bare_status(record)
        }
    }
}
