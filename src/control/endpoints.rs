//! What is shown of the versions' endpoints: whether each can be reached, what is left out, and what was done about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::Role;
use crate::domain::standing::Standing;
use crate::domain::version::{Name, Version};
use crate::seam::endpoints::{Endpoints, Watch};
use crate::seam::reach::{Again, Place, Reach};

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its address, or the path of its socket.
    pub endpoint: String,
    /// `in`, `out` (left out for its failures), `failing` (it would be left out if it were not one too many) or `unready`.
    pub state: String,
}

/// How the watch of what a cluster tells of a version's endpoints stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// What is watched, as it is written.
    pub endpoint: String,
    /// `current`, `waiting` (nothing has come yet) or `lost` (the last that was heard still holds).
    pub state: String,
    /// Why it is not current, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The endpoints of one version in one role, with counts since the version came into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachStatus {
    /// The version.
    pub version: Name,
    /// The part it plays.
    pub role: Role,
    /// Whether it can be reached.
    pub standing: Standing,
    /// Its endpoints as they are resolved now.
    pub endpoints: Vec<EndpointStatus>,
    /// Second tries by reason.
    pub retries: Vec<(String, u64)>,
    /// Second tries that the budget did not allow.
    pub unaffordable: u64,
    /// Requests that stable answered for it.
    pub rescues: u64,
    /// Requests drawn for it that went to stable because it could not be reached.
    pub vetoes: u64,
    /// Requests turned away because it held as many as it may.
    pub limited: u64,
    /// Requests refused because it had got everything back and held as much as it could take.
    #[serde(default)]
    pub shed: u64,
    /// How what a cluster tells of its endpoints is watched; empty where none is told by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchStatus>,
    /// How often an endpoint was left out.
    pub ejections: u64,
}

/// Shows versions in their roles.
pub fn shown<'a>(endpoints: &Endpoints, versions: impl Iterator<Item = (&'a Arc<Version>, Role)>) -> Vec<ReachStatus> {
    versions.map(|(version, role)| status(endpoints, version, role)).collect()
}

fn status(endpoints: &Endpoints, version: &Arc<Version>, role: Role) -> ReachStatus {
    let reach: Arc<Reach> = endpoints.of(version);
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let deeds = &reach.deeds;
    let retries = Again::ALL.iter().zip(&deeds.retries).map(|(why, count)| (why.as_str().to_owned(), read(count)));
    ReachStatus {
        version: version.name.clone(),
        role,
        standing: reach.standing(),
        endpoints: reach.list().load().places.iter().map(|place| endpoint(place)).collect(),
        retries: retries.collect(),
        unaffordable: read(&deeds.unaffordable),
        rescues: read(&deeds.rescues),
        vetoes: read(&deeds.vetoes),
        limited: read(&deeds.limited),
        shed: read(&deeds.shed),
        ejections: read(&deeds.ejections),
        watches: version.endpoints.iter().filter_map(|endpoint| watch(endpoints, endpoint)).collect(),
    }
}

fn watch(endpoints: &Endpoints, endpoint: &Endpoint) -> Option<WatchStatus> {
    let Endpoint::Slices(slices) = endpoint else { return None };
    let (state, reason) = match endpoints.watch(endpoint) {
        None => ("waiting", None),
        Some(Watch::Waiting(reason)) => ("waiting", reason),
        Some(Watch::Current) => ("current", None),
        Some(Watch::Lost(reason)) => ("lost", Some(reason)),
    };
    Some(WatchStatus { endpoint: slices.to_string(), state: state.to_owned(), reason })
}

fn endpoint(place: &Place) -> EndpointStatus {
    let state = match (place.is_ready(), place.is_in(), place.is_usable()) {
        (false, _, _) => "unready",
        (true, false, _) => "out",
        (true, true, false) => "failing",
        (true, true, true) => "in",
    };
    EndpointStatus { endpoint: place.target().to_string(), state: state.to_owned() }
}
