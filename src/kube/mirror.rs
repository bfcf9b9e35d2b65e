//! Lets HTTPRoutes follow the shares of services, for traffic that does not come through this proxy: slowly, and never in the way of a
//! decision, which counts here at once.
//!
//! Each route is looked after by a task that wants what holds when it asks, so what was wanted meanwhile is forgotten. It looks again
//! from time to time, because others may have written the route.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::mpsc as answers;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Config, Error};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::http_route::HttpRoute;
use crate::config::kubernetes::Kubernetes;
use crate::control::status::Board;
use crate::domain::endpoint::Endpoint;
use crate::domain::version::Name;
use crate::domain::weight::Weight;
use crate::kube::http_route::{Stand, Trial, body, farewell, share};
use crate::kube::way::{Known, Way};
use crate::sources::cluster::chain;

/// In whose name fields are applied.
const MANAGER: &str = "portcullis";
/// How often is looked what is wanted.
const TURN: Duration = Duration::from_millis(250);
/// How long one request may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How often is looked whether a route is still as it was left.
const AGAIN: Duration = Duration::from_secs(60);
/// The first pause after an attempt in vain; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// How long is tried to take the canary its share when a route is to follow no more.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long is waited for whoever is to end: a farewell, and what it takes to end the task.
const ENDED: Duration = Duration::from_secs(6);

/// A route that follows a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: Name,
    /// The version that is stable by the configuration.
    pub stable: Name,
    /// The version that is on trial by the configuration, where there is one, and its endpoints.
    pub canary: Option<(Name, Vec<Endpoint>)>,
    /// The route.
    pub route: HttpRoute,
}

/// The running thread; dropping it ends it and leaves every route as it is, as where a successor failed to start.
pub struct Mirror {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What is to follow, and no other; who is told when all others have ended.
struct Order {
    targets: Vec<Target>,
    ending: Ending,
    done: answers::Sender<()>,
}

/// How a route ends to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The canary's share is taken, unless the canary owns the traffic: nobody would take it any more.
    Farewell,
    /// It stays as it is: somebody else goes on.
    AsItIs,
}

struct Around {
    board: Board,
    way: Way,
}

/// What a task was begun for, what tells it to end, and the task.
type Task = (Target, oneshot::Sender<Ending>, tokio::task::JoinHandle<()>);

impl Mirror {
    /// Starts it; what is to follow is told by [`Self::follow`].
    ///
    /// # Errors
    ///
    /// Fails when the thread or its runtime cannot be made.
    pub fn start(board: Board, settings: Kubernetes) -> io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let shape = |config: &mut Config| (config.connect_timeout, config.read_timeout) = (Some(ATTEMPT / 2), Some(ATTEMPT));
            let around = Rc::new(Around { board, way: Way::new(settings, shape) });
            LocalSet::new().block_on(&runtime, keep(around, ordered));
            // A program that is run for credentials must not keep the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http-routes".to_owned()).spawn(run)?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Lets these follow, and no others; returns once those have ended, after 6 s at the latest.
    pub fn follow(&self, targets: Vec<Target>) {
        self.order(targets, Ending::Farewell);
    }

    /// Ends it; returns once everything has ended, after 6 s at the latest.
    pub fn end(self, ending: Ending) {
        self.order(Vec::new(), ending);
    }

