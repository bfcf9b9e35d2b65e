//! The way to the API server of a cluster.

use std::path::Path;

use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
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
            let (owned, file) = (path.to_owned(), path.display());
            let read = tokio::task::spawn_blocking(move || Kubeconfig::read_from(owned)).await.map_err(|error| error.to_string())?;
            let read = read.map_err(|error| format!("{file}: {}", chain(&error)))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| format!("{file}: {}", chain(&error)))
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| chain(&error)),
        (None, None) => Config::infer().await.map_err(|error| chain(&error)),
    };
    let mut config = config.map_err(|why| format!("no way to the API server was found: {why}"))?;
    // What is asked again, and for how long, is decided by who asks.
    config.default_retry = false;
    shape(&mut config);
    let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    let program = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone()).map_or_else(String::new, |name| format!("{name}: "));
    // A program may have to be run for the credentials.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config));
    let client = made.await.map_err(|error| error.to_string())?.map_err(|error| format!("{program}{}", chain(&error)))?;
    Ok(Found { client, server, namespace })
}

/// Tells an error with what is behind it, for logs and for whoever may ask how a proxy stands: nothing of what a kubeconfig holds, and
/// nothing of what a program wrote that is run for credentials.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let links = || std::iter::successors(Some(error), |error| error.source());
    // What is around such an error repeats its text.
    if let Some(told) = links().find_map(without_secrets) {
        return told;
    }
    links().fold(String::new(), |told, error| match error.to_string() {
        more if told.is_empty() => more,
        more if told.contains(&more) => told,
        more => format!("{told}: {more}"),
    })
}

/// Tells an error whose own text may hold secrets.
fn without_secrets(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(KubeconfigError::Parse(error)) = error.downcast_ref() {
        let place = error.location().map_or_else(String::new, |at| format!(", line {}, column {}", at.line(), at.column()));
        return Some(format!("the kubeconfig is no YAML of its kind{place}; its text is not shown, because it may hold secrets"));
    }
    let why = match error.downcast_ref()? {
        AuthError::AuthExecRun { out, .. } => format!("ended with {}", out.status),
        AuthError::AuthExecParse(_) => "wrote no ExecCredential that can be read".to_owned(),
        AuthError::AuthExec(_) | AuthError::ParseTokenKey(_) => "gave none".to_owned(),
        _ => return None,
    };
    Some(format!("the program that the kubeconfig runs for credentials {why}; its output is not shown, because it may hold secrets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is told when a kubeconfig with this user, or this text after it, is used.
    async fn told(user: &str, more: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {{server: 'http://127.0.0.1:9'}}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\nusers:\n- name: test\n  user: {user}\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let file = file.as_path();
        let told = find(Some(file), None, |_| {}).await.err().unwrap();
        assert!(told.contains(&file.display().to_string()) || user.contains("exec"), "{told}");
        told
    }

    #[tokio::test]
    async fn nothing_of_a_kubeconfig_that_cannot_be_read_is_told() {
        for (user, more, at) in [
            ("{token: s3cr3t, token: s3cr3t}", "", "line 12"),
            ("{token: [s3cr3t]}", "", "line 12"),
            ("{token: s3cr3t}", "  s3cr3t: [s3cr3t\n", "line"),
            ("{exec: s3cr3t}", "", "line 12"),
        ] {
            let told = told(user, more).await;
            assert!(!told.contains("s3cr3t") && told.contains(at), "{told}");
        }
    }

    #[tokio::test]
    async fn nothing_is_told_of_what_a_program_for_credentials_wrote() {
        let exec = |script: &str| {
            format!(
                "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, '{script}'], \
                 env: [{{name: PASSWORD, value: s3cr3t}}]}}}}"
            )
        };
        let fails = told(&exec("echo s3cr3t; echo s3cr3t >&2; exit 7"), "").await;
        let babbles = told(&exec("echo \"{kind: s3cr3t, status: [s3cr3t]}\""), "").await;
        for (told, part) in [(fails, "exit status: 7"), (babbles, "no ExecCredential")] {
            assert!(!told.contains("s3cr3t") && told.starts_with("sh: ") && told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_chain_is_told_once_and_what_is_around_a_secret_is_not_told() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody listens");
        assert_eq!(chain(&kube::Error::ReadEvents(refused)), "Error reading events stream: nobody listens");
        let out = Box::new(std::process::Output { status: Default::default(), stdout: b"s3cr3t".to_vec(), stderr: Vec::new() });
        let wrapped = kube::Error::Service(Box::new(AuthError::AuthExecRun { cmd: "A=s3cr3t sh".to_owned(), out }));
        assert!(!chain(&wrapped).contains("s3cr3t") && chain(&wrapped).contains("exit status: 0"), "{}", chain(&wrapped));
    }
}
