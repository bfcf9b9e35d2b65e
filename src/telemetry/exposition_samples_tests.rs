//! What the tests of the exposition show.
#![cfg(test)]

use crate::control::endpoints::{EndpointStatus, ReachStatus, WatchStatus};
use crate::control::way_back::WayBackStatus;
use crate::domain::outcome::Role;
use crate::domain::standing::Standing;
use crate::domain::way_back::{Forecast, Room};

/// Six requests may be held, which is less than what is to come.
pub(super) fn way_back() -> WayBackStatus {
    let forecast = Forecast { room: Room::Short, asked: 400.0, shown: Some(80.0), endpoints: 2 };
    let (policy, sentence) = ("shed".to_owned(), "v1 cannot take it".to_owned());
    WayBackStatus { policy, forecast, most_in_flight: Some(6), left_seconds: Some(9.0), shed: 11, sentence }
}

/// The endpoints of 0.8.1: one gets requests, one is left out, and nothing is usable.
pub(super) fn reach(role: Role) -> ReachStatus {
    let endpoint = |state: &str| EndpointStatus { endpoint: format!("10.0.0.1:{}", state.len()), state: state.to_owned() };
    let (version, endpoints) = ("0.8.1".parse().unwrap(), vec![endpoint("in"), endpoint("out")]);
    let retries = vec![("connect".to_owned(), 3), ("stale".to_owned(), 4)];
    ReachStatus {
        version,
        role,
        standing: Standing::Failed,
        endpoints,
        retries,
        unaffordable: 5,
        rescues: 6,
        vetoes: 7,
        limited: 8,
        shed: 11,
        watches: vec![WatchStatus { endpoint: "kubernetes:carts".to_owned(), state: "lost".to_owned(), reason: None }],
        ejections: 9,
    }
}
