//! Replays a gate on a share of the requests, request by request, by the table of its tripwire.

use std::time::Duration;

use crate::domain::gate::criterion::{Share, Timing};
use crate::domain::gate::{Criterion, Evidence, Gate};
use crate::domain::outcome::Role;
use crate::domain::stats::exceedance;
use crate::domain::time::nanos;
use crate::domain::tripwire::{log_threshold, n_max_table};
use crate::domain::version::Name;
use crate::simulate::replay::log::{Doubt, Kept, Log};
use crate::simulate::replay::replayed::{Fired, Replayed};

/// How long after its limit a waiting request is looked at, as in the proxy.
const GRACE: Duration = Duration::from_millis(1);

/// A breach: when it would have been known, of which request by its start number, and when that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    at: u64,
    seq: u64,
    begun: u64,
}

/// Replays a gate that allows a share of the requests to be bad.
pub(super) fn replay(log: &Log, criterion: Criterion, share: Share, alpha: f64, beta: f64) -> Replayed {
    let mut breaches: Vec<Breach> = (1_u64..)
        .zip(log.requests(Role::Canary, Doubt::NotFiring))
        .filter_map(|(seq, kept)| {
            let after = known_after(criterion, &kept)?;
            Some(Breach { at: kept.started_ns.saturating_add(after), seq, begun: kept.started_ns })
        })
        .collect();
    breaches.sort_unstable();
    let table = n_max_table(share, alpha);
    let mut last = 0;
    let mut fired = None;
    for (count, breach) in (1_u64..).zip(&breaches) {
        last = last.max(breach.seq);
        let index = usize::try_from(count - 1).unwrap_or(usize::MAX);
        let enough = match table.get(index) {
            Some(n_max) => last <= *n_max,
            None => exceedance::log_e_breach(last, count, share.ratio()) >= log_threshold(alpha),
        };
        if enough {
            let canary: Name = "canary".parse().expect("it is written here and is a name");
            let evidence = Evidence::of_trip(&Gate::written(criterion), &canary, alpha, last, count, 0);
            let harmed = breaches.iter().filter(|other| other.begun <= breach.at).count() as u64;
            let first = log.requests(Role::Canary, Doubt::NotFiring).next().map_or(0, |kept| kept.started_ns);
            fired = Some(Fired {
                after_seconds: Duration::from_nanos(breach.at.saturating_sub(first)).as_secs_f64(),
                request: Some(breach.seq),
                requests: last,
                breaches: count,
                harmed,
                spared: breaches.len() as u64 - harmed,
                sentence: evidence.sentence,
            });
            break;
        }
    }
    Replayed {
        gate: criterion.to_string(),
        fired,
        passed_at: passed_at(log, criterion, share.ratio(), beta),
        requests: log.counts().0,
        breaches: breaches.len() as u64,
    }
}

/// Returns after how many requests in start order the pass test would first have sufficed.
fn passed_at(log: &Log, criterion: Criterion, share: f64, beta: f64) -> Option<u64> {
    let log_beta = log_threshold(beta);
    let (mut requests, mut breaches) = (0, 0);
    let mut needed = exceedance::pass_n_min(0, share, log_beta);
    for kept in log.requests(Role::Canary, Doubt::NotPassing) {
        let bad = known_after(criterion, &kept).is_some();
        // Whoever left before an answer says nothing for the version.
        requests += u64::from(bad || kept.head_ns.is_some());
        if bad {
            breaches += 1;
            needed = exceedance::pass_n_min(breaches, share, log_beta);
        }
        if requests >= needed {
            return Some(requests);
        }
    }
    None
}

/// Returns how long after its start a request is known to breach, `None` when it does not.
fn known_after(criterion: Criterion, kept: &Kept) -> Option<u64> {
    match criterion {
        Criterion::Latency { limit, timing, .. } => {
            let limit_ns = nanos(limit);
            let timed = match timing {
                Timing::ResponseTime => kept.head_ns,
                Timing::Duration => kept.head_ns.map(|_| kept.ended_ns),
            };
            let took = timed.unwrap_or(kept.ended_ns);
            let due = limit_ns.saturating_add(nanos(GRACE));
            match timed {
                _ if took > limit_ns => Some(took.min(due)),
                None if kept.blamed => Some(took),
                _ => None,
            }
        }
        Criterion::Errors { kinds, .. } => kinds.meets(kept.errors).then_some(kept.ended_ns),
        _ => None,
    }
}
