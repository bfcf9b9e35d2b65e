//! Everything goes back to a version that can take only so much: the real program, and versions that hold what they get until told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::process::{Running, eventually, finish, request};

/// How many requests the stable version may hold.
const MOST: usize = 2;

/// A version that answers with its name: at once, but `/hold` only when it lets go.
#[derive(Default)]
struct Holding {
    held: AtomicUsize,
    /// Whether it lets go; the condition tells those who wait.
    lets_go: Mutex<bool>,
    told: Condvar,
}

impl Holding {
    fn start(name: &'static str) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let version = Arc::new(Self::default());
        let own = Arc::clone(&version);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let own = Arc::clone(&own);
                std::thread::spawn(move || own.converse(socket, name));
            }
        });
        (version, address)
    }

    fn converse(&self, mut socket: TcpStream, name: &str) {
        let (mut buffer, mut seen) = ([0; 4096], Vec::new());
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..count]);
            while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = seen.drain(..end + 4).collect();
                if head.starts_with(b"GET /hold") {
                    self.hold();
                }
                if write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()).is_err() {
                    return;
                }
            }
        }
    }

    fn hold(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
        let mut lets_go = self.lets_go.lock().unwrap_or_else(PoisonError::into_inner);
        while !*lets_go {
            lets_go = self.told.wait(lets_go).unwrap_or_else(PoisonError::into_inner);
        }
        drop(lets_go);
        self.held.fetch_sub(1, Ordering::SeqCst);
    }

    fn set(&self, lets_go: bool) {
        *self.lets_go.lock().unwrap_or_else(PoisonError::into_inner) = lets_go;
        self.told.notify_all();
    }

    fn holds(&self, count: usize) {
        eventually("the version holds them", || (self.held.load(Ordering::SeqCst) == count).then_some(()));
    }
}

