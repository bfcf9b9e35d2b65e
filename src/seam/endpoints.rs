//! What all workers know of a version's endpoints: where they are now, which of them are left out, and whether one is usable.
//!
//! It hangs on the [`Version`] of an epoch without being part of it: an epoch is one decision and never changes, while
//! addresses come and go and endpoints fail and return within it. The key is the version's identity, the `Arc` that all its
//! epochs share; a pool looks it up once, when it is made, and keeps it. So a pick of the canary costs one load
//! ([`Reach::admits`]) and a request one more ([`Reach::list`], which the pool caches). What is known ends with the version.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::domain::endpoint::Endpoint;
use crate::domain::version::Version;
use crate::seam::reach::Reach;

/// The endpoints of every version in use; copies share everything.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Arc<Shared>);

/// Versions by where they lie: what is kept of one keeps its place from being given to another.
type Known = HashMap<usize, (Weak<Version>, Arc<Reach>)>;

#[derive(Debug, Default)]
struct Shared {
    /// Guards which versions are known; written by whoever meets a version first, never on the way of a request to a version
    /// that is known to its worker.
    versions: Mutex<Known>,
    /// The last good answer of each name; written when a configuration is loaded, by the thread that resolves and by the one that
    /// watches a cluster.
    names: ArcSwap<HashMap<Endpoint, Vec<SocketAddr>>>,
    /// Held while names are replaced, by those threads and by whoever loads a configuration.
    learning: Mutex<()>,
    /// How each watch stands; written by the thread that watches, read when it is shown.
    watches: Mutex<HashMap<Endpoint, Watch>>,
    /// Wakes the thread that watches when there is something new for it.
    newcomers: Notify,
    /// Wakes the thread that resolves and checks when there is something new for it.
    unattended: Notify,
}

/// How the watch of what others tell of an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing has come yet; the reason, where there is one.
    Waiting(Option<String>),
    /// What is known is what is so.
    Current,
    /// What is known is the last that was heard before it was lost; the reason.
    Lost(String),
}

