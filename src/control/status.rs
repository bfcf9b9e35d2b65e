//! What the controller shows: a snapshot of every rollout, and the totals of every version.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::control::endpoints::ReachStatus;
use crate::control::terms::{PlanStatus, PolicyStatus};
use crate::control::way_back::WayBackStatus;
use crate::domain::gate::{Evidence, Verdict};
use crate::domain::judge::GateStatus;
use crate::domain::observation::{Observation, Window};
use crate::domain::outcome::Role;
use crate::domain::rollout::Phase;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// A trip as the data plane saw it; times are nanoseconds of the process's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TripStatus {
    /// When the deciding breach was evident.
    pub evident_ns: u64,
    /// When the flag was set.
    pub tripped_ns: u64,
    /// When the first breaching request of the rollout had been sent.
    pub first_breach_started_ns: Option<u64>,
    /// When the last canary request began.
    pub last_canary_started_ns: Option<u64>,
    /// The deciding breach was this many breaches.
    pub breaches: u64,
    /// The deciding breach was this request.
    pub requests: u64,
    /// Canary requests that began after the flag was set; always 0.
    pub started_after_trip: u64,
}

/// What a gate file says of the current step by its own arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its verdict.
    pub verdict: Verdict,
    /// Why, one sentence.
    pub reason: String,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// Its number within the service.
    pub id: u64,
    /// The version that owned the traffic when it began.
    pub stable: Version,
    /// The version on trial.
    pub canary: Version,
    /// Where it stands.
    pub phase: Phase,
    /// The step of the plan, from 0.
    pub step: usize,
    /// How many steps the plan has.
    pub steps: usize,
    /// The canary's share now: 0 as soon as a tripwire has tripped.
    pub weight: Weight,
    /// The generation of the last change.
    pub generation: u64,
    /// Why it stands there.
    pub reason: String,
    /// Who decided that: the plan, the gate, the sources, a restart or a person; absent where an earlier release wrote it.
    #[serde(default)]
    pub actor: Option<String>,
    /// Whether a step was passed with a warning.
    #[serde(default)]
    pub warned: bool,
    /// What the last decision rests on.
    pub evidence: Option<Evidence>,
    /// Every gate.
    pub gates: Arc<[GateStatus]>,
    /// The gate file's own grade.
    pub file: Option<FileStatus>,
    /// How many more good requests the step needs; absent when unknown.
    pub needs: Option<u64>,
    /// How long that takes at the present traffic, in seconds; absent when unknown or without traffic.
    pub needs_seconds: Option<f64>,
    /// How much of the step's hold, the watch, or the time to confirm or to approve is left, in seconds.
    pub held_seconds: Option<f64>,
    /// How much of the warm-up is left, in seconds; absent when it is over.
    pub warm_up_seconds: Option<f64>,
    /// Requests per second over both versions, lately.
    pub rate: f64,
    /// How often it was braked.
    pub brakes: u32,
    /// The plan; absent for a rollout that ended before this process began.
    pub plan: Option<PlanStatus>,
    /// How it is judged; absent for a rollout that ended before this process began.
    pub policy: Option<PolicyStatus>,
    /// Canary requests that began.
    pub canary_requests: u64,
    /// The trip, when there was one.
    pub trip: Option<TripStatus>,
    /// Whether the last decision is durable.
    pub durable: bool,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service, which is also the name of its rollout in the API.
    pub name: Name,
    /// The version that owns the traffic.
    pub owner: Version,
    /// The current or last rollout.
    pub rollout: Option<RolloutStatus>,
    /// What a rollout that is to begin waits for, one sentence; absent where none does.
    #[serde(default)]
    pub waits: Option<String>,
    /// Versions that were rolled back and stay so until someone asks for a retry.
    pub rejected: Vec<Name>,
    /// The endpoints of the versions that have a part now.
    #[serde(default)]
    pub endpoints: Vec<ReachStatus>,
    /// Whether the owner can take everything back, and what was done for it; absent where nothing is to come back, and nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBackStatus>,
}

impl ServiceStatus {
    /// Returns a text that changes with every decision about the service's rollout: its number, its generation and its phase.
    #[must_use]
    pub fn tag(&self) -> String {
        self.rollout
            .as_ref()
            .map_or_else(|| "0".to_owned(), |rollout| format!("{}.{}.{}", rollout.id, rollout.generation, rollout.phase.as_str()))
    }
}

