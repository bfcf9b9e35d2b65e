//! A raw client: sends bytes as they are, in pieces if wanted, and reads until an answer, the end or a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::message::{Message, read_answers};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed its side.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// It was still open at the deadline.
    Open,
}

/// A client's connection with all it received so far.
pub struct Client {
    /// The socket, for tests that need more.
    pub socket: TcpStream,
    /// The bytes received.
    pub received: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&to, PATIENCE).expect("the proxy accepts connections");
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, received: Vec::new() }
    }

    /// Sends bytes; what the proxy does not take any more, because it has closed the connection, is dropped.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.socket.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes in pieces of this size, each in a packet of its own.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) -> &mut Self {
        for piece in bytes.chunks(size) {
            if self.socket.write_all(piece).is_err() {
                break;
            }
            std::thread::yield_now();
        }
        self
    }

    /// Ends sending.
    pub fn half_close(&mut self) -> &mut Self {
        let _ = self.socket.shutdown(Shutdown::Write);
        self
    }

    /// Resets the connection.
    pub fn reset(self) {
        let socket = socket2::Socket::from(self.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads once, at most until `deadline`; returns how the connection ended when it did.
    fn read_once(&mut self, deadline: Instant) -> Option<End> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(End::Open);
        }
        self.socket.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 65_536];
        match self.socket.read(&mut buffer) {
            Ok(0) => Some(End::Closed),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                None
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(End::Open),
            Err(_) => Some(End::Reset),
        }
    }

    /// Reads until the connection ends, at most this long.
    pub fn read_to_end(&mut self, patience: Duration) -> End {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = self.read_once(deadline) {
                return end;
            }
        }
    }

    /// Reads until the received bytes satisfy `enough` or the connection ends.
    pub fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> End {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.received) {
            if let Some(end) = self.read_once(deadline) {
                return end;
            }
        }
        End::Open
    }

    /// Reads until there are `count` complete final answers, and returns all answers.
    #[track_caller]
    pub fn answers(&mut self, count: usize, methods: &[&str]) -> Vec<Message> {
        let finals = |bytes: &[u8], closed| {
            let answers = read_answers(bytes, methods, closed);
            (answers.iter().filter(|a| a.complete && a.status() >= 200).count(), answers)
        };
        let end = self.read_until(|bytes| finals(bytes, false).0 >= count);
        let (complete, answers) = finals(&self.received, end == End::Closed);
        assert!(complete >= count, "{complete} of {count} answers, {end:?}: {:?}", String::from_utf8_lossy(&self.received));
        answers
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.received.clear();
        self.send(request);
        self.answers(1, &[]).pop().unwrap()
    }
}

/// Sends bytes on a connection of their own and reads to its end, at most this long.
pub fn exchange(to: SocketAddr, bytes: &[u8], patience: Duration) -> (Vec<u8>, End) {
    let mut client = Client::connect(to);
    client.send(bytes);
    let end = client.read_to_end(patience);
    (client.received, end)
}
