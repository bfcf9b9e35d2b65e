//! One immutable routing table: for every route its epoch, with the versions, the share and the tripwires that belong to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::Role;
use crate::domain::route::{Asked, Disagreement, HostPattern, Index, Rule};
use crate::domain::time::{Timestamp, nanos};
use crate::domain::upkeep::Rules;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::choice::Choice;
use crate::seam::spacing::Spacing;
use crate::seam::sync::{AtomicU64, Ordering};
use crate::seam::tripwire::Trial;

/// What a wire watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The time to the response head may not exceed this limit.
    Latency(Duration),
    /// The time to the last byte may not exceed this limit.
    Duration(Duration),
    /// The version may not fail in one of these ways.
    Errors(ErrorKinds),
}

/// The version on trial, its share and its wires.
#[derive(Debug)]
pub struct Canary {
    /// The version.
    pub version: Arc<Version>,
    /// Its share of new requests.
    pub weight: Weight,
    /// The trial, shared by all epochs of one step.
    pub trial: Arc<Trial>,
    /// What each wire of the trial watches, in the order of the wires.
    pub watches: Arc<[Watch]>,
    /// A request that has no response head after this long has failed as a time-out, whatever becomes of it. It says nothing
    /// of what comes after the head, so a response that streams for hours is none, and nothing of a request whose client
    /// still owes some of its body.
    pub outcome_deadline: Option<Duration>,
    /// With it the canary gets nothing but probes: at most one request in this time over all workers, whatever is drawn.
    pub probe_spacing: Option<Duration>,
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
    /// What they may do for each other.
    pub rules: Rules,
    /// The dead-man switch in nanoseconds of the process's clock; written by the controller, read by workers.
    valid_until: AtomicU64,
    /// Whose turn it is, where the canary gets nothing but probes.
    probes: Option<Spacing>,
    multiplexes: bool,
}

impl Epoch {
    /// Makes an epoch; with a canary it is valid until `valid_until` unless renewed.
    #[must_use]
    pub fn new(service: Name, rollout: u64, generation: u64, stable: Arc<Version>, canary: Option<Canary>, valid_until: Timestamp) -> Self {
        let probes = canary.as_ref().and_then(|c| c.probe_spacing).map(|spacing| Spacing::new(nanos(spacing)));
        let speaks = |version: &Version| version.transport.may_multiplex();
        Self {
            multiplexes: speaks(&stable) || canary.as_ref().is_some_and(|canary| speaks(&canary.version)),
            service,
            rollout,
            generation,
            stable,
            canary,
            rules: Rules::default(),
            valid_until: AtomicU64::new(valid_until.as_nanos()),
            probes,
        }
    }

    /// Returns the epoch with these rules.
    #[must_use]
    pub const fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Says whether one of its versions may speak HTTP/2.
    #[must_use]
    pub const fn may_multiplex(&self) -> bool {
        self.multiplexes
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

    /// Turns what was drawn into what is picked: the canary only while the epoch has neither tripped nor expired, and where
    /// it gets nothing but probes only when one is due.
    ///
    /// This is the place where a trip takes effect: one acquire load, at every canary pick.
    #[must_use]
    pub fn pick(&self, drawn: Role, now: Timestamp) -> Role {
        match (&self.canary, drawn) {
            (Some(canary), Role::Canary)
                if !canary.trial.is_tripped()
                    && now.as_nanos() <= self.valid_until.load(Ordering::Acquire)
                    && self.probes.as_ref().is_none_or(|probes| probes.take(now.as_nanos())) =>
            {
                Role::Canary
            }
            _ => Role::Stable,
        }
    }

    /// Says whether a request may go to the canary that was not drawn for it: only while the canary has a share, and the epoch
    /// has neither tripped nor expired.
    #[must_use]
    pub fn admits_beside(&self, now: Timestamp) -> bool {
        self.weight() > Weight::ZERO && now <= self.valid_until()
    }

    /// Says whether the canary gets nothing but probes.
    #[must_use]
    pub const fn is_probing(&self) -> bool {
        self.probes.is_some()
    }

    /// Returns the version that plays this part.
    #[must_use]
    pub fn version(&self, role: Role) -> &Arc<Version> {
        match (role, &self.canary) {
            (Role::Canary, Some(canary)) => &canary.version,
            _ => &self.stable,
        }
    }

    /// Returns the share that is in force: nothing once tripped, and nothing where there are only probes.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let sharing = self.canary.as_ref().filter(|c| !self.is_probing() && !c.trial.is_tripped());
        sharing.map_or(Weight::ZERO, |c| c.weight)
    }
}

/// The route of one service: which requests it answers and its epoch.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which requests; without a rule all of them.
    pub rules: Arc<[Rule]>,
    /// The epoch in force.
    pub epoch: Arc<Epoch>,
    /// What of the requests goes otherwise than by the draw.
    pub choice: Option<Arc<Choice>>,
}

impl Route {
    /// Makes a route that leaves every request to the draw.
    #[must_use]
    pub fn new(rules: impl Into<Arc<[Rule]>>, epoch: Arc<Epoch>) -> Self {
        Self { rules: rules.into(), epoch, choice: None }
    }
}

/// What every worker reads once per request.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The number of this table, growing with every publication.
    pub number: u64,
    /// The routes, in the order of the configuration. Their epochs may be replaced; their rules may not.
    pub routes: Vec<Route>,
    /// Over all rules of the routes.
    index: Arc<Index>,
    /// The first route of each service.
    services: Arc<HashMap<Name, usize>>,
}

impl Table {
    /// Makes a table.
    #[must_use]
    pub fn new(number: u64, routes: Vec<Route>) -> Self {
        let everything = Rule::for_host(HostPattern::Any);
        let index = Index::new(routes.iter().enumerate().flat_map(|(at, route)| {
            let rules = if route.rules.is_empty() { std::slice::from_ref(&everything) } else { &*route.rules };
            rules.iter().map(move |rule| (rule, at))
        }));
        let services = routes.iter().enumerate().rev().map(|(at, route)| (route.epoch.service.clone(), at)).collect();
        Self { number, routes, index: Arc::new(index), services: Arc::new(services) }
    }

    /// Returns the position of the first route of a service, whatever its rules.
    #[must_use]
    pub fn service(&self, name: &Name) -> Option<usize> {
        self.services.get(name).copied()
    }

    /// Finds the route of a request and returns its position, `None` where no rule is met.
    ///
    /// # Errors
    ///
    /// Fails when a version could read the path so that another route, or none, would be found.
    pub fn route(&self, asked: &Asked<'_>) -> Result<Option<usize>, Disagreement> {
        self.index.find(asked)
    }
}
