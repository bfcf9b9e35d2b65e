//! Endpoints as they come from a stand-in for an API server, by real HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::kubernetes::Kubernetes;
use portcullis::domain::endpoint::Endpoint;
use portcullis::domain::standing::Standing;
use portcullis::domain::version::Version;
use portcullis::kube::discovery::Discovery;
use portcullis::seam::endpoints::{Endpoints, Watch};
use serde_json::json;
use tempfile::TempDir;

use crate::api::{Api, Fault, pod};
use crate::process::eventually;

struct Site {
    api: Api,
    endpoints: Endpoints,
    version: Option<Arc<Version>>,
    endpoint: Endpoint,
    discovery: Discovery,
    _folder: TempDir,
}

impl Site {
    /// Starts with one version that is written so.
    fn with(api: Api, written: &str) -> Self {
        let (folder, endpoints) = (tempfile::tempdir().unwrap(), Endpoints::default());
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, api.kubeconfig()).unwrap();
        let settings = Kubernetes { kubeconfig: Some(file), wait: Duration::from_secs(15), ..Kubernetes::default() };
        let discovery = Discovery::start(endpoints.clone(), vec!["10.0.0.99:8080".parse().unwrap()], settings).unwrap();
        let endpoint: Endpoint = written.parse().unwrap();
        let version = Arc::new(Version::new("v1".parse().unwrap(), vec![endpoint.clone()]));
        let _ = endpoints.of(&version);
        Self { api, endpoints, version: Some(version), endpoint, discovery, _folder: folder }
    }

    fn start() -> Self {
        let api = Api::start();
        api.slice("carts-a", "carts", 8080, &[pod("a", "10.0.0.1", true, false), pod("b", "10.0.0.2", true, false)]);
        api.slice("other-a", "other", 8080, &[pod("o", "10.0.0.7", true, false)]);
        let site = Self::with(api, "kubernetes:shop/carts:http");
        site.are(&["10.0.0.1:8080", "10.0.0.2:8080"]);
        site
    }

    fn shown(&self) -> Vec<String> {
        let reach = self.endpoints.of(self.version.as_ref().unwrap());
        reach.list().load().places.iter().map(|place| place.target().to_string()).collect()
    }

    #[track_caller]
    fn are(&self, wanted: &[&str]) {
        eventually(&format!("{wanted:?} instead of {:?}", self.shown()), || (self.shown() == wanted).then_some(()));
        self.is(Watch::Current);
    }

    #[track_caller]
    fn is(&self, wanted: Watch) {
        eventually(&format!("{wanted:?} instead of {:?}", self.watch()), || (self.watch() == Some(wanted.clone())).then_some(()));
    }

    /// Waits until the watch is lost, and returns why.
    #[track_caller]
    fn lost(&self) -> String {
        eventually("it is lost", || if let Some(Watch::Lost(why)) = self.watch() { Some(why) } else { None })
    }

    fn watch(&self) -> Option<Watch> {
        self.endpoints.watch(&self.endpoint)
    }

    fn standing(&self) -> Standing {
        self.endpoints.of(self.version.as_ref().unwrap()).standing()
    }

    fn lists(&self) -> usize {
        self.api.inside().asked.iter().filter(|asked| !asked.contains("watch=true")).count()
    }
}

