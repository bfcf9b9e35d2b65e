//! Lets HTTPRoutes follow the shares of services, for traffic that does not come through this proxy: slowly, and never in the way of a
//! decision, which counts here at once.
//!
//! Each route is looked after by a task that wants what holds when it asks, so what was wanted meanwhile is forgotten. It looks again
//! from time to time, because others may have written the route.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use kube::Error;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use tokio::sync::{OnceCell, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use crate::config::http_route::HttpRoute;
use crate::config::kubernetes::Kubernetes;
use crate::control::status::Board;
use crate::domain::version::Name;
use crate::domain::weight::Weight;
use crate::kube::http_route::{Stand, body, share};
use crate::sources::cluster::{self, Found, chain};

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

/// A route that follows a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: Name,
    /// The version that is stable by the configuration.
    pub stable: Name,
    /// The route.
    pub route: HttpRoute,
}

/// The running thread; dropping it ends it.
pub struct Mirror {
    stop: watch::Sender<bool>,
    targets: watch::Sender<Vec<Target>>,
    thread: Option<JoinHandle<()>>,
}

struct Around {
    board: Board,
    settings: Kubernetes,
    way: OnceCell<Found>,
}

impl Mirror {
    /// Starts it; what is to follow is told by [`Self::follow`].
    ///
    /// # Errors
    ///
    /// Fails when the thread or its runtime cannot be made.
    pub fn start(board: Board, settings: Kubernetes) -> io::Result<Self> {
        let ((stop, stopped), (targets, told)) = (watch::channel(false), watch::channel(Vec::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let around = Rc::new(Around { board, settings, way: OnceCell::new() });
            LocalSet::new().block_on(&runtime, keep(around, told, stopped));
            // A program that is run for credentials must not keep the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http-routes".to_owned()).spawn(run)?;
        Ok(Self { stop, targets, thread: Some(thread) })
    }

    /// Lets these follow, and no others.
    pub fn follow(&self, targets: Vec<Target>) {
        self.targets.send_replace(targets);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(around: Rc<Around>, mut told: watch::Receiver<Vec<Target>>, mut stopped: watch::Receiver<bool>) {
    let mut tasks: HashMap<String, (Target, tokio::task::JoinHandle<()>)> = HashMap::new();
    loop {
        let wanted = told.borrow_and_update().clone();
        tasks.retain(|_, (target, task)| {
            let stays = wanted.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        for target in wanted {
            // It ends when it is aborted, or with the thread's runtime.
            let begin = |target: &Target| tokio::task::spawn_local(follow(target.clone(), Rc::clone(&around)));
            tasks.entry(target.service.to_string()).or_insert_with(|| (target.clone(), begin(&target)));
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            changed = told.changed() => if changed.is_err() { return },
        }
    }
}

/// Lets one route follow for as long as it is polled.
async fn follow(target: Target, around: Rc<Around>) {
    let (mut done, mut due, mut pause, mut is_told) = (None, Instant::now(), FIRST, false);
    loop {
        let wanted = target.wanted(&around.board);
        if let Some(share) = wanted.filter(|wanted| done != Some(*wanted) || Instant::now() >= due) {
            match target.put(&around, share).await {
                Ok(is_new) => {
                    if is_new || is_told {
                        tracing::info!(service = %target.service, "{} gives the canary {share}", target.told());
                    }
                    (done, due, pause, is_told) = (Some(share), Instant::now() + AGAIN, FIRST, false);
                }
                Err(why) => {
                    if !is_told {
                        tracing::warn!(service = %target.service, "{} does not follow, and is tried again: {why}", target.told());
                    }
                    (done, is_told) = (None, true);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
        sleep(TURN).await;
    }
}

impl Target {
    /// Returns the share that holds now; `None` while it is not known.
    fn wanted(&self, board: &Board) -> Option<Weight> {
        let snapshot = board.snapshot();
        let shown = snapshot.services.iter().find(|shown| shown.name == self.service)?;
        let rollout = shown.rollout.as_ref().filter(|rollout| !rollout.phase.is_terminal());
        share(Stand {
            configured: &self.stable,
            owner: &shown.owner.name,
            rollout: rollout.map(|rollout| (&rollout.stable.name, rollout.weight)),
        })
    }

    /// Gives the canary its share; says whether it had another.
    async fn put(&self, around: &Around, share: Weight) -> Result<bool, String> {
        let Kubernetes { kubeconfig, context, .. } = &around.settings;
        let find = || {
            cluster::find(kubeconfig.as_deref(), context.as_deref(), |config| {
                (config.connect_timeout, config.read_timeout) = (Some(ATTEMPT / 2), Some(ATTEMPT));
            })
        };
        let way = around.way.get_or_try_init(find).await?;
        let namespace = self.route.namespace.as_deref().unwrap_or(&way.namespace);
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let api: Api<DynamicObject> =
            Api::namespaced_with(way.client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "httproutes"));
        let late = |_| format!("{} gave no answer within {ATTEMPT:?}", way.server);
        let found = timeout(ATTEMPT, api.get(&self.route.name)).await.map_err(late)?.map_err(|error| self.refused(&error, namespace))?;
        let found = serde_json::to_value(&found).map_err(|error| error.to_string())?;
        let Some(body) = body(&found, &self.route, share).map_err(|wrong| wrong.to_string())? else { return Ok(false) };
        let params = PatchParams::apply(MANAGER);
        let params = if self.route.take_over { params.force() } else { params };
        let applied = timeout(ATTEMPT, api.patch(&self.route.name, &params, &Patch::Apply(&body))).await.map_err(late)?;
        applied.map(|_| true).map_err(|error| self.refused(&error, namespace))
    }

    /// Tells what the API server said, and what to do about it.
    fn refused(&self, error: &Error, namespace: &str) -> String {
        let Error::Api(status) = error else { return chain(error) };
        let told = format!("{} ({}): {}", status.reason, status.code, status.message);
        match status.code {
            403 => format!("{told}; let the account of this proxy get and patch httproutes {} in namespace {namespace}", self.route.name),
            409 if status.message.contains("conflict with") => {
                format!("{told}; let its manager leave the rules alone, or write take_over: true")
            }
            _ => told,
        }
    }

    fn told(&self) -> String {
        format!("HTTPRoute {}", self.route.name)
    }
}
