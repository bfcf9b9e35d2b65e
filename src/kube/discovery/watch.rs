//! Follows one Service: lists its slices and watches them, tells where its endpoints are, and begins anew after whatever goes wrong.
//!
//! After an error everything is listed again, so that what is called current is so. The pauses between attempts grow.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Config};
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::kubernetes::Kubernetes;
use crate::domain::destination;
use crate::domain::endpoint::Endpoint;
use crate::domain::slices::Slices;
use crate::kube::discovery::source::{Heard, PodName};
use crate::kube::slices::Gap;
use crate::kube::way::Way;
use crate::seam::endpoints::{Endpoints, Watch};
use crate::sources::cluster::chain;

/// What slices are called where rights are given.
const SLICES: &str = "endpointslices (discovery.k8s.io)";
/// The label of a slice that names its Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// How long connecting and a list may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long the server lets a watch last, in seconds. One that says nothing for 5 s longer is taken for dead by the client.
const LASTS: u32 = 120;
/// The first pause after an attempt in vain; it doubles up to [`LONGEST`]. One that lasted as long as that counts as new.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// From which attempt in a row without a list on a server that forgets is one that fails.
const IN_VAIN: u32 = 4;

/// What all watches share.
pub(super) struct Around {
    pub(super) endpoints: Endpoints,
    own: Vec<SocketAddr>,
    way: Way,
}

impl Around {
    pub(super) fn new(endpoints: Endpoints, own: Vec<SocketAddr>, settings: Kubernetes) -> Self {
        let shape = |config: &mut Config| {
            (config.connect_timeout, config.read_timeout) = (Some(ATTEMPT), Some(Duration::from_secs(LASTS.into()) + ATTEMPT));
        };
        Self { endpoints, own, way: Way::new(settings, shape) }
    }
}

