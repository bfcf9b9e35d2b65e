//! Clients that make work with frames that ask for nothing, or hold what they asked for (catalogue 2.6 and 2.8).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::oracle::Bench;
use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, Event, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, headers,
};
use crate::support::proxy;
use crate::support::upstream::Upstream;

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/t")];
const POST: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/t")];

/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;

fn floods(bench: &Bench) -> u64 {
    bench.proxy.counters.floods.iter().map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Sends the same bytes until the connection ends; returns how many times, what was told, and how it ended.
fn flood(bench: &Bench, first: &[u8], bytes: impl Fn(u32) -> Vec<u8>) -> (u32, Vec<Event>, End) {
    let mut client = frames::connect(bench.proxy.address);
    client.send(first);
    let mut sent = 0;
    while sent < 100_000 && !ended(&client) {
        let many: Vec<u8> = (sent..sent + 50).flat_map(&bytes).collect();
        client.send(many);
        sent += 50;
    }
    let end = client.read_to_end(crate::support::PATIENCE);
    (sent, frames::read(&client.received), end)
}

/// Says whether the peer has closed the connection, without reading.
fn ended(client: &Client) -> bool {
    client.socket.set_nonblocking(true).unwrap();
    let ended = socket2::SockRef::from(&client.socket).take_error().unwrap().is_some()
        || matches!(client.socket.peek(&mut [0; 1]), Err(e) if e.kind() != std::io::ErrorKind::WouldBlock)
        || std::net::TcpStream::peer_addr(&client.socket).is_err();
    client.socket.set_nonblocking(false).unwrap();
    ended
}

/// What is sent again and again, given how often it was sent.
type Frames = Box<dyn Fn(u32) -> Vec<u8>>;

#[test]
fn floods_of_cheap_frames_end_with_enhance_your_calm() {
    let bench = Bench::new();
    let open = headers(1, &block(&POST), false);
    let cases: [(&str, Vec<u8>, Frames); 9] = [
        ("B-06 PING", vec![], Box::new(|_| frame(PING, 0, 0, [0; 8]))),
        ("B-07 SETTINGS", vec![], Box::new(|_| frame(SETTINGS, 0, 0, b""))),
        ("B-08 empty DATA", open.clone(), Box::new(|_| frame(DATA, 0, 1, b""))),
        ("B-09 PRIORITY", vec![], Box::new(|i| frame(PRIORITY, 0, i * 2 + 3, [0, 0, 0, 1, 1]))),
        ("B-10 WINDOW_UPDATE", vec![], Box::new(|_| frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]))),
        ("B-11 unknown", vec![], Box::new(|_| frame(0x42, 0, 0, b"abc"))),
        ("B-12 RST", open, Box::new(|_| frame(RST_STREAM, 0, 1, [0, 0, 0, 8]))),
        ("B-04 empty CONTINUATION", frame(HEADERS, 0, 1, block(&GET)), Box::new(|_| frame(CONTINUATION, 0, 1, b""))),
        (
            "B-01 rapid reset",
            vec![],
            Box::new(|i| [headers(i * 2 + 1, &block(&GET), true), frame(RST_STREAM, 0, i * 2 + 1, [0, 0, 0, 8])].concat()),
        ),
    ];
    for (id, first, bytes) in cases {
        let (sent, told, end) = flood(&bench, &first, bytes);
        assert!(sent < 100_000 && end != End::Open, "{id}: {sent} sent, {end:?}");
        // Whatever is told, SETTINGS come first (RFC 9113 section 3.4).
        assert!(told.first().is_none_or(|event| *event == Event::Other(SETTINGS, 0)), "{id}: {told:?}");
        // A client that goes on sending may lose the last words to a reset.
        assert!(told.contains(&Event::GoAway(CALM)) || end == End::Reset, "{id}: {told:?}, {end:?}");
        let answer = Client::connect(bench.proxy.address).ask("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(answer.body, b"GET /next", "{id}");
    }
    eventually("floods are counted", || (floods(&bench) >= 6).then_some(()));
    let reached = bench.upstream.requests().iter().filter(|r| r.target() == "/t").count();
    assert!(reached <= 200, "{reached} upstream requests of clients that called them off");
}

#[test]
fn b05_a_head_that_never_ends_is_late_even_beside_other_requests() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.header = Duration::from_millis(300)));
    let mut client = frames::connect(bench.proxy.address);
    client.send(frame(HEADERS, 0, 1, block(&GET)));
    assert_ne!(client.read_to_end(crate::support::PATIENCE), End::Open);
    let mut client = frames::connect(bench.proxy.address);
    client.send(headers(1, &block(&GET), true));
    frames::read_until(&mut client, |events| events.iter().any(|e| matches!(e, Event::Data(1, _, true))));
    client.send(frame(HEADERS, END_HEADERS, 3, [0x00, 0x7f]).split_last().unwrap().1);
    assert_ne!(client.read_to_end(crate::support::PATIENCE), End::Open);
}

#[test]
fn b27_whoever_sends_a_preface_and_nothing_more_is_closed() {
    let bench = Bench::with(|setup| {
        setup.with(|s| (s.timeouts.header, s.timeouts.keep_alive) = (Duration::from_millis(300), Duration::from_millis(600)))
    });
    for bytes in [&frames::PREFACE[..10], &frames::PREFACE[..20], frames::PREFACE, b""] {
        let mut client = Client::connect(bench.proxy.address);
        client.send(bytes);
        assert_ne!(client.read_to_end(crate::support::PATIENCE), End::Open, "{bytes:?}");
    }
    let mut client = frames::connect(bench.proxy.address);
    let begin = Instant::now();
    while !ended(&client) && begin.elapsed() < crate::support::PATIENCE {
        client.send(frame(PING, 0, 0, [0; 8]));
        std::thread::park_timeout(Duration::from_millis(50));
        client.received.clear();
        let _ = client.read_to_end(Duration::from_millis(1));
    }
    assert!(ended(&client), "PING alone keeps nothing alive");
}

