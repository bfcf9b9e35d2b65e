//! One immutable routing table: for every route its epoch, with the versions, the share and the tripwires that belong to it.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::outcome::Role;
use crate::domain::time::Timestamp;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::sync::{AtomicU64, Ordering};
use crate::seam::tripwire::Trial;

/// What a wire watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The response time may not exceed this limit.
    Latency(Duration),
    /// The version may not fail.
    Errors,
}

/// The version on trial, its share and its wires.
#[derive(Debug)]
pub struct Canary {
    /// The version.
    pub version: Arc<Version>,
    /// Its share of new requests.
    pub weight: Weight,
    /// The trial, shared by all epochs of the rollout.
    pub trial: Arc<Trial>,
    /// What each wire of the trial watches, in the order of the wires.
    pub watches: Arc<[Watch]>,
}

/// One stretch of routing between two changes.
#[derive(Debug)]
pub struct Epoch {
    /// The service.
    pub service: Name,
    /// The rollout it belongs to, 0 when there is none.
    pub rollout: u64,
    /// The strictly growing number of the change that made it.
    pub generation: u64,
    /// The version that owns the traffic.
    pub stable: Arc<Version>,
    /// The version on trial.
    pub canary: Option<Canary>,
    /// The dead-man switch in nanoseconds of the process's clock; written by the controller, read by workers.
    valid_until: AtomicU64,
}

impl Epoch {
    /// Makes an epoch; with a canary it is valid until `valid_until` unless renewed.
    #[must_use]
    pub fn new(service: Name, rollout: u64, generation: u64, stable: Arc<Version>, canary: Option<Canary>, valid_until: Timestamp) -> Self {
        Self { service, rollout, generation, stable, canary, valid_until: AtomicU64::new(valid_until.as_nanos()) }
    }

    /// Prolongs the epoch. Only the controller does so, after it has judged.
    pub fn renew(&self, until: Timestamp) {
        self.valid_until.store(until.as_nanos(), Ordering::Release);
    }

    /// Returns until when the canary may get requests.
    #[must_use]
    pub fn valid_until(&self) -> Timestamp {
        Timestamp::from_nanos(self.valid_until.load(Ordering::Acquire))
    }

    /// Turns what was drawn into what is picked: the canary only while the epoch has neither tripped nor expired.
    ///
    /// This is the place where a trip takes effect: one acquire load, at every canary pick.
    #[must_use]
    pub fn pick(&self, drawn: Role, now: Timestamp) -> Role {
        match (&self.canary, drawn) {
            (Some(canary), Role::Canary) if !canary.trial.is_tripped() && now.as_nanos() <= self.valid_until.load(Ordering::Acquire) => {
                Role::Canary
            }
            _ => Role::Stable,
        }
    }

    /// Returns the version that plays this part.
    #[must_use]
    pub fn version(&self, role: Role) -> &Arc<Version> {
        match (role, &self.canary) {
            (Role::Canary, Some(canary)) => &canary.version,
            _ => &self.stable,
        }
    }

    /// Returns the share that is in force: nothing once tripped.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.canary.as_ref().filter(|c| !c.trial.is_tripped()).map_or(Weight::ZERO, |c| c.weight)
    }
}

/// One route: the hosts it answers for and its epoch.
#[derive(Clone, Debug)]
pub struct Route {
    /// Lower-case host names without port; empty for every host.
    pub hosts: Arc<[String]>,
    /// The epoch in force.
    pub epoch: Arc<Epoch>,
}

/// What every worker reads once per request.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The number of this table, growing with every publication.
    pub number: u64,
    /// The routes, in the order of the configuration.
    pub routes: Vec<Route>,
}

impl Table {
    /// Finds the route for a host (lower case, without port) and returns its position; routes that name a host come first.
    #[must_use]
    pub fn route(&self, host: &str) -> Option<usize> {
        let named = self.routes.iter().position(|r| r.hosts.iter().any(|h| h == host));
        named.or_else(|| self.routes.iter().position(|r| r.hosts.is_empty()))
    }
}
