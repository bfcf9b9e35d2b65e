//! Looks at HTTP/2 frames as they pass (RFC 9113 section 4.1): a header block that does not end, and floods of cheap frames.
//!
//! The parser bounds what a connection may pin in memory, but not how much work a client makes us do with frames that ask for
//! nothing. Each cheap kind has a budget that grows with time and with the requests and bodies that the client really sends.

use crate::proxy::scan::floods::{Budget, Flood};
use crate::proxy::scan::paths::PathScan;
use crate::proxy::settings::MAX_FIELDS;

/// Why a connection must end although its parser finds nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Too much of something cheap.
    Flood(Flood),
    /// A path with a fragment.
    Fragment,
    /// A pseudo-header field in trailers.
    Trailers,
    /// A preface that begins like HTTP/2's and goes on otherwise; the parser would close without a word.
    Preface,
}

impl Offence {
    /// Returns the code of the GOAWAY that tells of it (RFC 9113 section 7): `ENHANCE_YOUR_CALM` or `PROTOCOL_ERROR`.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Flood(_) => 0x0b,
            Self::Fragment | Self::Trailers | Self::Preface => 0x01,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    Window,
    Continuation,
    Unknown,
}

use Kind::{Continuation, Data, GoAway, Headers, Ping, Priority, PushPromise, Reset, Settings, Unknown, Window};

const KINDS: [Kind; 10] = [Data, Headers, Priority, Reset, Settings, PushPromise, Ping, GoAway, Window, Continuation];

/// What a connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head, in bytes.
const HEAD: usize = 9;

/// The bit of a stream's number, and of a WINDOW_UPDATE, that says nothing (RFC 9113 sections 4.1 and 6.9).
const RESERVED: u32 = 1 << 31;

/// A WINDOW_UPDATE of fewer bytes is cheap.
const LEAST_WINDOW: u32 = 1024;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

/// The pseudo-fields that a request may have beside its fields (RFC 9113 section 8.3.1, RFC 8441 section 4).
const PSEUDO_FIELDS: usize = 5;

/// The most of a block that is looked at: more than the parser takes.
const MOST_FIELDS: usize = 64 * 1024;

/// What was seen of a connection's frames.
#[derive(Debug)]
pub struct FrameScan {
    /// What is still to come of the preface.
    preface: &'static [u8],
    head: [u8; HEAD],
    /// How much of the head is there.
    got: usize,
    /// How much of the payload is still to come.
    payload: usize,
    /// The first bytes of the payload, of those kinds whose payload says something here.
    start: [u8; 4],
    budget: Budget,
    /// A header block has begun and not ended.
    block: bool,
    /// What there is of it, with the padding and priority of its first frame still to be taken off.
    fields: Vec<u8>,
    paths: PathScan,
    /// The highest stream that was opened.
    highest: u32,
    /// The block is not the first of its stream.
    trails: bool,
}

impl FrameScan {
    /// Begins before the preface, in this round of the patrol.
    #[must_use]
    pub const fn new(round: u32) -> Self {
        Self {
            preface: PREFACE,
            head: [0; HEAD],
            got: 0,
            payload: 0,
            start: [0; 4],
            budget: Budget::new(round),
            block: false,
            fields: Vec::new(),
            paths: PathScan::new(),
            highest: 0,
            trails: false,
        }
    }

