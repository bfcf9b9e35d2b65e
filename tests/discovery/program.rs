//! The whole program in front of versions that a cluster tells of.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::api::{Api, Fault, pod};
use crate::process::{Running, eventually, finish, request};

/// A pod that answers with its name, or with 500 once it is told to.
pub struct Upstream {
    port: u16,
    pub fails: Arc<AtomicBool>,
}

impl Upstream {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, fails) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
        let failing = Arc::clone(&fails);
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let failing = Arc::clone(&failing);
                std::thread::spawn(move || {
                    let lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
                    for _ in lines.filter(String::is_empty) {
                        let status = if failing.load(Ordering::Relaxed) { "500 Broken" } else { "200 OK" };
                        let _ = write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                    }
                });
            }
        });
        Self { port, fails }
    }
}

pub struct Site {
    folder: TempDir,
    pub api: Api,
    pub proxy: Option<Running>,
    listen: SocketAddr,
    admin: SocketAddr,
}

pub const STABLE: &str = "stable: {version: v1, endpoints: [\"kubernetes:carts-primary:http\"]}";
pub const TRIAL: &str = "canary: {version: v2, endpoints: [\"kubernetes:shop/carts-canary:http\"]}\n    gates: [\"errors < 20%\"]\n    \
                     burst_tolerance: 0s\n    plan: {start: 50%, hold: 1h}";

impl Site {
    pub fn new() -> Self {
        let (folder, nowhere) = (tempfile::tempdir().unwrap(), ([127, 0, 0, 1], 9).into());
        Self { folder, api: Api::start(), proxy: None, listen: nowhere, admin: nowhere }
    }

    fn file(&self) -> String {
        self.folder.path().join("portcullis.yaml").to_str().unwrap().to_owned()
    }

