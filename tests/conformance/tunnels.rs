//! Listeners without HTTP: connections are passed on as they are, one draw each.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::{Failure, Role};
use portcullis::domain::upkeep::Rules;
use portcullis::domain::weight::Weight;
use portcullis::seam::table::Watch;

use crate::faults::closed_port;
use crate::split::count;
use crate::support::client::{Client, End};
use crate::support::proxy;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};
use crate::websocket::echo;

/// A version that speaks first and then sends back what comes.
fn greeting(name: &'static str) -> Upstream {
    Upstream::start(move |peer| {
        if peer.send(name.as_bytes()) {
            echo(peer.socket());
        }
    })
}

#[test]
fn a_server_may_speak_first_and_either_side_may_end_first() {
    let upstream = greeting("220 mail\r\n");
    let proxy = proxy::to([upstream.address]).opaque().start();
    let mut client = Client::connect(proxy.address);
    client.read_until(|bytes| bytes == b"220 mail\r\n");
    client.send(b"\0GET / HTTP/1.1\r\n\r\n\xff").half_close();
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    assert_eq!(client.received, b"220 mail\r\n\0GET / HTTP/1.1\r\n\r\n\xff");
    let window = proxy.ended(1);
    assert_eq!((window.answered, window.classes[0]), (1, 1));
    eventually("the tunnel is over", || (count(&proxy.counters.tunnels.open) == 0).then_some(()));
    assert_eq!((count(&proxy.counters.tunnels.begun[1]), proxy.refused()), (1, 0));
}

#[test]
fn each_connection_is_a_line_of_the_access_log() {
    let upstream = greeting("220 mail\r\n");
    let proxy = proxy::to([upstream.address]).opaque().start();
    let mut client = Client::connect(proxy.address);
    client.read_until(|bytes| bytes == b"220 mail\r\n");
    client.send("hello").half_close().read_to_end(PATIENCE);
    let line = proxy.line();
    assert_eq!((line.method.as_str(), line.status, line.uploaded, line.bytes), ("", 0, 5, 15));
    let version = line.version.as_ref().map(portcullis::domain::version::Name::as_str);
    assert_eq!((version, line.role, line.generation), (Some("v1"), Some(Role::Stable), proxy::GENERATION));
    assert!(line.response_time.is_some_and(|connected| connected <= line.duration) && line.failure.is_none());
    let proxy = proxy::to([upstream.address]).canary([closed_port()], &[], &[]).opaque().start();
    Client::connect(proxy.address).read_until(|bytes| !bytes.is_empty());
    let line = proxy.line();
    assert_eq!((line.role, line.rescued, line.failure), (Some(Role::Stable), Some(Failure::ConnectionRefused), None));
    let proxy = proxy::to([closed_port()]).opaque().start();
    Client::connect(proxy.address).read_to_end(PATIENCE);
    let line = proxy.line();
    assert_eq!((line.role, line.failure, line.bytes), (Some(Role::Stable), Some(Failure::ConnectionRefused), 0));
}

#[test]
fn a_client_that_says_nothing_is_not_timed_out_and_much_passes_both_ways() {
    let upstream = Upstream::start(|peer| echo(peer.socket()));
    let proxy = proxy::to([upstream.address]).opaque().with(|settings| settings.timeouts.header = Duration::from_millis(100)).start();
    let late = Client::connect(proxy.address);
    let mut socket = Client::connect(proxy.address).socket;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let (mut writer, sent) = (socket.try_clone().unwrap(), bytes.clone());
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut seen = Vec::new();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.read_to_end(&mut seen).unwrap();
    writing.join().unwrap();
    assert!(seen == bytes, "{} bytes", seen.len());
    // Rounds of the patrol have passed, which would have ended a connection that owes a head.
    std::thread::sleep(Duration::from_millis(500));
    let mut late = late;
    late.send("now").read_until(|bytes| bytes == b"now");
    assert_eq!(late.received, b"now");
}

#[test]
fn the_weight_holds_per_connection() {
    let (v1, v2) = (greeting("1"), greeting("2"));
    let proxy = proxy::to([v1.address]).canary([v2.address], &[], &[]).weight(Weight::from_basis_points(1_000).unwrap()).opaque().start();
    let mut canary = 0;
    for _ in 0..400 {
        let mut client = Client::connect(proxy.address);
        client.read_until(|bytes| bytes.len() == 1);
        canary += u32::from(client.received == b"2");
    }
    // Independent draws would leave this range once in 10^5 runs; these are spread more evenly.
    assert!((15..=68).contains(&canary), "{canary} of 400 at 10 %");
    assert_eq!(proxy.canary_ended(u64::from(canary)).answered, u64::from(canary));
}

#[test]
fn a_dead_canary_is_charged_and_stable_takes_over_unless_that_is_forbidden() {
    let stable = greeting("stable");
    for (rescue, seen) in [(true, &b"stable"[..]), (false, b"")] {
        let proxy = proxy::to([stable.address])
            .canary([closed_port()], &[Watch::Errors(ErrorKinds::DEFAULT)], &[0])
            .mutual(Rules { rescue, ..Rules::default() })
            .opaque()
            .start();
        let mut client = Client::connect(proxy.address);
        let end = client.read_until(|bytes| bytes == b"stable");
        assert_eq!((client.received.as_slice(), end == End::Open), (seen, rescue));
        let canary = proxy.canary_ended(1);
        assert_eq!((canary.decided, canary.failed, proxy.breaches()), (1, 1, vec![1]));
        assert_eq!(proxy.window(Role::Stable).decided, u64::from(rescue));
    }
}

#[test]
fn a_dead_endpoint_is_passed_over_for_another_one() {
    let alive = greeting("alive");
    let proxy = proxy::to([closed_port(), alive.address]).opaque().start();
    for _ in 0..8 {
        let mut client = Client::connect(proxy.address);
        client.read_until(|bytes| bytes == b"alive");
        assert_eq!(client.received, b"alive");
    }
    assert_eq!(proxy.ended(8).failed, 0);
}

#[test]
fn a_drain_ends_a_tunnel_after_its_time_without_a_word() {
    let upstream = greeting("hello");
    let mut proxy = proxy::to([upstream.address]).opaque().with(|settings| settings.timeouts.drain = Duration::from_millis(300)).start();
    let mut client = Client::connect(proxy.address);
    client.read_until(|bytes| bytes == b"hello");
    proxy.drain();
    assert_eq!(client.read_to_end(PATIENCE), End::Reset, "what is cut is not over");
    assert_eq!(client.received, b"hello");
    proxy.join();
}
