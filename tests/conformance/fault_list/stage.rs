//! The stage: one proxy for all faults, a stable version and another service that are well, and what is asked of every fault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::HeaderName;
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::observation::Window;
use portcullis::domain::outcome::Role;
use portcullis::domain::route::Rule;
use portcullis::domain::time::Timestamp;
use portcullis::domain::version::Version;
use portcullis::domain::weight::Weight;
use portcullis::seam::choice::{By, Choice, Sticky};
use portcullis::seam::table::{Canary, Epoch, Route, Table, Watch};
use portcullis::seam::token;
use portcullis::seam::tripwire::{Tables, Trial};

use super::fault::{Asks, EACH, Fault, Got, Want};
use super::steady::{CLIENTS, Sent, Traffic, ask_http1, ask_http2};
use crate::oracle::{get, telling};
use crate::split::{keys, name, version};
use crate::support::client::{Client, End};
use crate::support::multiplexed::{self, request};
use crate::support::proxy::{self, GENERATION, Proxy};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

/// Half of all users are the canary's.
const WEIGHT: u16 = 5_000;
/// How many users of either version are known.
const USERS: usize = 8;

/// What stands above the rows of the table.
pub const HEADING: &str =
    "line  what the version on trial does                 its clients got                                    charged  other traffic";

/// One proxy with two services, one of which has a version on trial.
pub struct Stage {
    /// How many requests of other traffic were sent.
    pub sent: u64,
    /// How many of them did not get their good answer.
    pub harmed: u64,
    proxy: Proxy,
    stable: (Upstream, Arc<Version>),
    other: (Upstream, Route),
    choice: Arc<Choice>,
    number: u64,
}

/// Tells the other traffic that the fault is over, also when its clients panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Returns the first users of a version.
fn users(role: Role) -> Vec<String> {
    let is_of = |user: &String| (token::position(&keys(), &name("carts"), 1, user.as_bytes()) < WEIGHT) == (role == Role::Canary);
    (0..).map(|number| format!("user-{number}")).filter(is_of).take(USERS).collect()
}

/// Lets this user send a request.
fn from(user: &str, request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|bytes| bytes == b"\r\n").unwrap() + 2;
    [&request[..line], format!("X-User: {user}\r\n").as_bytes(), &request[line..]].concat()
}

impl Stage {
    /// Starts it with this as the stable version, which tells what it was asked.
    pub fn new(stable: Upstream) -> Self {
        let proxy = proxy::to([stable.address]).start();
        let other = telling();
        let epoch = Epoch::new(name("orders"), 0, GENERATION, version("w1", other.address), None, Timestamp::NEVER);
        let route = Route::new([Rule::for_host("other.test".parse().unwrap())], Arc::new(epoch));
        let sticky = Sticky { by: By::Header(HeaderName::from_static("x-user")), keys: keys() };
        let choice = Arc::new(Choice { sticky: Some(sticky), ..Choice::default() });
        let known = version("v1", stable.address);
        Self { sent: 0, harmed: 0, proxy, stable: (stable, known), other: (other, route), choice, number: 1 }
    }

    /// Puts the version on trial that commits the fault.
    fn publish(&mut self, fault: &Fault) -> (Arc<Trial>, Arc<Epoch>) {
        let trial = Arc::new(Trial::new(vec![Tables::without_step([0].into())], 1));
        let culprit = Version::at(name("v2"), fault.version.endpoints.iter().copied());
        let canary = Canary {
            version: Arc::new(Version { transport: fault.version.transport.clone(), ..culprit }),
            weight: Weight::from_basis_points(WEIGHT).unwrap(),
            trial: Arc::clone(&trial),
            watches: [Watch::Errors(ErrorKinds::DEFAULT)].into(),
            outcome_deadline: None,
            probe_spacing: None,
        };
        let stable = if fault.asking == Role::Stable { Arc::new(Version::at(name("v1"), [])) } else { Arc::clone(&self.stable.1) };
        self.number += 1;
        let generation = GENERATION + self.number;
        let epoch = Epoch::new(name("carts"), 1, generation, stable, Some(canary), Timestamp::NEVER).with_rules(fault.rules);
        let epoch = Arc::new(epoch);
        let rules = [Rule::for_host("a.test".parse().unwrap())];
        let route = Route { choice: Some(Arc::clone(&self.choice)), ..Route::new(rules, Arc::clone(&epoch)) };
        self.proxy.routes.publish(Table::new(self.number, vec![route, self.other.1.clone()]));
        (trial, epoch)
    }

