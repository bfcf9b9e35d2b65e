//! Real receivers on this machine that take, fail, hang and redirect; a real journal; and starts after ends at any moment.
#![cfg(test)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::config::NotificationKind;
use crate::control::controller::ServiceStore;
use crate::domain::outcome::Role;
use crate::domain::rollout::{Entry, Phase, ServiceState};
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::notify::{Notifier, Pace, Receiver};
use crate::sources::credential::{Credential, Scheme};
use crate::sources::mailbox::Mailbox;
use crate::store::Store;

const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Pace = Pace { within: Duration::from_millis(300), first: Duration::from_millis(5), longest: Duration::from_millis(50) };

/// What a receiver does with the request of this number, counted from 0: an answer, or silence.
type Script = fn(usize) -> Option<&'static str>;

const GOOD: Option<&str> = Some("200 OK");

/// An HTTP server that follows a script and keeps what it has read.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (kept, number) = (Arc::clone(&requests), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, number) = (stream.unwrap(), Arc::clone(&kept), Arc::clone(&number));
                std::thread::spawn(move || {
                    let Some(text) = whole(&mut stream) else { return };
                    let answer = script(number.fetch_add(1, Ordering::SeqCst));
                    kept.lock().unwrap().push(text);
                    match answer {
                        Some(status) => {
                            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        }
                        // Silence, until the other side has had enough.
                        None => drop(stream.read_to_end(&mut Vec::new())),
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn receiver(&self, name: &str, kind: NotificationKind) -> Receiver {
        let mailbox = Mailbox::new(&format!("http://{}/a/path?with=more", self.address), None).unwrap();
        Receiver { name: name.to_owned(), kind, mailbox }
    }

    /// Returns the bodies of all requests.
    fn bodies(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()).collect()
    }

    fn wait(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while self.bodies().len() < count {
            assert!(Instant::now() < deadline, "{count} messages did not come: {:?}", self.bodies());
            std::thread::yield_now();
        }
        self.bodies()
    }
}

/// Reads one request with a content length.
fn whole(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8(bytes.clone()).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned()));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text);
        }
    }
}

pub(super) struct Journal {
    folder: tempfile::TempDir,
    pub(super) store: Arc<ServiceStore>,
    generation: u64,
}

impl Journal {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("state")).unwrap().store);
        Self { folder, store, generation: 0 }
    }

    pub(super) fn state(&self) -> &Path {
        self.folder.path()
    }

    /// Goes on in another state folder, as after a loss or with a copy from elsewhere.
    fn replaced(&mut self, by: &str) {
        self.store = Arc::new(Store::open(&self.folder.path().join(by)).unwrap().store);
    }

    /// Lets another process have the folder for a while.
    pub(super) fn meanwhile(&self, with: impl FnOnce(&Path)) {
        self.store.release();
        with(&self.folder.path().join("state"));
        self.store.reclaim().unwrap();
    }

    pub(super) fn write(&mut self, phase: Phase, reason: &str) {
        self.generation += 1;
        let version = |name: &str| Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()]);
        let state = ServiceState {
            owner: version("v1"),
            configured: "v1".parse().unwrap(),
            rollout: None,
            rejected: Vec::new(),
            tried: Vec::new(),
            asked: None,
        };
        let entry = Entry {
            service: "carts".parse().unwrap(),
            rollout: 3,
            at: Some(format!("2026-01-01T00:00:{:02}.000Z", self.generation)),
            stable: Some("v1".parse().unwrap()),
            canary: Some("v2".parse().unwrap()),
            actor: "gate".to_owned(),
            phase,
            owner: Role::Stable,
            from: "10%".parse().unwrap(),
            to: Weight::ZERO,
            generation: self.generation,
            reason: reason.to_owned(),
            evidence: None,
            gates: Vec::new(),
        };
        self.store.put(&"carts".parse().unwrap(), &state, &entry).unwrap();
    }

    fn tell(&self, receivers: Vec<Receiver>) -> Notifier {
        let link = "https://portcullis.example.com/".to_owned();
        Notifier::start(Arc::clone(&self.store), self.state(), receivers, link, PACE).unwrap()
    }
}

fn phases(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["data"]["phase"].as_str().unwrap()).collect()
}