/// Something people were told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The service.
    pub service: Name,
    /// One plain sentence.
    pub sentence: String,
    /// Whether somebody should look.
    pub alarm: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Every service. Where one stands is shown at once; the figures of one among many may be half a second old.
    pub services: Vec<Arc<ServiceStatus>>,
    /// The last 100 notices, oldest first.
    pub notices: VecDeque<Notice>,
    /// When the controller last judged, nanoseconds of the process's clock.
    pub judged_ns: u64,
}

/// The totals of one version in one role.
pub type TotalsKey = (String, String, Role);

/// The most versions of a service whose totals are kept; each takes about half a megabyte.
pub const VERSIONS: usize = 20;

/// Totals since the start, and requests in flight by worker and epoch; of each service the [`VERSIONS`] heard of last.
#[derive(Default)]
pub struct Totals {
    /// The sums.
    pub windows: BTreeMap<TotalsKey, Window>,
    /// Requests in flight, by version and by who reported them.
    pub in_flight: BTreeMap<TotalsKey, BTreeMap<(usize, u64), u64>>,
    /// Rollbacks by service.
    pub rollbacks: BTreeMap<String, u64>,
    /// The versions of each service, the one heard of last at the end.
    heard: BTreeMap<String, VecDeque<String>>,
}

impl Totals {
    /// Adds what a worker saw of an epoch; returns the version that was forgotten for it, if any.
    pub fn add(&mut self, key: &TotalsKey, worker: usize, generation: u64, seen: &Observation) -> Option<String> {
        self.windows.entry(key.clone()).or_default().merge(seen);
        let flights = self.in_flight.entry(key.clone()).or_default();
        if seen.in_flight == 0 {
            flights.remove(&(worker, generation));
        } else {
            flights.insert((worker, generation), seen.in_flight);
        }
        self.forget(&key.0, &key.1)
    }

    /// Notes that a version was heard of, and forgets the one that was silent longest when there are too many.
    fn forget(&mut self, service: &str, version: &str) -> Option<String> {
        let heard = self.heard.entry(service.to_owned()).or_default();
        if let Some(index) = heard.iter().position(|known| known == version) {
            heard.remove(index);
        }
        heard.push_back(version.to_owned());
        let forgotten = if heard.len() > VERSIONS { heard.pop_front()? } else { return None };
        let of_another = |key: &TotalsKey| key.0 != service || key.1 != forgotten;
        self.windows.retain(|key, _| of_another(key));
        self.in_flight.retain(|key, _| of_another(key));
        Some(forgotten)
    }
}

/// What the controller writes and everybody else reads.
#[derive(Clone, Default)]
pub struct Board {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Guards the totals; written by the controller a few times per second, read at exposition. Never held across I/O.
    totals: Arc<Mutex<Totals>>,
}

impl Board {
    /// Returns the last snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces the snapshot.
    pub fn show(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Returns the totals. A panic while they were held leaves them usable: they are sums.
    pub fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_versions_the_last_ones_heard_of_are_kept() {
        let mut totals = Totals::default();
        let mut seen = Observation::new(Role::Canary);
        (seen.decided, seen.in_flight) = (1, 1);
        let key = |service: &str, version: &str, role| (service.to_owned(), version.to_owned(), role);
        for number in 0..100 {
            for role in [Role::Stable, Role::Canary] {
                let forgotten = totals.add(&key("carts", &format!("v{number}"), role), 0, 7, &seen);
                assert_eq!(forgotten.is_some(), number >= VERSIONS && role == Role::Stable, "v{number}: {forgotten:?}");
                assert_ne!(forgotten.as_deref(), Some("v1"), "what is in use is never forgotten");
            }
            assert_eq!(totals.add(&key("carts", "v1", Role::Stable), 0, 7, &seen), None);
            totals.add(&key("orders", "v1", Role::Stable), 0, 7, &seen);
        }
        assert_eq!(totals.windows.len(), 2 * VERSIONS + 1);
        assert_eq!(totals.in_flight.len(), totals.windows.len());
        assert_eq!(totals.windows[&key("carts", "v1", Role::Stable)].decided, 101);
        assert_eq!(totals.windows[&key("orders", "v1", Role::Stable)].decided, 100);
    }
}
