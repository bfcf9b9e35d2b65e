//! Deployments as processes of this machine: started from a command, ready when a path answers, started again when they end by
//! themselves, found again after a restart, and stopped gently.
//!
//! Every process carries a mark in its environment that says which deployment it is. A process that this one did not start
//! is recognised by it: after a kill the next process takes its deployments over instead of starting them twice.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep};

use crate::config::delivery::ProcessDeployer;
use crate::delivery::http;
use crate::delivery::logs::{Logs, end_of};
use crate::delivery::spot::Place;
use crate::domain::delivery::Artifact;

/// The variable that marks a process; its value is [`Mark::text`].
const MARK: &str = "PORTCULLIS_DEPLOYMENT";
/// How often a process is asked whether it is ready, and one that is to end whether it has.
const POLL: Duration = Duration::from_millis(50);
/// The longest pause before a process that ended by itself is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many free ports are tried where other programs take them first.
const PORTS: u32 = 5;

/// What a marked process says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    /// The state folder of the process that started it.
    home: String,
    place: Place,
    port: u16,
}

impl Mark {
    fn text(&self) -> String {
        let Place { project, stage, service, id } = &self.place;
        format!("{project}/{stage}/{service}/{id}/{} {}", self.port, self.home)
    }

    fn read(text: &str) -> Option<Self> {
        let (place, home) = text.split_once(' ')?;
        let mut parts = place.split('/').map(str::to_owned);
        let mut next = || parts.next();
        let (project, stage, service) = (next()?, next()?, next()?);
        let (id, port) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Self { home: home.to_owned(), place: Place { project, stage, service, id }, port })
    }
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The process, and with it its group.
    pid: Pid,
    /// When the process began, in the kernel's ticks, so that a number that is used again is not mistaken.
    began: u64,
    /// Absent where another process has started it.
    child: Option<Child>,
    /// What it may follow; waiting for the child would close it.
    _leash: Option<ChildStdin>,
    /// Its port, kept for it also while it is started again.
    pub(super) reserved: Option<Reserved>,
}

/// Starts, watches and stops processes.
pub(super) struct Launcher {
    settings: ProcessDeployer,
    home: String,
    pub(super) logs: Logs,
    program: String,
    /// The ports that processes of ours have, or are about to have.
    ports: Rc<RefCell<HashSet<u16>>>,
}

impl Launcher {
    /// `home` is the state folder; the logs of the processes are kept in it.
    pub(super) fn new(settings: ProcessDeployer, home: &Path, program: &Path) -> Self {
        let (logs, program) = (Logs::new(home.join("logs")), program.display().to_string());
        Self { settings, home: home.display().to_string(), logs, program, ports: Rc::default() }
    }

