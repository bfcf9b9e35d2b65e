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
            }
            if found.fields > MAX_FIELDS + PSEUDO_FIELDS {
                return self.budget.spend(Flood::Fields).map_err(Offence::Flood);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