#[test]
fn each_kind_is_told_of_a_change_in_its_own_words() {
    let mut journal = Journal::new();
    journal.write(Phase::Progressing, "long ago");
    let [events, slack, alerts] = [(); 3].map(|()| Server::start(|_| GOOD));
    let _notifier = journal.tell(vec![
        events.receiver("events", NotificationKind::CloudEvents),
        slack.receiver("slack", NotificationKind::Slack),
        alerts.receiver("alerts", NotificationKind::Alertmanager),
    ]);
    journal.write(Phase::Braked, "3 of 3 requests exceeded <1 s> & more");
    journal.write(Phase::RolledBack, "confirmed");
    journal.write(Phase::Progressing, "tried again");
    journal.write(Phase::Promoted, "it is good");

    let told = events.wait(4);
    assert_eq!(phases(&told), ["braked", "rolled_back", "progressing", "promoted"], "what was before the start is not told");
    let braked = &told[0];
    for (field, value) in [("specversion", "1.0"), ("type", "portcullis.rollout.braked"), ("source", "/portcullis/services/carts")] {
        assert_eq!(braked[field], value);
    }
    assert_eq!((&braked["time"], &braked["data"]["to"]), (&"2026-01-01T00:00:02.000Z".into(), &"0%".into()));
    assert_eq!(braked["data"]["reason"], "3 of 3 requests exceeded <1 s> & more");
    assert_eq!(braked["data"]["link"], "https://portcullis.example.com/");
    let head = events.requests.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /a/path?with=more HTTP/1.1") && head.contains("application/cloudevents+json"), "{head}");

    let text = slack.wait(4)[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("*carts: v2 is braked, 10% → 0%*\n3 of 3 requests exceeded &lt;1 s&gt; &amp; more (by gate)"), "{text}");
    assert!(text.ends_with("<https://portcullis.example.com/|dashboard>"), "{text}");

    // One alert: it begins with the brake, goes on when that is final, and ends with what comes after.
    let told: Vec<Value> = alerts.wait(3).into_iter().map(|list| list[0].clone()).collect();
    let times: Vec<_> = told.iter().map(|alert| [&alert["startsAt"], &alert["endsAt"]].map(|at| at.as_str().unwrap())).collect();
    let begun = "2026-01-01T00:00:02.000Z";
    assert_eq!(times, [[begun, "2026-01-02T00:00:02Z"], [begun, "2026-01-02T00:00:03Z"], [begun, "2026-01-01T00:00:04.000Z"]]);
    assert!(told.iter().all(|alert| alert["labels"] == told[0]["labels"]), "{told:?}");
    assert_eq!(told[0]["labels"]["alertname"], "PortcullisCanaryFailing");
    slack.wait(4);
    assert_eq!(alerts.bodies().len(), 3, "a promotion without trouble before it is no alert");
}

#[test]
fn a_receiver_that_fails_and_hangs_is_told_everything_in_order_and_delays_nobody() {
    let mut journal = Journal::new();
    let troubled = Server::start(|number| match number {
        0 => Some("503 Service Unavailable"),
        1 => None,
        2 => Some("429 Too Many Requests"),
        _ => GOOD,
    });
    let (refusing, moved) = (Server::start(|_| Some("404 Not Found")), Server::start(|_| Some("302 Found")));
    let (hanging, good) = (Server::start(|_| None), Server::start(|_| GOOD));
    let named = [("troubled", &troubled), ("refusing", &refusing), ("moved", &moved), ("hanging", &hanging), ("good", &good)];
    let notifier = journal.tell(named.iter().map(|(name, server)| server.receiver(name, NotificationKind::CloudEvents)).collect());
    for phase in [Phase::Progressing, Phase::AwaitingApproval, Phase::Aborted] {
        journal.write(phase, "so it is");
    }
    let all = ["progressing", "awaiting_approval", "aborted"];
    assert_eq!(phases(&good.wait(3)), all);
    let told = troubled.wait(6);
    assert_eq!(phases(&told), [&[all[0]; 3][..], &all[..]].concat(), "the first again and again until it was taken");
    assert!(told[..4].iter().all(|event| event["id"] == told[0]["id"]), "the same change has the same id");
    // What is refused for good stands in nobody's way, and nobody is followed elsewhere.
    assert_eq!((phases(&refusing.wait(3)), phases(&moved.wait(3))), (all.to_vec(), all.to_vec()));
    assert!(phases(&hanging.wait(2)).iter().all(|phase| *phase == all[0]));
    let ending = Instant::now();
    drop(notifier);
    assert!(ending.elapsed() < PATIENCE / 3, "it ends although somebody hangs");
}

