//! A hundred operators command one proxy at once over its Unix socket while it is killed again and again: what was accepted stands in the
//! journal once, what was refused does not, and an abort always wins.
#![cfg(test)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of commands that print an answer")]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

use portcullis::domain::rollout::{Entry, Phase};
use portcullis::store::{self, Stored};
use process::Running;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::Value;

/// Operators at a time.
const HISTORIES: usize = 100;
/// Commands of each.
const COMMANDS: usize = 10;
/// Rollouts they share.
const SERVICES: usize = 20;
/// How often the proxy is killed.
const KILLS: usize = 4;
/// Connections at a time, so that each has a place at the listener and is cut off by a kill alone.
const CONNECTIONS: usize = 24;
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It was carried out.
    Accepted,
    /// There was nothing to do.
    Idle,
    /// It was refused with this status.
    Refused(u16),
    /// The proxy was killed before it answered.
    Unknown,
}

/// How many connections are open, and whoever waits until there are fewer.
static OPEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Held for writing while the proxy is being killed: until it is gone its socket takes connections that nobody will ever serve.
static DYING: RwLock<()> = RwLock::new(());

/// A connection's place, which is left when it is dropped.
struct Place;

impl Place {
    fn take() -> Self {
        let mut open = OPEN.1.wait_while(OPEN.0.lock().unwrap(), |open| *open >= CONNECTIONS).unwrap();
        *open += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *OPEN.0.lock().unwrap() -= 1;
        OPEN.1.notify_one();
    }
}

/// Sends one request and reads the whole answer; `None` when it broke off after the request was sent.
fn exchange(socket: &Path, method: &str, path: &str, head: &str, body: &str) -> Option<(u16, String)> {
    let _place = Place::take();
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        let connected = {
            let _alive = DYING.read().unwrap();
            UnixStream::connect(socket)
        };
        match connected {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "nobody listens any more: {error}"),
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length: usize = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    (body.len() == length).then(|| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())))?
}

