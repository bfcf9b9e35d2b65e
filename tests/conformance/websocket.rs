//! WebSockets: what may become one, that nothing is lost or looked at, and how they end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::domain::endpoint::Endpoint;
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::domain::transport::{Protocol, Transport};
use portcullis::domain::version::Version;
use portcullis::seam::table::{Epoch, Route, Table, Watch};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::faults::closed_port;
use crate::oracle::get;
use crate::split::count;
use crate::support::client::{Client, End};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::{GOOD, Peer, Upstream};
use crate::support::{PATIENCE, eventually};

/// What a client asks for.
const ASKED: &str =
    "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A request that follows another one.
const SECOND: &[u8] = b"GET /smug HTTP/1.1\r\nHost: a.test\r\n\r\n";
/// What a version answers.
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nKeep-Alive: timeout=5\r\n\r\n";

/// Sends back what comes until it ends, and ends then too.
pub fn echo(mut socket: &TcpStream) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        if socket.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    let _ = socket.shutdown(Shutdown::Write);
}

/// A version that switches and sends back what comes, its name first.
fn echoing(name: &'static str) -> Upstream {
    Upstream::start(move |peer: &mut Peer| {
        if peer.head().is_some() && peer.send([SWITCH.as_bytes(), name.as_bytes()].concat().as_slice()) {
            echo(peer.socket());
        }
    })
}

/// Opens a WebSocket; returns the client with what came behind the head.
#[track_caller]
fn open(proxy: &Proxy, first: usize) -> (Client, Vec<u8>) {
    let mut client = Client::connect(proxy.address);
    client.send(get(ASKED));
    let end = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
    client.read_until(|bytes| end(bytes).is_some_and(|at| bytes.len() >= at + first));
    let text = String::from_utf8_lossy(&client.received).into_owned();
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
    let at = end(&client.received).unwrap();
    let behind = client.received.split_off(at);
    (client, behind)
}

/// A frame of a client or a server with a random payload of this size.
fn frame(random: &mut SmallRng, size: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![0x82];
    match size {
        0..126 => bytes.push(bit | size as u8),
        126..65_536 => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    bytes.extend((0..size + if masked { 4 } else { 0 }).map(|_| random.random::<u8>()));
    bytes
}

/// Frames of random sizes, this many bytes of them at least.
fn frames(seed: u64, least: usize, masked: bool) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut bytes = Vec::new();
    while bytes.len() < least {
        let size = 1_usize << random.random_range(0..18);
        bytes.extend(frame(&mut random, size, masked));
    }
    bytes
}

/// Writes all of this and ends, and reads to the end meanwhile.
fn pass(mut socket: &TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = socket.try_clone().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut seen = Vec::new();
    socket.read_to_end(&mut seen).unwrap();
    writing.join().unwrap();
    seen
}

#[test]
fn e08_bytes_pass_both_ways_at_once_unchanged_and_half_close_is_kept() {
    let (seed, mib) = (7, 1 << 20);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let upstream = Upstream::start(move |peer| {
        peer.head();
        peer.send(SWITCH.as_bytes());
        *keep.lock().unwrap() = pass(peer.socket(), frames(seed + 1, mib, false));
    });
    let proxy = proxy::to([upstream.address]).start();
    let (client, behind) = open(&proxy, 0);
    let got = [behind, pass(&client.socket, frames(seed, mib, true))].concat();
    assert!(got == frames(seed + 1, mib, false), "seed {seed}: {} bytes", got.len());
    eventually("the version has read to the end", || (seen.lock().unwrap().len() >= mib).then_some(()));
    assert!(*seen.lock().unwrap() == frames(seed, mib, true), "seed {seed}");
}

#[test]
fn e08_the_handshake_says_what_is_asked_and_ends_the_measurement() {
    let upstream = echoing("v1");
    let proxy = proxy::to([upstream.address]).start();
    let (mut client, behind) = open(&proxy, 2);
    assert_eq!(behind, b"v1", "what comes right behind the head is not lost");
    let head = String::from_utf8(client.received.clone()).unwrap().to_lowercase();
    for (line, times) in [
        ("\r\nconnection: upgrade\r\n", 1),
        ("\r\nupgrade: websocket\r\n", 1),
        ("sec-websocket-accept: s3ppl", 1),
        ("keep-alive", 0),
        ("content-length", 0),
        ("transfer-encoding", 0),
        ("via: 1.1 gate-1", 1),
    ] {
        assert_eq!(head.matches(line).count(), times, "{line}: {head}");
    }
    let asked = upstream.seen()[0].requests().remove(0);
    assert_eq!((asked.one("connection"), asked.one("upgrade")), ("upgrade", "websocket"));
    assert_eq!((asked.one("sec-websocket-version"), asked.one("x-forwarded-for")), ("13", "127.0.0.1"));
    let window = proxy.ended(1);
    assert_eq!((window.decided, window.answered, window.failed, window.classes[0]), (1, 1, 0, 1), "{:?}", window.classes);
    assert_eq!((proxy.line().status, count(&proxy.counters.tunnels.open)), (101, 1));
    client.send("more").half_close().read_to_end(PATIENCE);
    assert!(client.received.ends_with(b"\r\n\r\nmore"));
    eventually("the tunnel is over", || (count(&proxy.counters.tunnels.open) == 0).then_some(()));
    assert_eq!(proxy.counters.tunnels.begun.each_ref().map(|count| count.load(Ordering::Relaxed)), [1, 0]);
}

