//! F-31 to F-35 and F-09: endpoints that die, err or are slow; versions that cannot be reached; the race for pooled connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis::domain::outcome::Role;
use portcullis::domain::standing::Standing;
use portcullis::domain::upkeep::Rules;
use portcullis::domain::weight::Weight;
use portcullis::seam::reach::{Again, Reach};

use crate::faults::closed_port;
use crate::oracle::{get, head, post};
use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::{GOOD, Upstream};

/// What all workers know of a version's endpoints.
fn reach(proxy: &Proxy, role: Role) -> Arc<Reach> {
    let epoch = Arc::clone(&proxy.routes.current().routes[0].epoch);
    proxy.routes.endpoints().of(epoch.version(role))
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Ordering::Relaxed)
}

/// An endpoint whose answers are good or not as the test says, and that counts its requests.
struct Endpoint {
    upstream: Upstream,
    sick: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

/// An endpoint that does this when it is sick.
fn endpoint(sick: bool, symptom: impl Fn(&mut crate::support::upstream::Peer) -> bool + Send + Sync + 'static) -> Endpoint {
    let (sick, asked) = (Arc::new(AtomicBool::new(sick)), Arc::new(AtomicU32::new(0)));
    let (is_sick, counter) = (Arc::clone(&sick), Arc::clone(&asked));
    let upstream = Upstream::start(move |peer| {
        while peer.request().is_some() {
            counter.fetch_add(1, Ordering::AcqRel);
            let goes_on = if is_sick.load(Ordering::Acquire) { symptom(peer) } else { peer.send(GOOD) };
            if !goes_on {
                return;
            }
        }
    });
    Endpoint { upstream, sick, asked }
}

fn good() -> Endpoint {
    endpoint(false, |_| false)
}

impl Endpoint {
    fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Acquire)
    }
}

fn addresses(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().map(Endpoint::address).collect()
}

#[test]
fn f32_a_dead_endpoint_of_four_costs_no_request_and_is_left_out() {
    let alive = [good(), good(), good()];
    let proxy = proxy::to([addresses(&alive), vec![closed_port()]].concat()).start();
    let mut client = Client::connect(proxy.address);
    for turn in 0..100 {
        let request = if turn % 2 == 0 { get("") } else { post("Content-Length: 5\r\n", "hello") };
        assert_eq!(client.ask(request).status(), 200, "turn {turn}");
    }
    let reach = reach(&proxy, Role::Stable);
    assert_eq!((count(&reach.deeds.ejections), reach.standing()), (1, Standing::Usable));
    assert_eq!(count(&reach.deeds.retries[Again::Connect as usize]), 5, "five failures, and then it gets nothing");
    assert_eq!(proxy.ended(100).answered, 100, "a request that is tried twice is one request");
    assert!(alive.iter().all(|endpoint| endpoint.asked() >= 10), "all others share the load");
}