/// One operator: sends commands of every kind to the rollouts it picks.
fn history(number: usize, socket: &Path, seed: u64, answered: &AtomicUsize) -> Vec<(String, &'static str, Fate)> {
    let (mut random, mut fates) = (SmallRng::seed_from_u64(seed ^ number as u64), Vec::new());
    for turn in 0..COMMANDS {
        let service = random.random_range(0..SERVICES);
        let actor = format!("h{number}-c{turn}");
        let verb = ["pause", "resume", "weight", "promote", "abort", "recede", "retry", "retry"][random.random_range(0..8_usize)];
        let (method, body) = match verb {
            "weight" => {
                ("PUT", format!(r#"{{"weight": "{}", "actor": "{actor}"}}"#, ["10%", "30%", "0%"][random.random_range(0..3_usize)]))
            }
            "recede" => ("POST", format!(r#"{{"actor": "{actor}", "ramp": true}}"#)),
            _ => ("POST", format!(r#"{{"actor": "{actor}"}}"#)),
        };
        let base = format!("/v1/rollouts/s{service}");
        // Half of them look first, as people do; the others take whatever is there.
        let seen = if random.random_range(0..2_u8) == 0 { exchange(socket, "GET", &base, "", "") } else { None };
        let tag = seen.and_then(|(_, body)| {
            let rollout = serde_json::from_str::<Value>(&body).ok()?["rollout"].clone();
            Some(format!("\"{}.{}.{}\"", rollout["id"], rollout["generation"], rollout["phase"].as_str()?))
        });
        let path = format!("{base}/{}", if verb == "recede" { "abort" } else { verb });
        let head =
            if path.ends_with("/abort") { String::new() } else { format!("If-Match: {}\r\n", tag.unwrap_or_else(|| "*".to_owned())) };
        let fate = match exchange(socket, method, &path, &head, &body) {
            None => Fate::Unknown,
            Some((200 | 202, body)) if body.contains("\"changed\":true") => Fate::Accepted,
            Some((200 | 202, _)) => Fate::Idle,
            Some((503, _)) => Fate::Unknown,
            Some((status, body)) => {
                assert!(matches!(status, 409 | 412), "{verb}: {status} {body}");
                Fate::Refused(status)
            }
        };
        answered.fetch_add(1, Ordering::Relaxed);
        fates.push((actor, verb, fate));
    }
    fates
}

fn configuration(folder: &Path) -> (String, PathBuf) {
    let socket = folder.join("admin.sock");
    let mut text = format!("listen: 127.0.0.1:0\nstate: state\nworkers: 1\nadmin: \"unix:{}\"\nservices:\n", socket.display());
    for service in 0..SERVICES {
        write!(
            text,
            "  - name: s{service}\n    hosts: [s{service}.example]\n    stable: {{version: v1, endpoints: [\"127.0.0.1:1\"]}}\n    \
             canary: {{version: v2, endpoints: [\"127.0.0.1:2\"]}}\n    gates: [p95 < 1s]\n    plan: {{start: 10%, hold: 10m}}\n    \
             way_back: {{policy: ramp, within: 1s}}\n"
        )
        .unwrap();
    }
    let file = folder.join("portcullis.yaml");
    fs::write(&file, text).unwrap();
    (file.to_str().unwrap().to_owned(), socket)
}

#[test]
fn what_is_accepted_is_journaled_once_whatever_happens_and_an_abort_always_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = configuration(folder.path());
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    let answered = AtomicUsize::new(0);
    let proxy = Running::start(&["run", &file]);
    proxy.line("admin on ");
    let (proxy, fates) = std::thread::scope(|scope| {
        let mut proxy = proxy;
        let histories: Vec<_> = (0..HISTORIES)
            .map(|number| {
                scope.spawn({
                    let (socket, answered) = (&socket, &answered);
                    move || history(number, socket, seed, answered)
                })
            })
            .collect();
        for kill in 1..=KILLS {
            let deadline = Instant::now() + PATIENCE;
            while answered.load(Ordering::Relaxed) < HISTORIES * COMMANDS * kill / (KILLS + 1) {
                assert!(Instant::now() < deadline, "the histories stand still");
                std::thread::park_timeout(Duration::from_millis(1));
            }
            // As a dropped child is: with SIGKILL, in the midst of whatever it does.
            {
                let _dying = DYING.write().unwrap();
                drop(proxy);
            }
            proxy = Running::start(&["run", &file]);
            proxy.line("admin on ");
        }
        (proxy, histories.into_iter().flat_map(|history| history.join().unwrap()).collect::<Vec<_>>())
    });
    assert_eq!(proxy.terminate(), Some(0));

    let state = folder.path().join("state");
    let chain = store::audit(&state).unwrap();
    assert_eq!(chain.broken, None);
    let journal: Vec<Entry> =
        store::peek::<Entry>(&state).unwrap().entries.into_iter().filter_map(|(_, stored)| Stored::known(stored)).collect();
    assert_eq!(journal.len() as u64, chain.entries);
    let said = |actor: &str| journal.iter().filter(|entry| entry.actor.split(' ').next() == Some(actor)).count();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (actor, verb, fate) in &fates {
        let entries = said(actor);
        let right = match fate {
            Fate::Accepted => entries == 1,
            Fate::Idle | Fate::Refused(_) => entries == 0,
            Fate::Unknown => entries <= 1,
        };
        assert!(right, "{actor} {verb} {fate:?}: {entries} entries");
        assert!(!matches!(*verb, "abort" | "recede") || !matches!(fate, Fate::Refused(_)), "{actor}: an abort was refused: {fate:?}");
        *counts.entry(format!("{verb} {fate:?}")).or_default() += 1;
    }
    let unknown = fates.iter().filter(|(_, _, fate)| *fate == Fate::Unknown).count();
    assert!(unknown <= KILLS * CONNECTIONS, "{unknown} answers were lost, more than kills can have cut off: {counts:#?}");
    // An aborted rollout never moves again: what comes after it is another one.
    let mut aborted = BTreeSet::new();
    for entry in &journal {
        let rollout = (entry.service.to_string(), entry.rollout);
        assert!(!aborted.contains(&rollout), "{rollout:?} went on after its abort: {entry:?}");
        if entry.phase == Phase::Aborted {
            assert_eq!(entry.to.basis_points(), 0, "{entry:?}");
            aborted.insert(rollout);
        }
    }
    // A share that goes back in steps only falls, and leads to an end.
    let mut receding = BTreeMap::new();
    for entry in &journal {
        if let Some(before) = receding.insert((&entry.service, entry.rollout), entry).filter(|before| before.phase == Phase::Receding) {
            let falls = matches!(entry.phase, Phase::Receding | Phase::Aborted | Phase::RolledBack) && entry.to <= before.to;
            assert!(falls, "{entry:?} after {before:?}");
        }
    }
    assert!(journal.iter().any(|entry| entry.phase == Phase::Receding), "no share went back in steps: the histories are too tame");
    println!("{} commands, {KILLS} kills, {} entries: {counts:#?}", fates.len(), journal.len());
    for verb in ["pause", "resume", "weight", "promote", "abort", "recede", "retry"] {
        assert!(counts.contains_key(&format!("{verb} Accepted")), "no {verb} was accepted: the histories are too tame");
    }
}
