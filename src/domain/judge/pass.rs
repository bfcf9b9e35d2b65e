//! The pass test of one gate: what the requests of a step show, up to the oldest that is not resolved.
//!
//! A comparison with the stable version takes in final blocks instead. At 100 % there is no stable version to compare with:
//! what such a gate had shown in the step before then stands.

use crate::domain::gate::basis::{ArmBlock, Basis, Losses};
use crate::domain::gate::{Criterion, Gate};
use crate::domain::judge::arms::Lane;
use crate::domain::judge::blocks::{Key, View};
use crate::domain::judge::history::Wagered;
use crate::domain::judge::pairs::Pairs;
use crate::domain::judge::score::{self, ENDLESS, HALF, WHOLE};
use crate::domain::judge::terms;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::exceedance::log_e_pass;
use crate::domain::stats::grid::{OddsGrid, log_e_bounded_pass, odds_grid};
use crate::domain::stats::mean::{MeanBreach, MeanPass};
use crate::domain::stats::two_arm::{Bets, Guess, TwoArm};
use crate::domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// More requests than this are never waited for.
const NEVER: u64 = 1 << 40;

#[derive(Clone, Debug)]
enum Test {
    Share,
    /// The grid of the mean gain to be shown; without one there is no evidence.
    Lost(Option<Box<OddsGrid>>),
    /// The test, and the bets against the limit that the lower bound is made of.
    Mean(Box<(MeanPass, MeanBreach)>),
    Arms(Pairs, Box<TwoArm>),
}

/// The pass test of one gate and its counts.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    test: Test,
    /// Every request before this is resolved.
    pub resolved: u64,
    first: u64,
    after: Option<Key>,
    /// The requests of the step.
    pub losses: Losses,
    /// Their latencies in nanoseconds, as far as known, for a mean.
    sum: u128,
    summed: u64,
    /// How long those without an answer had been out.
    out: u128,
    /// The stable version's requests of the step, for a comparison.
    pub stable: Counts,
    /// All requests since the trial began, and from which on.
    pub total: Counts,
    pub total_first: u64,
    /// The weight and bets of the newest block, for what is still needed.
    newest: Option<(f64, Arc<Bets>)>,
    /// The evidence with which the gate had passed when the step began.
    carried: Option<(f64, Basis)>,
}

impl Pass {
    /// Begins with the first request.
    pub fn new(gate: &Gate) -> Self {
        Self {
            test: test(gate),
            resolved: if gate.criterion.is_relative() { u64::MAX } else { 1 },
            first: 1,
            after: None,
            losses: Losses::default(),
            sum: 0,
            summed: 0,
            out: 0,
            stable: Counts::default(),
            total: Counts::default(),
            total_first: 1,
            newest: None,
            carried: None,
        }
    }

    /// Begins a step with request `first`, after a block; `carried` says whether the gate has passed.
    pub fn begin(&mut self, gate: &Gate, first: u64, after: Option<Key>, carried: bool) {
        let carried = carried.then(|| self.evidence(gate, true, self.log_e(gate))).and_then(|(log_e, basis)| Some((log_e, basis?)));
        *self =
            Self { resolved: self.resolved, total: self.total, total_first: self.total_first, first, after, carried, ..Self::new(gate) };
    }

    /// Begins the counts of the trial again with request `first`.
    pub const fn restart(&mut self, first: u64) {
        (self.total, self.total_first) = (Counts::new(0, 0), first);
    }

    /// Takes in what the canary's lane has resolved.
    pub fn walk(&mut self, criterion: &Criterion, lane: &Lane, known_until: Timestamp) {
        let mut latencies = [Vec::new(), Vec::new()];
        while let Some(request) = lane.get(self.resolved) {
            let Some(score) = score::score(criterion, Duration::MAX, request, known_until) else { break };
            if let Some(loss) = score.pass {
                self.take(loss, score.breach.unwrap_or_default(), self.resolved, &mut latencies);
            }
            self.resolved += 1;
        }
        if let Test::Mean(tests) = &mut self.test {
            let ((pass, breach), [at_most, at_least]) = (tests.as_mut(), latencies);
            pass.add_all(&at_most);
            breach.add_all(&at_least);
        }
    }

