//! How redirected connections end and how long they may rest: as they would without a proxy in between.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::intercepted::{asking, setup, version};
use crate::split::count;
use crate::support::client::{Client, End};
use crate::support::frames::{self, Event, SETTINGS, WINDOW_UPDATE, block, frame, headers};
use crate::support::multiplexed::{Multiplexed, answer};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};
use crate::websocket::echo;

/// Longer than a test may take.
const LONG: Duration = Duration::from_secs(60);

/// Sends half of what it has, and resets the connection once it is told to.
fn breaking() -> Upstream {
    Upstream::start(|peer| {
        if peer.read() && peer.send(b"half") && peer.read() {
            peer.end(true);
        }
    })
}

#[test]
fn a_server_that_resets_is_no_end_of_what_it_sends() {
    let (stable, other) = (breaking(), breaking());
    for proxy in [setup(stable.address, other.address).start(), proxy::to([other.address]).opaque().start()] {
        let mut client = Client::connect(proxy.address);
        client.send("get key\r\n").read_until(|bytes| bytes == b"half");
        client.send("more\r\n");
        assert_eq!((client.read_to_end(PATIENCE), client.received.as_slice()), (End::Reset, &b"half"[..]));
    }
}

#[test]
fn a_client_that_resets_is_no_end_of_what_it_sends() {
    let (told, ends) = mpsc::channel();
    let other = Upstream::start(move |peer| {
        let mut socket = peer.socket();
        let mut room = [0; 64];
        let ended = loop {
            match socket.read(&mut room) {
                Ok(0) => break None,
                Ok(_) => socket.write_all(b"heard").unwrap(),
                Err(error) => break Some(error.kind()),
            }
        };
        let _ = told.send(ended);
    });
    let stable = version("v1");
    for proxy in [setup(stable.address, other.address).start(), proxy::to([other.address]).opaque().start()] {
        let mut client = Client::connect(proxy.address);
        client.send("get key\r\n").read_until(|bytes| bytes == b"heard");
        client.reset();
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(Some(ErrorKind::ConnectionReset)));
    }
}

#[test]
fn a_drain_does_not_wait_for_those_that_say_nothing() {
    let (stable, other) = (version("v1"), Upstream::start(|peer| echo(peer.socket())));
    for detect in [LONG, Duration::from_millis(1)] {
        let setup = setup(stable.address, other.address).with(|settings| {
            (settings.timeouts.drain, settings.timeouts.header, settings.timeouts.detect) = (LONG, LONG, detect);
        });
        let mut proxy = setup.start();
        let (mut silent, mut half) = (Client::connect(proxy.address), Client::connect(proxy.address));
        half.send("GET ");
        eventually("both are in", || (count(&proxy.counters.open) == 2).then_some(()));
        if detect != LONG {
            eventually("the silent one's connection", || (other.seen().len() == 1).then_some(()));
        }
        proxy.drain();
        for client in [&mut silent, &mut half] {
            assert_ne!(client.read_to_end(PATIENCE), End::Open, "detected after {detect:?}");
        }
        proxy.join();
    }
}

/// A listener that lets nobody in any more, and what keeps it full: whoever connects to it waits.
fn full() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let at = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(one) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        waiting.push(one);
    }
    (at, listener, waiting)
}

/// A client whose connection to elsewhere is still to be made, for long.
fn dialing(drain: Duration) -> (Proxy, Client, impl Sized) {
    let (stable, (at, listener, waiting)) = (version("v1"), full());
    let proxy = setup(stable.address, at).with(|settings| settings.timeouts.drain = drain).start();
    let mut client = Client::connect(proxy.address);
    client.send("get key\r\n");
    eventually("it is opaque", || (count(&proxy.counters.intercepted.begun[2]) == 1).then_some(()));
    (proxy, client, (stable, listener, waiting))
}

#[test]
fn who_leaves_while_a_connection_is_made_for_it_is_not_kept() {
    let (proxy, client, _kept) = dialing(LONG);
    client.reset();
    eventually("it is gone", || (count(&proxy.counters.open) == 0).then_some(()));
}

#[test]
fn a_connection_that_is_still_to_be_made_is_cut_in_time() {
    let (mut proxy, mut client, _kept) = dialing(Duration::from_millis(300));
    proxy.drain();
    assert_eq!(client.read_to_end(PATIENCE), End::Reset);
    proxy.join();
}