    pub fn write(&self, wait: &str, service: &str) {
        std::fs::write(self.folder.path().join("kubeconfig"), self.api.kubeconfig()).unwrap();
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: state\nkubernetes: {{kubeconfig: kubeconfig, wait: {wait}}}\n\
             services:\n  - name: carts\n    {service}\n"
        );
        std::fs::write(self.file(), text).unwrap();
    }

    pub fn run(&mut self) {
        let proxy = Running::start(&["run", &self.file()]);
        self.listen = proxy.address("listening on ");
        self.admin = proxy.address("admin on http://");
        self.proxy = Some(proxy);
    }

    /// Puts the one slice of a Service, with one pod for each port.
    pub fn pods(&self, service: &str, of: &[&Upstream]) {
        let mut known: Vec<String> = Vec::new();
        for upstream in of {
            let name = format!("{service}-{}", upstream.port);
            self.api.slice(&name, service, upstream.port, &[pod(&name, "127.0.0.1", true, false)]);
            known.push(name);
        }
        for old in self.api.names("endpointslices").into_iter().filter(|name| name.starts_with(service) && !known.contains(name)) {
            self.api.put("endpointslices", &old, None);
        }
    }

    /// Sends one request; returns its status and who answered.
    pub fn ask(&self) -> (String, String) {
        let answer = request(self.listen, "GET /", "");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    #[track_caller]
    pub fn until_answers(&self, wanted: &str) {
        eventually(&format!("{wanted} answers"), || (self.ask().1 == wanted).then_some(()));
    }

    fn admin(&self, head: &str) -> (String, String) {
        self.command(head, "")
    }

    pub fn command(&self, head: &str, body: &str) -> (String, String) {
        let answer = request(self.admin, head, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    pub fn phase(&self) -> String {
        let shown: Value = serde_json::from_str(&self.admin("GET /v1/rollouts/carts").1).unwrap();
        shown["rollout"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns what the metrics say of the watches: 1 for each that is not current.
    fn stale(&self) -> Vec<String> {
        let metrics = self.admin("GET /metrics").1;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("portcullis_discovery_stale{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    }

    /// Returns how often the configuration was read again and put in force.
    pub fn reloads(&self) -> u64 {
        let metrics = self.admin("GET /metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_config_reloads_total{class=\"success\"} "));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// Waits until `portcullis status` says so.
    #[track_caller]
    fn until_told(&self, wanted: &str) {
        let told = || finish(&["status", "--admin", &self.admin.to_string()]).stdout;
        eventually(&format!("{wanted:?} instead of {}", told()), || told().contains(wanted).then_some(()));
    }
}

#[test]
fn traffic_follows_the_pods_of_a_service() {
    let (mut site, one, two) = (Site::new(), Upstream::start("one"), Upstream::start("two"));
    site.pods("carts-primary", &[&one]);
    site.write("10s", STABLE);
    site.run();
    assert_eq!(site.ask(), ("200".to_owned(), "one".to_owned()), "who listens knows where to go");
    site.pods("carts-primary", &[&two]);
    site.until_answers("two");
    assert_eq!(site.ask().1, "two", "nothing goes to a pod that is gone");
    site.pods("carts-primary", &[]);
    eventually("nobody is there", || (site.ask().0 == "503").then_some(()));
    site.until_told("v1 has no endpoint");
    site.pods("carts-primary", &[&one]);
    site.until_answers("one");
    eventually("it is current", || (site.stale() == ["0"]).then_some(()));
    assert_eq!(site.proxy.take().unwrap().terminate(), Some(0));
}

#[test]
fn a_rollout_goes_on_and_back_while_the_watch_is_lost() {
    let (mut site, good, bad) = (Site::new(), Upstream::start("good"), Upstream::start("bad"));
    site.pods("carts-primary", &[&good]);
    site.pods("carts-canary", &[&bad]);
    site.write("10s", &format!("{STABLE}\n    {TRIAL}"));
    site.run();
    site.until_answers("bad");
    site.until_answers("good");
    site.api.set(|inside| inside.down = true);
    site.api.fault(Fault::Cut);
    site.until_told("v1: kubernetes:carts-primary:http is not followed any more, its last endpoints stay");
    site.until_told("v2: kubernetes:shop/carts-canary:http is not followed any more, its last endpoints stay");
    assert_eq!(site.stale(), ["1", "1"]);
    site.until_answers("bad");
    site.until_answers("good");
    assert_eq!(site.phase(), "progressing");
    bad.fails.store(true, Ordering::Relaxed);
    eventually("it is rolled back", || {
        let _ = site.ask();
        (site.phase() == "rolled_back").then_some(())
    });
    (0..20).for_each(|_| assert_eq!(site.ask(), ("200".to_owned(), "good".to_owned())));
    let fresh = Upstream::start("fresh");
    site.pods("carts-primary", &[&fresh]);
    site.api.set(|inside| inside.down = false);
    site.until_answers("fresh");
    eventually("nothing is stale", || site.stale().iter().all(|stale| stale == "0").then_some(()));
}

#[test]
fn a_start_without_an_api_server_waits_as_long_as_is_said_and_goes_on() {
    let (mut site, one) = (Site::new(), Upstream::start("one"));
    site.pods("carts-primary", &[&one]);
    site.api.set(|inside| inside.down = true);
    site.write("200ms", STABLE);
    site.run();
    assert_eq!(site.ask().0, "503");
    site.until_told("kubernetes:carts-primary:http has told nothing yet: http://127.0.0.1");
    assert_eq!(site.stale(), ["1"]);
    site.api.set(|inside| inside.down = false);
    site.until_answers("one");
}

#[test]
fn a_configuration_whose_service_cannot_be_followed_changes_nothing() {
    let (mut site, one, two) = (Site::new(), Upstream::start("one"), Upstream::start("two"));
    site.pods("carts-primary", &[&one]);
    site.pods("carts-next", &[&two]);
    site.write("1s", STABLE);
    site.run();
    assert_eq!(site.ask().1, "one");
    site.api.set(|inside| inside.down = true);
    let next = STABLE.replace("carts-primary", "carts-next").replace("v1", "v1b");
    site.write("1s", &next);
    let failed = |site: &Site| {
        site.admin("GET /metrics")
            .1
            .lines()
            .any(|line| line.starts_with("portcullis_config_last_reload_successful") && line.ends_with(" 0"))
    };
    eventually("it is refused", || failed(&site).then_some(()));
    assert_eq!(site.ask().1, "one");
    site.api.set(|inside| inside.down = false);
    // Nobody asks, and the file is the same.
    site.until_answers("two");
}

#[test]
fn an_end_does_not_wait_for_a_configuration_that_waits() {
    let (mut site, one) = (Site::new(), Upstream::start("one"));
    site.pods("carts-primary", &[&one]);
    site.write("5m", STABLE);
    site.run();
    site.api.set(|inside| inside.mute = true);
    site.write("5m", &STABLE.replace("carts-primary", "carts-next").replace("v1", "v1b"));
    eventually("it is asked for", || site.api.inside().asked.iter().any(|asked| asked.contains("carts-next")).then_some(()));
    assert_eq!(site.proxy.take().unwrap().terminate(), Some(0));
}

#[test]
fn a_version_beside_the_split_is_followed_before_its_first_request() {
    let (mut site, one) = (Site::new(), Upstream::start("one"));
    site.pods("carts-primary", &[&one]);
    site.api.set(|inside| inside.mute = true);
    site.write("1s", &format!("{STABLE}\n    others: [{{version: v0, endpoints: [\"kubernetes:shop/carts-old:http\"]}}]"));
    site.run();
    site.until_told("v0: kubernetes:shop/carts-old:http has told nothing yet");
    site.api.set(|inside| inside.mute = false);
    eventually("both are current", || (site.stale() == ["0", "0"]).then_some(()));
    site.until_told("v0 has no endpoint: what is sent to it fails");
}

#[test]
fn what_cannot_be_is_refused_before_anything_listens() {
    let site = Site::new();
    site.write("10s", "stable: {version: v1, endpoints: [\"kubernetes:Shop/carts:http\"]}");
    let ended = finish(&["check", &site.file()]);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(78), "{told}");
    for part in ["\"Shop\" is no namespace", "kubernetes:shop/carts-primary:http", "portcullis.yaml:8:"] {
        assert!(told.contains(part), "{part:?} is missing in:\n{told}");
    }
    site.write("10m", STABLE);
    let ended = finish(&["check", &site.file()]);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("kubernetes.wait"));
}
