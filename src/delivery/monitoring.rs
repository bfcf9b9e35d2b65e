//! Where the values behind the gates of a project are measured: the sources that `configure monitoring` has named.
//!
//! A file for each project, and for each service that has its own, below the state folder: what they are let in with is a secret and
//! belongs into no work tree. Only hosts are asked that the configuration of the process lists.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::delivery::message::{Authorization, Monitor, Provider, Scheme};
use crate::delivery::projects;
use crate::domain::version::Name;
use crate::formats::evaluation_window::Window;
use crate::sources::credential::{self, Credential};
use crate::sources::dynatrace::{Dynatrace, Patience};
use crate::sources::endpoint::{Endpoint, Limits};
use crate::sources::perfspec::Sources;
use crate::sources::prometheus::Prometheus;

/// The query that shows that a Prometheus answers.
const PROBE: &str = "vector(1)";
/// The bounds on one question of an evaluation, and on the one that shows that a source answers, while somebody waits.
const ASKED: Limits = Limits { within: Duration::from_secs(10), most: 1 << 20, attempts: 3, pause: Duration::from_millis(200) };
const PROBED: Limits = Limits { within: Duration::from_secs(4), attempts: 2, ..ASKED };
/// How far back a Dynatrace is asked to show that it answers.
const LOOKS_BACK: Duration = Duration::from_secs(300);

/// The sources of a project or service as they are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The one that was named last; it answers the SLIs of an `slo.yaml`.
    provider: Option<Provider>,
    prometheus: Option<Place>,
    dynatrace: Option<Place>,
}

/// Where a source is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    url: String,
    authorization: Option<Authorization>,
}

/// The sources of a project or service.
#[derive(Clone)]
pub(super) struct Configured {
    all: Sources,
    provider: Provider,
}

impl Configured {
    /// Says whether one of these sources is there.
    pub(super) fn has(&self, names: &[String]) -> bool {
        names.iter().any(|name| match name.to_ascii_lowercase().as_str() {
            "prometheus" => self.all.prometheus.is_some(),
            "dynatrace" => self.all.dynatrace.is_some(),
            _ => false,
        })
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Sources {
        self.all.clone()
    }

    /// Returns the one that was named last.
    pub(super) fn one(&self) -> Sources {
        match self.provider {
            Provider::Prometheus => Sources { prometheus: self.all.prometheus.clone(), dynatrace: None },
            Provider::Dynatrace => Sources { prometheus: None, dynatrace: self.all.dynatrace.clone() },
        }
    }
}

/// The sources of all projects.
#[derive(Clone, Debug)]
pub(super) struct Monitoring {
    folder: PathBuf,
    /// The hosts that may be asked, with or without a port.
    hosts: Vec<String>,
}

impl Monitoring {
    pub(super) fn new(folder: PathBuf, hosts: Vec<String>) -> Self {
        Self { folder, hosts }
    }

    /// Finds the sources of a service, else those of its project.
    ///
    /// # Errors
    ///
    /// Says why what is kept cannot be used.
    pub(super) fn of(&self, project: &Name, service: &Name) -> Result<Option<Configured>, String> {
        for path in [self.file(project, Some(service)), self.file(project, None)] {
            let Some(written) = read(&path)? else { continue };
            let Some(provider) = written.provider else { continue };
            let prometheus = written.prometheus.map(|place| self.prometheus(&place, ASKED)).transpose()?;
            let dynatrace = written.dynatrace.map(|place| self.dynatrace(&place, ASKED)).transpose()?;
            return Ok(Some(Configured { all: Sources { prometheus, dynatrace }, provider }));
        }
        Ok(None)
    }

    /// Checks that a source answers, and keeps it.
    ///
    /// # Errors
    ///
    /// Says why it does not answer or may not be asked; then nothing has changed.
    pub(super) async fn configure(&self, project: &Name, service: Option<&Name>, monitor: Monitor) -> Result<(), String> {
        let Monitor { provider, url, authorization } = monitor;
        let place = Place { url, authorization };
        match provider {
            Provider::Prometheus => {
                let asked = self.prometheus(&place, PROBED)?.instant(PROBE, Timestamp::now()).await;
                asked.map_err(|trouble| format!("{trouble}; nothing was changed"))?;
            }
            Provider::Dynatrace => {
                let once = Patience { limit: Duration::ZERO, pause: Duration::from_secs(1) };
                let now = Timestamp::now();
                let window = now.checked_sub(LOOKS_BACK).ok().and_then(|start| Window::new(start, now)).ok_or("the clock is wrong")?;
                let tags = [format!("environment:{project}")];
                let asked = self.dynatrace(&place, PROBED)?.with_patience(once).service(&tags, window).await;
                asked.map_err(|trouble| format!("{trouble}; nothing was changed"))?;
            }
        }
        let path = self.file(project, service);
        let mut written = read(&path)?.unwrap_or_default();
        written.provider = Some(provider);
        match provider {
            Provider::Prometheus => written.prometheus = Some(place),
            Provider::Dynatrace => written.dynatrace = Some(place),
        }
        let text = serde_json::to_string(&written).map_err(|error| error.to_string())?;
        projects::make(&self.folder)?;
        projects::write(&path, text.as_bytes())
    }

