//! What a client knows of the port it speaks to, and the frames it makes of that.

use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};

/// Numbers of settings (RFC 9113 section 6.5.2).
pub const TABLE_SIZE: u16 = 1;
/// See [`TABLE_SIZE`].
pub const ENABLE_PUSH: u16 = 2;
/// See [`TABLE_SIZE`].
pub const CONCURRENT_STREAMS: u16 = 3;
/// See [`TABLE_SIZE`].
pub const INITIAL_WINDOW: u16 = 4;
/// See [`TABLE_SIZE`].
pub const FRAME_SIZE: u16 = 5;
/// See [`TABLE_SIZE`].
pub const HEADER_LIST: u16 = 6;

/// The length of the fields that make a head long.
const LONG: usize = 4000;

/// What a port says of itself.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The scheme of requests to it.
    pub scheme: &'static str,
    /// The longest frame it takes.
    pub frame_size: usize,
    /// How many streams it takes at once.
    pub streams: Option<u32>,
    /// The size of its table of fields.
    pub table_size: usize,
}

impl Peer {
    /// Learns from the payload of its SETTINGS.
    pub fn new(scheme: &'static str, settings: &[u8]) -> Self {
        let number = |wanted: u16| {
            let mut all = settings.chunks_exact(6).filter(|pair| pair[..2] == wanted.to_be_bytes());
            all.next_back().map(|pair| u32::from_be_bytes(pair[2..].try_into().unwrap()))
        };
        let size = |wanted, default| number(wanted).map_or(default, |value| usize::try_from(value).unwrap());
        Self { scheme, frame_size: size(FRAME_SIZE, 16_384), streams: number(CONCURRENT_STREAMS), table_size: size(TABLE_SIZE, 4096) }
    }

    /// The pseudo-header fields of a request.
    pub fn pseudo(&self, method: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![(":method", method), (":scheme", self.scheme), (":path", "/"), (":authority", "a.test")]
    }

    /// The header block of a request with more fields.
    pub fn block_with(&self, method: &'static str, more: &[(&'static str, &'static str)]) -> Vec<u8> {
        frames::block(&[self.pseudo(method), more.to_vec()].concat())
    }

    /// The header block of a request.
    pub fn block(&self, method: &'static str) -> Vec<u8> {
        self.block_with(method, &[])
    }

    /// A GET on this stream, whole.
    pub fn get(&self, stream: u32) -> Vec<u8> {
        frames::headers(stream, &self.block("GET"), true)
    }

    /// A GET on stream 1 with more fields.
    pub fn get_with(&self, more: &[(&'static str, &'static str)]) -> Vec<u8> {
        frames::headers(1, &self.block_with("GET", more), true)
    }

    /// A GET on stream 1 whose body is still to come.
    pub fn open(&self) -> Vec<u8> {
        frames::headers(1, &self.block("GET"), false)
    }

    /// The head of a POST on stream 1.
    pub fn post(&self) -> Vec<u8> {
        frames::headers(1, &self.block("POST"), false)
    }

    /// The first piece of a head on stream 1, whose request has no body or one.
    pub fn begun(&self, method: &'static str, end: bool) -> Vec<u8> {
        frame(HEADERS, if end { END_STREAM } else { 0 }, 1, self.block(method))
    }
}

/// DATA on stream 1.
pub fn data(bytes: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, 1, bytes)
}

/// CONTINUATION with one long field.
pub fn continuation(stream: u32, end: bool) -> Vec<u8> {
    frame(CONTINUATION, if end { END_HEADERS } else { 0 }, stream, long(1))
}

/// So many long fields.
pub fn long(count: usize) -> Vec<u8> {
    frames::block(&(0..count).map(|index| (format!("x-long{index}"), "x".repeat(LONG))).collect::<Vec<_>>())
}

/// The payload of PRIORITY; the weight is one less than what it means.
pub fn priority_of(on: u32, exclusive: bool, weight: u8) -> Vec<u8> {
    let on = if exclusive { on | 1 << 31 } else { on };
    [&on.to_be_bytes()[..], &[weight]].concat()
}

/// PRIORITY.
pub fn priority(stream: u32, on: u32, exclusive: bool, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, priority_of(on, exclusive, weight))
}

/// RST_STREAM.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// WINDOW_UPDATE.
pub fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// SETTINGS.
pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let bytes: Vec<u8> = pairs.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, bytes)
}

/// PING.
pub fn ping(bytes: [u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, bytes)
}
