//! Idle connections let go of their parser and take another one with the next request; no client may notice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use portcullis::formats::tls::TlsFiles;
use portcullis::proxy::certificates::Certificates;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::authority::Authority;
use crate::oracle::{get, post, telling};
use crate::support::client::{Client, End};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

fn start(upstream: &Upstream) -> Proxy {
    proxy::to([upstream.address]).start()
}

fn resting(proxy: &Proxy) -> u64 {
    proxy.counters.resting.load(Ordering::Relaxed)
}

#[track_caller]
fn wait_for(proxy: &Proxy, count: u64) {
    eventually(&format!("{count} connections rest"), || (resting(proxy) == count).then_some(()));
}

#[track_caller]
fn ask(client: &mut Client, request: impl AsRef<[u8]>) {
    client.received.clear();
    assert_eq!(client.ask(request).status(), 200);
}

#[test]
fn a_connection_rests_between_requests_as_often_as_it_likes() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(proxy.address)).collect();
    for _ in 0..3 {
        for client in &mut clients {
            ask(client, get(""));
            ask(client, post("Content-Length: 5\r\n", "hello"));
        }
        wait_for(&proxy, 5);
    }
    assert_eq!(proxy.counters.accepted.load(Ordering::Relaxed), 5);
    drop(clients);
    eventually("all are closed", || (proxy.counters.open.load(Ordering::Relaxed) == 0).then_some(()));
    assert_eq!(resting(&proxy), 0);
}

#[test]
fn the_next_request_may_come_in_pieces_and_its_body_in_chunks() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut client = Client::connect(proxy.address);
    ask(&mut client, get(""));
    wait_for(&proxy, 1);
    client.received.clear();
    client.send("P");
    wait_for(&proxy, 0);
    client.send_in_pieces(b"OST /t HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1);
    assert_eq!(client.answers(1, &["POST"])[0].status(), 200);
    assert_eq!(upstream.requests().last().unwrap().body, b"hello");
    wait_for(&proxy, 1);
}

#[test]
fn what_was_read_behind_a_request_is_not_lost() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut client = Client::connect(proxy.address);
    // Old browsers end a body with a line of its own; it lies in the parser when the connection rests.
    ask(&mut client, [post("Content-Length: 5\r\n", "hello"), b"\r\n".to_vec()].concat());
    wait_for(&proxy, 1);
    ask(&mut client, get(""));
    wait_for(&proxy, 1);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_head_that_has_begun_is_no_rest() {
    let upstream = telling();
    let proxy = start(&upstream);
    let (mut half, mut whole) = (Client::connect(proxy.address), Client::connect(proxy.address));
    let request = get("");
    let (first, second) = request.split_at(9);
    ask(&mut half, [&request, first].concat());
    ask(&mut whole, get(""));
    wait_for(&proxy, 1);
    // The other one came before, and would rest by now.
    half.received.clear();
    half.send(second);
    assert_eq!(half.answers(1, &[])[0].status(), 200);
    wait_for(&proxy, 2);
}

#[test]
fn a_resting_connection_closes_after_its_time_and_when_its_client_does() {
    let upstream = telling();
    let limit = Duration::from_millis(500);
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.keep_alive = limit).start();
    let (mut silent, mut gone) = (Client::connect(proxy.address), Client::connect(proxy.address));
    for client in [&mut silent, &mut gone] {
        ask(client, get(""));
        client.received.clear();
    }
    let answered = Instant::now();
    wait_for(&proxy, 2);
    assert_eq!((gone.half_close().read_to_end(PATIENCE), gone.received.len()), (End::Closed, 0));
    assert_eq!((silent.read_to_end(PATIENCE), silent.received.len()), (End::Closed, 0));
    assert!(answered.elapsed() >= limit - Duration::from_millis(110), "{:?}", answered.elapsed());
    eventually("both are gone", || (proxy.counters.open.load(Ordering::Relaxed) == 0).then_some(()));
}

