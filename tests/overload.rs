//! The admin listener while the data plane is saturated: an abort must not wait for the traffic it is to stop.
#![cfg(test)]

#[path = "support/desk.rs"]
#[allow(dead_code, reason = "shared with the tests of the admin listener")]
mod desk;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use desk::{Desk, PATIENCE, eventually};
use portcullis::domain::timeouts::Timeouts;
use portcullis::proxy::listener;
use portcullis::proxy::settings::Settings;
use serde_json::json;

/// Workers of the data plane.
const WORKERS: usize = 2;
/// Clients that ask without a pause.
const CLIENTS: usize = 16;
/// Aborts that are measured.
const ABORTS: usize = 11;

/// Answers every request of every connection until the peers are gone.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || converse(socket, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        }
    });
    address
}

/// Sends `words` after every message without a body that comes.
fn converse(mut socket: TcpStream, words: &[u8]) {
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    let _ = socket.set_nodelay(true);
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
        while let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            seen.drain(..end + 4);
            if socket.write_all(words).is_err() {
                return;
            }
        }
    }
}

fn settings() -> Settings {
    let seconds = Duration::from_secs;
    Settings {
        workers: WORKERS,
        timeouts: Timeouts {
            connect: seconds(5),
            response: seconds(30),
            body_idle: seconds(30),
            header: seconds(30),
            keep_alive: seconds(30),
            write_stall: seconds(30),
            connection_age: Duration::from_secs(3600),
            drain: seconds(5),
        },
        trusted: Vec::new(),
        strict: false,
        connections: 1_000,
        pseudonym: "overload".to_owned(),
        ..Settings::default()
    }
}

/// Workers with clients that never rest; all of it ends when dropped.
struct Load<'a> {
    desk: &'a Desk,
    over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl<'a> Load<'a> {
    fn start(desk: &'a Desk) -> Self {
        let (over, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (mut clients, mut workers) = (Vec::new(), Vec::new());
        let listeners: Vec<TcpListener> = (0..WORKERS).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        for (index, own) in listeners.into_iter().enumerate() {
            let parts = desk.parts(settings());
            workers.push(std::thread::spawn(move || listener::run(index, vec![own.into()], &parts).unwrap()));
        }
        for client in 0..CLIENTS {
            let (to, over, answers) = (addresses[client % WORKERS], Arc::clone(&over), Arc::clone(&answers));
            clients.push(std::thread::spawn(move || ask(to, &over, &answers)));
        }
        Self { desk, over, answers, clients, workers }
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let clients: Vec<_> = self.clients.drain(..).map(JoinHandle::join).collect();
        self.desk.drain();
        let workers: Vec<_> = self.workers.drain(..).map(JoinHandle::join).collect();
        assert!(std::thread::panicking() || clients.iter().chain(&workers).all(Result::is_ok));
    }
}

/// Asks again and again on one connection, the next request as soon as the answer is there.
fn ask(to: SocketAddr, over: &AtomicBool, answers: &AtomicU64) {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    while !over.load(Ordering::Relaxed) {
        socket.write_all(b"GET /items HTTP/1.1\r\nHost: carts\r\n\r\n").unwrap();
        seen.clear();
        while !seen.ends_with(b"\r\n\r\nok") {
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the proxy closed a connection: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        assert!(seen.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&seen));
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_abort_is_answered_in_a_tenth_of_a_second_while_the_data_plane_is_saturated() {
    let upstream = upstream();
    let desk = Desk::before(upstream);
    let load = Load::start(&desk);
    eventually("answers", || (load.answers() > 1_000).then_some(()));
    let canary = json!({"service": "carts", "canary": {"name": "0.8.2", "endpoints": [upstream.to_string()]}}).to_string();
    let (begun, before) = (Instant::now(), load.answers());
    let mut took = Vec::new();
    for _ in 0..ABORTS {
        let started = desk.post("/v1/rollouts", &canary);
        assert_eq!(started.status, 202, "{}", started.body);
        // Some of the traffic goes to the canary by now.
        let trial = Arc::clone(&desk.routes.current().routes[0].epoch.canary.as_ref().expect("a canary").trial);
        eventually("canary requests", || (trial.started() > 100).then_some(()));
        let asked = Instant::now();
        let aborted = desk.post("/v1/rollouts/carts/abort", "");
        took.push(asked.elapsed());
        assert_eq!((aborted.status, &aborted.json()["changed"]), (200, &json!(true)), "{}", aborted.body);
        assert_eq!(desk.routes.current().routes[0].epoch.weight().basis_points(), 0);
    }
    let rate = (load.answers() - before) as f64 / begun.elapsed().as_secs_f64();
    took.sort();
    let (median, worst) = (took[ABORTS / 2], took[ABORTS - 1]);
    println!("{ABORTS} aborts beside {rate:.0} requests/s: median {median:?}, worst {worst:?}");
    assert!(median <= Duration::from_millis(100), "median {median:?}, worst {worst:?}");
    // One alone may meet a stall of the machine.
    assert!(worst <= Duration::from_secs(1), "{took:?}");
}