#[test]
fn endpoints_follow_the_slices_of_their_service() {
    let site = Site::start();
    let slice = |name, pods: &[serde_json::Value]| site.api.slice(name, "carts", 8080, pods);
    slice("carts-b", &[pod("c", "10.0.0.3", true, false), pod("own", "10.0.0.99", true, false)]);
    site.are(&["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]);
    slice("carts-a", &[pod("a", "10.0.0.1", true, true), pod("b", "10.0.0.2", false, false)]);
    site.are(&["10.0.0.3:8080"]);
    site.api.put("endpointslices", "carts-b", None);
    site.are(&["10.0.0.1:8080"]);
    assert_eq!(site.standing(), Standing::Usable, "it ends, but there is no other");
    slice("carts-a", &[pod("a", "10.0.0.1", false, true)]);
    site.are(&[]);
    assert_eq!(site.standing(), Standing::Absent);
    let many: Vec<_> = (1..=5).map(|n| (format!("carts-{n}"), format!("10.0.1.{n}"))).collect();
    many.iter().for_each(|(name, ip)| slice(name, &[pod(name, ip, true, false)]));
    site.are(&["10.0.1.1:8080", "10.0.1.2:8080", "10.0.1.3:8080", "10.0.1.4:8080", "10.0.1.5:8080"]);
    assert_eq!(site.lists(), 1, "what is watched is not listed again: {:?}", site.api.inside().asked);
    drop(site);
}

#[test]
fn a_list_of_many_pages_is_taken_whole() {
    let api = Api::start();
    let ips: Vec<String> = (10..17).map(|n| format!("10.0.2.{n}")).collect();
    ips.iter().for_each(|ip| api.slice(&format!("carts-{ip}"), "carts", 80, &[pod(ip, ip, true, false)]));
    // Without a namespace it is that of the context.
    let site = Site::with(api, "kubernetes:carts");
    let wanted: Vec<String> = ips.iter().map(|ip| format!("{ip}:80")).collect();
    site.are(&wanted.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(site.lists(), 4);
}

#[test]
fn a_watch_that_is_lost_keeps_the_last_endpoints_and_says_so() {
    let site = Site::start();
    site.api.set(|inside| inside.down = true);
    let why = site.lost();
    assert!(why.contains("http://127.0.0.1"), "{why}");
    site.api.slice("carts-a", "carts", 8080, &[pod("c", "10.0.0.3", true, false)]);
    assert_eq!((site.shown().len(), site.standing()), (2, Standing::Usable), "nothing is known of it");
    site.api.set(|inside| inside.down = false);
    site.are(&["10.0.0.3:8080"]);
}

#[test]
fn whatever_goes_wrong_with_a_watch_the_endpoints_are_those_of_the_end() {
    let site = Site::start();
    for (n, fault) in [Fault::Cut, Fault::Over, Fault::Gone, Fault::Garbage, Fault::Gone, Fault::Cut].into_iter().enumerate() {
        eventually("it is watched", || (site.api.inside().watching == 1).then_some(()));
        site.api.fault(fault);
        let ip = format!("10.0.3.{n}");
        site.api.slice("carts-a", "carts", 8080, &[pod("a", &ip, true, false)]);
        site.are(&[&format!("{ip}:8080")]);
    }
}

#[test]
fn what_a_server_has_forgotten_is_listed_again_and_is_no_loss() {
    let site = Site::start();
    eventually("it is watched", || (site.api.inside().watching == 1).then_some(()));
    let lists = site.lists();
    site.api.fault(Fault::Gone);
    eventually("it is listed again", || {
        assert_eq!(site.watch(), Some(Watch::Current));
        (site.lists() > lists).then_some(())
    });
    site.are(&["10.0.0.1:8080", "10.0.0.2:8080"]);
}

#[test]
fn a_server_that_refuses_as_forgotten_is_lost_only_when_no_list_comes() {
    let site = Site::start();
    eventually("it is watched", || (site.api.inside().watching == 1).then_some(()));
    let forgotten = Some((410, "Expired", "too old resource version"));
    // The watch that goes on, and the lists after it.
    let asked = site.api.inside().asked.len();
    site.api.set(|inside| inside.refuses = forgotten);
    site.api.fault(Fault::Over);
    eventually("a watch and a list are refused", || {
        assert_eq!(site.watch(), Some(Watch::Current));
        (site.api.inside().asked.len() >= asked + 2).then_some(())
    });
    site.api.set(|inside| inside.refuses = None);
    site.api.slice("carts-a", "carts", 8080, &[pod("c", "10.0.0.3", true, false)]);
    eventually("it is listed again", || {
        assert_eq!(site.watch(), Some(Watch::Current));
        (site.shown() == ["10.0.0.3:8080"]).then_some(())
    });
    eventually("it is watched", || (site.api.inside().watching == 1).then_some(()));
    site.api.set(|inside| inside.refuses = forgotten);
    site.api.fault(Fault::Over);
    assert!(site.lost().contains("too old resource version"));
}

#[test]
fn a_server_that_forgets_everything_at_once_is_not_asked_all_the_time() {
    let site = Site::start();
    let begun = Instant::now();
    let lists = site.lists();
    site.api.set(|inside| inside.forgets = true);
    site.api.fault(Fault::Over);
    eventually("it is listed again and again", || (site.lists() >= lists + 4).then_some(()));
    // Half of 0.1 s, of 0.2 s, of 0.4 s and of 0.8 s at least.
    assert!(begun.elapsed() >= Duration::from_millis(700), "four lists within {:?}", begun.elapsed());
    assert_eq!((site.watch(), site.shown().len()), (Some(Watch::Current), 2));
}

#[test]
fn a_right_that_is_missing_is_named_and_comes_when_it_is_given() {
    let api = Api::start();
    let message = "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:shop:gateway\" cannot list resource";
    api.set(|inside| inside.refuses = Some((403, "Forbidden", message)));
    api.slice("carts-a", "carts", 8080, &[pod("a", "10.0.0.1", true, false)]);
    let site = Site::with(api, "kubernetes:shop/carts:http");
    let why = eventually("it is told", || if let Some(Watch::Waiting(Some(why))) = site.watch() { Some(why) } else { None });
    for part in [message, "403", "list and watch endpointslices (discovery.k8s.io) in namespace shop"] {
        assert!(why.contains(part), "{part:?} is missing in {why}");
    }
    assert_eq!(site.standing(), Standing::Absent);
    site.api.set(|inside| inside.refuses = None);
    site.are(&["10.0.0.1:8080"]);
    site.api.set(|inside| inside.refuses = Some((403, "Forbidden", message)));
    site.api.fault(Fault::Cut);
    assert!(site.lost().contains("list and watch endpointslices"));
    assert_eq!(site.shown(), ["10.0.0.1:8080"]);
}

#[test]
fn labels_of_pods_make_versions_of_one_service() {
    let api = Api::start();
    let label = |api: &Api, name: &str, version: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"uid": format!("uid-{name}"), "labels": {"version": version}}});
        api.put("pods", name, Some(object));
    };
    ["a", "b", "c"].iter().zip(["v1", "v2", "v2"]).for_each(|(name, version)| label(&api, name, version));
    api.slice(
        "carts-a",
        "carts",
        80,
        &[pod("a", "10.0.0.1", true, false), pod("b", "10.0.0.2", true, false), pod("c", "10.0.0.3", true, false)],
    );
    let site = Site::with(api, "kubernetes:shop/carts:http?version=v2");
    site.are(&["10.0.0.2:80", "10.0.0.3:80"]);
    label(&site.api, "b", "v1");
    site.are(&["10.0.0.3:80"]);
    label(&site.api, "a", "v2");
    site.are(&["10.0.0.1:80", "10.0.0.3:80"]);
    site.api.put("pods", "a", None);
    site.are(&["10.0.0.3:80"]);
    assert!(site.api.inside().asked.iter().all(|asked| !asked.contains("/pods") || asked.contains("labelSelector=version%3Dv2")));
}