    /// Returns the file of a project or service; neither name contains a dot.
    fn file(&self, project: &Name, service: Option<&Name>) -> PathBuf {
        self.folder.join(service.map_or_else(|| format!("{project}.json"), |service| format!("{project}.{service}.json")))
    }

    fn prometheus(&self, place: &Place, limits: Limits) -> Result<Prometheus, String> {
        let mut endpoint = self.endpoint(place)?.with_limits(limits);
        if let Some(authorization) = &place.authorization {
            endpoint = endpoint.with_credential(credential(authorization)?);
        }
        Ok(Prometheus::new(endpoint))
    }

    fn dynatrace(&self, place: &Place, limits: Limits) -> Result<Dynatrace, String> {
        let endpoint = self.endpoint(place)?.with_limits(limits);
        let token = place.authorization.as_ref().ok_or("Dynatrace lets nobody in without a token; give --token-file")?;
        Dynatrace::new(endpoint, credential(token)?).map_err(|error| error.to_string())
    }

    fn endpoint(&self, place: &Place) -> Result<Endpoint, String> {
        let endpoint = Endpoint::new(&place.url, None).map_err(|error| error.to_string())?;
        let uri: Uri = place.url.parse().map_err(|_| "the URL cannot be read".to_owned())?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default().to_ascii_lowercase();
        let bare = uri.host().unwrap_or_default().to_ascii_lowercase();
        if self.hosts.iter().any(|allowed| [&host, &bare].contains(&&allowed.to_ascii_lowercase())) {
            return Ok(endpoint);
        }
        let known = if self.hosts.is_empty() { "none".to_owned() } else { self.hosts.join(", ") };
        let hint = format!("write 'sources: [{host}]' below 'delivery' in the configuration and start the proxy anew");
        Err(format!("{host} is none of the hosts that may be asked ({known}); {hint}"))
    }
}

fn credential(authorization: &Authorization) -> Result<Credential, String> {
    let scheme = match authorization.scheme {
        Scheme::Bearer => credential::Scheme::Bearer,
        Scheme::Basic => credential::Scheme::Basic,
        Scheme::ApiToken => credential::Scheme::ApiToken,
    };
    Credential::new("what was sent", authorization.secret.as_bytes(), scheme).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Option<Written>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // What is wrong with it is not shown: it holds secrets.
    let hint = "configure the source again with: portcullis configure monitoring";
    serde_json::from_slice(&text).map(Some).map_err(|_| format!("{} cannot be read; {hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(url: &str, secret: Option<&str>) -> Monitor {
        let authorization = secret.map(|secret| Authorization { scheme: Scheme::Bearer, secret: secret.to_owned() });
        Monitor { provider: Provider::Prometheus, url: url.to_owned(), authorization }
    }

    fn carts() -> (Name, Name) {
        ("sockshop".parse().unwrap(), "carts".parse().unwrap())
    }

    #[tokio::test]
    async fn only_hosts_that_are_listed_are_asked_and_what_does_not_answer_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let monitoring = |hosts: &[&str]| Monitoring::new(folder.path().join("m"), hosts.iter().map(|host| (*host).to_owned()).collect());
        let (project, service) = carts();
        for (url, hosts, part) in [
            ("http://127.0.0.1:9", &[][..], "sources: [127.0.0.1:9]"),
            ("http://127.0.0.1:9", &["127.0.0.1:90", "other"], "(127.0.0.1:90, other)"),
            ("http://169.254.169.254", &["169.254.169.254"], "an address that no source has"),
            ("file:///etc/passwd", &["etc"], "no URL of a source"),
            ("http://u:p@127.0.0.1:9", &["127.0.0.1"], "a user in it"),
            ("http://127.0.0.1:1", &["127.0.0.1"], "cannot be asked"),
        ] {
            let refused = monitoring(hosts).configure(&project, None, monitor(url, None)).await.unwrap_err();
            assert!(refused.contains(part), "{url}: {refused}");
            assert!(monitoring(hosts).of(&project, &service).unwrap().is_none(), "{url}");
        }
        assert!(!folder.path().join("m").exists(), "nothing was written");
    }

    #[test]
    fn a_host_taken_from_the_list_is_asked_no_more_and_what_is_broken_shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (project, service) = carts();
        let path = folder.path().join("sockshop.json");
        let place = r#"{"url": "http://prometheus:9090", "authorization": {"scheme": "bearer", "secret": "hush"}}"#;
        std::fs::write(&path, format!(r#"{{"provider": "prometheus", "prometheus": {place}, "dynatrace": null}}"#)).unwrap();
        let of = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            Monitoring::new(folder.path().to_owned(), hosts).of(&project, &service)
        };
        let found = of(&["Prometheus:9090"]).unwrap().unwrap();
        assert!(found.has(&["Prometheus".to_owned()]) && !found.has(&["Dynatrace".to_owned()]));
        assert!(found.one().prometheus.is_some());
        assert!(of(&["dynatrace"]).err().unwrap().contains("none of the hosts"));
        std::fs::write(&path, r#"{"provider": "prometheus", "secret": "hush"}"#).unwrap();
        let why = of(&["prometheus"]).err().unwrap();
        assert!(why.contains("cannot be read") && !why.contains("hush"), "{why}");
    }
}