#[test]
fn what_was_not_told_before_the_end_is_told_after_the_next_start_and_nothing_twice() {
    let mut journal = Journal::new();
    let (down, good) = (Server::start(|_| Some("503 Service Unavailable")), Server::start(|_| GOOD));
    let events = |name: &str, server: &Server| server.receiver(name, NotificationKind::CloudEvents);
    let notifier = journal.tell(vec![events("a", &down), events("b", &good)]);
    journal.write(Phase::Progressing, "begun");
    good.wait(1);
    down.wait(2);
    drop(notifier);
    // It came about while nobody told anything.
    journal.write(Phase::Braked, "too slow");
    let up = Server::start(|_| GOOD);
    let notifier = journal.tell(vec![events("a", &up), events("b", &good)]);
    journal.write(Phase::RolledBack, "confirmed");
    assert_eq!(phases(&up.wait(3)), ["progressing", "braked", "rolled_back"]);
    assert_eq!(phases(&good.wait(3)), ["progressing", "braked", "rolled_back"]);
    drop(notifier);
    // A kill before it was noted what was told.
    std::fs::write(journal.state().join("notifications/told"), "0").unwrap();
    let _notifier = journal.tell(vec![events("a", &up), events("b", &good)]);
    journal.write(Phase::Progressing, "again");
    assert_eq!((phases(&up.wait(4)).len(), phases(&good.wait(4)).len()), (4, 4));
    assert_eq!(phases(&good.bodies())[3], "progressing");
}

#[test]
fn what_is_in_hand_at_the_end_is_not_told_again() {
    let mut journal = Journal::new();
    // It has taken what it was told, and says so when the notifier is about to end.
    static ASKED: Barrier = Barrier::new(2);
    static ENDS: Barrier = Barrier::new(2);
    let server = Server::start(|number| {
        if number == 0 {
            ASKED.wait();
            ENDS.wait();
        }
        GOOD
    });
    let events = || vec![server.receiver("events", NotificationKind::CloudEvents)];
    let patient = Pace { within: PATIENCE, ..PACE };
    let notifier = Notifier::start(Arc::clone(&journal.store), journal.state(), events(), String::new(), patient).unwrap();
    journal.write(Phase::Progressing, "begun");
    ASKED.wait();
    let ending = std::thread::spawn(move || drop(notifier));
    ENDS.wait();
    ending.join().unwrap();
    let _notifier = journal.tell(events());
    journal.write(Phase::Braked, "too slow");
    assert_eq!(phases(&server.wait(2)), ["progressing", "braked"]);
}

#[test]
fn a_token_goes_along_and_is_never_shown() {
    let mut journal = Journal::new();
    let server = Server::start(|_| GOOD);
    let mut receiver = server.receiver("events", NotificationKind::CloudEvents);
    receiver.mailbox = receiver.mailbox.with_credential(Credential::new("file", b"s3cr3t", Scheme::Bearer).unwrap());
    let shown = format!("{receiver:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("path"), "{shown}");
    let _notifier = journal.tell(vec![receiver]);
    journal.write(Phase::Progressing, "begun");
    server.wait(1);
    assert!(server.requests.lock().unwrap()[0].to_lowercase().contains("authorization: bearer s3cr3t"));
}

#[test]
fn another_journal_in_the_place_of_the_one_that_was_told_is_told_from_then_on() {
    let mut journal = Journal::new();
    let good = Server::start(|_| GOOD);
    let events = || vec![good.receiver("events", NotificationKind::CloudEvents)];
    let told = |count: usize| phases(&good.wait(count)).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let notifier = journal.tell(events());
    for phase in [Phase::Progressing, Phase::Braked, Phase::RolledBack] {
        journal.write(phase, "before");
    }
    assert_eq!(told(3), ["progressing", "braked", "rolled_back"]);
    drop(notifier);
    // Its numbers begin at 1 again.
    journal.replaced("begun anew");
    let notifier = journal.tell(events());
    journal.write(Phase::Aborted, "after the loss");
    assert_eq!(told(4)[3], "aborted");
    drop(notifier);
    // Its numbers are beyond those that were told, and mean something else.
    journal.replaced("from elsewhere");
    for _ in 0..5 {
        journal.write(Phase::Progressing, "elsewhere");
    }
    let _notifier = journal.tell(events());
    journal.write(Phase::Promoted, "here");
    assert_eq!(told(5)[4], "promoted", "what was decided elsewhere is not told here");
}
