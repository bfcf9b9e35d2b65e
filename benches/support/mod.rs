//! What the benches share: routes with a canary, the real data plane in this process, a small upstream and a small client.

pub mod client;
pub mod plane;
pub mod sheet;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::domain::gate::Share;
use portcullis::domain::time::Timestamp;
use portcullis::domain::tripwire::n_max_table;
use portcullis::domain::version::Version;
use portcullis::domain::weight::Weight;
use portcullis::seam::table::{Canary, Epoch, Route, Table, Watch};
use portcullis::seam::tripwire::{Tables, Trial};

/// Makes a version with one endpoint.
pub fn version(name: &str, endpoint: SocketAddr) -> Arc<Version> {
    Arc::new(Version::at(name.parse().expect("a name"), vec![endpoint]))
}

/// Makes an epoch of a service on trial with the gate `p95 < limit` at alpha 0.001, never to expire.
pub fn epoch(generation: u64, stable: &Arc<Version>, canary: &Arc<Version>, weight: &str, limit: Duration) -> Arc<Epoch> {
    watched(generation, stable, canary, weight, Watch::Latency(limit))
}

/// Makes the same epoch with another gate: no more than 5 % of the requests may breach it.
pub fn watched(generation: u64, stable: &Arc<Version>, canary: &Arc<Version>, weight: &str, watch: Watch) -> Arc<Epoch> {
    let trial = Arc::new(Trial::new(vec![Tables::without_step(n_max_table(Share::FIVE_PERCENT, 0.001))], 1));
    let weight: Weight = weight.parse().expect("a share");
    let canary =
        Canary { version: Arc::clone(canary), weight, trial, watches: vec![watch].into(), outcome_deadline: None, probe_spacing: None };
    let service = "carts".parse().expect("a name");
    Arc::new(Epoch::new(service, generation, generation, Arc::clone(stable), Some(canary), Timestamp::NEVER))
}

/// Makes a table with one route for every host.
pub fn table(number: u64, epoch: &Arc<Epoch>) -> Table {
    Table::new(number, vec![Route::new([], Arc::clone(epoch))])
}
