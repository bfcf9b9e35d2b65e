//! What the controller shows: a snapshot of every rollout, and the totals of every version.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::domain::gate::{Evidence, Verdict};
use crate::domain::observation::{Observation, Window};
use crate::domain::outcome::Role;
use crate::domain::rollout::{GateStatus, Phase};
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;

/// A trip as the data plane saw it; times are nanoseconds of the process's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileStatus {
    /// Its verdict.
    pub verdict: Verdict,
    /// Why, one sentence.
    pub reason: String,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// What the last decision rests on.
    pub evidence: Option<Evidence>,
    /// Every gate.
    pub gates: Vec<GateStatus>,
    /// The gate file's own grade.
    pub file: Option<FileStatus>,
    /// How many more good requests the step needs; absent when unknown.
    pub needs: Option<u64>,
    /// Canary requests that began.
    pub canary_requests: u64,
    /// The trip, when there was one.
    pub trip: Option<TripStatus>,
    /// Whether the last decision is durable.
    pub durable: bool,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// The service, which is also the name of its rollout in the API.
    pub name: Name,
    /// The version that owns the traffic.
    pub owner: Version,
    /// The current or last rollout.
    pub rollout: Option<RolloutStatus>,
    /// Versions that were rolled back and stay so until someone asks for a retry.
    pub rejected: Vec<Name>,
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
    /// Every service.
    pub services: Vec<ServiceStatus>,
    /// The last 100 notices, oldest first.
    pub notices: VecDeque<Notice>,
    /// When the controller last judged, nanoseconds of the process's clock.
    pub judged_ns: u64,
}

/// The totals of one version in one role.
pub type TotalsKey = (String, String, Role);

/// Totals since the start, and requests in flight by worker and epoch.
#[derive(Default)]
pub struct Totals {
    /// The sums.
    pub windows: BTreeMap<TotalsKey, Window>,
    /// Requests in flight, by version and by who reported them.
    pub in_flight: BTreeMap<TotalsKey, BTreeMap<(usize, u64), u64>>,
    /// Rollbacks by service.
    pub rollbacks: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds what a worker saw of an epoch.
    pub fn add(&mut self, key: &TotalsKey, worker: usize, generation: u64, seen: &Observation) {
        self.windows.entry(key.clone()).or_default().merge(seen);
        let flights = self.in_flight.entry(key.clone()).or_default();
        if seen.in_flight == 0 {
            flights.remove(&(worker, generation));
        } else {
            flights.insert((worker, generation), seen.in_flight);
        }
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
