//! Follows one Service: lists its slices and watches them, tells where its endpoints are, and begins anew after whatever goes wrong.
//!
//! After an error everything is listed again, so that what is called current is so. The pauses between attempts grow.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use rand::RngExt;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::kubernetes::Kubernetes;
use crate::domain::destination;
use crate::domain::endpoint::Endpoint;
use crate::domain::slices::Slices;
use crate::kube::discovery::source::{Heard, PodName};
use crate::kube::slices::Gap;
use crate::seam::endpoints::{Endpoints, Watch};
use crate::sources::cluster::{self, Found, chain};

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

/// What all watches share.
pub(super) struct Around {
    pub(super) endpoints: Endpoints,
    own: Vec<SocketAddr>,
    settings: Kubernetes,
    way: OnceCell<Found>,
}

impl Around {
    pub(super) fn new(endpoints: Endpoints, own: Vec<SocketAddr>, settings: Kubernetes) -> Self {
        Self { endpoints, own, settings, way: OnceCell::new() }
    }

    /// Returns the way to the API server, which is looked for until it is found.
    async fn way(&self) -> Result<&Found, String> {
        let Kubernetes { kubeconfig, context, .. } = &self.settings;
        let find = || {
            cluster::find(kubeconfig.as_deref(), context.as_deref(), |config| {
                (config.connect_timeout, config.read_timeout) = (Some(ATTEMPT), Some(Duration::from_secs(u64::from(LASTS)) + ATTEMPT));
            })
        };
        self.way.get_or_try_init(find).await
    }
}

/// Follows one Service for as long as it is polled.
pub(super) async fn follow(slices: Slices, around: Rc<Around>) {
    let mut told = Told::new(Endpoint::Slices(slices.clone()), &around);
    let mut pause = FIRST;
    loop {
        let begun = Instant::now();
        match attempt(&slices, &around, &mut told).await {
            // What holds is listed again in a moment; nothing is amiss.
            End::Forgotten => tracing::debug!("{slices} is listed again: the server has forgotten what came before"),
            End::Lost(why) => told.lost(why),
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
    /// The server has forgotten what came before (410).
    Forgotten,
    /// Something is amiss.
    Lost(String),
}

/// Lists and watches until that is over.
async fn attempt(slices: &Slices, around: &Around, told: &mut Told<'_>) -> End {
    let way = match around.way().await {
        Ok(way) => way,
        Err(why) => return End::Lost(why),
    };
    let namespace = slices.namespace.as_deref().unwrap_or(&way.namespace);
    let config = |labels: &str| watcher::Config::default().timeout(LASTS).labels(labels);
    let objects = Api::<EndpointSlice>::namespaced(way.client.clone(), namespace);
    let objects = watcher(objects, config(&format!("{SERVICE}={}", slices.service)));
    let selector = slices.selector();
    let pods = selector.as_ref().map(|labels| watcher(Api::<PodName>::namespaced(way.client.clone(), namespace), config(labels)));
    let (mut objects, mut pods) = (pin!(objects), pin!(futures_util::stream::iter(pods).flatten()));
    let (mut known, mut named) = (Heard::default(), Heard::default());
    let deadline = Instant::now() + ATTEMPT;
    loop {
        let is_complete = known.holds.is_some() && (selector.is_none() || named.holds.is_some());
        let next = async {
            tokio::select! {
                event = next(&mut objects) => event.map(|event| known.slices(event)).map_err(|error| (error, SLICES)),
                event = next(&mut pods), if selector.is_some() => event.map(|event| named.pods(event)).map_err(|error| (error, "pods")),
            }
        };
        let came = if is_complete { Ok(next.await) } else { timeout_at(deadline, next).await };
        match came {
            Ok(Ok(())) => {}
            Ok(Err((watcher::Error::WatchError(status), _))) if status.code == 410 => return End::Forgotten,
            Ok(Err((error, what))) => return End::Lost(format!("{}: {}", way.server, told_of(&error, what, namespace))),
            Err(_) => return End::Lost(format!("{}: it listed nothing within {ATTEMPT:?}", way.server)),
        }
        if let (Some(known), true) = (&known.holds, selector.is_none() || named.holds.is_some()) {
            told.current(known.endpoints(&slices.port, around.settings.prefer, named.holds.as_ref()));
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

/// Tells an error for people; where a right is missing, which.
fn told_of(error: &watcher::Error, resource: &str, namespace: &str) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return chain(error),
    };
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
}

impl<'a> Told<'a> {
    const fn new(endpoint: Endpoint, around: &'a Around) -> Self {
        Self { endpoint, around, since: None, gap: None, loss: None, is_open: false }
    }

    /// Passes on where the endpoints are.
    fn current(&mut self, listed: Result<Vec<SocketAddr>, Gap>) {
        let (addresses, gap) = match listed {
            Ok(addresses) => (destination::of_service(addresses, &self.around.own), None),
            Err(gap) => (Vec::new(), Some(gap)),
        };
        let many = addresses.len();
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