#[test]
fn f32_an_endpoint_of_four_that_answers_500_is_left_out() {
    let sick = endpoint(true, |peer| peer.send(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"));
    let alive = [good(), good(), good()];
    let proxy = proxy::to([addresses(&alive), vec![sick.address()]].concat()).start();
    let mut client = Client::connect(proxy.address);
    // How often it is asked depends on how quick the others seem.
    let mut fails = || client.ask(get("")).status() == 500;
    let mut errors = 0;
    for _ in 0..10_000 {
        errors += usize::from(errors < 5 && fails());
    }
    assert!(errors == 5 && (0..100).all(|_| !fails()));
    assert_eq!(sick.asked(), 5);
    assert_eq!(reach(&proxy, Role::Stable).standing(), Standing::Usable);
}

#[test]
fn f32_a_slow_endpoint_of_four_gets_little() {
    let slow = endpoint(true, |peer| {
        peer.socket().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        peer.swallow(1);
        peer.send(GOOD)
    });
    let alive = [good(), good(), good()];
    let proxy = proxy::to([addresses(&alive), vec![slow.address()]].concat()).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..200 {
        assert_eq!(client.ask(get("")).status(), 200);
    }
    assert!((1..=20).contains(&slow.asked()), "{} of 200", slow.asked());
}

#[test]
fn f32_an_endpoint_that_is_left_out_is_probed_by_one_request_and_returns() {
    let sick = endpoint(true, |_| false);
    let other = good();
    let proxy = proxy::to([sick.address(), other.address()]).start();
    let mut client = Client::connect(proxy.address);
    let reach = reach(&proxy, Role::Stable);
    let begun = Instant::now();
    while count(&reach.deeds.ejections) == 0 {
        assert_eq!(client.ask(get("")).status(), 200);
        assert!(begun.elapsed() < PATIENCE, "it was never left out");
    }
    let asked = sick.asked();
    sick.sick.store(false, Ordering::Release);
    let out = Instant::now();
    while sick.asked() == asked {
        assert_eq!(client.ask(get("")).status(), 200);
        assert!(out.elapsed() < PATIENCE, "it was never probed");
    }
    assert!(out.elapsed() > Duration::from_secs(4), "it was probed after {:?}", out.elapsed());
    (0..50).for_each(|_| assert_eq!(client.ask(get("")).status(), 200));
    assert!(sick.asked() > asked + 5, "it shares the load again");
}

#[test]
fn f33_a_canary_without_an_endpoint_gets_nothing_and_stable_answers() {
    let stable = Upstream::good();
    let proxy = proxy::to([stable.address]).canary([], &[], &[]).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..20 {
        assert_eq!(client.ask(get("")).body, b"good");
    }
    let reach = reach(&proxy, Role::Canary);
    assert_eq!((reach.standing(), count(&reach.deeds.vetoes)), (Standing::Absent, 20));
    assert_eq!((proxy.ended(20).answered, proxy.window(Role::Canary).decided), (20, 0));
}

#[test]
fn f32_f33_a_canary_all_of_whose_endpoints_died_is_charged_and_then_gets_nothing() {
    let stable = Upstream::good();
    let proxy = proxy::to([stable.address]).canary([closed_port()], &[], &[]).start();
    let mut client = Client::connect(proxy.address);
    for turn in 0..20 {
        assert_eq!(client.ask(get("")).body, b"good", "turn {turn}: stable answers what the canary fails");
    }
    let reach = reach(&proxy, Role::Canary);
    assert_eq!((reach.standing(), count(&reach.deeds.rescues), count(&reach.deeds.vetoes)), (Standing::Failed, 5, 15));
    let canary = proxy.canary_ended(5);
    assert_eq!((canary.decided, canary.failed), (5, 5), "what it failed stays charged to it");
    assert_eq!(proxy.ended(20).answered, 20, "and each rescue is a request of stable");
}

#[test]
fn f34_a_stable_version_without_an_endpoint_is_a_503_and_never_the_canary_unless_that_is_allowed() {
    let canary = Upstream::good();
    let proxy = proxy::to([]).canary([canary.address], &[], &[]).weight(Weight::ZERO).start();
    let answer = Client::connect(proxy.address).ask(get(""));
    assert_eq!((answer.status(), answer.one("proxy-status")), (503, "gate-1; error=destination_unavailable"));
    assert!(canary.seen().is_empty());
    let allowed = Rules { failover: true, ..Rules::default() };
    let proxy = proxy::to([]).canary([canary.address], &[], &[]).weight(Weight::ZERO).mutual(allowed).start();
    assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
    assert_eq!(proxy.canary_ended(1).answered, 1);
}

#[test]
fn f35_with_both_dead_every_request_is_a_503_and_nothing_loops() {
    let proxy = proxy::to([]).canary([], &[], &[]).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..10 {
        assert_eq!(client.ask(get("")).status(), 503);
    }
    assert_eq!((proxy.ended(10).failed, proxy.window(Role::Canary).decided), (10, 0));
    assert_eq!(proxy.routes.current().number, 1);
}

#[test]
fn f09_retries_stay_on_the_version_and_within_their_budget() {
    let endpoints: Vec<Endpoint> = (0..4).map(|_| endpoint(true, |_| false)).collect();
    let proxy = proxy::to(addresses(&endpoints)).start();
    let begun = Instant::now();
    let mut client = Client::connect(proxy.address);
    for _ in 0..400 {
        assert_eq!(client.ask(get("")).status(), 502);
    }
    let reach = reach(&proxy, Role::Stable);
    let retries = count(&reach.deeds.retries[Again::Reset as usize]);
    let most = 20 + 400 / 5 + 3 * (begun.elapsed().as_secs() + 1);
    assert!((20..=most).contains(&retries), "{retries} retries, at most {most}");
    assert!(count(&reach.deeds.unaffordable) > 0);
    let asked: u64 = endpoints.iter().map(|endpoint| u64::from(endpoint.asked())).sum();
    assert_eq!(asked, 400 + retries, "no try but those");
    assert_eq!(proxy.ended(400).failed, 400, "each request fails once");
}

#[test]
fn f31_the_race_for_pooled_connections_costs_no_get_and_doubles_no_post() {
    const EACH: u64 = 2_000;
    let seen: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let (record, dice) = (Arc::clone(&seen), AtomicU64::new(0x9e37_79b9_7f4a_7c15));
    let upstream = Upstream::start(move |peer| {
        // Each connection answers 1 to 10 requests and closes, before or after it has read the next one.
        let draw = dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let draw = (draw ^ (draw >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
        for _ in 0..=draw % 10 {
            let Some(request) = peer.request() else { return };
            if request.line[0] == "POST" {
                *record.lock().unwrap().entry(request.one("x-id").to_owned()).or_default() += 1;
            }
            if !peer.send(GOOD) {
                return;
            }
        }
        peer.end(draw % 3 == 0);
    });
    let proxy = proxy::to([upstream.address]).start();
    let ask = |worker: u64| {
        let mut client = Client::connect(proxy.address);
        let mut failed = (0, 0);
        for turn in 0..EACH {
            let line = if turn % 2 == 0 { "GET" } else { "POST" };
            let fields = if turn % 2 == 0 { String::new() } else { format!("X-Id: {worker}-{turn}\r\nContent-Length: 2\r\n") };
            let mut request = head(format!("{line} /r HTTP/1.1").as_bytes(), fields.as_bytes());
            if turn % 2 == 1 {
                request.extend_from_slice(b"hi");
            }
            let good = client.ask(request).status() == 200;
            *(if turn % 2 == 0 { &mut failed.0 } else { &mut failed.1 }) += u64::from(!good);
        }
        failed
    };
    let failed: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|worker| scope.spawn(move || ask(worker))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let doubled = seen.lock().unwrap().values().filter(|times| **times > 1).count();
    let gets: u64 = failed.iter().map(|(gets, _)| gets).sum();
    assert_eq!((gets, doubled), (0, 0), "{failed:?}");
    let stale = count(&reach(&proxy, Role::Stable).deeds.retries[Again::Stale as usize]);
    assert!(stale > 0, "the race was never met");
}