#[test]
fn a_drain_closes_those_that_rest_and_a_successor_lets_them_ask_once_more() {
    for succeeded in [false, true] {
        let upstream = telling();
        let mut proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = PATIENCE).start();
        let mut client = Client::connect(proxy.address);
        ask(&mut client, get(""));
        client.received.clear();
        wait_for(&proxy, 1);
        proxy.succeeded.store(succeeded, Ordering::Relaxed);
        proxy.drain();
        if succeeded {
            assert_eq!(client.ask(get("")).one("connection"), "close");
            client.received.clear();
        }
        assert_eq!((client.read_to_end(PATIENCE), client.received.len()), (End::Closed, 0), "{succeeded}");
        proxy.join();
    }
}

#[test]
fn when_the_drain_time_is_over_a_resting_connection_is_cut() {
    let upstream = telling();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.timeouts.drain = Duration::from_millis(300)).start();
    let mut client = Client::connect(proxy.address);
    ask(&mut client, get(""));
    wait_for(&proxy, 1);
    proxy.succeeded.store(true, Ordering::Relaxed);
    proxy.drain();
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    proxy.join();
}

#[test]
fn new_settings_reach_those_that_rest() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut client = Client::connect(proxy.address);
    ask(&mut client, get(""));
    wait_for(&proxy, 1);
    let mut settings = (**proxy.settings.load()).clone();
    settings.strict = true;
    proxy.settings.store(Arc::new(settings));
    let lenient = b"GET /t HTTP/1.1\nHost: a.test\r\n\r\n".to_vec();
    eventually("a new connection works by them", || (Client::connect(proxy.address).ask(&lenient).status() == 400).then_some(()));
    client.received.clear();
    assert_eq!(client.ask(get("")).one("connection"), "close");
}

#[test]
fn over_tls_it_rests_too_and_ends_with_a_word() {
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let (upstream, certificates) = (telling(), Certificates::load(files).unwrap());
    let limit = Duration::from_millis(500);
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.keep_alive = limit).tls(certificates.slot()).start();
    let socket = TcpStream::connect(proxy.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = authority.client(&["http/1.1"], None);
    let mut stream = StreamOwned::new(ClientConnection::new(config, ServerName::try_from("a.test").unwrap()).unwrap(), socket);
    for _ in 0..3 {
        stream.write_all(&get("")).unwrap();
        let (mut got, mut buffer) = (Vec::new(), [0; 1024]);
        while !got.ends_with(b"GET /t") {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..count]);
        }
        wait_for(&proxy, 1);
    }
    // It is silent for too long; without close_notify this is an error.
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_head_that_begins_after_a_rest_has_the_time_of_a_head() {
    let upstream = telling();
    let limit = Duration::from_millis(400);
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.header = limit).start();
    let mut client = Client::connect(proxy.address);
    ask(&mut client, get(""));
    wait_for(&proxy, 1);
    client.received.clear();
    let begun = Instant::now();
    client.send("G");
    assert_eq!((client.read_to_end(PATIENCE), client.received.starts_with(b"HTTP/1.1 408 ")), (End::Closed, true));
    assert!(begun.elapsed() < proxy::timeouts().keep_alive, "{:?}", begun.elapsed());
}

#[test]
fn a_long_head_and_what_is_pipelined_behind_it_come_after_a_rest() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        ask(&mut client, get(""));
        wait_for(&proxy, 1);
        client.received.clear();
        let long = get(format!("X-Long: {}\r\n", "a".repeat(9_000)));
        client.send([long, post("Content-Length: 5\r\n", "hello"), get("")].concat());
        let answers = client.answers(3, &["GET", "POST", "GET"]);
        assert!(answers.iter().all(|answer| answer.status() == 200), "{answers:?}");
    }
    assert_eq!(upstream.requests().len(), 8);
}

#[test]
fn half_a_head_that_stays_half_costs_nothing() {
    let upstream = telling();
    let proxy = start(&upstream);
    let mut client = Client::connect(proxy.address);
    ask(&mut client, [get(""), b"G".to_vec()].concat());
    let parked = || proxy.counters.runtimes.lock().unwrap()[0].worker_park_count(0);
    let before = parked();
    assert_eq!(client.read_to_end(Duration::from_secs(1)), End::Open);
    // Ten rounds of the patrol, and what else goes by the clock; looking for what may rest would be a hundred more.
    let woken = parked() - before;
    assert!(woken < 70, "the worker woke {woken} times within a second");
}