    /// Counts a request; for a mean its latency is added to those for the pass test and to those for the lower bound.
    fn take(&mut self, loss: u64, at_least: u64, seq: u64, latencies: &mut [Vec<f64>; 2]) {
        if matches!(self.test, Test::Mean(_)) {
            if seq >= self.first {
                let known = loss != ENDLESS;
                self.losses.none += u64::from(known);
                self.losses.whole += u64::from(!known);
                let [pass, breach] = latencies;
                pass.push(if known { loss as f64 } else { f64::MAX });
                breach.push(if known { loss as f64 } else { at_least as f64 });
                if known {
                    (self.sum, self.summed) = (self.sum + u128::from(loss), self.summed + 1);
                } else {
                    self.out += u128::from(at_least);
                }
            }
            return;
        }
        if seq >= self.total_first {
            self.total = Counts::new(self.total.requests + 1, self.total.breaches + u64::from(loss == WHOLE));
        }
        if seq >= self.first {
            match loss {
                WHOLE => self.losses.whole += 1,
                HALF => self.losses.half += 1,
                _ => self.losses.none += 1,
            }
        }
    }

    /// Takes in the blocks that became final, for a comparison.
    pub fn fold(&mut self, last: &[View<'_>]) {
        let Test::Arms(pairs, test) = &mut self.test else { return };
        let own = last.partition_point(|view| Some(view.key) <= self.after);
        for Wagered { bets, block: ArmBlock { weight, canary, stable, .. } } in pairs.close(last.get(own..).unwrap_or_default()) {
            test.close(&bets, canary, stable);
            self.losses.whole += canary.breaches;
            self.losses.none += canary.requests - canary.breaches;
            self.stable = Counts::new(self.stable.requests + stable.requests, self.stable.breaches + stable.breaches);
            self.newest = Some((weight, bets));
        }
    }

    /// Returns the pass evidence of the step as ln E.
    pub fn log_e(&self, gate: &Gate) -> f64 {
        let (losses, share) = (self.losses, terms::passing_share(gate).unwrap_or(0.999));
        match &self.test {
            Test::Share if losses.requests() == 0 => 0.0,
            Test::Share => log_e_pass(losses.requests(), losses.whole, share),
            Test::Lost(mirror) => mirror.as_ref().map_or(0.0, |mirror| log_e_bounded_pass(&losses.counts(), mirror)),
            Test::Mean(tests) => tests.0.log_e(),
            Test::Arms(_, test) => test.log_e(),
        }
    }

    /// Returns the evidence for the gate as ln E with what it is computed from: that of the step, or at 100 %, where there is nothing to
    /// compare with, that of the step before.
    pub fn evidence(&self, gate: &Gate, alone: bool, of_step: f64) -> (f64, Option<Basis>) {
        if let (true, Test::Arms(..), Some((log_e, basis))) = (alone, &self.test, &self.carried)
            && of_step < *log_e
        {
            return (*log_e, Some(basis.clone()));
        }
        let (losses, share) = (self.losses, terms::passing_share(gate).unwrap_or(0.999));
        let basis = match &self.test {
            Test::Share => Basis::Pass { p1: share, requests: losses.requests(), breaches: losses.whole },
            Test::Lost(_) => Basis::BoundedPass { share, losses },
            Test::Mean(tests) => Basis::MeanPass { test: Box::new(tests.0.clone()) },
            Test::Arms(pairs, test) => Basis::TwoArm { comparison: pairs.comparison(), start: (**test).clone(), blocks: Vec::new() },
        };
        (of_step, Some(basis))
    }

    /// Says whether the gate passes: by its evidence, or at 100 %, where there is nothing to compare with, by that of the step before.
    pub fn passes(&self, log_e: f64, threshold: f64, alone: bool) -> bool {
        log_e >= threshold || (alone && self.carried.is_some() && matches!(self.test, Test::Arms(..)))
    }

    /// Returns how many more requests, as good as can be hoped for, the gate needs; `None` when they never suffice.
    pub fn needs(&self, threshold: f64) -> Option<u64> {
        let losses = self.losses;
        match &self.test {
            // The table of its gate says it.
            Test::Share => None,
            Test::Lost(mirror) => {
                let mirror = mirror.as_ref()?;
                let clean = |more| Losses { none: losses.none + more, ..losses };
                least(|more| log_e_bounded_pass(&clean(more).counts(), mirror) >= threshold)
            }
            Test::Mean(tests) => tests.0.needs(self.mean().unwrap_or(0.0), threshold),
            Test::Arms(_, test) => {
                let (weight, bets) = self.newest.as_ref()?;
                let per_request = (1.0 - weight) / weight;
                least(|more| {
                    let stable = (more as f64 * per_request).round();
                    let stable = Counts::new(stable as u64, (stable * self.stable.share()).round() as u64);
                    test.clone().as_mut().close(bets, Counts::new(more, 0), stable) >= threshold
                })
            }
        }
    }

    /// Says whether the arms were compared at all.
    pub const fn has_begun(&self) -> bool {
        self.newest.is_some()
    }

    /// Returns the mean latency of the step in nanoseconds, those without an answer counting as long as they had been out; `None`
    /// without requests.
    pub fn mean_so_far(&self) -> Option<f64> {
        let requests = self.losses.requests();
        (requests > 0).then(|| (self.sum + self.out) as f64 / requests as f64)
    }

    /// Returns the bounds on the mean at level `beta`: from below, and from above for the latencies up to the cap of the pass test.
    pub fn mean_bounds(&self, beta: f64) -> (Option<f64>, Option<f64>) {
        match &self.test {
            Test::Mean(tests) => {
                let (requests, (pass, breach)) = (self.losses.requests(), tests.as_ref());
                (Some(breach.lower_bound(requests, beta)), Some(pass.upper_bound(requests, beta)))
            }
            _ => (None, None),
        }
    }

    /// Returns the mean latency of the answered requests of the step in nanoseconds, `None` without one.
    fn mean(&self) -> Option<f64> {
        (self.summed > 0).then(|| self.sum as f64 / self.summed as f64)
    }
}

fn test(gate: &Gate) -> Test {
    match gate.criterion {
        Criterion::Latency { .. } | Criterion::Errors { .. } => Test::Share,
        Criterion::Apdex { .. } => {
            let mirror = terms::passing_share(gate).and_then(|share| odds_grid(1.0 - share).ok());
            Test::Lost(mirror.map(Box::new))
        }
        Criterion::Mean { .. } => {
            let limit = terms::mean_limit(&gate.criterion);
            Test::Mean(Box::new((MeanPass::new(limit * gate.margin_factor()), MeanBreach::new(limit))))
        }
        Criterion::RelativeLatency { .. } | Criterion::RelativeErrors { .. } => {
            let test =
                terms::passing_comparison(gate).and_then(|comparison| Some((comparison, TwoArm::new(comparison, Guess::of(0.0)).ok()?)));
            // Without a test there is no evidence, so such a gate never passes.
            test.map_or(Test::Share, |(comparison, test)| Test::Arms(Pairs::new(comparison), Box::new(test)))
        }
    }
}

/// Returns the least number that is enough, where all from some number on are; `None` when none up to [`NEVER`] is.
fn least(enough: impl Fn(u64) -> bool) -> Option<u64> {
    if enough(0) {
        return Some(0);
    }
    let mut high = 1_u64;
    while !enough(high) {
        high = high.checked_mul(2).filter(|high| *high < NEVER)?;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