    /// Starts the artifact and waits until it is ready. Dropping the future stops what was begun.
    ///
    /// # Errors
    ///
    /// Says why it is not ready, with the end of its log.
    pub(super) async fn start(&self, place: &Place, artifact: &Artifact) -> Result<Running, String> {
        let mut tried = 1;
        loop {
            let reserved = self.free_port().await?;
            let port = reserved.port;
            match self.start_at(place, artifact, port).await {
                Ok(mut running) => {
                    running.reserved = Some(reserved);
                    return Ok(running);
                }
                Err(why) if tried < PORTS && is_taken(port).await => {
                    tried += 1;
                    tracing::warn!("another program has taken port {port} before {place} did: {why}");
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Finds a port that is free and no other process of ours has been given. Other programs may still take it first.
    async fn free_port(&self) -> Result<Reserved, String> {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.and_then(|listener| listener.local_addr());
            let port = listener.map_err(|error| format!("no free port: {error}"))?.port();
            if let Some(reserved) = self.reserve(port) {
                return Ok(reserved);
            }
        }
    }

    fn reserve(&self, port: u16) -> Option<Reserved> {
        self.ports.borrow_mut().insert(port).then(|| Reserved { port, ports: Rc::clone(&self.ports) })
    }

    async fn start_at(&self, place: &Place, artifact: &Artifact, port: u16) -> Result<Running, String> {
        let log = self.logs.of(place);
        let mut running = self.spawn(place, artifact, port)?;
        let deadline = Instant::now() + self.settings.within;
        loop {
            let last = match http::status(running.address, &self.settings.ready, POLL * 20).await {
                // Another process may have taken the port and answer in its place; this one has ended then.
                Ok(status) if status < 400 && running.is_alive() => return Ok(running),
                Ok(status) => format!("{} answers with {status}", self.settings.ready),
                Err(why) => why,
            };
            if let Some(Ok(Some(status))) = running.child.as_mut().map(Child::try_wait) {
                return Err(format!("it ended with {status} before it was ready{}", end_of(&log)));
            }
            if Instant::now() >= deadline {
                self.stop(running).await;
                return Err(format!("it was not ready within {:?}: {last}{}", self.settings.within, end_of(&log)));
            }
            sleep(POLL).await;
        }
    }

    fn spawn(&self, place: &Place, artifact: &Artifact, port: u16) -> Result<Running, String> {
        let fill = |word: &String| {
            let tag = artifact.tag().or(artifact.digest()).unwrap_or_default();
            let known = [
                ("{image}", artifact.image()),
                ("{tag}", tag),
                ("{project}", &place.project),
                ("{stage}", &place.stage),
                ("{service}", &place.service),
                ("{portcullis}", &self.program),
            ];
            let filled = known.iter().fold(word.clone(), |word, (name, value)| word.replace(name, value));
            filled.replace("{port}", &port.to_string())
        };
        let words: Vec<String> = self.settings.command.iter().map(fill).collect();
        let (program, arguments) = words.split_first().ok_or("the command of deployments is empty")?;
        let output = self.logs.open(place)?;
        let errors = output.try_clone().map_err(|error| format!("the log of {place}: {error}"))?;
        let mark = Mark { home: self.home.clone(), place: place.clone(), port };
        let mut child = Command::new(program)
            .args(arguments)
            .env(MARK, mark.text())
            .env("PORT", port.to_string())
            .env("CONTAINER_IMAGE", artifact.to_string())
            .env("DEPLOYMENT_NAME", format!("{}-{}", place.service, place.id))
            .env("KEPTN_PROJECT", &place.project)
            .env("KEPTN_STAGE", &place.stage)
            .env("KEPTN_SERVICE", &place.service)
            .stdin(if self.settings.leash { Stdio::piped() } else { Stdio::null() })
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{program:?} cannot be started: {error}"))?;
        let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = number.ok_or("the process has ended at once")?;
        let began = began(pid).unwrap_or_default();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Running { address, pid, began, _leash: child.stdin.take(), child: Some(child), reserved: None })
    }

    /// Waits until the process has ended by itself.
    pub(super) async fn watch(running: &mut Running) -> Option<ExitStatus> {
        if let Some(child) = &mut running.child {
            return child.wait().await.ok();
        }
        while running.is_alive() {
            sleep(POLL * 10).await;
        }
        None
    }

    /// Starts a process that ended by itself again where it was, until it is ready; `tried` counts the starts so far.
    pub(super) async fn again(&self, place: &Place, artifact: &Artifact, port: u16, tried: u32) -> Result<Running, String> {
        sleep((POLL * 4).saturating_mul(1 << tried.min(6)).min(LONGEST_PAUSE)).await;
        self.start_at(place, artifact, port).await
    }

    /// Asks the process to end, and ends it when its grace is over.
    pub(super) async fn stop(&self, mut running: Running) {
        let deadline = Instant::now() + self.settings.grace;
        // It may be gone already.
        let _ = kill_process_group(running.pid, Signal::TERM);
        while running.is_alive() && Instant::now() < deadline {
            sleep(POLL).await;
        }
        let _ = kill_process_group(running.pid, Signal::KILL);
        if let Some(mut child) = running.child.take() {
            let _ = child.wait().await;
        }
    }

    /// Finds the processes that an earlier process with this state folder has started and left behind.
    pub(super) fn left_behind(&self) -> HashMap<Place, Vec<Running>> {
        let mut found: HashMap<Place, Vec<Running>> = HashMap::new();
        let Ok(entries) = fs::read_dir("/proc") else { return found };
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
            // What is not ours cannot be read.
            let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
            let mark = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="));
            let Some(mark) = mark.and_then(|mark| Mark::read(std::str::from_utf8(mark).ok()?)) else { continue };
            // Children of the process have its mark too; the group's leader is the process itself.
            if mark.home == self.home && rustix::process::getpgid(Some(pid)).is_ok_and(|group| group == pid) {
                let address = (Ipv4Addr::LOCALHOST, mark.port).into();
                let (began, reserved) = (began(pid).unwrap_or_default(), self.reserve(mark.port));
                let running = Running { address, pid, began, child: None, _leash: None, reserved };
                found.entry(mark.place).or_default().push(running);
            }
        }
        found
    }

    /// Says whether a process that was left behind can go on.
    pub(super) async fn is_ready(&self, running: &mut Running) -> bool {
        let deadline = Instant::now() + self.settings.within;
        while running.is_alive() && Instant::now() < deadline {
            if http::status(running.address, &self.settings.ready, POLL * 40).await.is_ok_and(|status| status < 400) {
                return true;
            }
            sleep(POLL).await;
        }
        false
    }
}

/// A port that is kept for one process of ours; free for others again when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    port: u16,
    ports: Rc<RefCell<HashSet<u16>>>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.ports.borrow_mut().remove(&self.port);
    }
}

impl Drop for Running {
    /// Ends what was begun and is wanted by nobody any more, such as a start that was given up.
    fn drop(&mut self) {
        if self.child.is_some() && self.is_alive() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Running {
    /// Lets the process run on without us.
    pub(super) fn leave(mut self) {
        self.child = None;
    }

    /// Says whether the process is there, and is the one that was started.
    fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().is_ok_and(|ended| ended.is_none()),
            None => test_kill_process_group(self.pid).is_ok() && began(self.pid) == Some(self.began),
        }
    }
}

/// Says whether somebody listens at a port of loopback.
async fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Returns when a process began, in ticks since the machine did: the 22nd field of `/proc/PID/stat`, counted behind the name, which
/// stands in parentheses and may contain anything.
fn began(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    // A process that has ended and waits to be collected is none.
    let mut fields = rest.split_whitespace();
    (fields.next()? != "Z").then(|| fields.nth(18)?.parse().ok()).flatten()
}
