//! C21, G-01, I13: copies of requests, which delay nothing, change nothing, and are evidence of nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::domain::weight::Weight;
use portcullis::proxy::worker::Choices;
use portcullis::seam::choice::{Choice, Flights, Mirror, MirrorTo};

use crate::split::{Split, count, name, named, trip, version};
use crate::support::client::Client;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

fn mirror(to: MirrorTo) -> Mirror {
    Mirror {
        to,
        share: Weight::FULL,
        methods: vec![Method::GET, Method::HEAD],
        most: 3,
        deadline: PATIENCE,
        bytes: 1_000,
        flights: Flights::default(),
    }
}

/// Mirrors to a version v9 that listens there.
fn to(address: SocketAddr, change: impl FnOnce(&mut Mirror)) -> Split {
    let mut mirror = mirror(MirrorTo::Other(name("v9")));
    change(&mut mirror);
    Split::new(Choice { mirror: Some(mirror), others: vec![version("v9", address)].into(), ..Choice::default() })
}

fn counters(split: &Split) -> &Choices {
    &split.proxy.counters.choices
}

/// Waits until the upstream has this many whole requests, and returns what is compared of each: method, target, body, marks.
fn copies(upstream: &Upstream, wanted: usize) -> Vec<(String, String, String)> {
    let seen = eventually("copies came", || Some(upstream.requests()).filter(|seen| seen.iter().filter(|r| r.complete).count() >= wanted));
    assert_eq!(seen.len(), wanted, "{seen:?}");
    assert!(seen.iter().all(|request| request.one("x-portcullis-mirror") == "1" && request.violations.is_empty()), "{seen:?}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    seen.iter().map(|request| (request.line[0].clone(), request.line[1].clone(), text(&request.body))).collect()
}

#[test]
fn a_copy_goes_out_marked_and_is_no_evidence() {
    let v9 = named("v9");
    let mut split = to(v9.address, |_| {});
    let trial = split.shift(1, Some(10_000));
    let answer = split.get("Cookie: a=1\r\nX-Portcullis-Mirror: 0\r\n");
    assert_eq!((answer.body.as_slice(), answer.violations.len()), (&b"v2"[..], 0));
    assert_eq!(copies(&v9, 1), [("GET".to_owned(), "/t".to_owned(), String::new())]);
    assert_eq!(v9.requests()[0].one("cookie"), "a=1");
    assert!(split.fields().iter().all(|(name, _)| !name.starts_with("x-portcullis")), "the request itself is not marked");
    assert_eq!(split.proxy.beside_ended("v9", 1).answered, 1);
    assert_eq!((trial.started(), split.proxy.canary_ended(1).decided), (1, 1));
    assert_eq!(split.proxy.window(Role::Stable).decided, 0);
    assert_eq!(
        (count(&counters(&split).mirrored), count(&counters(&split).mirror_dropped), count(&counters(&split).mirror_failed)),
        (1, 0, 0)
    );
}

#[test]
fn a_hung_mirror_delays_nobody_and_takes_no_more_than_its_places() {
    let hung = Upstream::start(|peer| peer.until_closed());
    let split = to(hung.address, |_| {});
    let mut client = Client::connect(split.proxy.address);
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(client.ask("GET /t HTTP/1.1\r\nHost: a.test\r\n\r\n").body, b"v1");
    }
    assert!(begun.elapsed() < PATIENCE / 2, "50 requests took {:?} beside a mirror that answers none within {PATIENCE:?}", begun.elapsed());
    assert_eq!((count(&counters(&split).mirrored), count(&counters(&split).mirror_dropped)), (3, 47));
    assert_eq!(split.proxy.ended(50).answered, 50);
}

#[test]
fn a_copy_ends_with_its_deadline_and_makes_room_for_others() {
    let hung = Upstream::start(|peer| peer.until_closed());
    let split = to(hung.address, |mirror| (mirror.deadline, mirror.most) = (Duration::from_millis(50), 1));
    split.who("");
    eventually("the copy is given up", || (count(&counters(&split).mirror_failed) == 1).then_some(()));
    hung.wait("its connection is closed", |seen| seen.len() == 1 && seen[0].closed);
    split.who("");
    eventually("the next copy has its place", || (count(&counters(&split).mirrored) == 2).then_some(()));
    assert_eq!(split.proxy.beside_ended("v9", 1).failed, 1);
}

#[test]
fn a_dead_mirror_and_one_that_answers_nonsense_are_counted_and_nothing_else() {
    let nonsense = Upstream::answering("nonsense\r\n\r\n");
    let dead = named("dead").address;
    for (address, fails) in [(nonsense.address, 1), (dead, 1)] {
        let split = to(address, |_| {});
        assert_eq!(split.who(""), "v1");
        eventually("the failure is counted", || (count(&counters(&split).mirror_failed) == fails).then_some(()));
    }
}

#[test]
fn only_what_is_to_be_copied_is_copied() {
    let v9 = named("v9");
    let split = to(v9.address, |_| {});
    let post = "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(Client::connect(split.proxy.address).ask(post).body, b"v1");
    split.who("");
    assert_eq!(copies(&v9, 1)[0].0, "GET", "a POST is not copied unless the operator says so");
    let none = to(v9.address, |mirror| mirror.share = Weight::ZERO);
    (0..20).for_each(|_| drop(none.who("")));
    assert_eq!((count(&counters(&none).mirrored), count(&counters(&none).mirror_dropped)), (0, 0));
}

#[test]
fn a_body_is_copied_when_it_is_short_and_the_copy_dropped_when_it_is_not() {
    let v9 = named("v9");
    let split = to(v9.address, |mirror| mirror.methods.push(Method::POST));
    let send = |body: &str, framing: &str| {
        let request = format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{body}");
        assert_eq!(Client::connect(split.proxy.address).ask(request).body, b"v1");
    };
    send("hello", "Content-Length: 5");
    send("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", "Transfer-Encoding: chunked");
    send(&"x".repeat(1_000), "Content-Length: 1000");
    send(&"x".repeat(1_001), "Content-Length: 1001");
    send(&format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1_001)), "Transfer-Encoding: chunked");
    let mut bodies: Vec<String> = copies(&v9, 3).into_iter().map(|(_, _, body)| body).collect();
    bodies.sort_unstable_by_key(String::len);
    assert_eq!(bodies, ["hello".to_owned(), "abcdefg".to_owned(), "x".repeat(1_000)]);
    assert_eq!((count(&counters(&split).mirrored), count(&counters(&split).mirror_dropped)), (3, 2));
    let whole: Vec<usize> = split.v1.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(whole.iter().sum::<usize>(), 5 + 7 + 1_000 + 1_001 + 1_001, "the requests themselves are whole");
}

#[test]
fn i2_the_canary_gets_copies_only_while_it_has_a_share() {
    let mut split = Split::new(Choice { mirror: Some(mirror(MirrorTo::Canary)), ..Choice::default() });
    split.who("");
    let trial = split.shift(1, Some(1));
    assert_eq!(split.who(""), "v1");
    assert_eq!(copies(&split.v2, 1).len(), 1);
    trip(&trial);
    split.who("");
    split.publish(1, Some(1), Timestamp::ZERO);
    split.who("");
    split.shift(1, Some(10_000));
    assert_eq!(split.who(""), "v2", "what goes there anyway is not copied");
    assert_eq!(count(&counters(&split).mirrored), 1);
}