/// The proxy with two workers before such versions; it ends when this is dropped.
struct Front {
    folder: tempfile::TempDir,
    stable: Arc<Holding>,
    proxy: Option<Running>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Front {
    fn start() -> Self {
        Self::with(&format!("{{policy: shed, max_in_flight: {MOST}, lasts: 10m}}"))
    }

    /// Starts it with this way back.
    fn with(way_back: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ((stable, v1), (_, v2)) = (Holding::start("v1"), Holding::start("v2"));
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\nstate: {}\naccess_log: {}\nservices:\n  - name: carts\n    \
             stable: {{version: v1, endpoints: [\"{v1}\"]}}\n    canary: {{version: v2, endpoints: [\"{v2}\"]}}\n    \
             gates: [\"p95 < 5s\"]\n    burst_tolerance: 0s\n    \
             plan: {{steps: [{{weight: 50%, hold: 1h}}, {{weight: 100%, hold: 1h}}]}}\n    \
             way_back: {way_back}\n",
            at("state"),
            at("access.log")
        );
        std::fs::write(at("portcullis.yaml"), text).unwrap();
        let nowhere = ([127, 0, 0, 1], 9).into();
        let mut front = Self { folder, stable, proxy: None, listen: nowhere, admin: nowhere };
        front.run();
        front
    }

    fn run(&mut self) {
        let proxy = Running::start(&["run", self.folder.path().join("portcullis.yaml").to_str().unwrap()]);
        (self.listen, self.admin) = (proxy.address("listening on "), proxy.address("admin on http://"));
        self.proxy = Some(proxy);
    }

    /// Begins a request that its version holds.
    fn hold(&self) -> JoinHandle<String> {
        let to = self.listen;
        std::thread::spawn(move || request(to, "GET /hold", ""))
    }

    /// Begins as many as stable may hold, and returns once it holds them.
    fn fill(&self) -> Vec<JoinHandle<String>> {
        let one_more = |count| {
            let request = self.hold();
            self.stable.holds(count);
            request
        };
        (1..=MOST).map(one_more).collect()
    }

    fn status(&self) -> Value {
        let answer = request(self.admin, "GET /v1/rollouts/carts", "");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = request(self.admin, "GET /metrics", "");
        text.lines().find(|line| line.starts_with(name)).and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    /// Lets the stable version answer, and returns what the requests that it held got.
    fn let_go(&self, held: Vec<JoinHandle<String>>) -> Vec<String> {
        self.stable.set(true);
        held.into_iter().map(|request| request.join().unwrap()).collect()
    }
}

#[test]
fn what_stable_cannot_take_is_refused_at_once_and_a_kill_ends_with_everything_on_stable() {
    let mut front = Front::start();
    let ask = |front: &Front| request(front.listen, "GET /", "");
    eventually("both answer", || {
        let answers: Vec<String> = (0..20).map(|_| ask(&front)).collect();
        ["v1", "v2"].iter().all(|name| answers.iter().any(|answer| answer.ends_with(name))).then_some(())
    });
    let before = front.status();
    assert!(before["way_back"]["sentence"].as_str().is_some_and(|told| told.starts_with("v1 ")), "{before}");
    let aborted = request(front.admin, "POST /v1/rollouts/carts/abort", r#"{"actor": "ann", "reason": "enough"}"#);
    assert!(aborted.starts_with("HTTP/1.1 200"), "{aborted}");
    let bounded = front.status();
    assert_eq!((&bounded["rollout"]["phase"], &bounded["way_back"]["most_in_flight"]), (&"aborted".into(), &MOST.into()), "{bounded}");

    let held = front.fill();
    for path in ["GET /", "GET /hold", "POST /"] {
        let answer = request(front.listen, path, "");
        let head = answer.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{path}: {answer}");
        assert!(head.contains("error=connection_limit_reached"), "{answer}");
    }
    front.stable.holds(MOST);
    // What is shown is as old as the controller's last tick.
    eventually("the status has them", || {
        let status = front.status();
        (status["way_back"]["shed"] == 3 && status["endpoints"][0]["shed"] == 3).then_some(())
    });
    let told = finish(&["status", "carts", "--admin", &format!("http://{}", front.admin)]).stdout;
    assert!(told.contains("it holds 2 requests at most, and 3 were refused"), "{told}");
    assert_eq!(front.metric("portcullis_way_back_shed_requests_total{"), Some(3.0));
    assert_eq!(front.metric("portcullis_way_back_in_flight_limit{"), Some(2.0));

    let answers = front.let_go(held);
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("v1")), "{answers:?}");
    eventually("it takes requests again", || ask(&front).starts_with("HTTP/1.1 200").then_some(()));
    let log = || std::fs::read_to_string(front.folder.path().join("access.log")).unwrap();
    eventually("the log has them", || (log().lines().filter(|line| line.contains("\"shed\"")).count() >= 3).then_some(()));

    // Killed in the middle of the way back, and started again: everything is on stable, and nothing is known to bound it by.
    front.stable.set(false);
    drop(front.proxy.take());
    front.run();
    let after = front.status();
    assert_eq!((&after["owner"]["name"], &after["rollout"]["weight"]), (&"v1".into(), &0.into()), "{after}");
    assert!(after["way_back"].is_null(), "{after}");
    let held: Vec<_> = (0..3 * MOST).map(|_| front.hold()).collect();
    front.stable.holds(3 * MOST);
    let answers = front.let_go(held);
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("v1")), "{answers:?}");
}

/// Waits until both versions answer.
fn both_answer(front: &Front) {
    eventually("both answer", || {
        let answers: Vec<String> = (0..20).map(|_| request(front.listen, "GET /", "")).collect();
        ["v1", "v2"].iter().all(|name| answers.iter().any(|answer| answer.ends_with(name))).then_some(())
    });
}

/// A process that succeeded ours; it is killed when this is dropped.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

/// Returns the number of a process that this one has started.
fn child_of(parent: u32) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in brackets come the state and the parent.
        let started_by = stat.rsplit(") ").next()?.split(' ').nth(1)?;
        (started_by == parent.to_string()).then_some(id)
    })
}