    /// Takes in bytes as they were read in this round of the patrol.
    ///
    /// # Errors
    ///
    /// Returns why the connection must end; nothing after it is looked at.
    pub fn feed(&mut self, bytes: &[u8], round: u32) -> Result<(), Offence> {
        self.budget.refill(round);
        let (first, mut bytes) = bytes.split_at(self.preface.len().min(bytes.len()));
        self.preface = self.preface.strip_prefix(first).ok_or(Offence::Preface)?;
        while !bytes.is_empty() {
            if self.got < HEAD {
                let taken = (HEAD - self.got).min(bytes.len());
                let (now, rest) = bytes.split_at(taken);
                for (to, from) in self.head.iter_mut().skip(self.got).zip(now) {
                    *to = *from;
                }
                self.got += taken;
                bytes = rest;
                if self.got < HEAD {
                    break;
                }
                self.payload = self.length();
                self.block |= self.kind() == Headers;
            }
            let done = self.length() - self.payload;
            let taken = self.payload.min(bytes.len());
            let (now, rest) = bytes.split_at(taken);
            for (to, from) in self.start.iter_mut().skip(done).zip(now) {
                *to = *from;
            }
            if self.block {
                let room = MOST_FIELDS.saturating_sub(self.fields.len());
                self.fields.extend_from_slice(now.get(..room).unwrap_or(now));
            }
            self.payload -= taken;
            bytes = rest;
            if self.payload == 0 {
                self.got = 0;
                self.whole()?;
            }
        }
        Ok(())
    }

