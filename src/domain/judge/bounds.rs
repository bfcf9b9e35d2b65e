//! What a gate estimates, with bounds that hold at all times together: of a breach, and of a step so far.
//!
//! Where a request leaves doubt each bound counts it against its own conclusion: in flight loses nothing for the one that a
//! breach rests on, and all for the other.

use crate::domain::gate::basis::{Basis, Losses};
use crate::domain::gate::evidence::Estimate;
use crate::domain::gate::{Criterion, Gate};
use crate::domain::judge::pass::Pass;
use crate::domain::judge::terms;
use crate::domain::judge::words::Sum;
use crate::domain::stats::bounds::{loss_lower_bound, loss_upper_bound};
use crate::domain::stats::exceedance::{rate_lower_bound, rate_upper_bound};
use crate::domain::stats::grid::odds_grid;
use crate::domain::stats::mean::{CAP_FACTOR, mean_lower_bound};

/// Returns what a breach shows of its gate, with the bounds at level `alpha`; a mean has no upper one.
pub(super) fn of_breach(gate: &Gate, sum: &Sum, basis: &Basis, alpha: f64) -> Option<Estimate> {
    let estimate = match gate.criterion {
        Criterion::Mean { .. } => {
            // The evidence was largest after so many requests, and there the bound excludes the limit.
            let (logs, requests) = match basis {
                Basis::Mean { logs, requests } => (logs.as_slice(), *requests),
                _ => (sum.means.logs.as_slice(), sum.means.requests),
            };
            let [normal, warm] = requests;
            let limit = terms::mean_limit(&gate.criterion);
            let lower = mean_lower_bound(logs, &[(normal, 1.0), (warm, CAP_FACTOR)], limit, alpha);
            Estimate { value: sum.mean, lower: Some(lower), upper: None }
        }
        Criterion::Apdex { .. } => {
            let least = match basis {
                Basis::Bounded { losses, warm, .. } => losses.and(*warm),
                _ => sum.losses,
            };
            apdex(gate, 1.0 - sum.mean, least, sum.losses_at_most, alpha)?
        }
        _ => share(sum.requests, sum.breaches, alpha),
    };
    (sum.requests > 0).then_some(estimate)
}

/// Returns what the step shows of its gate so far, with the bounds at level `beta`. The upper bound of a mean is that of the
/// latencies up to the cap of the pass test; the mean itself has none.
pub(super) fn of_step(gate: &Gate, pass: &Pass, (requests, breaches): (u64, u64), beta: f64) -> Option<Estimate> {
    let estimate = match gate.criterion {
        Criterion::Mean { .. } => {
            let (lower, upper) = pass.mean_bounds(beta);
            Estimate { value: pass.mean_so_far()?, lower, upper }
        }
        Criterion::Apdex { .. } => apdex(gate, 1.0 - pass.losses.share(), pass.losses, pass.losses, beta)?,
        _ => share(requests, breaches, beta),
    };
    (requests > 0).then_some(estimate)
}

fn share(requests: u64, breaches: u64, level: f64) -> Estimate {
    Estimate {
        value: breaches as f64 / requests as f64,
        lower: Some(rate_lower_bound(requests, breaches, level)),
        upper: Some(rate_upper_bound(requests, breaches, level)),
    }
}

/// The score is one minus the mean loss, so its upper bound is one minus the lower bound on the loss.
fn apdex(gate: &Gate, value: f64, least: Losses, most: Losses, level: f64) -> Option<Estimate> {
    let (limit, passing) = (terms::share(&gate.criterion)?, terms::passing_share(gate)?);
    let upper = 1.0 - loss_lower_bound(&least.counts(), &odds_grid(limit).ok()?, level);
    let lower = 1.0 - loss_upper_bound(&most.counts(), &odds_grid(1.0 - passing).ok()?, level);
    Some(Estimate { value, lower: Some(lower), upper: Some(upper) })
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
