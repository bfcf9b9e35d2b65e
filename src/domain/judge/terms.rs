//! What a gate asks, in the numbers of the tests: shares, limits, comparisons, and what is frozen for each block.

use std::time::Duration;

use crate::domain::gate::criterion::Slack;
use crate::domain::gate::{Criterion, Gate, Policy, Share};
use crate::domain::judge::baseline::Baseline;
use crate::domain::judge::blocks::Frozen;
use crate::domain::stats::mean::CAP_FACTOR;
use crate::domain::stats::two_arm::Comparison;
use crate::domain::time::nanos;

/// How much more than the stable version's share of breaches the confirming test tolerates, so that what both share, and the
/// stable version changing since the share was measured, is not held against the canary.
const HEADROOM: f64 = 2.0;

/// The least share of errors that the confirming test of a comparison holds against the canary.
const LEAST_NULL: f64 = 0.01;

/// The largest share that can be confirmed; where nothing is known of the stable version nothing can be.
const MOST_NULL: f64 = 0.95;

/// What is assumed of the stable version's share of errors before anything is known.
const GUESSED_ERRORS: f64 = 0.001;

/// Returns the share of requests that may be bad; for a mean, which has none, nothing.
pub(super) fn share(criterion: &Criterion) -> Option<f64> {
    criterion.share().map(Share::ratio)
}

/// Returns the share that a passing version is shown to be below, kept where there is a test.
pub(super) fn passing_share(gate: &Gate) -> Option<f64> {
    gate.passing_share().map(|share| share.min(0.999))
}

/// Returns the limit of a mean in nanoseconds.
pub(super) fn mean_limit(criterion: &Criterion) -> f64 {
    match criterion {
        Criterion::Mean { limit, .. } => nanos(*limit) as f64,
        _ => f64::INFINITY,
    }
}

/// Returns what is asked of the canary's share of breaches in terms of the stable version's; `None` for a gate that does not compare.
pub(super) fn comparison(criterion: &Criterion) -> Option<Comparison> {
    match criterion {
        Criterion::RelativeLatency { .. } => Some(Comparison::Ratio(1.0)),
        Criterion::RelativeErrors { slack: Slack::Times(ratio), .. } => Some(Comparison::Ratio(ratio.factor())),
        Criterion::RelativeErrors { slack: Slack::Plus(share), .. } => Some(Comparison::Difference(share.ratio())),
        _ => None,
    }
}

/// Returns what a passing version is shown to keep to: not so many times worse than stable as the margin says or, if that is
/// more, the gate allows; where the gate allows a difference, that and the margin of it.
pub(super) fn passing_comparison(gate: &Gate) -> Option<Comparison> {
    let margin = gate.margin_factor().max(1.001);
    match gate.criterion {
        Criterion::RelativeErrors { slack: Slack::Times(ratio), .. } => Some(Comparison::Within(margin.max(ratio.factor()))),
        Criterion::RelativeErrors { slack: Slack::Plus(share), .. } => {
            Some(Comparison::WithinDifference((share.ratio() * margin).min(0.999)))
        }
        Criterion::RelativeLatency { .. } => Some(Comparison::Within(margin)),
        _ => None,
    }
}

/// Returns what is assumed of the stable version's share of breaches before anything is known.
pub(super) fn guess(criterion: &Criterion) -> f64 {
    match criterion {
        Criterion::RelativeErrors { slack: Slack::Plus(share), .. } => share.ratio(),
        Criterion::RelativeErrors { .. } => GUESSED_ERRORS,
        _ => share(criterion).unwrap_or(GUESSED_ERRORS),
    }
}

/// Returns the longest time after which a request in flight is known to be bad, at least `patience`.
pub(super) fn patience(criterion: &Criterion, patience: Duration) -> Duration {
    patience.max(match criterion {
        Criterion::Latency { limit, .. } => *limit,
        Criterion::Apdex { satisfied, .. } => satisfied.saturating_mul(4),
        _ => Duration::ZERO,
    })
}

/// Freezes what a gate asks of a block that begins now; `sibling` is what it asks of the same time in another epoch.
pub(super) fn freeze(gate: &Gate, baseline: Option<&Baseline>, warm: bool, weight: Option<f64>, sibling: Option<&Frozen>) -> Frozen {
    let mut frozen = sibling.cloned().unwrap_or_else(|| asked(&gate.criterion, baseline));
    if sibling.is_none() && warm {
        frozen.warm = true;
        // A mean has no share that would be looser; ten times the limit still finds a version that does not answer.
        let looser = if matches!(gate.criterion, Criterion::Mean { .. }) { CAP_FACTOR } else { Policy::WARM_UP_SHARE };
        frozen.null = frozen.null.max(looser);
    }
    frozen.weight = weight;
    frozen
}

fn asked(criterion: &Criterion, baseline: Option<&Baseline>) -> Frozen {
    let rate = baseline.map_or(0.0, |baseline| baseline.rate(guess(criterion))).clamp(0.0, 1.0);
    let mut frozen = Frozen { out: false, warm: false, limits: [Duration::MAX; 2], null: 1.0, rate, weight: None };
    match *criterion {
        Criterion::Mean { .. } => {}
        Criterion::Latency { share, .. } | Criterion::Errors { share, .. } => frozen.null = share.ratio(),
        Criterion::Apdex { loss, .. } => frozen.null = loss.ratio(),
        Criterion::RelativeLatency { share, ratio, .. } => {
            frozen.null = (HEADROOM * share.ratio()).min(MOST_NULL);
            match baseline.and_then(Baseline::quantile) {
                Some(quantile) => frozen.limits = [quantile.mul_f64(ratio.factor()), quantile],
                None => frozen.out = true,
            }
        }
        Criterion::RelativeErrors { slack, .. } => {
            let allowed = |rate: f64| match slack {
                Slack::Times(ratio) => ratio.factor() * rate,
                Slack::Plus(share) => rate + share.ratio(),
            };
            let null = baseline.and_then(Baseline::upper_rate).map_or(MOST_NULL, |rate| HEADROOM * allowed(rate));
            frozen.null = null.clamp(LEAST_NULL, MOST_NULL);
        }
    }
    frozen
}

/// Returns the share for which the confirming test chooses its alternatives; each block has its own null.
pub(super) fn confirming_share(criterion: &Criterion) -> f64 {
    match criterion {
        Criterion::RelativeErrors { slack: Slack::Plus(share), .. } => share.ratio().max(LEAST_NULL),
        Criterion::RelativeErrors { .. } => LEAST_NULL,
        Criterion::RelativeLatency { share, .. } => (HEADROOM * share.ratio()).min(MOST_NULL),
        _ => share(criterion).unwrap_or(LEAST_NULL),
    }
}