#[test]
fn a_successor_goes_on_with_the_bound_on_stable() {
    let mut front = Front::start();
    both_answer(&front);
    // The hand-over itself ends the rollout and brings everything back: the successor is not told by what it finds on the disk.
    let proxy = front.proxy.take().unwrap();
    let kill = std::process::Command::new("kill").args(["-USR2", &proxy.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let _successor = eventually("a successor", || child_of(proxy.id()).map(Successor));
    let before = (front.listen, front.admin);
    (front.listen, front.admin) = (proxy.address("listening on "), proxy.address("admin on http://"));
    assert_eq!((front.listen, front.admin), before, "the successor has its sockets");
    front.proxy = Some(proxy);
    // Until then it may be the process before that answers.
    let id = front.proxy.as_ref().unwrap().id();
    eventually("the process before has ended", || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z')).then_some(())
    });
    // What is shown is as old as the controller's last tick.
    let status = eventually("the successor shows the bound", || Some(front.status()).filter(|status| !status["way_back"].is_null()));
    assert_eq!(status["rollout"]["phase"], "aborted", "{status}");
    assert_eq!(status["way_back"]["most_in_flight"], MOST, "{status}");
    let held = front.fill();
    let answer = request(front.listen, "GET /", "");
    assert!(answer.starts_with("HTTP/1.1 503"), "everything is let onto stable: {answer}");
    let answers = front.let_go(held);
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("v1")), "{answers:?}");
}

#[test]
fn a_share_goes_back_in_steps_nothing_makes_that_last_longer_and_a_kill_gives_nothing() {
    let mut front = Front::with("{policy: ramp, within: 60s}");
    both_answer(&front);
    let admin = format!("http://{}", front.admin);
    let aborted = finish(&["abort", "carts", "--ramp", "--reason", "enough", "--actor", "ann", "--admin", &admin]);
    assert_eq!(aborted.code, Some(0), "{}", aborted.stderr);
    let status = front.status();
    assert_eq!(status["rollout"]["phase"], "receding", "{status}");
    let share = status["rollout"]["weight"].as_u64().unwrap();
    assert!(share > 0 && share <= 5_000, "{status}");
    assert!(status["rollout"]["held_seconds"].as_f64().is_some_and(|left| left > 0.0 && left <= 60.0), "{status}");
    for verb in ["pause", "resume", "promote", "approve", "deny"] {
        let answer = request(front.admin, &format!("POST /v1/rollouts/carts/{verb}"), r#"{"actor": "bob"}"#);
        assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("abort it"), "{verb}: {answer}");
    }
    let again = request(front.admin, "POST /v1/rollouts/carts/abort", r#"{"actor": "bob", "ramp": true}"#);
    assert!(again.starts_with("HTTP/1.1 200") && again.contains("\"changed\":false"), "{again}");
    let told = finish(&["status", "carts", "--admin", &admin]).stdout;
    assert!(told.contains("receding with ") && told.contains("aborted by ann: enough"), "{told}");
    let metrics = request(front.admin, "GET /metrics", "");
    let is_shown = |line: &str| line.starts_with("portcullis_rollout_phase{") && line.contains("\"receding\"") && line.ends_with(" 1");
    assert!(metrics.lines().any(is_shown), "{metrics}");

    // Killed meanwhile and started again: the canary has nothing, and nothing begins again.
    drop(front.proxy.take());
    front.run();
    let after = front.status();
    assert_eq!((&after["rollout"]["phase"], &after["rollout"]["weight"]), (&"aborted".into(), &0.into()), "{after}");
    let reason = after["rollout"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("aborted by ann: enough") && reason.ends_with("a restart ended that at once"), "{reason}");
    let answers: Vec<String> = (0..20).map(|_| request(front.listen, "GET /", "")).collect();
    assert!(answers.iter().all(|answer| answer.ends_with("v1")), "{answers:?}");
}
