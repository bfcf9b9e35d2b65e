//! The way to the API server: what is asked of it is asked again for as long as it may yet be done, and a refusal is told as it
//! was meant.

use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, Preconditions};
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::config::delivery::KubernetesDeployer;
use crate::sources::cluster::{self, chain};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The pause after the first attempt in vain; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// The most pods of a deployment that are looked at.
const PODS: u32 = 50;

/// The kinds of objects that are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    Service,
    Pod,
}

/// A connection to the API server.
pub(super) struct Cluster {
    client: Client,
    /// Where it is, for people.
    server: String,
    /// In whose name fields are applied.
    manager: String,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Cluster {
    /// Finds the API server and what it takes to be known there, as [`cluster::find`] does.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub(super) async fn find(settings: &KubernetesDeployer, manager: String) -> Result<Self, String> {
        let found = cluster::find(settings.kubeconfig.as_deref(), settings.context.as_deref(), |config| {
            (config.connect_timeout, config.read_timeout) = (Some(ATTEMPT / 2), Some(ATTEMPT));
        });
        let cluster::Found { client, server, .. } = found.await?;
        Ok(Self { client, server, manager })
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let (group, kind, plural) = match kind {
            Kind::Deployment => ("apps", "Deployment", "deployments"),
            Kind::Service => ("", "Service", "services"),
            Kind::Pod => ("", "Pod", "pods"),
        };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Applies an object: what is said of it becomes so, and stays ours (server-side apply). What others own is not taken from
    /// them.
    ///
    /// # Errors
    ///
    /// Says why it is not so.
    pub(super) async fn apply(&self, at: At<'_>, object: &Value, until: Instant) -> Result<Value, String> {
        let api = self.api(at.kind, at.namespace);
        let params = PatchParams::apply(&self.manager).validation_strict();
        let patch = Patch::Apply(object);
        match self.insist(until, || api.patch(at.name, &params, &patch)).await {
            Ok(object) => shown(&object),
            Err(Refused::Conflict(why)) => {
                Err(format!("{} is another's: {why}; take it out of what manages it, or delete it there", self.told(at)))
            }
            Err(Refused::Missing(why)) => Err(format!("{} cannot be made: {why}; make the namespace first", self.told(at))),
            Err(Refused::Other(why)) => Err(format!("{} cannot be applied: {why}", self.told(at))),
        }
    }

    /// Returns an object; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Says why it is not known whether there is one.
    pub(super) async fn get(&self, at: At<'_>, until: Instant) -> Result<Option<Value>, String> {
        let api = self.api(at.kind, at.namespace);
        match self.insist(until, || api.get(at.name)).await {
            Ok(object) => shown(&object).map(Some),
            Err(Refused::Missing(_)) => Ok(None),
            Err(Refused::Conflict(why) | Refused::Other(why)) => Err(format!("{} cannot be read: {why}", self.told(at))),
        }
    }

    /// Deletes an object that is as wanted; one that is not there, or another's, is left alone.
    ///
    /// # Errors
    ///
    /// Says why it may still be there.
    pub(super) async fn delete(&self, at: At<'_>, wanted: impl Fn(&Value) -> bool, until: Instant) -> Result<(), String> {
        let api = self.api(at.kind, at.namespace);
        loop {
            let Some(found) = self.get(at, until).await?.filter(|found| wanted(found)) else { return Ok(()) };
            let text = |key: &str| found.get("metadata")?.get(key)?.as_str().map(str::to_owned);
            if text("deletionTimestamp").is_some() {
                return Ok(());
            }
            // A Service leads to another deployment when it has changed; the status of a Deployment changes by itself.
            let resource_version = text("resourceVersion").filter(|_| at.kind == Kind::Service);
            let params =
                DeleteParams { preconditions: Some(Preconditions { resource_version, uid: text("uid") }), ..DeleteParams::default() };
            match self.insist(until, || api.delete(at.name, &params)).await {
                Ok(_) | Err(Refused::Missing(_)) => return Ok(()),
                // It has changed since it was looked at.
                Err(Refused::Conflict(_)) if Instant::now() < until => sleep(FIRST).await,
                Err(Refused::Conflict(why) | Refused::Other(why)) => return Err(format!("{} cannot be deleted: {why}", self.told(at))),
            }
        }
    }

    /// Returns the pods that a selector finds, the first of them.
    ///
    /// # Errors
    ///
    /// Says why they are not known.
    pub(super) async fn pods(&self, namespace: &str, selector: &str, until: Instant) -> Result<Vec<Value>, String> {
        let api = self.api(Kind::Pod, namespace);
        let params = ListParams::default().labels(selector).limit(PODS);
        match self.insist(until, || api.list(&params)).await {
            Ok(pods) => pods.items.iter().map(shown).collect(),
            Err(Refused::Missing(why) | Refused::Conflict(why) | Refused::Other(why)) => {
                Err(format!("the pods in {namespace} cannot be listed: {why}"))
            }
        }
    }

    /// Asks until there is an answer that stays, for as long as there is time.
    async fn insist<T, F: Future<Output = Result<T, Error>>>(&self, until: Instant, ask: impl Fn() -> F) -> Result<T, Refused> {
        let mut pause = FIRST;
        loop {
            let why = match timeout(ATTEMPT, ask()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => match refused(error) {
                    Ok(refused) => return Err(refused),
                    Err(passing) => passing,
                },
                Err(_) => format!("no answer within {ATTEMPT:?}"),
            };
            if Instant::now() + pause >= until {
                return Err(Refused::Other(format!("the API server {} was asked until the time was over, at last: {why}", self.server)));
            }
            tracing::debug!(server = self.server, "the API server is asked again: {why}");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn told(&self, at: At<'_>) -> String {
        format!("{:?} {} in namespace {}", at.kind, at.name, at.namespace)
    }
}

/// An answer that stays the same however often it is asked for.
enum Refused {
    Missing(String),
    Conflict(String),
    Other(String),
}

/// Tells an answer that stays, or else what may pass: a server that is down, overloaded, or has lost its place (410).
fn refused(error: Error) -> Result<Refused, String> {
    let Error::Api(status) = &error else {
        return match error {
            Error::HyperError(_) | Error::Service(_) => Err(chain(&error)),
            _ => Ok(Refused::Other(chain(&error))),
        };
    };
    let told = format!("{} ({}): {}", status.reason, status.code, status.message);
    match status.code {
        404 => Ok(Refused::Missing(told)),
        409 => Ok(Refused::Conflict(told)),
        408 | 410 | 429 | 500..=599 => Err(told),
        _ => Ok(Refused::Other(told)),
    }
}

fn shown(object: &DynamicObject) -> Result<Value, String> {
    serde_json::to_value(object).map_err(|error| error.to_string())
}
