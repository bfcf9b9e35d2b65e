//! The built program under load while its shares shift, its configuration is read again and new processes take over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long any one thing may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often everything happens.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Changes of the canary's share.
    pub shifts: u32,
    /// Times the configuration is read again; every second time it is bad.
    pub reloads: u32,
    /// Times a new process takes over.
    pub restarts: u32,
    /// Clients that ask all the time, over connections that they keep and over new ones.
    pub clients: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were answered with 200 and their whole body.
    pub answered: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// The first few failures in words.
    pub failures: Vec<String>,
    /// Changes of the canary's share that were accepted.
    pub shifts: u32,
    /// Reloads that succeeded and that were refused, by the program's own metrics.
    pub reloads: (u32, u32),
    /// Processes that took over.
    pub restarts: u32,
}

/// Does all of it, interleaved, against a program at `binary`.
pub fn run(binary: &str, counts: Counts) -> Tally {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stage = Stage::build(binary, folder.path());
    let clients = Clients::start(stage.proxy, counts.clients);
    let mut tally = Tally::default();
    let rounds = counts.shifts.max(counts.reloads).max(counts.restarts);
    let due = |count: u32, round: u32| {
        u64::from(count) * u64::from(round + 1) / u64::from(rounds) > u64::from(count) * u64::from(round) / u64::from(rounds)
    };
    for round in 0..rounds {
        if due(counts.shifts, round) {
            stage.shift();
            tally.shifts += 1;
        }
        if due(counts.reloads, round) {
            let (good, bad) = stage.reload();
            tally.reloads = (tally.reloads.0 + good, tally.reloads.1 + bad);
        }
        if due(counts.restarts, round) {
            stage.restart();
            tally.restarts += 1;
        }
    }
    clients.finish(&mut tally);
    stage.end();
    tally
}

/// Lets a process be succeeded by one that cannot start, and sees that everything works as before.
pub fn survive_a_bad_successor(binary: &str) -> Tally {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stage = Stage::build(binary, folder.path());
    let clients = Clients::start(stage.proxy, 4);
    let mut tally = Tally::default();
    stage.restart_badly();
    // Commands are taken and written again.
    stage.shift();
    stage.shift();
    stage.restart();
    stage.shift();
    clients.finish(&mut tally);
    stage.end();
    tally
}

/// The program, the versions behind it, and whom it tells that it is ready.
struct Stage {
    proxy: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
    notices: UnixDatagram,
    /// What the processes log; nothing but errors.
    log: Receiver<String>,
    first: Child,
    /// Every process that was the main one, the current one last.
    pids: Vec<u32>,
    reloads: u32,
    /// Whether the canary has its share.
    shifted: bool,
}

impl Stage {
    fn build(binary: &str, folder: &Path) -> Self {
        let (stable, canary) = (upstream("v1"), upstream("v2"));
        let (proxy, admin) = (free_port(), free_port());
        let config = folder.join("portcullis.yaml");
        std::fs::write(&config, text(proxy, admin, stable, canary, folder)).expect("a configuration");
        let path = folder.join("notify");
        let notices = UnixDatagram::bind(&path).expect("a socket to be notified at");
        notices.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut command = Command::new(binary);
        command.args(["run"]).arg(&config).env("NOTIFY_SOCKET", &path).env_remove("PORTCULLIS_CONFIG").env("PORTCULLIS_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut first = command.spawn().expect("the program starts");
        let stderr = BufReader::new(first.stderr.take().expect("its errors"));
        // Read to the end, so that no process blocks.
        let (sender, log) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut stage = Self { proxy, admin, config, notices, log, first, pids: Vec::new(), reloads: 0, shifted: false };
        stage.await_ready();
        stage
    }

    /// Waits for a process to say that it is the main one.
    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no process was ready in time");
            let mut buffer = [0; 512];
            let count = self.notices.recv(&mut buffer).expect("a notice in time");
            let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            if text.contains("READY=1") {
                let pid = text.lines().find_map(|line| line.strip_prefix("MAINPID=")).expect("its number");
                self.pids.push(pid.parse().expect("a number"));
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.pids.last().expect("a process").to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success(), "{name} {pid}");
    }

    /// Gives the canary its share or takes it.
    fn shift(&mut self) {
        let (path, body) = if self.shifted {
            ("/v1/rollouts/carts/abort", "{\"reason\": \"to and fro\"}".to_owned())
        } else {
            let canary = std::fs::read_to_string(&self.config).expect("the configuration");
            let endpoint = canary.lines().find_map(|line| line.split("# canary ").nth(1)).expect("its endpoint").to_owned();
            (
                "/v1/rollouts",
                format!("{{\"service\": \"carts\", \"canary\": {{\"name\": \"v2\", \"endpoints\": [\"{endpoint}\"]}}, \"retry\": true}}"),
            )
        };
        let answer = ask(self.admin, "POST", path, &body);
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        self.shifted = !self.shifted;
    }

    /// Has the configuration read again, every second time a bad one; returns how many succeeded and failed.
    fn reload(&mut self) -> (u32, u32) {
        let before = self.figures();
        let good = std::fs::read_to_string(&self.config).expect("the configuration");
        let bad = self.reloads % 2 == 1;
        self.reloads += 1;
        if bad {
            std::fs::write(&self.config, good.replace("services:", "serviecs:")).expect("a bad configuration");
        } else {
            // Something of the data plane changes each time, so that every connection takes it over.
            let (from, to) = if good.contains("body_idle: 20s") { ("20s", "21s") } else { ("21s", "20s") };
            std::fs::write(&self.config, good.replace(&format!("body_idle: {from}"), &format!("body_idle: {to}"))).expect("a good one");
        }
        self.signal("-HUP");
        let deadline = Instant::now() + PATIENCE;
        let after = loop {
            let now = self.figures();
            if now != before {
                break now;
            }
            assert!(Instant::now() < deadline, "the configuration was not read again in time");
            thread::yield_now();
        };
        if bad {
            std::fs::write(&self.config, good).expect("the good one again");
        }
        (u32::from(after.0 > before.0), u32::from(after.1 > before.1))
    }

