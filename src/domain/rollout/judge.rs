//! Judges the canary on each tick: which gates are breached, which pass since the step began, and what is still missing.
//!
//! Breach evidence runs through all steps (optional continuation needs no correction) and its bound α is shared evenly by
//! the gates; pass evidence begins afresh with each step and needs every gate at level β (intersection-union).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::{Criterion, Evidence, Gate, Origin, Verdict};
use crate::domain::start_order::{Fate, Slot, StartOrder};
use crate::domain::stats::exceedance;
use crate::domain::stats::mean::{MeanBreach, MeanPass};
use crate::domain::time::Timestamp;
use crate::domain::tripwire;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// What a tripwire has counted: the k-th breach was request number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCount {
    /// The highest start number among the counted breaches.
    pub requests: u64,
    /// The breaches counted.
    pub breaches: u64,
    /// How many of them were unanswered when they counted.
    pub unanswered: u64,
}

/// Where one gate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// The gate as shown to people.
    pub gate: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Fail when breached, pass when the step's evidence suffices, else inconclusive.
    pub verdict: Verdict,
    /// Resolved requests since the step began.
    pub requests: u64,
    /// Breaches among them; 0 for a mean.
    pub breaches: u64,
    /// The pass evidence since the step began, as ln E.
    pub log_e: f64,
    /// The ln E at which the gate passes.
    pub log_threshold: f64,
    /// How many more requests, as good as the best that can be hoped for, the gate needs to pass; `None` when they never suffice.
    pub needs: Option<u64>,
}

/// What the judge says on a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The first gate found breached by a test of single requests.
    pub brake: Option<Evidence>,
    /// The first gate whose breach is confirmed.
    pub confirmed: Option<Evidence>,
    /// Every gate.
    pub gates: Vec<GateStatus>,
    /// The largest share at which no more bad requests are to be expected in flight than the plan allows.
    pub harm_cap: Option<Weight>,
}

impl Judgement {
    /// Says whether every gate has its pass evidence for this step; false without gates.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.brake.is_none() && self.confirmed.is_none() && !self.gates.is_empty() && self.gates.iter().all(|g| g.verdict == Verdict::Pass)
    }

    /// Returns how many more good requests are needed until every gate passes; `None` when unknown.
    #[must_use]
    pub fn needs(&self) -> Option<u64> {
        self.gates.iter().map(|g| g.needs).try_fold(0, |most, needs| needs.map(|n| n.max(most)))
    }
}

/// How long the tests wait for the end of a request that neither ends nor breaches. A request without an answer then counts
/// as a bad one and an answer that still streams counts neither way, or one slow upload or endless stream would keep
/// every later request from counting, and all of them in memory. Its tripwires still take in its end.
pub const OVERDUE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct State {
    gate: Gate,
    cursor: u64,
    requests: u64,
    breaches: u64,
    breach_mean: Option<MeanBreach>,
    pass_mean: Option<MeanPass>,
    folded: u64,
    latency_ns: u128,
}

/// The judge of one trial.
#[derive(Clone, Debug)]
pub struct Judge {
    canary: Name,
    alpha: f64,
    log_beta: f64,
    step_first: u64,
    order: StartOrder,
    states: Vec<State>,
}

impl Judge {
    /// Begins a trial. `alpha` bounds the chance of ever rolling back a version that meets its gates, `beta` the chance of
    /// passing a step for one that does not; both strictly between 0 and 1.
    #[must_use]
    pub fn new(canary: Name, gates: &[Gate], alpha: f64, beta: f64) -> Self {
        let states = gates
            .iter()
            .map(|gate| {
                let limit = match gate.criterion {
                    Criterion::Mean { limit, .. } => Some(limit.as_nanos() as f64),
                    _ => None,
                };
                State {
                    gate: gate.clone(),
                    cursor: 1,
                    requests: 0,
                    breaches: 0,
                    breach_mean: limit.map(MeanBreach::new),
                    pass_mean: limit.map(MeanPass::new),
                    folded: 0,
                    latency_ns: 0,
                }
            })
            .collect();
        let alpha = alpha_of_one_gate(alpha, gates.len());
        Self { canary, alpha, log_beta: -beta.ln(), step_first: 1, order: StartOrder::new(), states }
    }

    /// Returns the share of α that each gate may use.
    #[must_use]
    pub const fn alpha_each(&self) -> f64 {
        self.alpha
    }

    /// Notes that a canary request began.
    pub fn started(&mut self, seq: u64, at: Timestamp) {
        self.order.started(seq, at);
    }

