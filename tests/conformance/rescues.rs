//! Rescue on stable: what a canary fails, holds when it trips, or has no room for, and what is never sent twice.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::{Failure, Role};
use portcullis::domain::upkeep::{Limits, Rules};
use portcullis::seam::table::Watch;

use crate::faults::closed_port;
use crate::oracle::{get, head, post};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::{Seen, Upstream};

/// A version that reads requests and never answers.
fn hung() -> Upstream {
    Upstream::start(|peer| peer.until_closed())
}

fn received(seen: &[Seen]) -> usize {
    seen.iter().map(|connection| connection.requests().iter().filter(|request| request.complete).count()).sum()
}

/// Returns stable's share of the access log, once there are as many lines.
fn lines(proxy: &Proxy, count: usize) -> Vec<(Option<Role>, Option<Failure>, u16)> {
    (0..count).map(|_| proxy.line()).map(|line| (line.role, line.rescued, line.status)).collect()
}

#[test]
fn what_a_canary_fails_is_answered_by_stable_and_charged_to_the_canary() {
    let stable = Upstream::good();
    let dies = Upstream::start(|peer| {
        peer.request();
    });
    for (canary, failure) in [(closed_port(), Failure::ConnectionRefused), (dies.address, Failure::ConnectionTerminated)] {
        let proxy = proxy::to([stable.address]).canary([canary], &[Watch::Errors(ErrorKinds::DEFAULT)], &[0]).start();
        assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
        let canary = proxy.canary_ended(1);
        assert_eq!((canary.decided, canary.failed, proxy.breaches()), (1, 1, vec![1]), "{failure:?}");
        assert_eq!((proxy.ended(1).decided, proxy.ended(1).answered), (1, 1), "a second decision, with a sample of its own");
        assert_eq!(lines(&proxy, 1), [(Some(Role::Stable), Some(failure), 200)]);
    }
}

#[test]
fn what_may_not_be_repeated_or_not_be_rescued_stays_with_the_canary() {
    let stable = Upstream::good();
    let dies = Upstream::start(|peer| {
        peer.request();
    });
    let proxy = proxy::to([stable.address]).canary([dies.address], &[], &[]).start();
    for request in [
        post("Content-Length: 5\r\n", "hello"),
        post("Content-Length: 0\r\n", ""),
        [&head(b"PUT /t HTTP/1.1", b"Content-Length: 5\r\n")[..], b"hello"].concat(),
    ] {
        assert_eq!(Client::connect(proxy.address).ask(&request).status(), 502, "{}", String::from_utf8_lossy(&request));
    }
    let begun = Upstream::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le");
    });
    let proxy = proxy::to([stable.address]).canary([begun.address], &[], &[]).start();
    assert_eq!(Client::connect(proxy.address).ask(get("")).status(), 502, "its answer had begun");
    let alone = Rules { rescue: false, ..Rules::default() };
    let proxy = proxy::to([stable.address]).canary([closed_port()], &[], &[]).mutual(alone).start();
    assert_eq!(Client::connect(proxy.address).ask(get("")).status(), 502, "it is switched off");
    assert!(stable.seen().is_empty());
    let proxy = proxy::to([stable.address]).canary([closed_port()], &[], &[]).start();
    assert_eq!(Client::connect(proxy.address).ask(post("Content-Length: 5\r\n", "hello")).body, b"good", "nothing was written");
}

#[test]
fn a_trip_gives_waiting_requests_to_stable_and_what_was_written_of_a_body_waits_on() {
    let (stable, canary) = (Upstream::good(), hung());
    let limit = Duration::from_millis(700);
    let proxy = proxy::to([stable.address]).canary([canary.address], &[Watch::Latency(limit)], &[1]).outcome_deadline(limit * 20).start();
    let begun = Instant::now();
    let mut unsafe_one = Client::connect(proxy.address);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(proxy.address)).collect();
    clients[0].send(get(""));
    canary.wait("the first request is there", |seen| received(seen) == 1);
    for client in &mut clients[1..] {
        client.send(get(""));
    }
    unsafe_one.send(post("Content-Length: 5\r\n", "hello"));
    canary.wait("all requests are there", |seen| received(seen) == 5);
    assert!(begun.elapsed() < limit, "too slow a machine to say anything");
    for client in &mut clients {
        assert_eq!(client.ask("").body, b"good");
    }
    let waited = begun.elapsed();
    assert!(waited >= limit && waited < Duration::from_millis(1_900), "{waited:?}, far less than the 2 s of a request");
    assert!(proxy.trial.as_ref().unwrap().is_tripped());
    assert_eq!(unsafe_one.ask("").status(), 504);
    let (of_canary, of_stable) = (proxy.canary_ended(5), proxy.ended(4));
    assert_eq!((of_canary.decided, of_canary.aborted, of_canary.failed), (5, 4, 1));
    assert_eq!((of_stable.decided, of_stable.answered), (4, 4));
    assert!(of_stable.response_time.max() < 500_000, "stable's own time, {} us", of_stable.response_time.max());
    assert!(stable.requests().iter().all(|request| request.line[0] == "GET"));
    let mut lines = lines(&proxy, 5);
    lines.sort_by_key(|(_, _, status)| *status);
    assert_eq!(lines[0], (Some(Role::Stable), Some(Failure::TakenBack), 200));
    assert_eq!(lines[4], (Some(Role::Canary), None, 504));
}

#[test]
fn a_hung_canary_holds_no_more_than_it_may_and_stable_is_unharmed() {
    let (stable, canary) = (Upstream::good(), hung());
    let most = Limits { requests: Some(3), pending: None };
    let alone = Rules { rescue: false, ..Rules::default() };
    for (rules, status) in [(Rules::default(), 200), (alone, 503)] {
        canary.forget();
        let proxy = proxy::to([stable.address]).canary([canary.address], &[], &[]).canary_limits(most).mutual(rules).start();
        let mut held: Vec<Client> = (0..3).map(|_| Client::connect(proxy.address)).collect();
        for client in &mut held {
            client.send(get(""));
        }
        canary.wait("three requests are there", |seen| received(seen) == 3);
        for _ in 0..10 {
            let answer = Client::connect(proxy.address).ask(get(""));
            assert_eq!(answer.status(), status);
            assert_eq!(answer.all("proxy-status").len(), usize::from(status == 503));
        }
        let epoch = std::sync::Arc::clone(&proxy.routes.current().routes[0].epoch);
        let reach = proxy.routes.endpoints().of(epoch.version(Role::Canary));
        assert_eq!(reach.deeds.limited.load(Ordering::Relaxed), 10);
        drop(held);
        eventually("those that left make room", || (Client::connect(proxy.address).ask(get("")).status() != 503).then_some(()));
    }
}