    /// Lets the version commit its fault amid other traffic; returns a line of the table, or all that is wrong.
    pub fn judge(&mut self, fault: &Fault) -> Result<String, Vec<String>> {
        let before = [Role::Stable, Role::Canary].map(|role| self.proxy.window(role));
        let (trial, epoch) = self.publish(fault);
        let (answers, sent) = self.perform(fault);
        let asked = answers.len() as u64;
        let mut wrong: Vec<String> = answers
            .iter()
            .filter(|(want, got)| !got.is(want))
            .map(|(want, got)| format!("a client got {} {:?} where {want:?} is right", got.name(), got.violations))
            .collect();
        self.sent += sent.requests;
        self.harmed += sent.wrong.len() as u64;
        let (decided, unanswered) = match fault.asking {
            Role::Stable if !fault.rules.failover => (0, asked),
            _ => (asked - fault.vetoed, 0),
        };
        let answered = sent.requests + fault.rescued;
        wrong.extend(sent.wrong);
        let stable = self.settled(Role::Stable, &before[0], answered + unanswered);
        if stable != [answered + unanswered, answered, unanswered, 0] {
            wrong.push(format!("of stable's requests [decided, answered, failed, aborted] are {stable:?}, {answered} answered are right"));
        }
        let canary = self.settled(Role::Canary, &before[1], decided);
        if canary[0] != decided || canary[3] != 0 {
            wrong.push(format!("of its requests [decided, answered, failed, aborted] are {canary:?}, {decided} decided are right"));
        }
        let breaches = trial.counts()[0].cumulative.breaches;
        let charged = fault.charged.unwrap_or_else(|| answers.iter().filter(|(_, got)| got.is_failure()).count() as u64);
        if breaches != charged {
            wrong.push(format!("{breaches} errors are charged to it, {charged} are right"));
        }
        wrong.extend((fault.look)(&fault.version, &self.proxy.routes.endpoints().of(epoch.version(Role::Canary))));
        wrong.extend(self.at_stable(fault.rescued));
        if self.proxy.routes.current().number != self.number {
            wrong.push("another table is in force".to_owned());
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut got = BTreeMap::<String, u64>::new();
        answers.iter().for_each(|(_, got_one)| *got.entry(got_one.name()).or_default() += 1);
        let got = got.iter().map(|(name, count)| format!("{count} × {name}")).collect::<Vec<_>>().join(", ");
        let charged = format!("{breaches} of {decided}");
        Ok(format!("{:<5} {:<46} {got:<46} {charged:>11}  {} good", fault.line, fault.what, sent.requests))
    }

    /// Waits until as many requests of a role have ended since then; returns how many were decided, answered, failed and aborted.
    fn settled(&self, role: Role, before: &Window, count: u64) -> [u64; 4] {
        let since = Instant::now();
        loop {
            let now = self.proxy.window(role);
            if now.ended() - before.ended() >= count || since.elapsed() > PATIENCE {
                let [decided, answered] = [now.decided - before.decided, now.answered - before.answered];
                return [decided, answered, now.failed - before.failed, now.aborted - before.aborted];
            }
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    /// Says what is wrong with what reached the stable version and the other service, and forgets it.
    fn at_stable(&self, rescued: u64) -> Option<String> {
        let requests = [&self.stable.0, &self.other.0].map(Upstream::requests).concat();
        [&self.stable.0, &self.other.0].into_iter().for_each(Upstream::forget);
        let strange = requests.iter().find(|request| !request.violations.is_empty());
        let strangers = requests.iter().filter(|request| request.target() == "/t").count() as u64;
        match strange {
            Some(request) => Some(format!("stable received {request:?}")),
            None => (strangers != rescued).then(|| format!("stable received {strangers} of its requests, {rescued} are right")),
        }
    }

    /// Asks what is to be asked while other traffic goes on; returns what was wanted and got, and what the others sent.
    fn perform(&self, fault: &Fault) -> (Vec<(Want, Got)>, Sent) {
        let users = users(Role::Stable);
        let traffic = Traffic {
            to: self.proxy.address,
            users: &users,
            gone: fault.asking == Role::Stable,
            over: AtomicBool::new(false),
            begun: 0.into(),
        };
        let traffic = &traffic;
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..CLIENTS).map(|index| scope.spawn(move || traffic.run(index))).collect();
            let answers = {
                let _over = Over(&traffic.over);
                eventually("other traffic goes on", || (traffic.begun.load(Ordering::Acquire) == CLIENTS).then_some(()));
                self.ask(fault)
            };
            let mut sent = Sent::default();
            for other in others {
                let one = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                sent.requests += one.requests;
                sent.wrong.extend(one.wrong);
            }
            (answers, sent)
        })
    }

    fn ask(&self, fault: &Fault) -> Vec<(Want, Got)> {
        let users = users(fault.asking);
        match &fault.asks {
            Asks::Each(want) => self.ask_at_once(&users).into_iter().map(|got| (*want, got)).collect(),
            Asks::InTurn(asks) => self.ask_in_turn(&users[0], asks, || {
                fault.between.iter().for_each(|between| fault.version.upstreams.iter().for_each(between));
            }),
        }
    }

    /// Several users ask at the same time, the first over HTTP/2.
    fn ask_at_once(&self, users: &[String]) -> Vec<Got> {
        let to = self.proxy.address;
        let http1 = |user: &str| ask_http1(&mut Client::connect(to), &from(user, &get("Connection: close\r\n")), true).0;
        let http2 = |user: &str| {
            multiplexed::run(async {
                let sender = multiplexed::connect(to).await;
                ask_http2(sender, request("GET", "/t", &[("x-user", user)])).await.0
            })
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..EACH).zip(users).map(|(index, user)| scope.spawn(move || if index == 0 { http2(user) } else { http1(user) })).collect();
            clients.into_iter().map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    /// One user asks one thing after the other, over one connection as long as that lasts.
    fn ask_in_turn(&self, user: &str, asks: &[(Vec<u8>, Want)], between: impl Fn()) -> Vec<(Want, Got)> {
        const ENDS: &[u8] = b"\r\nconnection: close\r";
        let mut kept: Option<Client> = None;
        let mut answers = Vec::new();
        for (bytes, want) in asks {
            if !answers.is_empty() {
                between();
            }
            let mut client = kept.take().unwrap_or_else(|| Client::connect(self.proxy.address));
            let (got, end) = ask_http1(&mut client, &from(user, bytes), false);
            let ends = client.received.to_ascii_lowercase().windows(ENDS.len()).any(|bytes| bytes == ENDS);
            kept = Some(client).filter(|_| end == End::Open && got.whole && !ends);
            answers.push((*want, got));
        }
        answers
    }
}
