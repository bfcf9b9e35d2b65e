//! What the benches share: routes with a canary, the real data plane in this process, a small upstream and a small client.

pub mod client;
pub mod plane;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::domain::gate::Share;
use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::domain::tripwire::n_max_table;
use portcullis::domain::version::Version;
use portcullis::domain::weight::Weight;
use portcullis::seam::table::{Canary, Epoch, Route, Table, Watch};
use portcullis::seam::tripwire::{Tables, Trial};

/// Makes a version with one endpoint.
pub fn version(name: &str, endpoint: SocketAddr) -> Arc<Version> {
    Arc::new(Version { name: name.parse().expect("a name"), endpoints: vec![endpoint] })
}

/// Makes an epoch of a service on trial with the gate `p95 < limit` at alpha 0.001, never to expire.
pub fn epoch(generation: u64, stable: &Arc<Version>, canary: &Arc<Version>, weight: &str, limit: Duration) -> Arc<Epoch> {
    let trial = Arc::new(Trial::new(vec![Tables::without_step(n_max_table(Share::FIVE_PERCENT, 0.001))], 1));
    let weight: Weight = weight.parse().expect("a share");
    let canary = Canary {
        version: Arc::clone(canary),
        weight,
        trial,
        watches: vec![Watch::Latency(limit)].into(),
        outcome_deadline: None,
        probe_spacing: None,
    };
    let service = "carts".parse().expect("a name");
    Arc::new(Epoch::new(service, generation, generation, Arc::clone(stable), Some(canary), Timestamp::NEVER))
}

/// Makes an epoch that gives its canary nothing but probes, one in 500 ms; the first has been taken.
pub fn probes() -> Arc<Epoch> {
    let nobody = ([127, 0, 0, 1], 9).into();
    let mut armed =
        Arc::into_inner(epoch(1, &version("v1", nobody), &version("v2", nobody), "10%", Duration::from_secs(1))).expect("one owner");
    armed.canary.as_mut().expect("a canary").probe_spacing = Some(Duration::from_millis(500));
    let probing = Epoch::new(armed.service, 1, 1, armed.stable, armed.canary, Timestamp::NEVER);
    assert_eq!(probing.pick(Role::Canary, Timestamp::from_nanos(1)), Role::Canary);
    Arc::new(probing)
}

/// Makes a table with one route for every host.
pub fn table(number: u64, epoch: &Arc<Epoch>) -> Table {
    Table { number, routes: vec![Route { hosts: Arc::from([]), epoch: Arc::clone(epoch) }] }
}