#[test]
fn who_reads_slowly_from_elsewhere_has_the_time_it_would_have_without_a_proxy() {
    const LARGE: usize = 24 << 20;
    let answer = [format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes(), &vec![b'x'; LARGE]].concat();
    let serving = move |answer: Vec<u8>| {
        Upstream::start(move |peer| {
            if peer.read() && peer.send(&answer) {
                peer.half_close();
                peer.until_closed();
            }
        })
    };
    let (stable, elsewhere) = (serving(answer.clone()), serving(answer));
    let proxy =
        setup(stable.address, elsewhere.address).with(|settings| settings.timeouts.write_stall = Duration::from_millis(300)).start();
    let [mut http, mut opaque, judged] = [asking("other.test"), "get key\r\n".to_owned(), asking("carts")].map(|asked| {
        let mut client = Client::connect(proxy.address);
        client.send(asked);
        eventually("its answer has begun", || (client.socket.peek(&mut [0]).ok()? == 1).then_some(()));
        client
    });
    // The last one has taken nothing for too long, and so have the others.
    eventually("the judged one is given up", || (count(&proxy.counters.open) == 2).then_some(()));
    for client in [&mut http, &mut opaque] {
        assert_ne!(client.half_close().read_to_end(PATIENCE), End::Reset);
        let head = client.received.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        assert_eq!(client.received.len(), head + 4 + LARGE);
    }
    drop(judged);
}

#[test]
fn a_stream_from_elsewhere_without_window_is_not_given_up() {
    const SIZE: usize = 5_000;
    let stable = version(&"x".repeat(SIZE));
    let elsewhere = Multiplexed::start(async |_, _, respond| answer(respond, http::Response::new(()), &"x".repeat(SIZE), None));
    let proxy =
        setup(stable.address, elsewhere.address).with(|settings| settings.timeouts.write_stall = Duration::from_millis(300)).start();
    let [mut client, mut judged] = ["other.test", "carts"].map(|host| {
        let mut client = Client::connect(proxy.address);
        let head = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/")];
        // SETTINGS_INITIAL_WINDOW_SIZE 0: nothing of any answer may come.
        client.send([frames::PREFACE, &frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]), &headers(1, &block(&head), true)].concat());
        frames::read_until(&mut client, |events| events.iter().any(|event| matches!(event, Event::Status(1, _))));
        client
    });
    // The later one has taken nothing for too long, and so has the other.
    frames::read_until(&mut judged, |events| events.iter().any(|event| matches!(event, Event::Reset(1, _))));
    client.send(frame(WINDOW_UPDATE, 0, 1, [0, 1, 0, 0]));
    let (_, events) =
        frames::read_until(&mut client, |events| events.iter().any(|event| matches!(event, Event::Reset(1, _) | Event::Data(1, _, true))));
    let taken: usize = events.iter().map(|event| if let Event::Data(1, count, _) = event { *count } else { 0 }).sum();
    assert_eq!(taken, SIZE, "{events:?}");
}

/// Says when a connection of this machine is to be asked whether it is still there, in 10 ms; `None` where that is never done.
fn asked_in(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let shown = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("only IPv4") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let (local, remote) = (shown(local), shown(remote));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words.get(1) == Some(&&*local) && words.get(2) == Some(&&*remote)).find_map(|words| {
        let (timer, when) = words.get(5)?.split_once(':')?;
        (timer == "02").then(|| u64::from_str_radix(when, 16).unwrap())
    })
}

#[test]
fn both_sides_of_a_tunnel_are_asked_whether_they_are_still_there() {
    let (told, peers) = mpsc::channel();
    let other = Upstream::start(move |peer| {
        let _ = told.send(peer.socket().peer_addr().unwrap());
        echo(peer.socket());
    });
    let stable = version("v1");
    let proxy = setup(stable.address, other.address).start();
    let mut client = Client::connect(proxy.address);
    client.send("get key\r\n").read_until(|bytes| bytes == b"get key\r\n");
    let near = peers.recv_timeout(PATIENCE).unwrap();
    for (local, remote) in [(proxy.address, client.socket.local_addr().unwrap()), (near, other.address)] {
        let soon = eventually("it is to be asked", || asked_in(local, remote));
        assert!(soon <= 6_000, "only in {soon}0 ms");
    }
}

#[test]
fn who_ends_sending_after_a_request_still_gets_its_answer() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let slow = Upstream::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/slow" && released.lock().unwrap().recv().is_err() {
                return;
            }
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let proxy = setup(slow.address, slow.address).start();
    for host in ["carts", "other.test"] {
        slow.forget();
        let mut client = Client::connect(proxy.address);
        client.send(asking(host).replace("/x", "/slow"));
        slow.wait("the request", |seen| seen.iter().any(|one| one.bytes.starts_with(b"GET /slow")));
        client.half_close();
        // Whoever comes later is answered later: the one worker knows of the end by then.
        assert_eq!(Client::connect(proxy.address).ask(asking(host)).body, b"ok");
        release.send(()).unwrap();
        assert_eq!(client.answers(1, &[])[0].body, b"ok", "{host}");
        assert_eq!(client.read_to_end(PATIENCE), End::Closed, "{host}");
    }
}
