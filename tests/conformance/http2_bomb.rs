//! HTTP/2 connections that cost their client little and are to pin much memory of the built program: fields of one byte each, by
//! references into the table of known ones (RFC 7541), and answers that are asked for and not taken.
//!
//! The growth of the process is read from `/proc`; `cargo test --test conformance http2_bomb -- --no-capture` prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use portcullis::proxy::settings::http2;
use socket2::{Domain, Socket, Type};

use crate::process::Running;
use crate::support::client::{Client, End};
use crate::support::frames::{self, CONTINUATION, Event, HEADERS, PREFACE, SETTINGS, block, frame, headers};
use crate::support::multiplexed::{Multiplexed, answer};
use crate::support::upstream::Upstream;

/// The most that a connection may add to the process, in KiB.
const LIMIT: u64 = 4096;
/// The reference to the newest entry of the table that is not fixed.
const NEWEST: u8 = 0xbe;
/// How often the same is done again, to find what is never given back.
const WAVES: usize = 2;

/// What is sent on a stream, given its number from 0.
type Script = Box<dyn Fn(u32) -> Vec<u8> + Send>;

/// One way to pin memory.
struct Bomb {
    /// What it is.
    name: &'static str,
    /// How many connections there are at a time.
    connections: usize,
    /// How many streams each has.
    streams: u32,
    /// The frames of a stream; the number counts from 0.
    frames: Script,
    /// Whether the streams that may be open at once are answered; else the connection is told to be calm.
    answered: bool,
    /// Whether an event means that its stream is let go.
    ends: fn(&Event) -> bool,
}

/// Writes a literal field that enters the table (RFC 7541 section 6.2.1).
fn entry(name: &str, value: &str) -> Vec<u8> {
    let mut entry = block(&[(name, value)]);
    entry[0] = 0x40;
    entry
}

/// Writes a request's head up to its ordinary fields.
fn pseudo(host: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/t")])
}

/// A block of so many references to a field that the first block enters.
fn references(name: &'static str, value: String, count: usize) -> Script {
    Box::new(move |stream| {
        let entered = if stream == 0 { entry(name, &value) } else { Vec::new() };
        [pseudo("silent.test"), entered, vec![NEWEST; count]].concat()
    })
}

fn bombs() -> Vec<Bomb> {
    let ends = |event: &Event| matches!(event, Event::Status(..) | Event::Reset(..));
    let bomb = |name, streams, answered, blocks: Script| {
        let frames: Script = Box::new(move |stream| headers(2 * stream + 1, &blocks(stream), true));
        Bomb { name, connections: 8, streams, frames, answered, ends }
    };
    let long = || "b".repeat(3900);
    let begun = references("x-bomb", long(), 0);
    vec![
        bomb("empty cookies, too many", 200, false, references("cookie", String::new(), 400)),
        bomb("empty cookies, as many as are taken", 100, true, references("cookie", String::new(), 90)),
        bomb("empty fields, as many as are read", 100, false, references("a", String::new(), 480)),
        bomb("a value of 3,900 bytes, too often", 200, false, references("x-bomb", long(), 4000)),
        bomb("a value of 3,900 bytes, as often as is taken", 100, true, references("x-bomb", long(), 3)),
        Bomb {
            streams: 1,
            frames: Box::new(move |stream| {
                let more = (0..8).flat_map(|_| frame(CONTINUATION, 0, 1, [NEWEST; 16_000]));
                frame(HEADERS, 0, 1, begun(stream)).into_iter().chain(more).collect()
            }),
            ..bomb("a block of such values that does not end", 1, false, references("", String::new(), 0))
        },
        Bomb {
            connections: 2,
            frames: Box::new(|stream| headers(2 * stream + 1, &pseudo("large.test"), true)),
            ends: |event| matches!(event, Event::Reset(..)),
            ..bomb("answers of 1 MiB that are not taken", 100, true, references("", String::new(), 0))
        },
        Bomb {
            connections: 2,
            frames: Box::new(|stream| headers(2 * stream + 1, &pseudo("multiplexed.test"), true)),
            ends: |event| matches!(event, Event::Reset(..)),
            ..bomb("the same of a version that speaks HTTP/2", 100, true, references("", String::new(), 0))
        },
    ]
}

/// Versions that are asked by bombs, and the built program before them.
struct Target {
    address: SocketAddr,
    program: Running,
    _kept: (Socket, Upstream, Upstream, Multiplexed, tempfile::TempDir),
}

impl Target {
    fn start() -> Self {
        // Takes every connection, and nobody ever reads from one.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(4096).unwrap();
        let large = Upstream::answering([&b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"[..], &vec![b'x'; 1 << 20]].concat());
        let good = Upstream::good();
        let multiplexed = Multiplexed::start(|_, _, respond| async move {
            answer(respond, http::Response::new(()), &"x".repeat(1 << 20), None);
        });
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\nworkers: 1\n\
             timeouts: {{response: 2s, body_idle: 2s, header: 2s, write_stall: 2s, keep_alive: 60s}}\nservices:\n",
            folder.path().join("state").display()
        );
        let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
        for (name, address) in [("silent", silent_address), ("large", large.address), ("good", good.address)] {
            text += &format!("  - {{name: {name}, hosts: [{name}.test], stable: {{version: v1, endpoints: [\"{address}\"]}}}}\n");
        }
        text += &format!(
            "  - {{name: multiplexed, hosts: [multiplexed.test], stable: {{version: v1, endpoints: [\"{}\"], protocol: http2}}}}\n",
            multiplexed.address
        );
        let file = folder.path().join("portcullis.yaml");
        std::fs::write(&file, text).unwrap();
        let program = Running::start(&["run", file.to_str().unwrap()]);
        let address = program.address("listening on ");
        Self { address, program, _kept: (silent, large, good, multiplexed, folder) }
    }

    /// Reads a size of the process, in KiB.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap()
    }

