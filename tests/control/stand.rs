//! A proxy of the service `carts` with two versions behind it, under a configuration of the test.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Finished, Running, eventually, finish, request};

/// The proxy and its versions; everything ends when it is dropped.
pub struct Stand {
    _folder: TempDir,
    _versions: [Running; 2],
    file: String,
    proxy: Option<Running>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Stand {
    /// Starts good versions 0.8.1 and 0.8.3, and the proxy with `canary` and what else is written for the service.
    pub fn start(service: &str) -> Self {
        Self::with("", service)
    }

    /// Does the same with what else is written for the process.
    pub fn with(process: &str, service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let versions = ["0.8.1", "0.8.3"].map(|tag| Running::start(&["carts", "--tag", tag, "--listen", "127.0.0.1:0"]));
        let [stable, canary] = [&versions[0], &versions[1]].map(|version| version.address("listening on "));
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: {}\n{process}services:\n  - name: carts\n    \
             stable: {{version: 0.8.1, endpoints: [\"{stable}\"]}}\n    canary: {{version: 0.8.3, endpoints: [\"{canary}\"]}}\n    \
             gates: [\"p95 < 5s\"]\n    burst_tolerance: 0s\n    watch: 0s\n{service}",
            folder.path().join("state").display()
        );
        let file = folder.path().join("portcullis.yaml");
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let nowhere = ([127, 0, 0, 1], 9).into();
        let mut stand = Self { _folder: folder, _versions: versions, file, proxy: None, listen: nowhere, admin: nowhere };
        stand.run();
        stand
    }

    fn run(&mut self) {
        let proxy = Running::start(&["run", &self.file]);
        self.listen = proxy.address("listening on ");
        self.admin = proxy.address("admin on http://");
        self.proxy = Some(proxy);
    }

    /// Stops the proxy and starts it again from what it has written.
    pub fn restart(&mut self) {
        self.proxy.take().unwrap().terminate();
        self.run();
    }

    /// Sends one request through the proxy and returns the version that answered.
    pub fn ask(&self) -> String {
        let answer = request(self.listen, "GET /version", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Asks the admin listener and returns the status and the body.
    pub fn call(&self, head: &str, body: &str) -> (u16, Value) {
        let answer = request(self.admin, head, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Returns the service as the API shows it.
    pub fn rollout(&self) -> Value {
        self.call("GET /v1/rollouts/carts", "").1["rollout"].clone()
    }

    /// Sends requests until the rollout is in this phase.
    pub fn until(&self, phase: &str) -> Value {
        eventually(phase, || {
            (0..20).for_each(|_| drop(self.ask()));
            Some(self.rollout()).filter(|rollout| rollout["phase"] == phase)
        })
    }

    /// Runs a command of the program against the proxy, without a terminal.
    pub fn told(&self, arguments: &[&str]) -> Finished {
        let admin = format!("http://{}", self.admin);
        finish(&[arguments, &["--admin", &admin]].concat())
    }
}
