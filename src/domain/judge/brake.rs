//! The brake tests that the judge runs itself, block by block: means, losses, comparisons, and versions that turn bad late.
//!
//! They rest on requests that are independent of each other, find out at once, and begin again after each brake that was taken back.

use crate::domain::gate::basis::{Basis, Losses, log_e_of_losses_in, log_e_of_mean};
use crate::domain::gate::evidence::Rule;
use crate::domain::gate::{Criterion, Policy};
use crate::domain::judge::blocks::{Key, View};
use crate::domain::judge::history::History;
use crate::domain::judge::pairs::Pairs;
use crate::domain::judge::terms;
use crate::domain::stats::changepoint::ChangepointGrid;
use crate::domain::stats::counts::Counts;
use crate::domain::stats::grid::{OddsGrid, odds_grid};
use crate::domain::stats::mean::LAMBDAS;
use crate::domain::stats::two_arm::{Guess, TwoArm};
use crate::domain::time::{Timestamp, nanos};

/// What a brake test found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub rule: Rule,
    pub basis: Basis,
}

/// What the bets of the breach test of a mean have won.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    /// The sums of ln (1 − λ + λ L/limit), one for each λ.
    pub logs: [f64; LAMBDAS.len()],
    /// Over how many requests, and over how many of the warm-up.
    pub requests: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    normal: Losses,
    warm: Losses,
}

#[derive(Clone, Debug)]
enum Test {
    /// A wire does it.
    None,
    Mean(Mean),
    /// The grid of the mean loss that the gate allows, and what was lost.
    Lost(Box<OddsGrid>, Lost),
    Arms(Pairs, Box<History<TwoArm>>),
    Late(Box<History<ChangepointGrid>>),
}

/// The brake test of one gate over blocks.
#[derive(Clone, Debug)]
pub(super) struct Brake {
    /// Blocks up to this one belong to an earlier test.
    after: Option<Key>,
    test: Test,
    pub highest: f64,
}

impl Brake {
    /// Begins after a block; a gate that has a wire needs no other test.
    pub fn new(criterion: &Criterion, after: Option<Key>) -> Self {
        let test = match criterion {
            Criterion::Latency { .. } | Criterion::Errors { .. } => Test::None,
            Criterion::Mean { .. } => Test::Mean(Mean::default()),
            Criterion::Apdex { loss, .. } => odds_grid(loss.ratio()).map_or(Test::None, |grid| Test::Lost(Box::new(grid), Lost::default())),
            Criterion::RelativeLatency { .. } | Criterion::RelativeErrors { .. } => {
                let test = terms::comparison(criterion)
                    .and_then(|comparison| Some((comparison, TwoArm::new(comparison, Guess::of(terms::guess(criterion))).ok()?)));
                test.map_or(Test::None, |(comparison, test)| Test::Arms(Pairs::new(comparison), Box::new(History::new(test))))
            }
        };
        Self { after, test, highest: 0.0 }
    }

    /// Begins the test for a version that turns bad late, after a block; `None` for a gate whose requests are not simply good or bad.
    pub fn late(criterion: &Criterion, after: Option<Key>) -> Option<Self> {
        let share = terms::share(criterion).filter(|_| criterion.is_wired())?;
        let test = Test::Late(Box::new(History::new(ChangepointGrid::new(share).ok()?)));
        Some(Self { after, test, highest: 0.0 })
    }