    /// Says whether the preface is there.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.preface.is_empty()
    }

    /// Returns how much is held of what came: bytes of the block that has not ended, and entries of the table.
    #[must_use]
    pub fn held(&self) -> usize {
        self.fields.capacity() + self.paths.held()
    }

    /// Says whether a header block has begun and not ended.
    #[must_use]
    pub const fn is_in_block(&self) -> bool {
        self.block
    }

    const fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        (a as usize) << 16 | (b as usize) << 8 | c as usize
    }

    const fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.head;
        u32::from_be_bytes([a, b, c, d]) & !RESERVED
    }

    fn kind(&self) -> Kind {
        let [_, _, _, kind, ..] = self.head;
        KINDS.get(usize::from(kind)).copied().unwrap_or(Unknown)
    }

    const fn flag(&self, flag: u8) -> bool {
        let [_, _, _, _, flags, ..] = self.head;
        flags & flag != 0
    }

    /// Judges a frame that is there in full.
    fn whole(&mut self) -> Result<(), Offence> {
        match self.kind() {
            Headers => {
                self.budget.spare(Flood::Continuation, u32::MAX);
                self.budget.earn();
                self.unwrap_fields();
                self.trails = self.stream() <= self.highest;
                self.highest = self.highest.max(self.stream());
                return self.block_goes_on();
            }
            Continuation => {
                self.budget.spend(Flood::Continuation).map_err(Offence::Flood)?;
                return self.block_goes_on();
            }
            Data if self.length() == 0 && !self.flag(END_STREAM) => return self.budget.spend(Flood::EmptyData).map_err(Offence::Flood),
            Data => self.budget.earn(),
            Priority => return self.budget.spend(Flood::Priority).map_err(Offence::Flood),
            Reset => return self.budget.spend(Flood::Reset).map_err(Offence::Flood),
            Settings if !self.flag(ACK) => return self.budget.spend(Flood::Settings).map_err(Offence::Flood),
            Ping if !self.flag(ACK) => return self.budget.spend(Flood::Ping).map_err(Offence::Flood),
            Window if u32::from_be_bytes(self.start) & !RESERVED < LEAST_WINDOW => {
                return self.budget.spend(Flood::Window).map_err(Offence::Flood);
            }
            Unknown => return self.budget.spend(Flood::Unknown).map_err(Offence::Flood),
            // What a client may not send at all is the parser's to refuse.
            Settings | Ping | Window | PushPromise | GoAway => {}
        }
        Ok(())
    }

    /// Takes the padding and the priority off the first piece of a block (RFC 9113 section 6.2).
    fn unwrap_fields(&mut self) {
        let padding = if self.flag(PADDED) { self.fields.first().copied() } else { None };
        let before = usize::from(padding.is_some()) + if self.flag(WITH_PRIORITY) { 5 } else { 0 };
        let end = self.fields.len().saturating_sub(usize::from(padding.unwrap_or(0)));
        self.fields.truncate(end);
        self.fields.drain(..before.min(end));
    }

    /// Looks into a block once it is whole.
    fn block_goes_on(&mut self) -> Result<(), Offence> {
        if self.block && self.flag(END_HEADERS) {
            self.block = false;
            let fields = std::mem::take(&mut self.fields);
            let found = self.paths.look(&fields);
            if found.fragment {
                return Err(Offence::Fragment);
            }
            if found.pseudo && self.trails {
                return Err(Offence::Trailers);
            if found.fields > MAX_FIELDS + PSEUDO_FIELDS {
                return self.budget.spend(Flood::Fields).map_err(Offence::Flood);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Feeds frames after the preface, in pieces of this size; returns the flood and how many frames passed before it.
    fn feed(frames: &[Vec<u8>], pieces: usize) -> (FrameScan, Option<(Offence, usize)>) {
        let mut scan = FrameScan::new(0);
        PREFACE.chunks(pieces).for_each(|piece| scan.feed(piece, 0).unwrap());
        for (passed, frame) in frames.iter().enumerate() {
            for piece in frame.chunks(pieces) {
                if let Err(offence) = scan.feed(piece, 0) {
                    return (scan, Some((offence, passed)));
                }
            }
        }
        (scan, None)
    }

    #[test]
    fn each_cheap_kind_has_an_end_however_it_arrives() {
        for (flood, frame) in [
            (Flood::Ping, frame(6, 0, &[0; 8])),
            (Flood::Settings, frame(4, 0, &[])),
            (Flood::EmptyData, frame(0, 0, &[])),
            (Flood::Priority, frame(2, 0, &[0; 5])),
            (Flood::Window, frame(8, 0, &[0, 0, 0, 1])),
            (Flood::Window, frame(8, 0, &[0x80, 0, 0, 1])),
            (Flood::Reset, frame(3, 0, &[0; 4])),
            (Flood::Continuation, frame(9, 0, b"x")),
            (Flood::Unknown, frame(0x42, 0, b"xyz")),
            (Flood::Fields, frame(1, 4, &[0xbe; MAX_FIELDS + PSEUDO_FIELDS + 1])),
        ] {
            let frames = vec![frame; 2000];
            for pieces in [1, 2, 7, 1000] {
                let (_, ended) = feed(&frames, pieces);
                assert_eq!(ended, Some((Offence::Flood(flood), flood.burst() as usize)), "in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn answers_of_the_client_and_real_work_are_no_flood() {
        let mut frames = Vec::new();
        for _ in 0..5000 {
            frames.extend([frame(6, 1, &[0; 8]), frame(4, 1, &[]), frame(8, 0, &[0, 1, 0, 0])]);
            frames.extend([frame(1, 4, &[0xbe; MAX_FIELDS + PSEUDO_FIELDS])]);
            frames.extend([frame(1, 4, b"head"), frame(0, 0, b"data"), frame(0, 1, b""), frame(3, 0, &[0; 4]), frame(6, 0, &[0; 8])]);
        }
        assert_eq!(feed(&frames, 1000).1, None);
    }

    #[test]
    fn time_gives_back() {
        let mut scan = FrameScan::new(u32::MAX - 3);
        scan.feed(PREFACE, u32::MAX - 3).unwrap();
        let settings = frame(4, 0, &[]);
        let mut round = u32::MAX - 3;
        // Five per second are paid for, for ever.
        for _ in 0..1000 {
            (0..5).for_each(|_| scan.feed(&settings, round).unwrap());
            round = round.wrapping_add(10);
        }
        assert!((0..101).any(|_| scan.feed(&settings, round).is_err()));
    }

    #[test]
    fn a_block_is_open_from_the_head_of_its_first_frame_to_its_end() {
        let open = |frames: &[Vec<u8>]| feed(frames, 3).0.is_in_block();
        assert!(!open(&[frame(1, 4, b"whole")]));
        assert!(open(&[frame(1, 0, b"begun")]));
        assert!(open(&[frame(1, 0, b"begun"), frame(9, 0, b"more")]));
        assert!(!open(&[frame(1, 0, b"begun"), frame(9, 4, b"end")]));
        let mut scan = FrameScan::new(0);
        scan.feed(PREFACE, 0).unwrap();
        scan.feed(&frame(1, 4, b"cut here")[..12], 0).unwrap();
        assert!(scan.is_in_block());
    }

    #[test]
    fn a_fragment_is_found_in_whatever_frames_the_block_comes() {
        let block = b"\x82\x04\x04/t#f";
        let padded = [&[3], &block[..], &[0; 3]].concat();
        let with_priority = [&[0; 5], &block[..]].concat();
        let both = [&[3, 0, 0, 0, 0, 9], &block[..], &[0; 3]].concat();
        for frames in [
            vec![frame(1, 4, block)],
            vec![frame(1, 0, &block[..3]), frame(9, 0, &block[3..6]), frame(9, 4, &block[6..])],
            vec![frame(1, 4 | 8, &padded)],
            vec![frame(1, 4 | 0x20, &with_priority)],
            vec![frame(1, 4 | 8 | 0x20, &both)],
        ] {
            for pieces in [1, 3, 100] {
                let end = frames.len() - 1;
                assert_eq!(feed(&frames, pieces).1, Some((Offence::Fragment, end)), "in pieces of {pieces}");
            }
        }
        assert_eq!(feed(&[frame(1, 4, b"\x82\x04\x03/tf"), frame(0, 0, block)], 2).1, None);
    }

    #[test]
    fn only_the_first_block_of_a_stream_may_have_pseudo_header_fields() {
        let on = |stream: u8, block: &[u8]| {
            let mut frame = frame(1, 4, block);
            frame[8] = stream;
            frame
        };
        let (get, trailers) = (b"\x82\x84", b"\x00\x01x\x01y");
        let sound = [on(1, get), on(3, get), on(1, trailers), on(3, trailers), on(5, get)];
        assert_eq!(feed(&sound, 3).1, None);
        for block in [&get[..], b"\x00\x01x\x01y\x00\x07:status\x03200"] {
            assert_eq!(feed(&[&sound[..], &[on(3, block)]].concat(), 3).1, Some((Offence::Trailers, 5)), "{block:?}");
        }
        let pieces = [frame(1, 0, &trailers[..3]), frame(9, 4, b"\x01y\x82")];
        assert_eq!(feed(&[&sound[..], &pieces].concat(), 3).1, Some((Offence::Trailers, 6)));
    }

    #[test]
    fn of_a_long_block_as_much_is_looked_at_however_it_arrives() {
        let long = [&b"\x0f\x00\x7f"[..], &[0x80, 0x80, 0x04], &vec![b'x'; MOST_FIELDS + 127], b"\x04\x04/t#f"].concat();
        for pieces in [1, 1000, long.len() + HEAD] {
            let (scan, ended) = feed(&[frame(1, 0, &long), frame(9, 4, b"")], pieces);
            assert_eq!(ended, None, "in pieces of {pieces}");
            assert!(scan.held() <= 2 * MOST_FIELDS);
        }
    }

    #[test]
    fn a_preface_that_goes_on_wrongly_is_noticed_at_its_first_wrong_byte() {
        for at in 0..PREFACE.len() {
            let mut bytes = PREFACE.to_vec();
            bytes[at] ^= 1;
            let mut scan = FrameScan::new(0);
            assert_eq!(scan.feed(&bytes[..at], 0), Ok(()));
            assert_eq!(scan.feed(&bytes[at..=at], 0), Err(Offence::Preface));
            assert_eq!(FrameScan::new(0).feed(&bytes, 0), Err(Offence::Preface));
        }
    }
}
