//! Resolves the names of versions: each again after its time, oftener waiting after a failure, never two look-ups at once. One that
//! never led anywhere is asked for again soon: nothing can be sent there until it does.
//!
//! The last good answer stays whatever the resolver does, and for as long: a version does not vanish because a resolver did. An
//! address that a good answer no longer has gets no further request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use crate::domain::destination;
use crate::domain::endpoint::Endpoint;
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::proxy::upstream::endpoints::resolve::Resolve;
use crate::seam::endpoints::Endpoints;
use crate::seam::reach::Reach;

/// The longest a look-up may take, and the longest time between two after failures.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// The time after the first failure of a name that never led anywhere; it doubles up to that between two good answers.
const SOON: Duration = Duration::from_secs(1);

/// One name.
#[derive(Debug, Default)]
pub(super) struct Name {
    last: Vec<SocketAddr>,
    failures: u32,
}

impl Name {
    pub(super) fn new(last: Vec<SocketAddr>) -> Self {
        Self { last, failures: 0 }
    }

    /// Takes in an answer for `host`; returns what the name leads to, where that is new, and when to ask again at the earliest.
    pub(super) fn answer(
        &mut self,
        answer: io::Result<Vec<SocketAddr>>,
        host: &str,
        own: &[SocketAddr],
        refresh: Duration,
    ) -> (Option<Vec<SocketAddr>>, Duration) {
        let led = answer.map(|addresses| destination::again(addresses, &self.last, host, own)).unwrap_or_default();
        if led.is_empty() {
            self.failures = (self.failures + 1).min(16);
            if self.last.is_empty() {
                return (None, SOON.saturating_mul(1 << (self.failures - 1)).min(refresh));
            }
            return (None, refresh.saturating_mul(1 << self.failures).min(LONGEST.max(refresh)));
        }
        self.failures = 0;
        let new = (led != self.last).then(|| led.clone());
        self.last = led;
        (new, refresh)
    }
}

struct Entry {
    name: Name,
    due: Timestamp,
    asked: bool,
}

/// What look-ups brought, until the next turn.
type Answers = Rc<RefCell<Vec<(Endpoint, io::Result<Vec<SocketAddr>>)>>>;

/// The names of all versions in use.
pub(super) struct Names {
    own: Vec<SocketAddr>,
    resolve: Resolve,
    entries: HashMap<Endpoint, Entry>,
    answers: Answers,
}

impl Names {
    pub(super) fn new(own: Vec<SocketAddr>, resolve: Resolve) -> Self {
        Self { own, resolve, entries: HashMap::new(), answers: Answers::default() }
    }

    /// Takes in what came and asks what is due.
    pub(super) fn turn(&mut self, versions: &[(Arc<Version>, Arc<Reach>)], endpoints: &Endpoints, now: Timestamp) {
        let mut wanted: HashMap<Endpoint, Duration> = HashMap::new();
        for (version, _) in versions {
            for name in version.endpoints.iter().filter(|endpoint| matches!(endpoint, Endpoint::Name { .. })) {
                let refresh = wanted.entry(name.clone()).or_insert(LONGEST);
                *refresh = version.upkeep.dns_refresh().min(*refresh);
            }
        }
        self.entries.retain(|name, _| wanted.contains_key(name));
        let answers = self.answers.take();
        let learned: Vec<_> = answers.into_iter().filter_map(|(name, answer)| self.take(name, answer, &wanted, now)).collect();
        endpoints.learn(learned);
        for (name, refresh) in wanted {
            self.ask(&name, refresh, endpoints, now);
        }
    }

    fn take(
        &mut self,
        name: Endpoint,
        answer: io::Result<Vec<SocketAddr>>,
        wanted: &HashMap<Endpoint, Duration>,
        now: Timestamp,
    ) -> Option<(Endpoint, Vec<SocketAddr>)> {
        let (entry, refresh) = (self.entries.get_mut(&name)?, wanted.get(&name)?);
        let Endpoint::Name { host, .. } = &name else { return None };
        let (never, first) = (entry.name.last.is_empty(), entry.name.failures == 0);
        let why = answer.as_ref().map_or_else(ToString::to_string, |_| "no address that may be connected to".to_owned());
        let (new, wait) = entry.name.answer(answer, host, &self.own, *refresh);
        match (never, entry.name.failures > 0) {
            (true, true) if first => tracing::warn!(%name, %why, "a name cannot be resolved; nothing is sent there until it can"),
            (true, false) => tracing::info!(%name, addresses = ?entry.name.last, "a name leads somewhere now"),
            (false, true) => tracing::debug!(%name, %why, "a name could not be resolved; the last good answer stays"),
            _ => {}
        }
        entry.asked = false;
        entry.due = now + jittered(wait);
        new.map(|addresses| (name, addresses))
    }

    fn ask(&mut self, name: &Endpoint, refresh: Duration, endpoints: &Endpoints, now: Timestamp) {
        let Endpoint::Name { host, port } = name else { return };
        let entry = self.entries.entry(name.clone()).or_insert_with(|| {
            let last = endpoints.known(name);
            // What was resolved a moment ago, when the configuration was read, is not asked for again at once.
            let due = if last.is_empty() { now } else { now + jittered(refresh) };
            Entry { name: Name::new(last), due, asked: false }
        });
        if entry.asked || now < entry.due {
            return;
        }
        entry.asked = true;
        let (asked, name, answers) = ((self.resolve)(host, *port), name.clone(), Rc::clone(&self.answers));
        // It ends with its time, or with the thread's runtime.
        tokio::task::spawn_local(async move {
            let answer = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|late| Err(late.into()));
            answers.borrow_mut().push((name, answer));
        });
    }
}

/// Spreads moments over a fifth, so that the proxies of a fleet do not all ask at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.9..1.1))
}