    /// Notes that a canary request's response head was sent on after `latency`; its end may be long in coming.
    pub fn answered(&mut self, seq: u64, latency: Duration) {
        self.order.answered(seq, latency);
    }

    /// Notes how a canary request ended.
    pub fn ended(&mut self, seq: u64, fate: Fate) {
        self.order.ended(seq, fate);
    }

    /// Begins a step: pass evidence counts from request number `first` on.
    pub fn begin_step(&mut self, first: u64) {
        self.step_first = first;
        for state in &mut self.states {
            (state.requests, state.breaches) = (0, 0);
            if let Criterion::Mean { limit, .. } = state.gate.criterion {
                state.pass_mean = Some(MeanPass::new(limit.as_nanos() as f64));
            }
        }
    }

    /// Judges by what is known. `wires` are the counts of the tripwires, in the order of the gates that have one.
    ///
    /// `known_until` is the moment up to which every start, answer and end has been noted: the earliest of the workers' last
    /// reports, not the time of the tick. A request in flight is known to have been out until then and no longer; with a later
    /// time an answer whose report is still on its way would look like one that has not come, which raises false alarms.
    pub fn tick(&mut self, known_until: Timestamp, wires: &[WireCount]) -> Judgement {
        let mut judgement = Judgement::default();
        let mut wires = wires.iter().copied();
        let (order, step_first, alpha, log_beta) = (&self.order, self.step_first, self.alpha, self.log_beta);
        for state in &mut self.states {
            state.fold(order, step_first, known_until);
            let wire = if matches!(state.gate.criterion, Criterion::Mean { .. }) { None } else { wires.next() };
            let breach = state.breach(&self.canary, order, known_until, wire.unwrap_or_default(), alpha);
            let failed = breach.is_some();
            judgement.brake = judgement.brake.or(breach);
            judgement.gates.push(state.status(failed, log_beta));
        }
        let needed = self.states.iter().map(|s| s.cursor).min().unwrap_or(u64::MAX);
        self.order.forget_before(needed);
        judgement
    }
}

/// Returns the share of α for one of `gates` gates (Bonferroni).
#[must_use]
pub fn alpha_of_one_gate(alpha: f64, gates: usize) -> f64 {
    alpha / gates.max(1) as f64
}

impl State {
    /// Folds in every request that is resolved for this gate, in start order.
    fn fold(&mut self, order: &StartOrder, step_first: u64, known_until: Timestamp) {
        while let Some(slot) = order.get(self.cursor) {
            let Some(bad) = self.resolve(slot, known_until) else { return };
            match slot {
                Slot::Done(fate) => self.fold_mean(fate, self.cursor >= step_first),
                Slot::Answered(_, latency) => {
                    let answer = Fate::Measured { latency, duration: latency, errors: ErrorKinds::NONE, unanswered: false };
                    self.fold_mean(answer, self.cursor >= step_first);
                }
                Slot::InFlight(at) => {
                    let out = known_until.since(at);
                    let overdue = Fate::Measured { latency: out, duration: out, errors: ErrorKinds::NONE, unanswered: true };
                    self.fold_mean(overdue, self.cursor >= step_first);
                }
                Slot::Unknown => {}
            }
            if let Some(bad) = bad
                && self.cursor >= step_first
            {
                self.requests += 1;
                self.breaches += u64::from(bad);
            }
            self.cursor += 1;
        }
    }

    /// Says whether the slot is resolved for this gate (outer) and whether it counts and is bad (inner).
    fn resolve(&self, slot: Slot, known_until: Timestamp) -> Option<Option<bool>> {
        match (self.gate.criterion, slot) {
            (_, Slot::Unknown) | (Criterion::Apdex { .. } | Criterion::RelativeLatency { .. } | Criterion::RelativeErrors { .. }, _) => {
                None
            }
            (Criterion::Latency { limit, .. }, Slot::InFlight(at)) => (known_until.since(at) > limit).then_some(Some(true)),
            (Criterion::Latency { limit, .. }, Slot::Answered(_, latency)) => Some(Some(is_latency_breach(latency, false, limit))),
            (Criterion::Mean { .. }, Slot::Answered(..)) => Some(Some(false)),
            (Criterion::Errors { .. }, Slot::InFlight(at)) => (known_until.since(at) > OVERDUE).then_some(Some(true)),
            (Criterion::Mean { .. }, Slot::InFlight(at)) => (known_until.since(at) > OVERDUE).then_some(Some(false)),
            (Criterion::Errors { .. }, Slot::Answered(at, _)) => (known_until.since(at) > OVERDUE).then_some(None),
            (Criterion::Latency { limit, .. }, Slot::Done(Fate::Excluded { after })) => Some((after > limit).then_some(true)),
            (_, Slot::Done(Fate::Excluded { .. })) => Some(None),
            (Criterion::Latency { limit, .. }, Slot::Done(Fate::Measured { latency, unanswered, .. })) => {
                Some(Some(is_latency_breach(latency, unanswered, limit)))
            }
            (Criterion::Errors { kinds, .. }, Slot::Done(Fate::Measured { errors, .. })) => Some(Some(kinds.meets(errors))),
            (Criterion::Mean { .. }, Slot::Done(Fate::Measured { .. })) => Some(Some(false)),
        }
    }