    fn figures(&self) -> (u64, u64) {
        let metrics = ask(self.admin, "GET", "/metrics", "");
        let of = |result: &str| {
            let name = format!("portcullis_config_reloads_total{{class=\"{result}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse().ok()).expect("the counter")
        };
        (of("success"), of("failure"))
    }

    /// Lets a new process take over.
    fn restart(&mut self) {
        self.signal("-USR2");
        self.await_ready();
        // What was progressing has ended with the process that judged it.
        self.shifted = false;
    }

    /// Asks for a new process that cannot start, and waits until the present one says that it goes on.
    fn restart_badly(&mut self) {
        let good = std::fs::read_to_string(&self.config).expect("the configuration");
        std::fs::write(&self.config, good.replace("services:", "serviecs:")).expect("a bad configuration");
        self.signal("-USR2");
        let deadline = Instant::now() + PATIENCE;
        while !self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("a line").contains("this process goes on") {
        }
        std::fs::write(&self.config, good).expect("the good one again");
    }

    /// Ends the last process and sees that the others have ended too.
    fn end(mut self) {
        self.signal("-TERM");
        let deadline = Instant::now() + PATIENCE;
        let _ = self.first.wait();
        while let Some(pid) = self.pids.iter().find(|pid| is_running(**pid)) {
            assert!(Instant::now() < deadline, "process {pid} has not ended");
            thread::yield_now();
        }
        self.pids.clear();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for pid in &self.pids {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.first.wait();
    }
}

/// Says whether a process is there and no mere remainder.
fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn text(proxy: SocketAddr, admin: SocketAddr, stable: SocketAddr, canary: SocketAddr, folder: &Path) -> String {
    format!(
        "listen: {proxy}\nadmin: {admin}\nstate: {}\nworkers: 2\ntimeouts: {{drain: 5s, body_idle: 20s}}\nservices:\n  - name: carts\n    \
         stable: {{version: v1, endpoints: [\"{stable}\"]}} # canary {canary}\n    gates: [\"p95 < 10s\"]\n    \
         plan: {{steps: [{{weight: 50%, hold: 10m}}, {{weight: 100%, hold: 10m}}]}}\n",
        folder.join("state").display()
    )
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a free port")
}

/// A version that answers every request at once, for as long as the test lives.
fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer_all(socket, name));
        }
    });
    address
}

fn answer_all(mut socket: TcpStream, name: &str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            seen.drain(..end + 4);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Sends one request over a connection of its own and returns the answer.
fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(to).expect("the admin listener");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let length = body.len();
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .expect("a request");
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    answer
}

/// Clients that ask all the time.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Clients {
    fn start(proxy: SocketAddr, count: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..count)
            .map(|index| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                // Every fourth connects anew for each request.
                thread::spawn(move || client(proxy, index % 4 == 3, &stop, &answered))
            })
            .collect();
        Self { stop, answered, threads }
    }

    fn finish(self, tally: &mut Tally) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let (refused, failures) = thread.join().expect("a client");
            tally.refused += refused;
            tally.failed += failures.len() as u64;
            tally.failures.extend(failures);
        }
        tally.failures.truncate(10);
        tally.answered = self.answered.load(Ordering::Relaxed);
    }
}

fn client(proxy: SocketAddr, fresh: bool, stop: &AtomicBool, answered: &AtomicU64) -> (u64, Vec<String>) {
    let (mut refused, mut failures, mut kept) = (0, Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let mut socket = match kept.take() {
            Some(socket) => socket,
            None => match TcpStream::connect(proxy) {
                Ok(socket) => socket,
                Err(_) => {
                    refused += 1;
                    continue;
                }
            },
        };
        match exchange(&mut socket, proxy, fresh) {
            Ok(stays) => {
                answered.fetch_add(1, Ordering::Relaxed);
                kept = (stays && !fresh).then_some(socket);
            }
            Err(why) => failures.push(why),
        }
    }
    (refused, failures)
}

/// Sends a request and reads its answer; says whether the connection stays.
fn exchange(socket: &mut TcpStream, proxy: SocketAddr, fresh: bool) -> Result<bool, String> {
    socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let close = if fresh { "connection: close\r\n" } else { "" };
    let request = format!("GET / HTTP/1.1\r\nhost: {proxy}\r\n{close}\r\n");
    socket.write_all(request.as_bytes()).map_err(|error| format!("sending: {error}"))?;
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut buffer).map_err(|error| format!("receiving: {error}"))?;
        if count == 0 {
            return Err(format!("the connection ended after {:?}", String::from_utf8_lossy(&seen)));
        }
        seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            if !seen.starts_with(b"HTTP/1.1 200 ") {
                return Err(String::from_utf8_lossy(&seen).into_owned());
            }
            if seen.len() >= end + 4 + 2 {
                let head = String::from_utf8_lossy(seen.get(..end).unwrap_or_default()).to_ascii_lowercase();
                return Ok(!head.contains("connection: close"));
            }
        }
    }
}
