//! The way to the API server of a cluster.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A way to the API server.
pub struct Found {
    /// What asks it.
    pub client: Client,
    /// Where it is, for people.
    pub server: String,
    /// The namespace where none is named: that of the context, or the pod's own.
    pub namespace: String,
}

/// Finds the API server and what it takes to be known there: by the file, else by `KUBECONFIG`, `~/.kube/config` or the pod's service
/// account. `shape` sets what else the client needs; it asks nothing again by itself.
///
/// # Errors
///
/// Says what is missing.
pub async fn find(kubeconfig: Option<&Path>, context: Option<&str>, shape: impl FnOnce(&mut Config)) -> Result<Found, String> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match (kubeconfig, context) {
        (Some(path), _) => {
            let path = path.to_owned();
            let read = tokio::task::spawn_blocking(move || Kubeconfig::read_from(path)).await.map_err(|error| error.to_string())?;
            Config::from_custom_kubeconfig(read.map_err(|error| chain(&error))?, &options).await.map_err(|error| chain(&error))
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| chain(&error)),
        (None, None) => Config::infer().await.map_err(|error| chain(&error)),
    };
    let mut config = config.map_err(|why| format!("no way to the API server was found: {why}"))?;
    // What is asked again, and for how long, is decided by who asks.
    config.default_retry = false;
    shape(&mut config);
    let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    // A program may have to be run for the credentials.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config));
    let client = made.await.map_err(|error| error.to_string())?.map_err(|error| chain(&error))?;
    Ok(Found { client, server, namespace })
}

/// Tells an error with what is behind it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        next = error.source();
    }
    told
}