    fn fold_mean(&mut self, fate: Fate, in_step: bool) {
        let (Some(breach), Some(pass)) = (&mut self.breach_mean, &mut self.pass_mean) else { return };
        match fate {
            // A client that left gives a lower bound for the breach test and no sample for the pass test.
            Fate::Excluded { after } => breach.add(after.as_nanos() as f64),
            Fate::Measured { latency, unanswered, .. } => {
                let ns = latency.as_nanos() as f64;
                breach.add(ns);
                self.folded += 1;
                self.latency_ns += latency.as_nanos();
                if in_step {
                    // A request without an answer has no latency that could speak for the version.
                    pass.add(if unanswered { f64::MAX } else { ns });
                }
            }
        }
    }

    fn breach(&self, canary: &Name, order: &StartOrder, known_until: Timestamp, wire: WireCount, alpha: f64) -> Option<Evidence> {
        let threshold = tripwire::log_threshold(alpha);
        match self.gate.criterion {
            Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => {
                let enough = wire.breaches > 0 && exceedance::log_e_breach(wire.requests, wire.breaches, share.ratio()) >= threshold;
                enough.then(|| Evidence::of_trip(&self.gate, canary, alpha, wire.requests, wire.breaches, wire.unanswered))
            }
            Criterion::Mean { .. } => {
                let mut ahead = self.breach_mean.clone()?;
                let (mut count, mut sum) = (self.folded, self.latency_ns);
                let mut best = (ahead.log_e(), count, sum);
                for slot in order.from(self.cursor) {
                    let latency = match slot {
                        Slot::Unknown => Duration::ZERO,
                        Slot::InFlight(at) => known_until.since(at),
                        Slot::Answered(_, latency) | Slot::Done(Fate::Measured { latency, .. }) => latency,
                        Slot::Done(Fate::Excluded { after }) => after,
                    };
                    ahead.add(latency.as_nanos() as f64);
                    (count, sum) = (count + 1, sum + latency.as_nanos());
                    let log_e = ahead.log_e();
                    if log_e > best.0 {
                        best = (log_e, count, sum);
                    }
                }
                let (log_e, count, sum) = best;
                let mean = u64::try_from(sum / u128::from(count.max(1))).unwrap_or(u64::MAX);
                (log_e >= threshold).then(|| Evidence::of_mean_breach(&self.gate, canary, alpha, count, Duration::from_nanos(mean), log_e))
            }
            _ => None,
        }
    }

    fn status(&self, failed: bool, log_beta: f64) -> GateStatus {
        let (log_e, needs) = match (self.gate.criterion, &self.pass_mean) {
            (Criterion::Latency { share, .. } | Criterion::Errors { share, .. }, _) => {
                let log_e = if self.requests == 0 { 0.0 } else { exceedance::log_e_pass(self.requests, self.breaches, share.ratio()) };
                let needed = exceedance::pass_n_min(self.breaches, share.ratio(), log_beta);
                (log_e, (needed < u64::MAX).then(|| needed.saturating_sub(self.requests)))
            }
            (Criterion::Mean { .. }, Some(pass)) => {
                let typical = if self.folded == 0 { 0.0 } else { self.latency_ns as f64 / self.folded as f64 };
                (pass.log_e(), pass.needs(typical, log_beta))
            }
            _ => (0.0, None),
        };
        let verdict = match (failed, log_e >= log_beta) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Inconclusive,
        };
        GateStatus {
            gate: self.gate.name(),
            origin: self.gate.origin.clone(),
            verdict,
            requests: self.requests,
            breaches: self.breaches,
            log_e,
            log_threshold: log_beta,
            needs,
        }
    }
}

/// Says whether a finished request breaches a latency limit: exactly the limit is good, no answer is a breach.
#[must_use]
pub fn is_latency_breach(latency: Duration, unanswered: bool, limit: Duration) -> bool {
    unanswered || latency > limit
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
