//! The requests of both versions as a log tells of them.

use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::{Blame, Role};
use crate::domain::start_order::Fate;
use crate::domain::time::nanos;
use crate::formats::access_log::Recorded;
use crate::formats::hlog::Interval;
use crate::simulate::chance::Chance;

/// The most requests that are kept; each takes 56 bytes.
pub const MOST: usize = 20_000_000;

/// Longer than any limit of a gate. All times are later by this much, so that what had been out for long when a recording
/// began does not begin before all time; a latency of an interval log counts up to here.
pub(super) const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// How a time that the log only bounds is to be taken: so that in doubt the gate does not fire, or so that it does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The canary is as fast as it can have been, the stable version as slow.
    NotFiring,
    /// The other way round.
    NotPassing,
}

/// What of one request matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub started_ns: u64,
    pub head_ns: Option<u64>,
    pub ended_ns: u64,
    /// How much longer it may have taken, where the log only bounds it.
    vague_ns: u64,
    pub errors: ErrorKinds,
    /// Whether the version is to blame for the missing answer.
    pub blamed: bool,
}

impl Kept {
    /// Takes the request as the longest or the shortest it can have been.
    const fn taken(self, longest: bool) -> Self {
        let more = if longest { self.vague_ns } else { 0 };
        let head_ns = match self.head_ns {
            Some(head_ns) => Some(head_ns.saturating_add(more)),
            None => None,
        };
        Self { head_ns, ended_ns: self.ended_ns.saturating_add(more), vague_ns: 0, ..self }
    }

    /// Returns how it ended, as the judge wants to know it.
    pub fn fate(&self) -> Fate {
        let duration = Duration::from_nanos(self.ended_ns);
        match self.head_ns {
            Some(head_ns) => Fate::Measured { latency: Duration::from_nanos(head_ns), duration, errors: self.errors, unanswered: false },
            None if self.blamed => Fate::Measured { latency: duration, duration, errors: self.errors, unanswered: true },
            None => Fate::Excluded { after: duration },
        }
    }
}

/// The requests of a log, or of one log for each version.
#[derive(Debug, Default)]
pub struct Log {
    canary: Vec<Kept>,
    stable: Vec<Kept>,
    intervals: [bool; 2],
}

impl Log {
    /// Takes in one request; says whether there was room for it.
    pub fn add(&mut self, recorded: &Recorded) -> bool {
        let unanswered = recorded.response_time.is_none();
        let kept = Kept {
            started_ns: recorded.started_ns().saturating_add(nanos(LONGEST)),
            head_ns: recorded.response_time.map(nanos),
            ended_ns: nanos(recorded.duration),
            vague_ns: 0,
            errors: ErrorKinds::of(recorded.outcome),
            blamed: unanswered && recorded.outcome.blame() == Some(Blame::Upstream),
        };
        self.of(recorded.role).push(kept);
        self.has_room(0)
    }

    /// Takes in the requests of an interval, which has no order inside: they end spread evenly over it, in an order that is
    /// drawn. Says whether there was room for them.
    pub fn add_interval(&mut self, role: Role, interval: &Interval, chance: &mut Chance) -> bool {
        if !self.has_room(interval.total) {
            return false;
        }
        let [canary, stable] = &mut self.intervals;
        *(if role == Role::Canary { canary } else { stable }) = true;
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for values in &interval.values {
            let at_least = values.at_least_ns.min(nanos(LONGEST));
            let vague = values.at_most_ns.min(nanos(LONGEST)).saturating_sub(at_least);
            taken.extend((0..values.count).map(|_| (at_least, vague)));
        }
        // Fisher and Yates 1938.
        for place in (1..taken.len()).rev() {
            let other = (chance.unit() * (place + 1) as f64) as usize;
            taken.swap(place, other.min(place));
        }
        let apart = interval.length_ns as f64 / taken.len().max(1) as f64;
        let kept = taken.into_iter().enumerate().map(|(index, (took, vague_ns))| {
            let end = interval.start_ns.saturating_add(((index as f64 + 0.5) * apart) as u64).saturating_add(nanos(LONGEST));
            let started_ns = end.saturating_sub(took);
            Kept { started_ns, head_ns: Some(took), ended_ns: took, vague_ns, errors: ErrorKinds::NONE, blamed: false }
        });
        self.of(role).extend(kept);
        true
    }

    /// Takes over the stable version's requests of another log; returns by how much they had to be moved so that both logs
    /// begin together, where the two do not overlap in time: later, or earlier with `false`.
    pub fn compare_with(&mut self, mut other: Self) -> Option<(Duration, bool)> {
        self.stable = std::mem::take(&mut other.stable);
        let ([_, own], [_, others]) = (&mut self.intervals, other.intervals);
        *own = others;
        let (canary, stable) = (span(&self.canary)?, span(&self.stable)?);
        if canary.0 <= stable.1 && stable.0 <= canary.1 {
            return None;
        }
        let (later, by) = (canary.0 > stable.0, canary.0.abs_diff(stable.0));
        for kept in &mut self.stable {
            kept.started_ns = if later { kept.started_ns.saturating_add(by) } else { kept.started_ns.saturating_sub(by) };
        }
        Some((Duration::from_nanos(by), later))
    }

    /// Gives every request of the log to the stable version, as those of a log that is only compared with.
    #[must_use]
    pub fn as_stable(self) -> Self {
        let stable = if self.stable.is_empty() { self.canary } else { self.stable };
        Self { stable, canary: Vec::new(), ..self }
    }

    /// Returns how many requests of the canary and of the stable version were taken in.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.canary.len() as u64, self.stable.len() as u64)
    }

    /// Says whether the requests of the canary, or of the stable version, come from an interval log, which knows no failures.
    #[must_use]
    pub const fn is_of_intervals(&self, role: Role) -> bool {
        let [canary, stable] = self.intervals;
        matches!((role, canary, stable), (Role::Canary, true, _) | (Role::Stable, _, true))
    }

    /// Says whether any request's time is only bounded.
    pub(super) const fn is_vague(&self) -> bool {
        self.is_of_intervals(Role::Canary) || self.is_of_intervals(Role::Stable)
    }

    /// Puts the requests into the order of their starts.
    pub(super) fn sort(&mut self) {
        self.canary.sort_by_key(|kept| kept.started_ns);
        self.stable.sort_by_key(|kept| kept.started_ns);
    }

    /// Returns the requests of one version.
    pub(super) fn requests(&self, role: Role, doubt: Doubt) -> impl Iterator<Item = Kept> {
        let (kept, longest) = match role {
            Role::Canary => (&self.canary, doubt == Doubt::NotPassing),
            Role::Stable | Role::Beside => (&self.stable, doubt == Doubt::NotFiring),
        };
        kept.iter().map(move |kept| kept.taken(longest))
    }

    const fn has_room(&self, more: u64) -> bool {
        (self.canary.len() + self.stable.len()) as u64 <= (MOST as u64).saturating_sub(more)
    }

    const fn of(&mut self, role: Role) -> &mut Vec<Kept> {
        match role {
            Role::Canary => &mut self.canary,
            Role::Stable | Role::Beside => &mut self.stable,
        }
    }
}

/// Returns when the first request began and the last one did.
fn span(requests: &[Kept]) -> Option<(u64, u64)> {
    let starts = || requests.iter().map(|kept| kept.started_ns);
    Some((starts().min()?, starts().max()?))
}
