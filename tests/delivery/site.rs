//! A pipeline of the built program on a state folder of its own: starts it, asks it, kills it, and looks after its deployments.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis::carts::value_of;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::{Finished, PATIENCE, Running, finish};

pub const PROJECT: &str = "sockshop";
pub const SERVICE: &str = "carts";
pub const STAGES: [&str; 3] = ["dev", "staging", "production"];
pub const IMAGE: &str = "docker.io/keptnexamples/carts";
/// How long the way of an artifact through all stages may take on a busy machine.
pub const LONG: Duration = Duration::from_secs(90);
/// The seed's stages; nothing judges dev beside its test, nor production.
pub const SHIPYARD: &str = "stages:
  - {name: dev, deployment_strategy: direct, test_strategy: functional, gate: none}
  - {name: staging, deployment_strategy: blue_green_service, test_strategy: performance}
  - {name: production, deployment_strategy: blue_green_service, gate: none}
";
/// A short performance test.
const WORKLOADS: &str = "spec_version: '0.1.0'
workloads:
  - {teststrategy: performance, vuser: 5, loopcount: 20, script: jmeter/load.jmx, thinktime: 0, acceptederrorrate: 0.1}
";

/// A folder with the configuration of a pipeline and its state; when dropped, whatever it has deployed is gone too.
pub struct Site {
    folder: tempfile::TempDir,
}

/// A deployment that runs, as its mark in the environment says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deployed {
    pub stage: String,
    pub id: u64,
    pid: i32,
}

