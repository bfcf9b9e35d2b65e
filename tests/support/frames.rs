//! HTTP/2 by hand: frames and header blocks as they are wanted, good or bad, and what comes back.

use std::net::SocketAddr;

use super::client::{Client, End};

/// The connection preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const PRIORITY: u8 = 2;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PUSH_PROMISE: u8 = 5;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// Flags: ACK of SETTINGS and PING, END_STREAM of DATA and HEADERS, END_HEADERS, PADDED, and PRIORITY of HEADERS.
pub const ACK: u8 = 1;
/// See [`ACK`].
pub const END_STREAM: u8 = 1;
/// See [`ACK`].
pub const END_HEADERS: u8 = 4;
/// See [`ACK`].
pub const PADDED: u8 = 8;
/// See [`ACK`].
pub const WITH_PRIORITY: u8 = 0x20;

/// Makes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Makes a header block of literals that are neither indexed nor Huffman-coded (RFC 7541 section 6.2.2).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            block.extend(integer(0, 7, text.len()));
            block.extend_from_slice(text);
        }
    }
    block
}

/// Makes an integer whose first byte has so many bits for it, below these others (RFC 7541 section 5.1).
pub fn integer(others: u8, bits: u8, mut value: usize) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if value < most {
        return vec![others | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![others | u8::try_from(most).unwrap()];
    value -= most;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// Makes the frames of a header block, in pieces that fit.
pub fn headers(stream: u32, block: &[u8], end: bool) -> Vec<u8> {
    let mut pieces = block.chunks(16_000);
    let count = pieces.len().max(1);
    let end = if end { END_STREAM } else { 0 };
    let last = |index: usize| if index + 1 == count { END_HEADERS } else { 0 };
    let mut bytes = frame(HEADERS, end | last(0), stream, pieces.next().unwrap_or_default());
    for (index, piece) in pieces.enumerate() {
        bytes.extend(frame(CONTINUATION, last(index + 1), stream, piece));
    }
    bytes
}

/// What came from the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The head of an answer.
    Status(u32, u16),
    /// DATA: its stream, how many bytes, and whether it is the last.
    Data(u32, usize, bool),
    /// RST_STREAM with its code.
    Reset(u32, u32),
    /// GOAWAY with its code.
    GoAway(u32),
    /// Anything else, by its kind and flags.
    Other(u8, u8),
}

/// A frame as it came.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its kind, one of [`DATA`] and the others.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Says whether it has a flag.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the four bytes from there as a number; 0 when they are not there.
    pub fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
    }
}

/// Splits bytes into the frames that are there in full.
pub fn split(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        frames.push(Frame { kind: head[3], flags: head[4], stream, payload });
        bytes = rest;
    }
    frames
}

/// Reads the frames that are there in full.
pub fn read(bytes: &[u8]) -> Vec<Event> {
    let event = |frame: Frame<'_>| match frame.kind {
        HEADERS => Event::Status(frame.stream, status(frame.payload)),
        DATA => Event::Data(frame.stream, frame.payload.len(), frame.has(END_STREAM)),
        RST_STREAM => Event::Reset(frame.stream, frame.number(0)),
        GOAWAY => Event::GoAway(frame.number(4)),
        kind => Event::Other(kind, frame.flags),
    };
    split(bytes).into_iter().map(event).collect()
}

/// Reads `:status` from the start of a connection's first block; 0 when it is not there.
pub fn status(block: &[u8]) -> u16 {
    let block = &block[block.iter().position(|b| b & 0xe0 != 0x20).unwrap_or(block.len())..];
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x48 | 0x08, length, rest @ ..] => digits(&rest[..usize::from(length & 0x7f)], length & 0x80 != 0),
        _ => 0,
    }
}

/// Reads digits, Huffman-coded or not (RFC 7541 appendix B).
fn digits(bytes: &[u8], coded: bool) -> u16 {
    if !coded {
        return String::from_utf8_lossy(bytes).parse().unwrap_or(0);
    }
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let value = |bits: &[bool]| bits.iter().fold(0_u16, |sum, bit| sum * 2 + u16::from(*bit));
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = bits.get(at..at + 5).map_or(99, value);
        let (digit, width) = if short <= 2 { (short, 5) } else { (bits.get(at..at + 6).map_or(0, value).wrapping_sub(0x16), 6) };
        number = number * 10 + digit;
        at += width;
    }
    number
}

/// A connection with its preface and empty SETTINGS sent.
pub fn connect(to: SocketAddr) -> Client {
    let mut client = Client::connect(to);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    client
}

/// Reads until the events satisfy `enough` or the connection ends; returns them and how it ended.
pub fn read_until(client: &mut Client, enough: impl Fn(&[Event]) -> bool) -> (End, Vec<Event>) {
    let end = client.read_until(|bytes| enough(&read(bytes)));
    (end, read(&client.received))
}