#[test]
fn e08_what_a_client_sends_behind_its_head_is_tunnelled_after_the_101_only() {
    let upstream = Upstream::start(|peer| {
        peer.head();
        let before = peer.buffered();
        peer.send(format!("{SWITCH}{before}").as_bytes());
        echo(peer.socket());
    });
    let proxy = proxy::to([upstream.address]).start();
    let mut client = Client::connect(proxy.address);
    client.send([get(ASKED), b"\x81\x85early".to_vec()].concat()).send("later").half_close();
    client.read_to_end(PATIENCE);
    assert!(client.received.ends_with(b"\r\n\r\n0\x81\x85earlylater"), "{}", String::from_utf8_lossy(&client.received));
}

#[test]
fn e08_without_a_101_what_follows_is_the_next_request() {
    for answer in [GOOD.to_vec(), b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 4\r\n\r\ngood".to_vec()] {
        let upstream = Upstream::answering(answer);
        let proxy = proxy::to([upstream.address]).start();
        let mut client = Client::connect(proxy.address);
        client.send([get(ASKED), SECOND.into()].concat());
        assert_eq!(client.answers(2, &[]).iter().filter(|answer| answer.body == b"good").count(), 2);
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests[1].all("upgrade").is_empty() && requests[1].all("via").len() == 1, "cleaned like any other: {:?}", requests[1]);
        assert_eq!(count(&proxy.counters.tunnels.begun[0]), 0);
    }
}