/// A pipeline that runs.
pub struct Pipeline {
    running: Running,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
}

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Site {
    /// Makes a site; `more` are further keys of `delivery`, one a line.
    pub fn new(more: &[&str]) -> Self {
        let command = "[\"{portcullis}\", carts, --tag, \"{tag}\", --listen, \"127.0.0.1:{port}\"]";
        Self::with(&format!("process: {{command: {command}, ready: /health, grace: 5s}}"), more)
    }

    /// Makes a site that deploys in its own way; `FOLDER` stands for its folder.
    pub fn with(deployer: &str, more: &[&str]) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.configure(deployer, more);
        site
    }

    /// Makes another site with the same state, as if the machine had been cloned while nothing ran.
    pub fn clone_of(other: &Self, more: &[&str]) -> Self {
        let site = Self::new(more);
        copy(&other.state(), &site.state());
        site
    }

    fn configure(&self, deployer: &str, more: &[&str]) {
        let more: String = more.iter().map(|line| format!("  {line}\n")).collect();
        let state = self.state();
        let deployer = deployer.replace("FOLDER", self.folder.path().to_str().unwrap());
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\nworkers: 2\ntimeouts: {{response: 5s, drain: 5s}}\ndelivery:\n  \
             {deployer}\n  policy: {{burst_tolerance: 0s, watch: 1s}}\n{more}",
            state.display()
        );
        fs::write(self.path("pipeline.yaml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file beside the configuration and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts the program and does not wait until it listens.
    pub fn launch(&self) -> Running {
        Running::start(&["run", self.path("pipeline.yaml").to_str().unwrap()])
    }

    pub fn start(&self) -> Pipeline {
        let running = self.launch();
        let listen = running.address("listening on ");
        let admin = running.address("admin on http://");
        Pipeline { running, listen, admin }
    }

    /// Returns the deployments of this site that run, in the order of the stages' names.
    pub fn deployed(&self) -> Vec<Deployed> {
        let home = self.state().display().to_string();
        let mut found: Vec<Deployed> = marked().into_iter().filter(|(_, of)| *of == home).map(|(deployed, _)| deployed).collect();
        found.sort();
        found
    }

    /// Makes the project with the carts service, its tests and gates, by the commands that anybody would type.
    pub fn furnish(&self, pipeline: &Pipeline, shipyard: &str, compat: &str, gates: &[&str]) {
        let shipyard = self.write("shipyard.yaml", shipyard);
        for name in ["basiccheck.jmx", "load.jmx"] {
            self.write(&format!("carts/jmeter/{name}"), fs::read(format!("tests/data/compat/jmeter/{name}")).unwrap());
        }
        self.write("carts/jmeter/jmeter.conf.yaml", WORKLOADS);
        pipeline.command(&["create", "project", PROJECT, "--shipyard", &shipyard, "--compat", compat]);
        let resources = self.path("carts").to_str().unwrap().to_owned();
        pipeline.command(&["onboard", "service", SERVICE, "--project", PROJECT, "--resources", &resources]);
        for stage in gates {
            let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--stage", stage];
            let file = ["--resource", "tests/data/compat/perfspec_dynatrace.json", "--resourceUri", "perfspec/perfspec.json"];
            pipeline.command(&[&of[..], &file[..]].concat());
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for deployed in self.deployed() {
            // It may have ended meanwhile.
            let _ = Pid::from_raw(deployed.pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

impl Pipeline {
    /// Runs a command against this pipeline, which must do what it is told, and returns what it says.
    pub fn command(&self, args: &[&str]) -> String {
        let ended = self.ask(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Runs a command against this pipeline.
    pub fn ask(&self, args: &[&str]) -> Finished {
        finish(&[args, &["--admin", &format!("http://{}", self.admin)]].concat())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        exchange(self.admin, &self.admin.to_string(), method, path, headers, body).expect("an answer of the admin listener")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Sends an artifact and returns its context.
    pub fn deliver(&self, tag: &str, retry: bool) -> String {
        let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/artifacts");
        let answer = self.post(&path, &json!({"image": IMAGE, "tag": tag, "retry": retry}));
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["keptnContext"].as_str().unwrap().to_owned()
    }

    /// Returns everything that was decided under a context; nothing while it is not known.
    pub fn story(&self, context: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/contexts/{context}"));
        if answer.status == 404 { Vec::new() } else { answer.json()["entries"].as_array().unwrap().clone() }
    }

    /// Returns the carts service of the project as it stands.
    pub fn service(&self) -> Value {
        self.get("/v1/projects").json()["projects"][0]["services"][0].clone()
    }

    /// Returns the version that is live in each stage.
    pub fn live(&self) -> Vec<String> {
        let service = self.service();
        let live = |stage: &Value| stage["live"]["version"].as_str().unwrap_or("none").to_owned();
        service["stages"].as_array().unwrap().iter().map(live).collect()
    }

    /// Waits until nothing of the service is on its way.
    pub fn idle(&self) {
        self.until("the service is idle", || (self.service()["idle"] == true).then_some(()));
    }

    /// Waits until a condition gives a value.
    pub fn until<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        // Looked at often enough, and the machine is left to whoever works.
        self.poll(what, Duration::from_millis(20), condition)
    }

    /// Waits until a condition gives a value, and looks again at once.
    pub fn until_soon<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        self.poll(what, Duration::ZERO, condition)
    }

    fn poll<T>(&self, what: &str, pause: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(Instant::now() < deadline, "{what}: not within {LONG:?}: {:#}", self.service());
            std::thread::sleep(pause);
        }
    }

    /// Sends an artifact, waits until its way is over and returns its context.
    pub fn delivered(&self, tag: &str) -> String {
        let context = self.deliver(tag, false);
        self.idle();
        context
    }

    /// Asks a stage for its info page and returns the version and the delay it shows.
    pub fn page(&self, stage: &str) -> (String, String) {
        page(self.listen, stage)
    }

    /// Returns the number of the process that was started.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Ends the process as a power cut would.
    pub fn kill(self) {
        drop(self.running);
    }

    /// Ends the process in good order.
    pub fn end(self) {
        assert_eq!(self.running.terminate(), Some(0));
    }
}

pub fn host(stage: &str) -> String {
    format!("{SERVICE}.{PROJECT}-{stage}.localhost")
}

/// Asks a stage for its info page and returns the version and the delay it shows.
pub fn page(listen: SocketAddr, stage: &str) -> (String, String) {
    let answer = exchange(listen, &host(stage), "GET", "/", &[], b"").expect("an answer of the stage");
    let value = |label: &str| value_of(&answer.body, label).unwrap_or_else(|| format!("{} {}", answer.status, answer.body));
    (value("Version:"), value("Delay in ms:"))
}

/// Sends one request over a connection of its own; an error where nobody answers any more.
pub fn exchange(
    to: SocketAddr,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, std::io::Error> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}{length}\r\n")?;
    // Whoever refuses a body need not read it; what it answers is there all the same.
    let _ = socket.write_all(body);
    let mut text = Vec::new();
    let read = socket.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let whole = text.split_once("\r\n\r\n").and_then(|(head, body)| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())));
    match (whole, read) {
        (Some((status, body)), _) => Ok(Answer { status, body }),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Finds every process that carries the mark of a deployment, with the state folder of whoever started it.
fn marked() -> Vec<(Deployed, String)> {
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mark = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"PORTCULLIS_DEPLOYMENT="))?;
        let (place, home) = std::str::from_utf8(mark).ok()?.split_once(' ')?;
        let parts: Vec<&str> = place.split('/').collect();
        let [_, stage, _, id, _] = parts[..] else { return None };
        Some((Deployed { stage: stage.to_owned(), id: id.parse().ok()?, pid }, home.to_owned()))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