/// Follows one Service for as long as it is polled.
pub(super) async fn follow(slices: Slices, around: Rc<Around>) {
    let mut told = Told::new(Endpoint::Slices(slices.clone()), &around);
    let (mut pause, mut in_vain) = (FIRST, 0);
    loop {
        let begun = Instant::now();
        let end = attempt(&slices, &around, &mut told).await;
        in_vain = if std::mem::take(&mut told.heard) { 0 } else { in_vain + 1 };
        match end {
            // What holds is listed again in a moment; nothing is amiss, unless no list comes of it.
            End::Forgotten(why) if in_vain < IN_VAIN => tracing::debug!("{slices} is listed again: {why}"),
            End::Forgotten(why) | End::Lost(why) => told.lost(why),
        }
        if begun.elapsed() > LONGEST {
            pause = FIRST;
        }
        // Spread, so that all proxies of a cluster do not come back at once.
        sleep(pause.mul_f64(rand::rng().random_range(0.5..1.5))).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Why an attempt is over.
enum End {
    /// The server has forgotten what came before (410), in its words.
    Forgotten(String),
    /// Something is amiss.
    Lost(String),
}

/// Lists and watches until that is over.
async fn attempt(slices: &Slices, around: &Around, told: &mut Told<'_>) -> End {
    let known = match around.way.get().await {
        Ok(known) => known,
        Err(why) => return End::Lost(why),
    };
    let way = &known.found;
    let namespace = slices.namespace.as_deref().unwrap_or(&way.namespace);
    let config = |labels: &str| watcher::Config::default().timeout(LASTS).labels(labels);
    let objects = Api::<EndpointSlice>::namespaced(way.client.clone(), namespace);
    let objects = watcher(objects, config(&format!("{SERVICE}={}", slices.service)));
    let selector = slices.selector();
    let pods = selector.as_ref().map(|labels| watcher(Api::<PodName>::namespaced(way.client.clone(), namespace), config(labels)));
    let (mut objects, mut pods) = (pin!(objects), pin!(futures_util::stream::iter(pods).flatten()));
    let (mut heard, mut named) = (Heard::default(), Heard::default());
    let deadline = Instant::now() + ATTEMPT;
    loop {
        let is_complete = heard.holds.is_some() && (selector.is_none() || named.holds.is_some());
        let next = async {
            tokio::select! {
                event = next(&mut objects) => event.map(|event| heard.slices(event)).map_err(|error| (error, SLICES)),
                event = next(&mut pods), if selector.is_some() => event.map(|event| named.pods(event)).map_err(|error| (error, "pods")),
            }
        };
        let came = if is_complete { Ok(next.await) } else { timeout_at(deadline, next).await };
        match came {
            Ok(Ok(())) => around.way.answered(),
            Ok(Err((error, what))) => {
                let status = status(&error);
                around.way.failed(&known, status.map(|status| status.code));
                let why = format!("{}: {}", way.server, told_of(&error, status, what, namespace));
                return if status.is_some_and(|status| status.code == 410) { End::Forgotten(why) } else { End::Lost(why) };
            }
            Err(_) => {
                around.way.failed(&known, None);
                return End::Lost(format!("{}: it listed nothing within {ATTEMPT:?}", way.server));
            }
        }
        if let (Some(known), true) = (&heard.holds, selector.is_none() || named.holds.is_some()) {
            told.current(known.endpoints(&slices.port, around.way.settings().prefer, named.holds.as_ref()));
        }
    }
}

/// Returns the next event. A watcher has no end.
async fn next<T>(stream: &mut (impl Stream<Item = watcher::Result<Event<T>>> + Unpin)) -> Result<Event<T>, watcher::Error> {
    match stream.next().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

/// Returns what the server answered, where it is what went wrong.
fn status(error: &watcher::Error) -> Option<&Status> {
    use watcher::Error::{InitialListFailed, WatchError, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) | WatchError(status) => Some(status),
        _ => None,
    }
}

/// Tells an error for people; where a right is missing, which.
fn told_of(error: &watcher::Error, status: Option<&Status>, resource: &str, namespace: &str) -> String {
    let Some(status) = status else { return chain(error) };
    let told = format!("{} ({}): {}", status.reason, status.code, status.message);
    if status.code == 403 {
        return format!("{told}; let the account of this proxy list and watch {resource} in namespace {namespace}");
    }
    told
}

/// What was told of one Service so far, so that each change is told once.
struct Told<'a> {
    endpoint: Endpoint,
    around: &'a Around,
    /// Since when what is known is what is so; `None` while it may not be.
    since: Option<Instant>,
    /// What was said last of its endpoints: why there was none, or that there were some; `None` before anything came.
    gap: Option<Option<Gap>>,
    /// Why it was lost when that was said last, and whether it was not said since that it is followed again.
    loss: Option<String>,
    is_open: bool,
    /// Whether anything came since the attempt began.
    heard: bool,
    /// Whether there were more endpoints than are used when they were told last.
    is_crowded: bool,
}

impl<'a> Told<'a> {
    const fn new(endpoint: Endpoint, around: &'a Around) -> Self {
        Self { endpoint, around, since: None, gap: None, loss: None, is_open: false, heard: false, is_crowded: false }
    }

    /// Passes on where the endpoints are.
    fn current(&mut self, listed: Result<Vec<SocketAddr>, Gap>) {
        let ((addresses, beyond), gap) = match listed {
            Ok(addresses) => (destination::of_service(addresses, &self.around.own), None),
            Err(gap) => ((Vec::new(), 0), Some(gap)),
        };
        self.heard = true;
        let many = addresses.len();
        if beyond > 0 && !self.is_crowded {
            tracing::warn!(
                "{} has more endpoints than are used: {many}, and {beyond} get nothing; pick fewer of its pods by labels",
                self.endpoint
            );
        }
        self.is_crowded = beyond > 0;
        self.around.endpoints.learn([(self.endpoint.clone(), addresses)]);
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.around.endpoints.watched(&self.endpoint, Watch::Current);
        }
        if std::mem::take(&mut self.is_open) {
            tracing::info!("{} is followed again", self.endpoint);
        }
        if self.gap.as_ref() != Some(&gap) {
            match &gap {
                None => tracing::info!("{} has endpoints, now {many}", self.endpoint),
                Some(gap) => tracing::warn!("{} has no endpoint: {gap}", self.endpoint),
            }
            self.gap = Some(gap);
        }
    }

    /// Notes that nothing is heard any more. What was said of a loss is not said again where it came back for a moment only.
    fn lost(&mut self, why: String) {
        let (endpoint, came) = (&self.endpoint, self.gap.is_some());
        let lasted = self.since.take().is_some_and(|since| since.elapsed() > LONGEST);
        if lasted || (!self.is_open && self.loss.as_ref() != Some(&why)) {
            match came {
                true => tracing::warn!("{endpoint} is not followed any more, its last endpoints stay: {why}"),
                false => tracing::warn!("{endpoint} cannot be followed yet: {why}"),
            }
            (self.is_open, self.loss) = (true, Some(why.clone()));
        } else {
            tracing::debug!("{endpoint} still cannot be followed: {why}");
        }
        self.around.endpoints.watched(endpoint, if came { Watch::Lost(why) } else { Watch::Waiting(Some(why)) });
    }
}
