//! A connection to a port, plain or encrypted, on which one case is played.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::case::{Awaited, Case, Step};
use super::ends::Outcome;
use super::peer::{self, INITIAL_WINDOW, Peer};
use crate::support::PATIENCE;
use crate::support::frames::{self, ACK, DATA, END_STREAM, Frame, HEADERS, PREFACE, SETTINGS, frame};

/// Where cases are played.
#[derive(Clone)]
pub struct Port {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who is trusted and what is spoken where it is encrypted.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long anything may take.
    pub patience: Duration,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection to a port.
struct Talk {
    stream: Box<dyn Stream>,
    /// The socket below the stream, for its time-outs.
    socket: TcpStream,
    received: Vec<u8>,
    /// How many frames have been waited for already.
    past: usize,
    closed: bool,
    patience: Duration,
}

impl Port {
    fn connect(&self) -> Talk {
        let socket = TcpStream::connect_timeout(&self.address, PATIENCE).expect("the port accepts connections");
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(self.patience)).unwrap();
        let below = socket.try_clone().unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("a.test").unwrap();
                Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket))
            }
        };
        Talk { stream, socket: below, received: Vec::new(), past: 0, closed: false, patience: self.patience }
    }

    /// Asks the port for its settings.
    pub fn peer(&self) -> Peer {
        let mut talk = self.connect();
        let settings = talk.greet().expect("the port greets");
        Peer::new(if self.tls.is_some() { "https" } else { "http" }, &settings)
    }

    /// Plays a case on a connection of its own.
    pub fn play(&self, case: &Case) -> Outcome {
        let mut talk = self.connect();
        if case.greets && talk.greet().is_none() {
            return Outcome::missed("no greeting");
        }
        for step in &case.steps {
            match step {
                Step::Send(bytes) => talk.send(bytes),
                Step::Await(awaited) if !talk.waits(*awaited) => return Outcome::missed(format!("no {awaited:?}")),
                Step::Await(_) => {}
            }
        }
        talk.until(|frames, closed| case.ends.judge(frames, closed)).unwrap_or_else(|| Outcome::missed("nothing"))
    }
}

impl Talk {
    /// Sends bytes; what is not taken any more, because the connection is closed, is dropped.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Exchanges the prefaces; returns the payload of the peer's SETTINGS.
    fn greet(&mut self) -> Option<Vec<u8>> {
        self.send(&[PREFACE, &peer::settings(&[(INITIAL_WINDOW, 65_535)])].concat());
        let (settings, past) = self.until(|frames, _| {
            let theirs = frames.iter().find(|frame| frame.kind == SETTINGS && !frame.has(ACK))?;
            frames.iter().any(|frame| frame.kind == SETTINGS && frame.has(ACK)).then(|| (theirs.payload.to_vec(), frames.len()))
        })?;
        self.past += past;
        self.send(&frame(SETTINGS, ACK, 0, b""));
        Some(settings)
    }

    /// Waits for something, and goes past it; says whether it came.
    fn waits(&mut self, awaited: Awaited) -> bool {
        let is_it = |frame: &Frame<'_>| match awaited {
            Awaited::Acknowledged => frame.kind == SETTINGS && frame.has(ACK),
            Awaited::Data => frame.kind == DATA,
            Awaited::AnswerEnds => matches!(frame.kind, DATA | HEADERS) && frame.has(END_STREAM),
        };
        let found = self.until(|frames, _| frames.iter().position(is_it));
        self.past += found.map_or(0, |at| at + 1);
        found.is_some()
    }

    /// Reads until the frames after those waited for decide, the connection closes, or patience ends.
    fn until<T>(&mut self, decide: impl Fn(&[Frame<'_>], bool) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + self.patience;
        loop {
            let frames = frames::split(&self.received);
            let decided = decide(frames.get(self.past..).unwrap_or_default(), self.closed);
            if decided.is_some() || self.closed || !self.read(deadline) {
                return decided;
            }
        }
    }

    /// Reads once; says whether anything happened before the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.socket.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(count @ 1..) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            // An end, a reset, or an end of TCP without one of TLS.
            Ok(0) | Err(_) => self.closed = true,
        }
        true
    }
}
