//! A scripted upstream: every connection runs a script and every byte it receives is kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::message::{Message, read_request, read_requests};

/// A small good answer.
pub const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Good: 1\r\n\r\ngood";

/// What one connection received, and whether the proxy closed it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes from before [`Upstream::forget`] are left out of them.
    forgotten: usize,
    /// Whether the proxy has closed or reset it.
    pub closed: bool,
}

impl Seen {
    /// Reads its requests strictly.
    pub fn requests(&self) -> Vec<Message> {
        read_requests(&self.bytes)
    }
}

#[derive(Default)]
struct Record {
    /// Written by the connections' threads, read by the test.
    connections: Mutex<Vec<Seen>>,
    changed: Condvar,
    /// Set when the test ends; read by the listener's thread.
    over: AtomicBool,
}

/// An upstream that runs until it is dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    record: Arc<Record>,
}

/// One connection in the hands of a script.
pub struct Peer {
    /// Its number, from 0.
    pub index: usize,
    socket: TcpStream,
    record: Arc<Record>,
    /// Bytes before this position belong to requests already taken.
    taken: usize,
}

impl Upstream {
    /// Listens on a free port and runs `script` on every connection, each in its own thread.
    pub fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let (script, shared) = (Arc::new(script), Arc::clone(&record));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                if shared.over.load(Ordering::Acquire) {
                    return;
                }
                let _ = socket.set_nodelay(true);
                let _ = socket.set_write_timeout(Some(PATIENCE));
                let index = {
                    let mut connections = shared.connections.lock().unwrap();
                    connections.push(Seen::default());
                    connections.len() - 1
                };
                let mut peer = Peer { index, socket, record: Arc::clone(&shared), taken: 0 };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut peer));
            }
        });
        Self { address, record }
    }

    /// Answers every request with the same bytes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| while peer.request().is_some_and(|_| peer.send(&answer)) {})
    }

    /// Answers every request with [`GOOD`].
    pub fn good() -> Self {
        Self::answering(GOOD)
    }

    /// Returns what every connection received so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.record.connections.lock().unwrap().clone()
    }

    /// Returns all requests received so far, strictly read, in the order of connections.
    pub fn requests(&self) -> Vec<Message> {
        self.seen().iter().flat_map(Seen::requests).collect()
    }

    /// Forgets what was received so far.
    pub fn forget(&self) {
        for seen in self.record.connections.lock().unwrap().iter_mut() {
            seen.forgotten += seen.bytes.len();
            seen.bytes.clear();
        }
    }

    /// Waits until what was received satisfies `ready`, and returns it.
    #[track_caller]
    pub fn wait(&self, what: &str, ready: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let deadline = Instant::now() + PATIENCE;
        let mut connections = self.record.connections.lock().unwrap();
        while !ready(&connections) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the upstream waited in vain: {what}; it saw {connections:?}");
            connections = self.record.changed.wait_timeout(connections, left).unwrap().0;
        }
        connections.clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.record.over.store(true, Ordering::Release);
        // Wakes the listener so that it notices and ends.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
    }
}

impl Peer {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        let mut connections = self.record.connections.lock().unwrap();
        change(&mut connections[self.index]);
        self.record.changed.notify_all();
    }

    fn unread(&self) -> Vec<u8> {
        let connections = self.record.connections.lock().unwrap();
        let seen = &connections[self.index];
        seen.bytes.get(self.taken.saturating_sub(seen.forgotten)..).unwrap_or(&[]).to_vec()
    }

    /// Reads once; says whether anything came before the end.
    pub fn read(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        self.socket.set_read_timeout(Some(PATIENCE * 3)).unwrap();
        match self.socket.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.note(|seen| seen.bytes.extend_from_slice(&buffer[..count]));
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            _ => {
                self.note(|seen| seen.closed = true);
                false
            }
        }
    }

    /// Reads and throws away up to `most` bytes without keeping them; returns how many came before the end.
    pub fn swallow(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; 65_536];
        let mut count = 0;
        while count < most {
            match self.socket.read(&mut buffer) {
                Ok(more @ 1..) => count += more,
                _ => break,
            }
        }
        count
    }

    /// Returns how many bytes were received that no request took yet.
    pub fn buffered(&self) -> usize {
        self.unread().len()
    }

    /// Waits for the next complete request; `None` when the proxy closes first.
    pub fn request(&mut self) -> Option<Message> {
        loop {
            let unread = self.unread();
            let (message, rest) = read_request(&unread);
            if message.complete {
                self.taken += unread.len() - rest.len();
                return Some(message);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// Waits for the next complete head, whose body is not waited for; `None` when the proxy closes first.
    pub fn head(&mut self) -> Option<Message> {
        loop {
            let unread = self.unread();
            if let Some(end) = unread.windows(4).position(|w| w == b"\r\n\r\n") {
                self.taken += end + 4;
                return Some(read_request(&unread).0);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// Sends bytes; says whether the proxy took them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Ends sending.
    pub fn half_close(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub fn reset(&mut self) {
        if let Ok(socket) = self.socket.try_clone() {
            let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Closes the connection at once, orderly or by a reset.
    pub fn end(&mut self, reset: bool) {
        if reset {
            self.reset();
        }
        // Any other socket takes its place, so that it is dropped here and now.
        let other = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| TcpStream::connect(l.local_addr()?)).unwrap();
        drop(std::mem::replace(&mut self.socket, other));
    }

    /// Returns the socket, for scripts that need more.
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads on until the proxy closes.
    pub fn until_closed(&mut self) {
        while self.read() {}
    }
}