#[test]
fn nothing_is_watched_for_a_version_that_is_gone() {
    let mut site = Site::start();
    eventually("it is watched", || (site.api.inside().watching == 1).then_some(()));
    site.version = None;
    eventually("it is not watched any more", || (site.api.inside().watching == 0 && site.watch().is_none()).then_some(()));
    assert_eq!(site.endpoints.known(&site.endpoint), Vec::new(), "where it was is forgotten");
}

#[test]
fn who_asks_ahead_gets_what_comes_or_why_it_does_not() {
    let mut site = Site::start();
    let ask = |site: &Site| site.discovery.ahead().come([site.endpoint.clone(), "10.0.0.1:80".parse().unwrap()], || true);
    site.version = None;
    eventually("it is forgotten", || site.watch().is_none().then_some(()));
    assert_eq!(ask(&site), []);
    assert_eq!(site.endpoints.known(&site.endpoint).len(), 2, "it is there before a version is");
    let other: Endpoint = "kubernetes:shop/other:http".parse().unwrap();
    site.api.set(|inside| inside.mute = true);
    let mut turns = 0;
    let missing = site.discovery.ahead().come([other.clone()], || {
        turns += 1;
        turns < 10
    });
    assert_eq!(missing.iter().map(|(endpoint, _)| endpoint).collect::<Vec<_>>(), [&other], "who is to end waits no longer");
    site.api.set(|inside| (inside.mute, inside.refuses) = (false, Some((500, "InternalError", "etcd is gone"))));
    eventually("the reason is known", || {
        site.discovery.ahead().come([other.clone()], || false)[0].1.contains("etcd is gone").then_some(())
    });
}
