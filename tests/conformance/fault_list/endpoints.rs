//! F-01 to F-09 and F-29 to F-35: versions that cannot be reached, die before they answer, or lose connections and endpoints.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis::domain::standing::Standing;
use portcullis::domain::upkeep::Rules;
use portcullis::seam::reach::{Again, Reach};
use socket2::{Domain, Socket, Type};

use super::fault::{Culprit, EACH, Fault, GOOD_ANSWER, OF_STABLE, Script, Want, always};
use crate::faults::{dying, full_backlog, unreachable, with};
use crate::oracle::{get, head, post};
use crate::support::upstream::{GOOD, Upstream};

/// All faults of this kind.
pub fn faults() -> Vec<Fault> {
    [unreached(), silent(), reset(), closing(), of_one_in_four(), without_endpoints()].into_iter().flatten().collect()
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Ordering::Relaxed)
}

/// Says what is wrong with a number.
fn equal(what: &str, number: u64, right: u64) -> Option<String> {
    (number != right).then(|| format!("{what}: {number}, {right} are right"))
}

/// Gives a version an endpoint whose port is taken and where nobody listens.
fn and_refusing(version: Culprit) -> Culprit {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    version.at(socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

fn and_full(version: Culprit) -> Culprit {
    let (address, held) = full_backlog();
    version.at(address, held)
}

fn unreached() -> Vec<Fault> {
    let good = Upstream::good;
    vec![
        Fault::new("F-01", "refuses connections", and_refusing(Culprit::none())).charged(EACH),
        Fault::new("F-01", "one of two endpoints refuses connections", and_refusing(Culprit::none()).and(good())).each(GOOD_ANSWER),
        Fault::new("F-02", "accepts no connection", and_full(Culprit::none())).each(Want::Own(504)).charged(EACH),
        Fault::new("F-02", "one of two endpoints accepts no connection", and_full(Culprit::none()).and(good())).each(GOOD_ANSWER),
        Fault::new("F-03", "is in a network without a way", Culprit::none().at(unreachable(), ())).charged(EACH),
        Fault::new("F-03", "one of two endpoints is in such a network", Culprit::none().at(unreachable(), ()).and(good()))
            .each(GOOD_ANSWER),
    ]
}

/// Every connection was closed by the proxy.
fn all_closed(version: &Culprit, _: &Reach) -> Option<String> {
    version.upstreams.iter().for_each(wait_closed);
    None
}

fn wait_closed(upstream: &Upstream) {
    upstream.wait("every connection is closed", |seen| !seen.is_empty() && seen.iter().all(|connection| connection.closed));
}

fn silent() -> Vec<Fault> {
    let hung = Culprit::of(Box::new(|peer| peer.until_closed()));
    vec![Fault::new("F-04", "accepts and never answers", hung).each(Want::Own(504)).charged(EACH).and_then(all_closed)]
}

fn post_hello(fields: &str) -> Vec<u8> {
    post(format!("{fields}Content-Length: 5\r\n"), "hello")
}

/// A version whose first connection answers one request; whatever else it reads it leaves without an answer.
fn dying_always() -> Culprit {
    Culprit::of(Box::new(|peer| {
        peer.request();
        if peer.index == 0 {
            peer.send(GOOD);
            peer.request();
        }
    }))
}

fn reset() -> Vec<Fault> {
    let dying = || Culprit::none().and(dying());
    let first = || (get(""), GOOD_ANSWER);
    let own = Want::Own(502);
    let put = [&head(b"PUT /t HTTP/1.1", b"Content-Length: 5\r\n")[..], b"hello"].concat();
    let ends = |reset: bool| -> Script {
        Box::new(move |peer| {
            peer.request();
            peer.end(reset);
        })
    };
    vec![
        Fault::new("F-05", "a used connection dies under a GET", dying()).in_turn([first(), (get(""), GOOD_ANSWER)]).tries("GET", 3),
        Fault::new("F-05", "and the second try too", dying_always()).in_turn([first(), (get(""), own)]).charged(1).tries("GET", 3),
        Fault::new("F-05", "closes without an answer", Culprit::of(ends(false))).charged(EACH).tries("", EACH as usize),
        Fault::new("F-05", "resets without an answer", Culprit::of(ends(true))).charged(EACH).tries("", EACH as usize),
        Fault::new("F-06", "a used connection dies under a POST", dying())
            .in_turn([first(), (post_hello(""), own)])
            .charged(1)
            .tries("POST", 1),
        Fault::new("F-06", "a used connection dies under a PUT", dying()).in_turn([first(), (put, own)]).charged(1).tries("PUT", 1),
        Fault::new(
            "F-07",
            "closes before a POST is written",
            Culprit::of(Box::new(|peer| {
                peer.request();
                peer.send(GOOD);
                peer.half_close();
                peer.until_closed();
            })),
        )
        .in_turn((0..10).map(|_| (post_hello(""), GOOD_ANSWER)))
        .waiting(wait_closed)
        .tries("POST", 10),
        Fault::new("F-08", "dies under a POST with an Idempotency-Key", dying())
            .in_turn([first(), (post_hello("Idempotency-Key: 1\r\n"), own)])
            .charged(1)
            .tries("POST", 1),
        Fault::new("F-09", "both of two endpoints close without an answer", {
            let script = || Upstream::start(ends(false));
            Culprit::none().and(script()).and(script())
        })
        .charged(EACH)
        .tries("GET", 2 * EACH as usize),
    ]
}

/// A version that answers 1 to 10 requests over a connection and then closes it.
fn racing() -> Culprit {
    Culprit::of(Box::new(|peer| {
        for _ in 0..=(peer.index * 7 + 3) % 10 {
            if !peer.request().is_some_and(|_| peer.send(GOOD)) {
                return;
            }
        }
        peer.end(peer.index % 3 == 0);
    }))
}

fn closing() -> Vec<Fault> {
    let closes = always(with("Connection: close\r\nContent-Length: 4\r\n", "good"));
    let hints = always(with("Keep-Alive: timeout=1\r\nContent-Length: 4\r\n", "good"));
    let apart = |version: &Culprit, reach: &Reach| {
        all_closed(version, reach);
        equal("its connections", version.upstreams[0].seen().len() as u64, 3)
    };
    let three = || (0..3).map(|_| (get(""), GOOD_ANSWER));
    let mixed = (0..200).map(|turn| match turn % 2 {
        0 => (get(""), GOOD_ANSWER),
        _ => (post_hello(&format!("X-Id: {turn}\r\n")), Want::GoodOr(502)),
    });
    let not_doubled = |version: &Culprit, reach: &Reach| {
        let requests = version.upstreams[0].requests();
        let mut ids: Vec<&str> = requests.iter().flat_map(|request| request.all("x-id")).collect();
        let all = ids.len() as u64;
        ids.sort_unstable();
        ids.dedup();
        let met = count(&reach.deeds.retries[Again::Stale as usize]) > 0 || version.upstreams[0].seen().len() > 10;
        equal("POSTs that reached it", ids.len() as u64, all).or_else(|| (!met).then(|| "the race was never met".to_owned()))
    };
    vec![
        Fault::new("F-29", "closes after every answer", Culprit::of(closes)).in_turn(three()).and_then(apart),
        Fault::new("F-30", "will close idle connections after a second", Culprit::of(hints)).in_turn(three()).and_then(apart),
        Fault::new("F-31", "closes pooled connections at any time", racing()).in_turn(mixed).charged_as_seen().and_then(not_doubled),
    ]
}

fn of_one_in_four() -> Vec<Fault> {
    let three = || (0..3).fold(Culprit::none(), |version, _| version.and(Upstream::good()));
    let hundred = |want: Want| (0..100).map(move |_| (get(""), want));
    // One that answers late is asked less often, and then may not fail five times.
    let left_out = |failed: fn(&Culprit, &Reach) -> u64| {
        move |version: &Culprit, reach: &Reach| {
            let (failed, ejections) = (failed(version, reach), count(&reach.deeds.ejections));
            let good = failed <= 5 && ejections == u64::from(failed == 5) && reach.standing() == Standing::Usable;
            (!good).then(|| format!("{failed} failures, {ejections} endpoints left out, it is {:?}", reach.standing()))
        }
    };
    let refused = left_out(|_, reach| count(&reach.deeds.retries[Again::Connect as usize]));
    let erred = left_out(|version, _| version.upstreams[3].requests().len() as u64);
    let error = Upstream::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let slow = Upstream::start(|peer| {
        while peer.request().is_some() {
            let _ = peer.socket().set_read_timeout(Some(Duration::from_millis(100)));
            peer.swallow(1);
            if !peer.send(GOOD) {
                return;
            }
        }
    });
    let little = |version: &Culprit, _: &Reach| {
        let asked = version.upstreams[3].requests().len();
        (asked > 20).then(|| format!("{asked} of 100 requests went to the slow endpoint"))
    };
    vec![
        Fault::new("F-32", "one of four endpoints is dead", and_refusing(three())).in_turn(hundred(GOOD_ANSWER)).and_then(refused),
        Fault::new("F-32", "one of four endpoints answers 500", three().and(error))
            .in_turn(hundred(Want::GoodOr(500)))
            .charged_as_seen()
            .and_then(erred),
        Fault::new("F-32", "one of four endpoints is slow", three().and(slow)).in_turn(hundred(GOOD_ANSWER)).and_then(little),
        Fault::new("F-32", "all of its endpoints are dead", and_refusing(Culprit::none()))
            .in_turn((0..20).map(|turn| (get(""), if turn < 5 { Want::Own(502) } else { OF_STABLE })))
            .charged(5)
            .vetoed(15)
            .and_then(|_, reach| {
                equal("requests kept from it", count(&reach.deeds.vetoes), 15)
                    .or_else(|| (reach.standing() != Standing::Failed).then(|| format!("it is {:?}", reach.standing())))
            }),
    ]
}

fn without_endpoints() -> Vec<Fault> {
    let alone = Rules { rescue: false, ..Rules::default() };
    let failover = Rules { failover: true, ..alone };
    let untouched = |version: &Culprit, _: &Reach| equal("requests that reached it", version.tries("") as u64, 0);
    vec![
        Fault::new("F-33", "has no endpoint", Culprit::none())
            .each(OF_STABLE)
            .vetoed(EACH)
            .and_then(|_, reach| equal("requests kept from it", count(&reach.deeds.vetoes), EACH)),
        Fault::new("F-33", "is dead, and stable may answer for it", and_refusing(Culprit::none()))
            .each(OF_STABLE)
            .charged(EACH)
            .rescued(EACH)
            .and_then(|_, reach| equal("requests rescued", count(&reach.deeds.rescues), EACH)),
        Fault::new("F-34", "is well, but stable has no endpoint", Culprit::of(always(GOOD)))
            .each(Want::Own(503))
            .of_stable(alone)
            .and_then(untouched),
        Fault::new("F-34", "is well and may answer for stable", Culprit::of(always(GOOD))).each(GOOD_ANSWER).of_stable(failover),
        Fault::new("F-35", "has no endpoint, nor has stable", Culprit::none()).each(Want::Own(503)).of_stable(alone),
    ]
}
