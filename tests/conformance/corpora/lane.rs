//! A lane: one proxy with an upstream of its own, through which inputs go one after the other, so that all that reaches the
//! upstream belongs to the input at hand.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::data::Request;
use crate::oracle::telling;
use crate::process::Running;
use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::frames::{self, Event};
use crate::support::message::{Message, read_answers};
use crate::support::upstream::{Seen, Upstream};

/// How many lanes a test has: as many proxies and clients as keep two cores busy.
pub const LANES: usize = 4;

/// How long the proxy waits for the rest of a body; the only inputs that wait so long are those without an end.
pub const BODY_IDLE: &str = "2s";

/// One proxy and its upstream.
pub struct Lane {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What the proxy forwards to.
    pub upstream: Upstream,
    fence: std::cell::RefCell<Client>,
    _proxy: Box<dyn Any>,
}

/// What became of an input.
#[derive(Debug)]
pub struct Happened {
    /// The answers on the input's connection.
    pub answers: Vec<Message>,
    /// Whether the proxy closed that connection.
    pub closed: bool,
    /// What reached the upstream, strictly read; the last of a connection may be incomplete.
    pub seen: Vec<Message>,
    /// What is wrong with the requests after it, on its connection and on another one.
    pub next: Option<String>,
}

impl Happened {
    /// Returns the statuses of final answers.
    pub fn finals(&self) -> Vec<u16> {
        self.answers.iter().filter(|a| a.complete && a.status() >= 200 || a.status() == 101).map(Message::status).collect()
    }

    /// Returns the requests that arrived complete.
    pub fn whole(&self) -> Vec<&Message> {
        self.seen.iter().filter(|m| m.complete).collect()
    }
}

/// Starts the built program in front of this upstream, with one worker; returns where it listens and what keeps it.
pub fn built(upstream: SocketAddr, strict: bool, response: &str, body_idle: &str) -> (SocketAddr, Box<dyn Any>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\nworkers: 1\nstrict_http: {strict}\n\
         timeouts: {{response: {response}, body_idle: {body_idle}, header: 60s, keep_alive: 60s}}\n\
         services:\n  - name: corpora\n    stable: {{version: v1, endpoints: [\"{upstream}\"]}}\n",
        folder.path().join("state").display()
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Running::start(&["run", file.to_str().unwrap()]);
    (proxy.address("listening on "), Box::new((proxy, folder)))
}

impl Lane {
    /// Starts the built program before an upstream that tells what it was asked.
    pub fn start(strict: bool, body_idle: &str) -> Self {
        let upstream = telling();
        let (address, proxy) = built(upstream.address, strict, "20s", body_idle);
        Self::new(address, upstream, proxy)
    }

    /// A lane through a proxy that is kept as long as the lane.
    pub fn new(address: SocketAddr, upstream: Upstream, proxy: Box<dyn Any>) -> Self {
        Self { address, upstream, fence: Client::connect(address).into(), _proxy: proxy }
    }

    /// Returns once the proxy has read all that was sent to it before.
    ///
    /// Its one worker takes sockets in the order in which they became readable, and the fence's became so last. A connection
    /// that was not accepted yet may need a second turn.
    pub fn fence(&self) {
        for _ in 0..2 {
            let answer = self.fence.borrow_mut().ask("GET /fence HTTP/1.1\r\nHost: a.test\r\n\r\n");
            assert_eq!(answer.body, b"GET /fence", "the fence stands");
        }
    }

    /// Sends bytes; much of them only as far as the proxy reads on and has said nothing.
    fn send(&self, client: &mut Client, bytes: &[u8]) {
        const AT_ONCE: usize = 16 * 1024;
        for (index, piece) in bytes.chunks(AT_ONCE).enumerate() {
            if index > 0 {
                self.fence();
                if client.read_to_end(Duration::from_millis(1)) != End::Open || !client.received.is_empty() {
                    return;
                }
            }
            client.send(piece);
        }
    }

    /// Returns what reached the upstream, but for the requests of these tests' own.
    pub fn seen(&self) -> Vec<Message> {
        let own = |m: &Message| ["/fence", "/same-", "/own-"].iter().any(|own| m.target().starts_with(own));
        self.upstream.requests().into_iter().filter(|m| !own(m)).collect()
    }

    /// Sends an input and then requests of our own, on the same connection where it was accepted, and on another.
    pub fn exchange(&self, number: usize, case: &Request) -> Happened {
        self.upstream.forget();
        let mut client = Client::connect(self.address);
        self.send(&mut client, &case.bytes.0);
        let finals = |bytes: &[u8]| -> Vec<u16> {
            read_answers(bytes, &[], false).iter().filter(|a| a.complete && a.status() >= 200).map(Message::status).collect()
        };
        client.read_until(|bytes| !finals(bytes).is_empty());
        let same = format!("/same-{number}");
        if finals(&client.received).first().is_some_and(|status| *status < 300) {
            client.send(format!("GET {same} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        }
        let closed = client.read_to_end(Duration::from_secs(5)) != End::Open;
        // Who begins like HTTP/2 is told goodbye in its frames.
        let goodbye = frames::read(&client.received).iter().any(|event| matches!(event, Event::GoAway(1..)));
        let mut answers = if goodbye { Vec::new() } else { read_answers(&client.received, &[], closed) };
        let carried_on = answers.last().is_some_and(|last| last.body == format!("GET {same}").as_bytes());
        if carried_on {
            answers.pop();
        }
        let target = format!("/own-{number}");
        let own = Client::connect(self.address).ask(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let mut next = (own.body != format!("GET {target}").as_bytes()).then(|| format!("the next request got {own:?}"));
        if closed && !self.unfinished_are_closed() {
            next = Some("an upstream connection stays open in the middle of a request".to_owned());
        }
        Happened { answers, closed: closed && !carried_on, seen: self.seen(), next }
    }

    /// Waits until no upstream connection is open in the middle of a request; says whether that came about.
    fn unfinished_are_closed(&self) -> bool {
        let broken = |seen: &Seen| !seen.closed && seen.requests().last().is_some_and(|r| !r.complete);
        let since = std::time::Instant::now();
        eventually("upstream connections were looked at", || {
            let good = !self.upstream.seen().iter().any(broken);
            (good || since.elapsed() > Duration::from_secs(5)).then_some(good)
        })
    }
}

/// Runs `work` on every number below `count`, several at a time, each in its own lane; returns the results in order.
pub fn in_lanes<L, T: Send>(count: usize, lane: impl Fn() -> L + Sync, work: impl Fn(&L, usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let run = || {
            let (lane, mut done) = (lane(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return done;
                }
                done.push((number, work(&lane, number)));
            }
        };
        let lanes: Vec<_> = (0..LANES.min(count)).map(|_| scope.spawn(run)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
