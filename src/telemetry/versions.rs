//! The series of every version: those of the current rollouts by themselves, and what there are too many of together as `other`.
//!
//! A version that is shown by itself stays so while there is room, and one that is part of `other` stays there, so that no counter
//! goes backwards: what was counted for `other` is kept when a version is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::status::{Snapshot, Totals, TotalsKey};
use crate::domain::outcome::Role;
use crate::domain::version::Version;
use crate::telemetry::compat::Compat;
use crate::telemetry::figures::{SERIES, VersionFigures};
use crate::telemetry::sheet::Sheet;

/// The most versions, each in one role, that have series of their own.
pub const MOST: usize = 200;
/// The name under which all others are shown.
pub const OTHER: &str = "other";

/// Which versions are shown by themselves, and what the others sum up to.
#[derive(Default)]
pub struct Versions {
    shown: BTreeSet<TotalsKey>,
    folded: BTreeMap<TotalsKey, VersionFigures>,
    others: BTreeMap<Role, VersionFigures>,
    over_limit: u64,
}

impl Versions {
    /// Returns how many versions were ever shown as `other` for want of room.
    pub const fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// Copies what is shown: every version for which there is room, those of the current rollouts first, then those that had room
    /// before, then by name; and the sums of all others.
    pub fn copy(&mut self, sheet: &mut Sheet, snapshot: &Snapshot, totals: &Totals, compat: &Compat) -> Vec<VersionFigures> {
        let current = current(snapshot);
        let (before, late): (Vec<_>, Vec<_>) =
            totals.windows.keys().filter(|key| !current.contains(*key)).partition(|key| self.shown.contains(*key));
        let candidates = current.iter().chain(before).chain(late.iter().copied().filter(|key| !self.folded.contains_key(*key)));
        let mut own = BTreeSet::new();
        for key in candidates {
            if own.len() < MOST && sheet.reserve_quietly(SERIES + compat.series()) {
                own.insert(key.clone());
            }
        }
        for key in totals.windows.keys().filter(|key| !own.contains(*key)) {
            self.fold(key, totals);
        }
        self.folded.retain(|key, _| totals.windows.contains_key(key) && !own.contains(key));
        self.shown = own;
        for (role, other) in &mut self.others {
            other.in_flight = self.folded.iter().filter(|(key, _)| key.2 == *role).map(|(_, figures)| figures.in_flight).sum();
        }
        let own = self.shown.iter().map(|key| VersionFigures::of(key.clone(), totals, compat.bounds()));
        let others = self.others.values().filter(|_| sheet.reserve(SERIES)).cloned();
        own.chain(others).collect()
    }

    /// Adds what a version counted since it was last looked at to those that are shown together.
    fn fold(&mut self, key: &TotalsKey, totals: &Totals) {
        let now = VersionFigures::of(key.clone(), totals, &[]);
        // What a version counted while it was shown by itself has been told already.
        let told = self.shown.contains(key).then(|| now.clone());
        let before = self.folded.insert(key.clone(), now.clone());
        self.over_limit += u64::from(before.is_none());
        let other = (OTHER.to_owned(), OTHER.to_owned(), key.2);
        let sum = self.others.entry(key.2).or_insert_with(|| VersionFigures::nothing(other));
        sum.add(&now, &before.or(told).unwrap_or_default());
    }
}

/// Returns the versions of the current or last rollouts.
fn current(snapshot: &Snapshot) -> BTreeSet<TotalsKey> {
    let mut current = BTreeSet::new();
    for service in &snapshot.services {
        let mut add = |version: &Version, role| {
            current.insert((service.name.to_string(), version.name.to_string(), role));
        };
        add(&service.owner, Role::Stable);
        if let Some(rollout) = &service.rollout {
            add(&rollout.stable, Role::Stable);
            add(&rollout.canary, Role::Canary);
        }
    }
    current
}
