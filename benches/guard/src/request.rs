//! One whole request: a kept connection of a client, the worker's own code from its first byte to its last, and two versions.
//!
//! Sockets are the kernel's, because a worker's are: an own kind of socket for the bench alone would be in everybody's path. They are
//! pairs of Unix sockets, whose bytes are there at once, and all three ends are tasks of one thread, so that the same happens each time.
//! What client and versions do for it is in the figure, and is little.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use arc_swap::ArcSwap;
use gungraun::{library_benchmark, library_benchmark_group};
use portcullis::domain::endpoint::Endpoint;
use portcullis::domain::version::Version;
use portcullis::proxy::connection::{self, Admitted, Door};
use portcullis::proxy::plain::{Plain, Remote};
use portcullis::proxy::settings::Settings;
use portcullis::proxy::spread::{Desk, Spread};
use portcullis::proxy::worker::{Counters, DoorSetup, Parts, Worker};
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{self, Report};
use portcullis::seam::routes::Routes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

use crate::TIMES;
use crate::support::{self, client::REQUEST};

/// How many bytes of content an answer has.
const CONTENT: usize = 1024;

/// A runtime with everybody in it.
pub struct Stage {
    // First, so that its tasks end before what they use.
    runtime: LocalRuntime,
    client: Client,
    worker: Rc<Worker>,
    /// Requests that each version has answered.
    answered: [Rc<Cell<usize>>; 2],
    /// What the worker hands over; nobody reads it, and there is room.
    _reports: Receiver<Report>,
    _drain: watch::Sender<bool>,
    _folder: Folder,
}

/// The client's end of its connection.
struct Client {
    socket: UnixStream,
    buffer: Vec<u8>,
    /// How long every answer is.
    length: usize,
}

impl Client {
    /// Sends one request and reads its whole answer.
    async fn get(&mut self) {
        self.socket.write_all(REQUEST).await.expect("the request goes out");
        self.buffer.clear();
        while self.buffer.len() < self.length {
            let read = self.socket.read_buf(&mut self.buffer).await.expect("the answer comes");
            assert!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.buffer));
        }
        assert!(
            self.buffer.len() == self.length && self.buffer.starts_with(b"HTTP/1.1 200 "),
            "{:?}",
            String::from_utf8_lossy(&self.buffer)
        );
    }

    /// Sends a first request and learns from its answer how long each is.
    async fn learn(&mut self) {
        self.socket.write_all(REQUEST).await.expect("the request goes out");
        while memchr::memmem::find(&self.buffer, b"\r\n\r\n").is_none_or(|head| self.buffer.len() < head + 4 + CONTENT) {
            assert!(self.socket.read_buf(&mut self.buffer).await.expect("the answer comes") > 0, "the connection ended");
        }
        self.length = self.buffer.len();
    }
}

/// The folder of the versions' sockets, removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is a few empty files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers every request on every connection.
async fn serve_version(listener: UnixListener, answered: Rc<Cell<usize>>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::task::spawn_local(answer(socket, Rc::clone(&answered)));
    }
}

async fn answer(mut socket: UnixStream, answered: Rc<Cell<usize>>) {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {CONTENT}\r\nContent-Type: text/plain\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + CONTENT, b'x');
    let mut asked = Vec::with_capacity(4096);
    while socket.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            answered.set(answered.get() + 1);
            socket.write_all(&bytes).await.expect("the answer goes out");
        }
    }
}

fn version(name: &str, folder: &Path, answered: &Rc<Cell<usize>>) -> Arc<Version> {
    let path = folder.join(name);
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::task::spawn_local(serve_version(listener, Rc::clone(answered)));
    Arc::new(Version::new(name.parse().expect("a name"), vec![Endpoint::Socket(path)]))
}

/// Makes what a worker is made from, with a route to two versions of which the canary gets a tenth.
fn parts(v1: &Arc<Version>, v2: &Arc<Version>, drain: watch::Receiver<bool>) -> (Parts, Receiver<Report>) {
    let (routes, (reports, received)) = (Routes::default(), report::channel());
    // Nothing is ever slow enough to trip.
    routes.publish(support::table(1, &support::epoch(1, v1, v2, "10%", Duration::from_secs(3_600))));
    let parts = Parts {
        settings: Arc::new(ArcSwap::from_pointee(Settings { strict: true, connections: 1_000, ..Settings::default() })),
        routes,
        reports,
        access: None,
        tracer: None,
        clock: Clock::start(),
        counters: Arc::new(Counters::default()),
        drain,
        pressure: Arc::default(),
        spread: Spread::new(1),
        succeeded: Arc::default(),
        doors: Vec::new(),
    };
    (parts, received)
}

fn stage() -> Stage {
    let folder = Folder(std::env::temp_dir().join(format!("portcullis-guard-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    let answered: [Rc<Cell<usize>>; 2] = Default::default();
    let (drain, draining) = watch::channel(false);
    let (client, worker, reports) = runtime.block_on(async {
        let (parts, reports) = parts(&version("v1", &folder.0, &answered[0]), &version("v2", &folder.0, &answered[1]), draining);
        let worker = Worker::new(0, &parts);
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        let door = Rc::new(Door { index: 0, port: 8080, setup: DoorSetup::default() });
        let remote = Remote::Address(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let admitted =
            Admitted::new(Plain::Unix(far), remote, &door, Desk::new(&parts.spread, 0).seat(), &worker).expect("a connection is let in");
        tokio::task::spawn_local(connection::serve(admitted, door, Rc::clone(&worker)));
        let mut client = Client { socket: near, buffer: Vec::with_capacity(4096), length: 0 };
        client.learn().await;
        for _ in 0..TIMES {
            client.get().await;
        }
        (client, worker, reports)
    });
    worker.tick();
    reports.try_iter().for_each(drop);
    answered.iter().for_each(|count| count.set(0));
    Stage { runtime, client, worker, answered, _reports: reports, _drain: drain, _folder: folder }
}

#[library_benchmark]
#[bench::kept_connection(stage())]
fn whole(mut stage: Stage) -> Stage {
    let Stage { runtime, client, worker, .. } = &mut stage;
    runtime.block_on(async {
        for _ in 0..TIMES {
            client.get().await;
        }
    });
    worker.tick();
    let [stable, canary] = stage.answered.each_ref().map(|count| count.get());
    assert!(stable + canary == TIMES && (TIMES / 11..TIMES / 9).contains(&canary), "{stable} and {canary} requests");
    stage
}

library_benchmark_group!(name = requests, benchmarks = whole);
