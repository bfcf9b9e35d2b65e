//! Arms an epoch: turns what the machine asks for into tripwires with their tables, and tells the judge from where to count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::domain::gate::{Criterion, Gate, Policy, Share};
use crate::domain::judge::Budget;
use crate::domain::rollout::Arming;
use crate::domain::tripwire::n_max_table;
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::seam::table::{Canary, Watch};
use crate::seam::tripwire::{Tables, Trial};

/// The tolerated share of bad requests while a version warms up.
const WARM_UP: Share = Share::SIXTY_PERCENT;

/// What the tripwires of a rollout are made from.
pub(super) struct Armoury {
    gates: Vec<Gate>,
    policy: Policy,
    steps: usize,
    watches: Arc<[Watch]>,
    nothing: Arc<[Watch]>,
    /// How often the bound was halved.
    halvings: u32,
}

impl Armoury {
    /// Prepares the tripwires of the gates that have one.
    pub(super) fn new(gates: &[Gate], policy: Policy, steps: usize) -> Self {
        let watches = gates.iter().filter_map(|gate| watch(&gate.criterion)).collect();
        Self { gates: gates.to_vec(), policy, steps, watches, nothing: Arc::new([]), halvings: 0 }
    }

    /// Returns what the wires of the rollout watch.
    pub(super) fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// Returns the trial before anything was armed.
    pub(super) fn unarmed(&self) -> Arc<Trial> {
        Arc::new(Trial::new(Vec::new(), self.policy.min_clients))
    }

    /// Makes the trial of an epoch out of that of the epoch before.
    pub(super) fn trial(&mut self, arming: Arming, before: &Arc<Trial>) -> Arc<Trial> {
        let fresh = |tables| Arc::new(before.fresh(tables, self.policy.min_clients));
        match arming {
            Arming::Nothing | Arming::Held => Arc::clone(before),
            Arming::Probes(_) => fresh(Vec::new()),
            Arming::WarmUp => {
                let alpha = self.budget().step;
                fresh(self.shares().map(|_| Tables { cumulative: Box::default(), step: table(WARM_UP, alpha) }).collect())
            }
            Arming::Fresh { halvings } => {
                self.halvings = halvings;
                let budget = self.budget();
                let tables = |share| Tables { cumulative: table(share, budget.cumulative), step: table(share, budget.step) };
                Arc::new(before.fresh(self.shares().map(tables).collect(), self.policy.min_clients))
            }
            Arming::NextStep => Arc::new(before.next_step(self.shares().map(|share| table(share, self.budget().step)).collect())),
            Arming::Watch => Arc::new(before.next_step(self.shares().map(|share| table(share, self.budget().watch)).collect())),
        }
    }

    /// Makes what the table says of the canary; `None` where it gets nothing.
    pub(super) fn canary(&self, arming: Arming, weight: Weight, version: &Arc<Version>, trial: &Arc<Trial>) -> Option<Canary> {
        let (weight, watches, probe_spacing) = match arming {
            Arming::Nothing => return None,
            Arming::Probes(drawn) => (drawn, &self.nothing, Some(Policy::PROBE_SPACING)),
            Arming::WarmUp | Arming::Fresh { .. } | Arming::NextStep | Arming::Held | Arming::Watch => (weight, &self.watches, None),
        };
        let (version, trial, watches) = (Arc::clone(version), Arc::clone(trial), Arc::clone(watches));
        let outcome_deadline = Some(self.policy.outcome_deadline);
        Some(Canary { version, weight, trial, watches, outcome_deadline, probe_spacing })
    }

    fn budget(&self) -> Budget {
        Budget::of(&self.policy, self.gates.len(), self.steps, self.halvings)
    }

    /// Returns the shares allowed by the gates that have a wire, in the order of the wires.
    fn shares(&self) -> impl Iterator<Item = Share> + '_ {
        self.gates.iter().filter(|gate| gate.criterion.is_wired()).filter_map(|gate| gate.criterion.share())
    }
}

fn watch(criterion: &Criterion) -> Option<Watch> {
    use crate::domain::gate::criterion::Timing;
    match *criterion {
        Criterion::Latency { limit, timing: Timing::ResponseTime, .. } => Some(Watch::Latency(limit)),
        Criterion::Latency { limit, timing: Timing::Duration, .. } => Some(Watch::Duration(limit)),
        Criterion::Errors { kinds, .. } => Some(Watch::Errors(kinds)),
        _ => None,
    }
}

/// How many tables are remembered; a configuration with its halvings and steps has far fewer.
const REMEMBERED: usize = 256;

/// Returns the table of a share and a bound. Tables take a millisecond to compute, so they are remembered.
fn table(share: Share, alpha: f64) -> Box<[u64]> {
    type Known = Mutex<HashMap<(Share, u64), Box<[u64]>>>;
    /// Guards the tables computed so far; written by controllers only.
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.entry((share, alpha.to_bits())).or_insert_with(|| n_max_table(share, alpha)).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share::FIVE_PERCENT;
    const STEPS: usize = 3;

    fn armoury() -> Armoury {
        Armoury::new(&[Gate::written("p95 < 1s".parse().unwrap())], Policy::default(), STEPS)
    }

    /// Says whether the tenth breach trips when it is the `n`-th request, the breaches being the last ten.
    fn trips(trial: &Trial, n: u64) -> bool {
        (1..=n).any(|number| {
            let seq = trial.begin();
            number + 10 > n && trial.breach(0, seq, 0, false)
        })
    }

    fn tenth(alpha: f64) -> u64 {
        n_max_table(SHARE, alpha)[9]
    }

    #[test]
    fn each_resume_halves_the_bound_of_the_wires() {
        for halvings in 0..3 {
            let n_max = tenth(Budget::of(&Policy::default(), 1, STEPS, halvings).cumulative);
            let fresh = || {
                let mut armoury = armoury();
                armoury.trial(Arming::Fresh { halvings }, &armoury.unarmed())
            };
            assert!(trips(&fresh(), n_max) && !trips(&fresh(), n_max + 1), "{halvings}");
        }
        let bounds = [0, 1, 2].map(|halvings| tenth(Budget::of(&Policy::default(), 1, STEPS, halvings).cumulative));
        assert!(bounds[0] > bounds[1] && bounds[1] > bounds[2], "{bounds:?}");
    }

    #[test]
    fn each_step_and_the_watch_have_their_own_part_of_the_bound() {
        let budget = Budget::of(&Policy::default(), 1, STEPS, 0);
        assert!(tenth(budget.step) > tenth(budget.watch));
        for (arming, alpha) in [(Arming::NextStep, budget.step), (Arming::Watch, budget.watch)] {
            let next = || {
                let mut armoury = armoury();
                let before = armoury.trial(Arming::Fresh { halvings: 0 }, &armoury.unarmed());
                // So many good requests that ten breaches say nothing about the whole trial.
                for _ in 0..10_000 {
                    before.begin();
                }
                armoury.trial(arming, &before)
            };
            assert!(trips(&next(), tenth(alpha)) && !trips(&next(), tenth(alpha) + 1), "{arming:?}");
        }
    }
}
