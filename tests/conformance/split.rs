//! Two versions that say who they are, and splits between them whose weight and rollout a test changes.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis::domain::time::Timestamp;
use portcullis::domain::version::{Name, Version};
use portcullis::domain::weight::Weight;
use portcullis::seam::choice::Choice;
use portcullis::seam::keys::Keys;
use portcullis::seam::table::{Canary, Epoch, Route, Table};
use portcullis::seam::tripwire::{Tables, Trial};

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;

/// An upstream that answers every request with its name.
pub fn named(name: &'static str) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
}

/// A key that signs.
pub fn keys() -> Keys {
    Keys::new([(name("k"), [7; 32])]).unwrap()
}

/// The name of a version or service.
pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A version with one endpoint.
pub fn version(text: &str, address: SocketAddr) -> Arc<Version> {
    Arc::new(Version::at(name(text), [address]))
}

/// A proxy between v1 and v2.
pub struct Split {
    /// The stable version.
    pub v1: Upstream,
    /// The canary.
    pub v2: Upstream,
    /// The proxy.
    pub proxy: Proxy,
    versions: (Arc<Version>, Arc<Version>),
    choice: Arc<Choice>,
    number: u64,
}

impl Split {
    /// Starts with everything at v1 in rollout 1.
    pub fn new(choice: Choice) -> Self {
        let (v1, v2) = (named("v1"), named("v2"));
        let versions = (version("v1", v1.address), version("v2", v2.address));
        Self::of(v1, v2, versions, choice)
    }

    /// Starts with everything at this stable version, beside this canary; v1 and v2 get nothing.
    pub fn between(stable: Arc<Version>, canary: Arc<Version>, choice: Choice) -> Self {
        Self::of(named("v1"), named("v2"), (stable, canary), choice)
    }

    fn of(v1: Upstream, v2: Upstream, versions: (Arc<Version>, Arc<Version>), choice: Choice) -> Self {
        let proxy = proxy::to([]).start();
        let mut split = Self { v1, v2, proxy, versions, choice: Arc::new(choice), number: 1 };
        split.shift(1, None);
        split
    }

    /// Gives the canary this share in basis points in this rollout, or nothing at all; returns its trial.
    pub fn shift(&mut self, rollout: u64, points: Option<u16>) -> Arc<Trial> {
        self.publish(rollout, points, Timestamp::NEVER)
    }

    /// Does the same with an epoch that is valid until then.
    pub fn publish(&mut self, rollout: u64, points: Option<u16>, until: Timestamp) -> Arc<Trial> {
        let trial = Arc::new(Trial::new(vec![Tables::without_step([0, u64::MAX].into())], 1));
        let canary = points.map(|points| Canary {
            version: Arc::clone(&self.versions.1),
            weight: Weight::from_basis_points(points).unwrap(),
            trial: Arc::clone(&trial),
            watches: vec![portcullis::seam::table::Watch::Latency(std::time::Duration::from_secs(60))].into(),
            outcome_deadline: None,
            probe_spacing: None,
        });
        self.number += 1;
        let epoch = Epoch::new(name("carts"), rollout, self.number, Arc::clone(&self.versions.0), canary, until);
        let route = Route { choice: Some(Arc::clone(&self.choice)), ..Route::new([], Arc::new(epoch)) };
        self.proxy.routes.publish(Table::new(self.number, vec![route]));
        trial
    }

    /// Sends a GET with these field lines over a connection of its own.
    #[track_caller]
    pub fn get(&self, fields: &str) -> Message {
        Client::connect(self.proxy.address).ask(format!("GET /t HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"))
    }

    /// Sends a GET with these field lines and returns who answered.
    #[track_caller]
    pub fn who(&self, fields: &str) -> String {
        let answer = self.get(fields);
        assert_eq!(answer.status(), 200);
        String::from_utf8(answer.body).unwrap()
    }

    /// Returns every field that reached v1 or v2.
    pub fn fields(&self) -> Vec<(String, String)> {
        [&self.v1, &self.v2].into_iter().flat_map(Upstream::requests).flat_map(|request| request.fields).collect()
    }
}

/// Returns a counter's value.
pub fn count(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(std::sync::atomic::Ordering::Relaxed)
}

/// Trips a trial by a breach.
#[track_caller]
pub fn trip(trial: &Trial) {
    for _ in 0..2 {
        let _ = trial.breach(0, trial.begin(), 1, false);
    }
    assert!(trial.is_tripped());
}
