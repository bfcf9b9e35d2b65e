//! A version that answers at once, with an error, late, or not until it is released; it notes when requests arrive.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use portcullis::seam::clock::Clock;

const FAILURE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nno";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";

/// How a version answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Fast,
    /// At once, with an error.
    Fail,
    /// After this time.
    Slow(Duration),
    /// When it is released.
    Hang,
}

/// A version on a loopback port; its threads end with the process.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    manner: Manner,
    /// When the last request arrived, in nanoseconds of the clock; written by every connection.
    last: AtomicU64,
    /// How many requests arrived; written by every connection.
    count: AtomicU64,
    /// How often what hangs was released.
    released: Mutex<u64>,
    release: Condvar,
}

impl Upstream {
    /// Starts a version.
    pub fn start(clock: Clock, manner: Manner) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (last, count) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { clock, manner, last, count, released: Mutex::new(0), release: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(socket));
            }
        });
        Ok(Self { address, shared })
    }

    /// Returns how many requests arrived and when the last one did, in nanoseconds of the clock.
    pub fn arrivals(&self) -> (u64, u64) {
        (self.shared.count.load(Ordering::Acquire), self.shared.last.load(Ordering::Acquire))
    }

    /// Answers everything that hangs.
    pub fn release(&self) {
        if let Ok(mut released) = self.shared.released.lock() {
            *released += 1;
        }
        self.shared.release.notify_all();
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(read) = socket.read(&mut chunk) {
            if read == 0 {
                return;
            }
            head.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            head.clear();
            self.last.fetch_max(self.clock.now().as_nanos(), Ordering::AcqRel);
            self.count.fetch_add(1, Ordering::AcqRel);
            self.wait();
            let answer = if self.manner == Manner::Fail { FAILURE } else { ANSWER };
            if socket.write_all(answer).is_err() {
                return;
            }
        }
    }

    fn wait(&self) {
        match self.manner {
            Manner::Fast | Manner::Fail => {}
            Manner::Slow(time) => thread::sleep(time),
            Manner::Hang => {
                let Ok(released) = self.released.lock() else { return };
                let before = *released;
                drop(self.release.wait_while(released, |now| *now == before));
            }
        }
    }
}
