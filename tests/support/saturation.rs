//! A data plane that never rests: every worker has clients that ask again as soon as they have their answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis::domain::timeouts::Timeouts;
use portcullis::proxy::listener;
use portcullis::proxy::settings::Settings;

use crate::desk::{Desk, PATIENCE};

/// Workers of the data plane.
pub const WORKERS: usize = 2;
/// Clients that ask without a pause.
pub const CLIENTS: usize = 16;
/// Answers every request of every connection until the peers are gone.
pub fn upstream() -> SocketAddr {
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
            detect: seconds(30),
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
pub struct Load<'a> {
    desk: &'a Desk,
    over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl<'a> Load<'a> {
    /// Starts workers of the desk's data plane and their clients.
    pub fn start(desk: &'a Desk) -> Self {
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

    /// Returns how many requests have been answered.
    pub fn answers(&self) -> u64 {
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