    fn order(&self, targets: Vec<Target>, ending: Ending) {
        let (done, ended) = answers::channel();
        if let Some(orders) = &self.orders
            && orders.send(Order { targets, ending, done }).is_ok()
        {
            // Whoever has not ended by then writes nothing any more: its requests are bounded, and nobody lets it go on.
            let _ = ended.recv_timeout(ENDED);
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Obeys orders until nobody gives any.
async fn keep(around: Rc<Around>, mut ordered: mpsc::UnboundedReceiver<Order>) {
    let mut tasks: HashMap<String, Task> = HashMap::new();
    while let Some(Order { targets, ending, done }) = ordered.recv().await {
        let ends = tasks.extract_if(|_, (target, ..)| !targets.contains(target));
        let ended = ends.map(|(_, (target, end, task))| {
            let goes_on = targets.iter().any(|other| other.moves_as(&target));
            let _ = end.send(if goes_on { Ending::AsItIs } else { ending });
            task
        });
        // Nobody is in the way of those that begin.
        join_all(ended.collect::<Vec<_>>()).await;
        let _ = done.send(());
        for target in targets {
            tasks.entry(target.service.to_string()).or_insert_with(|| {
                let (end, ends) = oneshot::channel();
                // It ends when it is told to, or with the thread's runtime.
                (target.clone(), end, tokio::task::spawn_local(follow(target, Rc::clone(&around), ends)))
            });
        }
    }
}

/// Lets one route follow until it is told to end.
async fn follow(target: Target, around: Rc<Around>, mut ends: oneshot::Receiver<Ending>) {
    // The share that the route has; `None` while nobody knows.
    let done = Cell::new(None);
    let ending = tokio::select! {
        ending = &mut ends => ending,
        () = pursue(&target, &around, &done) => return,
    };
    if ending == Ok(Ending::Farewell) && done.get() != Some(Weight::ZERO) {
        target.leave(&around).await;
    }
}

/// Lets one route follow for as long as it is polled.
async fn pursue(target: &Target, around: &Around, done: &Cell<Option<Weight>>) {
    let (mut due, mut pause, mut is_told) = (Instant::now(), FIRST, false);
    let wanted = || target.wanted(&around.board);
    loop {
        if let Some(share) = wanted().filter(|wanted| done.get() != Some(*wanted) || Instant::now() >= due) {
            done.set(None);
            match target.put(around, share).await {
                Ok(is_new) => {
                    if is_new || is_told {
                        tracing::info!(service = %target.service, "{} gives the canary {share}", target.told());
                    }
                    done.set(Some(share));
                    (due, pause, is_told) = (Instant::now() + AGAIN, FIRST, false);
                }
                Err(Refusal { why, .. }) => {
                    if !is_told {
                        tracing::warn!(service = %target.service, "{} does not follow, and is tried again: {why}", target.told());
                    }
                    is_told = true;
                    if rest(pause, share, wanted).await {
                        pause = FIRST;
                        continue;
                    }
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
        sleep(TURN).await;
    }
}

/// Waits, but no longer once less is wanted than `share`, as after a rollback; says whether that was so.
async fn rest(pause: Duration, share: Weight, wanted: impl Fn() -> Option<Weight>) -> bool {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        sleep_until(until.min(Instant::now() + TURN)).await;
        if wanted().is_some_and(|wanted| wanted < share) {
            return true;
        }
    }
    false
}

/// Why a route did not take a share.
struct Refusal {
    why: String,
    /// Whether it may be otherwise in a moment.
    may_pass: bool,
}

impl Target {
    /// Says whether it moves the same share of the same route, whoever else manages its rules.
    #[must_use]
    pub fn moves_as(&self, other: &Self) -> bool {
        let route = HttpRoute { take_over: other.route.take_over, ..self.route.clone() };
        (&self.service, &self.stable, &self.canary, &route) == (&other.service, &other.stable, &other.canary, &other.route)
    }

    /// Returns the share that holds now; `None` while it is not known.
    fn wanted(&self, board: &Board) -> Option<Weight> {
        let snapshot = board.snapshot();
        let shown = snapshot.services.iter().find(|shown| shown.name == self.service)?;
        let rollout = shown.rollout.as_ref().filter(|rollout| !rollout.phase.is_terminal());
        let stand = Stand {
            configured: &self.stable,
            canary: self.canary.as_ref().map(|(name, endpoints)| (name, &**endpoints)),
            is_rejected: self.canary.as_ref().is_some_and(|(name, _)| shown.rejected.contains(name)),
            owner: (&shown.owner.name, &shown.owner.endpoints),
            rollout: rollout.map(|rollout| Trial {
                stable: &rollout.stable.name,
                canary: (&rollout.canary.name, &rollout.canary.endpoints),
                weight: rollout.weight,
            }),
        };
        share(stand, &self.route)
    }

    /// Takes the canary its share, where nobody would do it any more: for a bounded time, and no longer where that is of no use.
    async fn leave(&self, around: &Around) {
        let snapshot = around.board.snapshot();
        let shown = snapshot.services.iter().find(|shown| shown.name == self.service);
        let Some(share) = shown.and_then(|shown| farewell(&self.stable, &shown.owner.name)) else { return };
        let tried = async {
            loop {
                match self.put(around, share).await {
                    Err(Refusal { may_pass: true, why }) => tracing::debug!(service = %self.service, "{}: {why}", self.told()),
                    ended => break ended,
                }
                sleep(TURN).await;
            }
        };
        let (service, told) = (&self.service, self.told());
        match timeout(FAREWELL, tried).await {
            Ok(Ok(_)) => tracing::info!(%service, "{told} follows no more and gives the canary {share}"),
            Ok(Err(Refusal { why, .. })) => tracing::warn!(%service, "{told} follows no more and stays as it is: {why}"),
            Err(_) => tracing::warn!(%service, "{told} follows no more and stays as it is: nothing was reached within {FAREWELL:?}"),
        }
    }

    /// Gives the canary its share; says whether it had another.
    async fn put(&self, around: &Around, share: Weight) -> Result<bool, Refusal> {
        let known = around.way.get().await.map_err(|why| Refusal { why, may_pass: true })?;
        let way = &known.found;
        let namespace = self.route.namespace.as_deref().unwrap_or(&way.namespace);
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let api: Api<DynamicObject> =
            Api::namespaced_with(way.client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "httproutes"));
        let found = self.asked(around, &known, api.get(&self.route.name)).await?;
        let lasting = |why: String| Refusal { why, may_pass: false };
        let found = serde_json::to_value(&found).map_err(|error| lasting(error.to_string()))?;
        let Some(body) = body(&found, &self.route, share).map_err(|wrong| lasting(wrong.to_string()))? else { return Ok(false) };
        let params = PatchParams::apply(MANAGER);
        let params = if self.route.take_over { params.force() } else { params };
        self.asked(around, &known, api.patch(&self.route.name, &params, &Patch::Apply(&body))).await?;
        Ok(true)
    }

    /// Waits for an answer, for a while.
    async fn asked<T>(&self, around: &Around, known: &Rc<Known>, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
        let way = &known.found;
        let Ok(answer) = timeout(ATTEMPT, asked).await else {
            around.way.failed(known, None);
            return Err(Refusal { why: format!("{} gave no answer within {ATTEMPT:?}", way.server), may_pass: true });
        };
        match answer {
            Ok(answer) => {
                around.way.answered();
                Ok(answer)
            }
            Err(error) => {
                around.way.failed(known, if let Error::Api(status) = &error { Some(status.code) } else { None });
                Err(self.refused(&error, self.route.namespace.as_deref().unwrap_or(&way.namespace)))
            }
        }
    }

    /// Tells what the API server said, and what to do about it.
    fn refused(&self, error: &Error, namespace: &str) -> Refusal {
        let Error::Api(status) = error else { return Refusal { why: chain(error), may_pass: true } };
        let told = format!("{} ({}): {}", status.reason, status.code, status.message);
        let (why, may_pass) = match status.code {
            403 => (
                format!("{told}; let the account of this proxy get and patch httproutes {} in namespace {namespace}", self.route.name),
                false,
            ),
            409 if status.message.contains("conflict with") => {
                (format!("{told}; let its manager leave the rules alone, or write take_over: true"), false)
            }
            code => (told, code != 404),
        };
        Refusal { why, may_pass }
    }

    fn told(&self) -> String {
        format!("HTTPRoute {}", self.route.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_once_less_is_wanted_and_not_for_more() {
        let points = |value| Weight::from_basis_points(value).unwrap();
        for (then, is_over) in [(Some(points(0)), true), (Some(points(4_999)), true), (Some(points(9_000)), false), (None, false)] {
            let (begun, fell) = (Instant::now(), Duration::from_secs(7));
            let wanted = || if begun.elapsed() < fell { Some(points(5_000)) } else { then };
            assert_eq!(rest(LONGEST, points(5_000), wanted).await, is_over, "{then:?}");
            let within = if is_over { fell..fell + TURN * 2 } else { LONGEST..LONGEST + TURN };
            assert!(within.contains(&begun.elapsed()), "{then:?}: {:?}", begun.elapsed());
        }
    }
}