    /// Takes in the blocks that became final, looks at those that are open, and says whether the threshold is reached.
    pub fn evaluate(
        &mut self,
        criterion: &Criterion,
        (last, open): (&[View<'_>], &[View<'_>]),
        known_until: Timestamp,
        threshold: f64,
    ) -> Option<Found> {
        let after = self.after;
        let own = move |views: &[View<'_>]| -> usize { views.partition_point(|view| Some(view.key) <= after) };
        let (last, open) = (last.get(own(last)..)?, open.get(own(open)..)?);
        let (log_e, found) = match &mut self.test {
            Test::None => return None,
            Test::Mean(mean) => {
                let limit = terms::mean_limit(criterion);
                let step = |mean: &mut Mean, view: &View<'_>| mean.take(view, limit, known_until);
                let (log_e, best) = furthest(mean, last, open, step, |mean| log_e_of_mean(&mean.logs));
                (log_e, Found { rule: Rule::Mean, basis: Basis::Mean { logs: best.logs.to_vec(), requests: best.requests } })
            }
            Test::Lost(grid, lost) => {
                let loss = grid.p0();
                let warm_loss = Policy::WARM_UP_SHARE.max(loss);
                let log_e_of = |lost: &Lost| log_e_of_losses_in(grid, lost.normal, (warm_loss, lost.warm));
                let (log_e, best) = furthest(lost, last, open, Lost::take, log_e_of);
                let basis = Basis::Bounded { loss, losses: best.normal, warm_loss, warm: best.warm };
                (log_e, Found { rule: Rule::Bounded, basis })
            }
            Test::Arms(pairs, history) => {
                let last = pairs.close(last);
                let open = pairs.look(open);
                let peak = history.evaluate(last, &open);
                self.highest = history.highest;
                if peak.log_e < threshold {
                    return None;
                }
                let (start, blocks) = history.of_peak(peak, &open);
                let blocks = blocks.into_iter().map(|wagered| wagered.block).collect();
                (peak.log_e, Found { rule: Rule::TwoArm, basis: Basis::TwoArm { comparison: pairs.comparison(), start, blocks } })
            }
            Test::Late(history) => {
                let counts = |view: &View<'_>| -> Counts { view.cell.canary.counts() };
                let open: Vec<Counts> = open.iter().map(counts).collect();
                let peak = history.evaluate(last.iter().map(counts), &open);
                self.highest = history.highest;
                if peak.log_e < threshold {
                    return None;
                }
                let (start, blocks) = history.of_peak(peak, &open);
                (peak.log_e, Found { rule: Rule::ChangePoint, basis: Basis::ChangePoint { start, blocks } })
            }
        };
        self.highest = self.highest.max(log_e);
        (log_e >= threshold).then_some(found)
    }
}

/// Takes in the final blocks, goes on over the open ones, and returns where the evidence was largest.
fn furthest<T: Copy>(
    state: &mut T,
    last: &[View<'_>],
    open: &[View<'_>],
    mut take: impl FnMut(&mut T, &View<'_>),
    log_e: impl Fn(&T) -> f64,
) -> (f64, T) {
    let mut best = (log_e(state), *state);
    let mut look = |state: &T| {
        let found = log_e(state);
        if found > best.0 {
            best = (found, *state);
        }
    };
    for view in last {
        take(state, view);
        look(state);
    }
    let mut ahead = *state;
    for view in open {
        take(&mut ahead, view);
        look(&ahead);
    }
    best
}

impl Mean {
    /// What is in flight has taken at least as long as the block's latest request.
    pub fn take(&mut self, view: &View<'_>, limit: f64, known_until: Timestamp) {
        let tally = &view.cell.canary;
        let [normal, warm] = &mut self.requests;
        *(if view.cell.frozen.warm { warm } else { normal }) += tally.requests;
        let out = nanos(known_until.since(view.start)).saturating_sub(tally.latest) as f64 / (limit * view.cell.frozen.null);
        for ((sum, log), lambda) in self.logs.iter_mut().zip(tally.logs).zip(LAMBDAS) {
            *sum += log;
            if tally.in_flight() > 0 {
                *sum += tally.in_flight() as f64 * (1.0 - lambda + lambda * out).ln();
            }
        }
    }
}

impl Lost {
    const fn take(&mut self, view: &View<'_>) {
        let classes = view.cell.canary.classes();
        if view.cell.frozen.warm {
            self.warm = self.warm.and(classes);
        } else {
            self.normal = self.normal.and(classes);
        }
    }
}