    /// Other requests are answered; and the one worker has read all that was sent before.
    fn serves(&self) {
        for _ in 0..2 {
            assert_eq!(Client::connect(self.address).ask("GET /t HTTP/1.1\r\nHost: good.test\r\n\r\n").body, b"good");
        }
    }
}

/// What became of a bomb.
struct Outcome {
    /// By how much the process had grown when all was sent, and when it was largest, in KiB per connection.
    growth: [u64; 2],
    /// How many bytes each connection sent.
    sent: usize,
    /// What came back, and how connections ended, by name.
    told: BTreeMap<String, usize>,
    /// How many streams, of connections that are still there, were not let go.
    held: usize,
}

/// Opens all connections, sends all there is to send, and waits until every stream is let go.
fn explode(bomb: &Bomb) -> Outcome {
    let target = Target::start();
    // What the first of everything takes is not the bomb's.
    let mut first = frames::connect(target.address);
    first.send(headers(1, &pseudo("good.test"), true));
    frames::read_until(&mut first, |events| events.iter().any(|event| matches!(event, Event::Data(1, _, true))));
    target.serves();
    let before = target.memory("VmRSS");
    let bytes: Vec<Vec<u8>> = (0..bomb.streams).map(&bomb.frames).collect();
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no body of any answer may come.
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0])].concat();
    let (mut told, mut held, mut pinned) = (BTreeMap::new(), 0, 0);
    for _ in 0..WAVES {
        let mut clients: Vec<Client> = (0..bomb.connections)
            .map(|_| {
                let mut client = Client::connect(target.address);
                client.send(&begin);
                for frames in &bytes {
                    client.send(frames);
                }
                client
            })
            .collect();
        target.serves();
        pinned = target.memory("VmRSS").max(pinned);
        for client in &mut clients {
            let let_go = |events: &[Event]| -> BTreeSet<u32> {
                let stream = |event: &Event| match *event {
                    Event::Status(stream, _) | Event::Data(stream, ..) | Event::Reset(stream, _) => stream,
                    Event::GoAway(_) | Event::Other(..) => 0,
                };
                events.iter().filter(|event| (bomb.ends)(event)).map(stream).collect()
            };
            let all = bomb.streams as usize;
            let (end, events) = frames::read_until(client, |events| let_go(events).len() == all);
            let missing = all - let_go(&events).len();
            held += if end == End::Open { missing } else { 0 };
            for event in events {
                let name = match event {
                    Event::Status(..) => "answer".to_owned(),
                    Event::Reset(_, code) => format!("RST_STREAM({code})"),
                    Event::GoAway(code) => format!("GOAWAY({code})"),
                    Event::Data(..) | Event::Other(..) => continue,
                };
                *told.entry(name).or_default() += 1;
            }
            if end != End::Open {
                *told.entry(format!("{end:?}")).or_default() += 1;
            }
        }
        target.serves();
    }
    // The kernel's two figures are not of quite the same moment.
    let growth = [pinned, pinned.max(target.memory("VmHWM"))].map(|size| size.saturating_sub(before) / bomb.connections as u64);
    Outcome { growth, sent: begin.len() + bytes.concat().len(), told, held }
}

#[test]
fn a_connection_pins_little_whatever_its_fields_refer_to_or_it_does_not_take_and_every_stream_is_let_go() {
    let outcomes: Vec<(Bomb, Outcome)> = std::thread::scope(|scope| {
        let bombs: Vec<_> = bombs().into_iter().map(|bomb| scope.spawn(|| (explode(&bomb), bomb))).collect();
        let joined = bombs.into_iter().map(|bomb| bomb.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.map(|(outcome, bomb)| (bomb, outcome)).collect()
    });
    let mut wrong = Vec::new();
    for (bomb, Outcome { growth: [pinned, most], sent, told, held }) in outcomes {
        let Bomb { name, connections, streams, .. } = bomb;
        let sent = sent / 1024;
        let size = format!("{pinned:>5} KiB per connection, at most {most:>5}");
        let row = format!("{name:<45} {connections} × {streams:>3} streams, {sent:>3} KiB each: {size}; {told:?}");
        println!("{row}");
        let of = |name: &str| told.get(name).copied().unwrap_or_default();
        let cut = if bomb.answered {
            of("answer") == WAVES * connections * streams.min(http2::STREAMS) as usize
        } else {
            // A client that goes on sending may lose the last words to a reset.
            of("GOAWAY(11)") + of("Reset") >= WAVES * connections
        };
        if most > LIMIT || held > 0 || !cut {
            wrong.push(format!("{row}; {held} streams are held"));
        }
    }
    assert!(wrong.is_empty(), "more memory than may be, held for ever, or not cut:\n{}", wrong.join("\n"));
}