#[test]
fn e09_a_switch_to_anything_else_is_the_versions_failure_and_its_bytes_reach_nobody() {
    for fields in ["", "Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Upgrade: h2c\r\nConnection: upgrade\r\n"] {
        let upstream = Upstream::answering(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nEVIL"));
        let proxy = proxy::to([upstream.address]).canary([upstream.address], &[Watch::Errors(ErrorKinds::DEFAULT)], &[0]).start();
        let mut client = Client::connect(proxy.address);
        let answer = client.ask(get(ASKED));
        assert_eq!((answer.status(), answer.one("proxy-status")), (502, "gate-1; error=http_protocol_error"), "{fields}");
        assert!(!client.received.windows(4).any(|w| w == b"EVIL"));
        assert_eq!((proxy.canary_ended(1).failed, proxy.breaches()), (1, vec![1]));
    }
}

#[test]
fn a_version_that_speaks_http2_only_is_not_blamed_for_what_it_cannot_carry() {
    let transport = Transport { protocol: Protocol::Http2, ..Transport::default() };
    let proxy = proxy::to([closed_port()]).speaking(&transport).start();
    let answer = Client::connect(proxy.address).ask(get(ASKED));
    assert_eq!((answer.status(), proxy.refused()), (501, 1));
    assert_eq!(proxy.window(Role::Stable).decided, 0);
}

#[test]
fn a_drain_lets_websockets_go_on_and_tells_their_clients_at_its_end() {
    let upstream = echoing("");
    let mut proxy = proxy::to([upstream.address]).with(|settings| settings.timeouts.drain = Duration::from_millis(700)).start();
    let (mut client, _) = open(&proxy, 0);
    proxy.drain();
    client.received.clear();
    client.send(b"\x81\x02hi");
    client.read_until(|bytes| bytes == b"\x81\x02hi");
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    assert_eq!(client.received, b"\x81\x02hi\x88\x02\x03\xf4");
    proxy.join();
    assert_eq!(count(&proxy.counters.tunnels.open), 0);
}

#[test]
fn e14_an_open_websocket_stays_on_its_version_when_the_weight_moves() {
    let (v1, v2) = (echoing("v1"), echoing("v2"));
    let proxy = proxy::to([v1.address]).canary([v2.address], &[], &[]).start();
    let (mut old, name) = open(&proxy, 2);
    assert_eq!(name, b"v2");
    let stable = Arc::new(Version { endpoints: vec![Endpoint::Address(v1.address)], ..Version::new("v1".parse().unwrap(), Vec::new()) });
    let epoch = Epoch::new("carts".parse().unwrap(), 1, proxy::GENERATION + 1, stable, None, Timestamp::NEVER);
    proxy.routes.publish(Table::new(2, vec![Route::new([], Arc::new(epoch))]));
    assert_eq!(open(&proxy, 2).1, b"v1");
    old.received.clear();
    old.send("still here").read_until(|bytes| bytes == b"still here");
    assert_eq!(old.received, b"still here");
    assert_eq!(count(&proxy.counters.tunnels.begun[0]), 2);
}

#[test]
fn a_tunnel_is_not_timed_out_as_an_idle_connection_and_one_that_takes_nothing_is() {
    let upstream = Upstream::start(|peer| {
        peer.head();
        peer.send(SWITCH.as_bytes());
        let mut socket = peer.socket();
        // As much as the buffers hold, and then whatever is taken until the proxy gives up.
        while socket.write_all(&[0; 65_536]).is_ok() {}
    });
    let quiet = echoing("");
    let short = |address| {
        proxy::to([address])
            .with(|settings| {
                settings.timeouts.keep_alive = Duration::from_millis(200);
                settings.timeouts.header = Duration::from_millis(200);
                settings.timeouts.response = Duration::from_millis(400);
                settings.timeouts.body_idle = Duration::from_millis(200);
                settings.timeouts.write_stall = Duration::from_millis(600);
            })
            .start()
    };
    let (waits, stalls) = (short(quiet.address), short(upstream.address));
    let (mut patient, _) = open(&waits, 0);
    let (_stalled, _) = open(&stalls, 0);
    eventually("the client that takes nothing is cut off", || (count(&stalls.counters.tunnels.open) == 0).then_some(()));
    // Meanwhile every time-out of a connection has passed for the other one.
    patient.received.clear();
    patient.send("here").read_until(|bytes| bytes == b"here");
    assert_eq!(patient.received, b"here");
}

/// Begins a request over a fresh HTTP/2 connection; returns its answer's status and fields with both directions of the stream.
async fn connect(proxy: &Proxy, protocol: Option<&'static str>) -> (http::Response<h2::RecvStream>, h2::SendStream<bytes::Bytes>) {
    let socket = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let told = async {
        while !client.is_extended_connect_protocol_enabled() {
            client = client.clone().ready().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the server says that it takes an extended CONNECT");
    let mut request = http::Request::builder().method(http::Method::CONNECT).version(http::Version::HTTP_2);
    request = match protocol {
        Some(protocol) => request.uri("http://a.test/t").extension(h2::ext::Protocol::from_static(protocol)),
        None => request.uri("a.test:80"),
    };
    let request = request.header("sec-websocket-version", "13").body(()).unwrap();
    let (answer, sender) = client.ready().await.unwrap().send_request(request, false).unwrap();
    (tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap(), sender)
}

#[tokio::test]
async fn b31_a_websocket_over_http2_becomes_one_over_http1_and_ends_with_its_stream() {
    let upstream = echoing("v1");
    let proxy = proxy::to([upstream.address]).start();
    let (answer, mut sender) = connect(&proxy, Some("websocket")).await;
    assert_eq!(answer.status(), 200);
    for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let bytes = frames(3, 40_000, true);
    sender.send_data(bytes.clone().into(), true).unwrap();
    let (mut body, mut seen) = (answer.into_body(), Vec::new());
    while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.expect("data") {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        seen.extend_from_slice(&data);
    }
    assert!(seen == [b"v1".as_slice(), &bytes].concat(), "{} bytes", seen.len());
    let asked = upstream.seen()[0].requests().remove(0);
    assert_eq!((asked.line[0].as_str(), asked.target(), asked.one("host")), ("GET", "/t", "a.test"));
    assert_eq!((asked.one("upgrade"), asked.one("connection"), asked.one("sec-websocket-key").len()), ("websocket", "upgrade", 24));
    assert_eq!(asked.one("via"), "2.0 gate-1");
    eventually("the tunnel is over", || (count(&proxy.counters.tunnels.open) == 0).then_some(()));
    let window = proxy.ended(1);
    assert_eq!((window.classes[0], count(&proxy.counters.tunnels.begun[0])), (1, 1));
}

#[tokio::test]
async fn b31_what_does_not_become_a_websocket_is_no_tunnel() {
    let answering = |status: &str| Upstream::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\ngood"));
    for (protocol, answer, status) in [
        (None, "200 OK", 405),
        (Some("connect-udp"), "200 OK", 405),
        (Some("websocket"), "200 OK", 502),
        (Some("websocket"), "403 Forbidden", 403),
    ] {
        let upstream = answering(answer);
        let proxy = proxy::to([upstream.address]).start();
        assert_eq!(connect(&proxy, protocol).await.0.status(), status, "{protocol:?} {answer}");
        assert_eq!((upstream.requests().len(), count(&proxy.counters.tunnels.begun[0])), (usize::from(status != 405), 0));
    }
}

#[tokio::test]
async fn b31_a_websocket_over_http2_ends_with_the_drain_and_its_client_is_told() {
    let upstream = echoing("");
    let mut proxy = proxy::to([upstream.address]).with(|settings| settings.timeouts.drain = Duration::from_millis(300)).start();
    let (answer, mut sender) = connect(&proxy, Some("websocket")).await;
    let mut body = answer.into_body();
    sender.send_data(b"\x81\x02hi"[..].into(), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap().as_ref(), b"\x81\x02hi");
    proxy.drain();
    let mut seen = Vec::new();
    let ended = async {
        while let Some(Ok(data)) = body.data().await {
            seen.extend_from_slice(&data);
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends");
    assert_eq!(seen, b"\x88\x02\x03\xf4", "its client is told that the server restarts");
    tokio::task::spawn_blocking(move || {
        proxy.join();
        assert_eq!(count(&proxy.counters.tunnels.open), 0);
    })
    .await
    .unwrap();
}