impl Endpoints {
    /// Returns what is known of a version, which begins with the last good answers for its names.
    #[must_use]
    pub fn of(&self, version: &Arc<Version>) -> Arc<Reach> {
        let mut versions = self.versions();
        let (_, reach) = versions.entry(Arc::as_ptr(version).addr()).or_insert_with(|| {
            let reach = Arc::new(Reach::new(version.upkeep.health.is_some()));
            reach.replace(self.targets(version));
            if version.endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Slices(_))) {
                self.0.newcomers.notify_one();
            }
            if version.needs_care() {
                self.0.unattended.notify_one();
            }
            (Arc::downgrade(version), reach)
        });
        Arc::clone(reach)
    }

    /// Returns every version that is known and still in use, and forgets the others.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<Version>, Arc<Reach>)> {
        let mut versions = self.versions();
        versions.retain(|_, (version, _)| version.strong_count() > 0);
        versions.values().filter_map(|(version, reach)| Some((version.upgrade()?, Arc::clone(reach)))).collect()
    }

    /// Returns the last good answer for a name; nothing where there was none.
    #[must_use]
    pub fn known(&self, name: &Endpoint) -> Vec<SocketAddr> {
        self.0.names.load().get(name).cloned().unwrap_or_default()
    }

    /// Notes where names are, and lets the versions that have them go there.
    pub fn learn(&self, answers: impl IntoIterator<Item = (Endpoint, Vec<SocketAddr>)>) {
        let mut answers = answers.into_iter().peekable();
        if answers.peek().is_none() {
            return;
        }
        let _alone = self.0.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.0.names.load();
        let news: HashMap<_, _> = answers.collect();
        let news: HashMap<_, _> = news.into_iter().filter(|(name, addresses)| known.get(name) != Some(addresses)).collect();
        if news.is_empty() {
            return;
        }
        let changed: HashSet<Endpoint> = news.keys().cloned().collect();
        let mut names = HashMap::clone(&known);
        names.extend(news);
        self.0.names.store(Arc::new(names));
        let concerned = |version: &Version| version.endpoints.iter().any(|endpoint| changed.contains(endpoint));
        for (version, reach) in self.all().into_iter().filter(|(version, _)| concerned(version)) {
            reach.replace(self.targets(&version));
        }
    }

    /// Notes how the watch of an endpoint stands.
    pub fn watched(&self, endpoint: &Endpoint, watch: Watch) {
        self.watches().insert(endpoint.clone(), watch);
    }

    /// Forgets an endpoint that is watched no more, and where it was.
    pub fn unwatched(&self, endpoint: &Endpoint) {
        self.watches().remove(endpoint);
        let _alone = self.0.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = HashMap::clone(&self.0.names.load());
        names.remove(endpoint);
        self.0.names.store(Arc::new(names));
    }

    /// Waits until a version has come into use whose endpoints a cluster tells, since it was last waited; for one who waits.
    pub async fn newcomers(&self) {
        self.0.newcomers.notified().await;
    }

    /// Waits until a version has come into use whose names are to be resolved or whose endpoints are to be checked, since it was last
    /// waited; for one who waits.
    pub async fn unattended(&self) {
        self.0.unattended.notified().await;
    }

    /// Returns how the watch of an endpoint stands; `None` where nobody watches it.
    #[must_use]
    pub fn watch(&self, endpoint: &Endpoint) -> Option<Watch> {
        self.watches().get(endpoint).cloned()
    }

    /// Returns where a version can be connected to as its names are known, each place once.
    fn targets(&self, version: &Version) -> Vec<Endpoint> {
        let names = self.0.names.load();
        let (mut targets, mut known) = (Vec::new(), HashSet::new());
        for endpoint in &version.endpoints {
            let told = || names.get(endpoint).into_iter().flatten().map(|address| Endpoint::Address(*address)).collect();
            let found: Vec<Endpoint> = if endpoint.is_told() { told() } else { vec![endpoint.clone()] };
            targets.extend(found.into_iter().filter(|target| known.insert(target.clone())));
        }
        targets
    }

    /// Returns the versions known; see [`Shared::versions`].
    fn versions(&self) -> MutexGuard<'_, Known> {
        self.0.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the watches known; see [`Shared::watches`].
    fn watches(&self) -> MutexGuard<'_, HashMap<Endpoint, Watch>> {
        self.0.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::standing::Standing;
    use crate::domain::time::Timestamp;

    fn version(endpoints: &[&str]) -> Arc<Version> {
        Arc::new(Version::new("v1".parse().unwrap(), endpoints.iter().map(|text| text.parse().unwrap()).collect()))
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(reach: &Reach) -> Vec<String> {
        reach.list().load().places.iter().map(|place| place.target().to_string()).collect()
    }

    #[test]
    fn a_version_is_known_for_as_long_as_it_is_used() {
        let endpoints = Endpoints::default();
        let (one, other) = (version(&["10.0.0.1:80"]), version(&["10.0.0.1:80"]));
        let reach = endpoints.of(&one);
        assert!(Arc::ptr_eq(&reach, &endpoints.of(&one)));
        assert!(!Arc::ptr_eq(&reach, &endpoints.of(&other)), "an equal version of another rollout begins anew");
        drop(one);
        assert_eq!(endpoints.all().len(), 1);
    }

    #[test]
    fn names_lead_where_the_last_answer_said() {
        let endpoints = Endpoints::default();
        let version = version(&["carts:80", "10.0.0.9:80"]);
        let reach = endpoints.of(&version);
        assert_eq!(shown(&reach), ["10.0.0.9:80"]);
        let name: Endpoint = "carts:80".parse().unwrap();
        endpoints.learn([(name.clone(), addresses(&["10.0.0.1:80", "10.0.0.9:80"]))]);
        assert_eq!(shown(&reach), ["10.0.0.1:80", "10.0.0.9:80"]);
        let before = reach.list().load_full();
        endpoints.learn([(name.clone(), addresses(&["10.0.0.2:80", "10.0.0.1:80"]))]);
        assert_eq!(shown(&reach), ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.9:80"]);
        assert!(Arc::ptr_eq(&before.places[0], &reach.list().load().places[1]), "what is known of an address stays with it");
    }

    #[test]
    fn what_is_learned_concerns_the_versions_that_have_it() {
        let endpoints = Endpoints::default();
        let (one, other) = (version(&["carts:80"]), version(&["orders:80"]));
        let reach = [&one, &other].map(|version| endpoints.of(version));
        let changes = || reach.each_ref().map(|reach| reach.changes());
        let (before, name) = (changes(), one.endpoints[0].clone());
        endpoints.learn([(name.clone(), addresses(&["10.0.0.1:80"]))]);
        assert!(changes()[0] > before[0] && changes()[1] == before[1]);
        let before = changes();
        endpoints.learn([(name, addresses(&["10.0.0.1:80"]))]);
        endpoints.learn([]);
        assert_eq!(changes(), before, "nothing is new");
    }

    #[test]
    fn a_version_whose_name_is_not_resolved_has_no_endpoint_yet() {
        let endpoints = Endpoints::default();
        let version = version(&["carts:80"]);
        let reach = endpoints.of(&version);
        assert_eq!(reach.standing(), Standing::Absent);
        endpoints.learn([("carts:80".parse().unwrap(), addresses(&["10.0.0.1:80"]))]);
        assert_eq!(reach.standing(), Standing::Usable);
    }

    #[test]
    fn the_endpoints_of_a_service_come_and_all_of_them_go() {
        let endpoints = Endpoints::default();
        let version = version(&["kubernetes:shop/carts:http"]);
        let (reach, service) = (endpoints.of(&version), version.endpoints[0].clone());
        assert_eq!((reach.standing(), endpoints.watch(&service)), (Standing::Absent, None));
        endpoints.learn([(service.clone(), addresses(&["10.0.0.1:80", "10.0.0.2:80"]))]);
        endpoints.watched(&service, Watch::Current);
        assert_eq!((shown(&reach).len(), endpoints.watch(&service)), (2, Some(Watch::Current)));
        endpoints.learn([(service.clone(), Vec::new())]);
        assert_eq!((reach.standing(), reach.admits(Timestamp::ZERO)), (Standing::Absent, false));
        endpoints.learn([(service.clone(), addresses(&["10.0.0.1:80"]))]);
        endpoints.unwatched(&service);
        assert_eq!((endpoints.watch(&service), endpoints.known(&service)), (None, Vec::new()));
    }
}