#[test]
fn b18_a_stream_without_window_is_reset_and_pins_little() {
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"[..], &vec![b'x'; 1 << 20]].concat();
    let upstream = Upstream::answering(answer);
    let proxy = proxy::to([upstream.address]).with(|s| s.timeouts.write_stall = Duration::from_millis(500)).start();
    let mut client = Client::connect(proxy.address);
    // SETTINGS_INITIAL_WINDOW_SIZE 0: nothing of any answer may come.
    client.send([frames::PREFACE, &frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0])].concat());
    for stream in 0..20 {
        client.send(headers(stream * 2 + 1, &block(&GET), true));
    }
    let resets = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::Reset(..))).count() == 20;
    // A window that opens by single bytes is no progress.
    let begin = Instant::now();
    while begin.elapsed() < crate::support::PATIENCE && !resets(&frames::read(&client.received)) {
        client.send((0..20).flat_map(|stream| frame(WINDOW_UPDATE, 0, stream * 2 + 1, [0, 0, 0, 1])).collect::<Vec<u8>>());
        client.read_to_end(Duration::from_millis(100));
    }
    let events = frames::read(&client.received);
    assert!(resets(&events), "{events:?}");
    assert!(events.iter().all(|e| !matches!(e, Event::GoAway(1..))), "{events:?}");
    let window = proxy.ended(20);
    assert_eq!(window.failed + window.aborted, 20, "each is counted once, as the client's doing");
}

#[test]
fn b18_the_end_of_an_answer_that_its_client_does_not_take_is_given_up_too() {
    let bytes = 16_000;
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes(), &vec![b'x'; bytes]].concat();
    let upstream = Upstream::answering(answer);
    let brief = |s: &mut portcullis::proxy::settings::Settings| s.timeouts.write_stall = Duration::from_millis(500);
    let proxy = proxy::to([upstream.address]).with(brief).start();
    let mut client = Client::connect(proxy.address);
    // A window of 100 bytes: the whole answer is at hand, and most of it cannot go.
    client.send([frames::PREFACE, &frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 100])].concat());
    client.send(headers(1, &block(&GET), true));
    let (_, events) = frames::read_until(&mut client, |events| events.iter().any(|e| matches!(e, Event::Reset(1, _))));
    let taken = |events: &[Event], stream: u32| {
        let of_it =
            events.iter().filter_map(|event| if let Event::Data(of, count, _) = event { (*of == stream).then_some(*count) } else { None });
        of_it.sum::<usize>()
    };
    assert_eq!(taken(&events, 1), 100, "{events:?}");
    // Whoever takes it in time gets all of it, the end included.
    client.send(headers(3, &block(&GET), true));
    let enough = |events: &[Event]| events.iter().any(|e| matches!(e, Event::Data(3, ..)));
    frames::read_until(&mut client, enough);
    client.send([frame(WINDOW_UPDATE, 0, 0, [0, 1, 0, 0]), frame(WINDOW_UPDATE, 0, 3, [0, 1, 0, 0])].concat());
    let (_, events) = frames::read_until(&mut client, |events| events.iter().any(|e| matches!(e, Event::Data(3, _, true))));
    assert_eq!(taken(&events, 3), bytes, "{events:?}");
    assert_eq!(proxy.ended(2).answered, 2, "both answers were the version's in full");
}

#[test]
fn b18_a_connection_whose_client_reads_nothing_is_given_up_however_wide_its_windows() {
    let bytes = 64 << 20;
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes(), &vec![b'x'; bytes]].concat();
    let upstream = Upstream::answering(answer);
    let long = Duration::from_secs(60);
    let stalls = |s: &mut portcullis::proxy::settings::Settings| {
        (s.timeouts.write_stall, s.timeouts.keep_alive, s.timeouts.body_idle) = (Duration::from_millis(500), long, long);
    };
    let proxy = proxy::to([upstream.address]).with(stalls).start();
    // Where in a frame the socket is full depends on how much it holds: of one, the rest is collected, of another it is not.
    let clients: Vec<Client> = (1..=16)
        .map(|size| {
            let mut client = Client::connect(proxy.address);
            socket2::SockRef::from(&client.socket).set_recv_buffer_size(size * 5_000).unwrap();
            client.send([frames::PREFACE, &frame(SETTINGS, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff])].concat());
            client.send(frame(WINDOW_UPDATE, 0, 0, [0x7f, 0, 0, 0]));
            client.send(headers(1, &block(&GET), true));
            client
        })
        .collect();
    // What is idle for too long ends too, and so does who answers no ping, but later.
    let begin = Instant::now();
    for client in &clients {
        eventually("the connection is reset", || ended(client).then_some(()));
    }
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[test]
fn a_connection_that_is_old_ends_after_the_requests_it_is_at() {
    let bench = Bench::with(|setup| setup.with(|s| s.timeouts.connection_age = Duration::from_millis(500)));
    let mut client = frames::connect(bench.proxy.address);
    client.send(headers(1, &block(&GET), true));
    let (end, events) = frames::read_until(&mut client, |_| false);
    assert!(events.contains(&Event::Status(1, 200)) && events.contains(&Event::GoAway(0)), "{events:?}");
    assert_ne!(end, End::Open);
}
