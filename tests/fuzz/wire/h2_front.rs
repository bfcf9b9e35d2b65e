//! Frames of a client that speaks HTTP/2.

use portcullis::proxy::scan::{Flood, FrameScan, Offence};

/// The connection preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than is ever held of a connection's frames: a block of 64 KiB in a buffer that doubles as it grows, and 128 entries.
const MOST_HELD: usize = 2 * 64 * 1024 + 128;

/// The most frames that are made of an input.
const MOST_FRAMES: usize = 4000;

/// Frames: the verdict does not depend on how the bytes arrive, and what is held is bounded. Of sound frames, made of the same
/// bytes, only those offend that are too many for their budget, have a path with a fragment, or have a path in a block that is not
/// the first of its stream, and those always.
pub fn h2_front(bytes: &[u8]) {
    agrees(bytes);
    agrees(&[PREFACE, bytes].concat());
    let (frames, expected) = sound(bytes);
    let whole = [PREFACE, &frames].concat();
    let verdict = agrees(&whole);
    assert_eq!(verdict, expected, "of sound frames: {}", whole.escape_ascii());
}

/// Claims that the verdict is the same in pieces of any size; returns it.
fn agrees(bytes: &[u8]) -> Option<Offence> {
    let whole = fed(bytes, usize::MAX);
    for piece in [1 + bytes.len() / 4096, 7] {
        assert_eq!(fed(bytes, piece), whole, "in pieces of {piece}");
    }
    whole.0
}

/// Feeds all to its offence; returns that, and unless there is one whether the preface is there and a block open.
fn fed(bytes: &[u8], piece: usize) -> (Option<Offence>, Option<(bool, bool)>) {
    let mut scan = FrameScan::new(0);
    for now in bytes.chunks(piece) {
        let fed = scan.feed(now, 0);
        assert!(scan.held() <= MOST_HELD, "{} are held", scan.held());
        if let Err(offence) = fed {
            return (Some(offence), None);
        }
    }
    (None, Some((scan.is_begun(), scan.is_in_block())))
}

/// The frames that are made, and what a reader of whole frames says of them.
#[derive(Default)]
struct Made {
    bytes: Vec<u8>,
    frames: usize,
    spent: [u32; Flood::ALL.len()],
    /// Whether the newest entry of the table of known fields is a path.
    newest: bool,
    /// The highest stream that was opened.
    highest: u8,
    offence: Option<Offence>,
}

impl Made {
    fn frame(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        self.bytes.extend_from_slice(&[&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat());
        self.frames += 1;
    }

    fn spend(&mut self, flood: Flood) {
        self.spent[flood.index()] += 1;
        if self.spent[flood.index()] > flood.burst() {
            self.offend(Offence::Flood(flood));
        }
    }

    fn earn(&mut self) {
        for flood in [Flood::Ping, Flood::Priority, Flood::Window, Flood::Reset, Flood::Unknown] {
            self.spent[flood.index()] = self.spent[flood.index()].saturating_sub(2);
        }
    }

    fn offend(&mut self, offence: Offence) {
        self.offence = self.offence.or(Some(offence));
    }
}

/// Takes bytes one by one, then zeros.
fn take(rest: &mut &[u8]) -> u8 {
    let Some((first, behind)) = rest.split_first() else { return 0 };
    *rest = behind;
    *first
}

/// Makes sound frames: each of a kind, flags, a stream and a payload, and as often as a byte says.
fn sound(mut rest: &[u8]) -> (Vec<u8>, Option<Offence>) {
    let mut made = Made::default();
    while !rest.is_empty() && made.frames < MOST_FRAMES && made.offence.is_none() {
        let (kind, flags, stream, times) = (take(&mut rest) % 11, take(&mut rest), take(&mut rest), take(&mut rest));
        if matches!(kind, 1 | 5 | 9) {
            block(&mut made, flags, stream, &mut rest);
            continue;
        }
        let length = take(&mut rest);
        let length = match kind {
            2 => 5,
            3 | 8 => 4,
            4 if flags & 1 == 1 => 0,
            4 => usize::from(length % 4) * 6,
            6 => 8,
            _ => usize::from(length % 20),
        };
        let payload: Vec<u8> = (0..length).map(|_| take(&mut rest)).collect();
        for _ in 0..=times {
            made.frame(if kind == 10 { 0x42 } else { kind }, flags, stream, &payload);
            match kind {
                0 if length == 0 && flags & 1 == 0 => made.spend(Flood::EmptyData),
                0 => made.earn(),
                2 => made.spend(Flood::Priority),
                3 => made.spend(Flood::Reset),
                4 if flags & 1 == 0 => made.spend(Flood::Settings),
                6 if flags & 1 == 0 => made.spend(Flood::Ping),
                8 if payload[0] & 0x7f == 0 && payload[1] == 0 && payload[2] < 4 => made.spend(Flood::Window),
                10 => made.spend(Flood::Unknown),
                _ => {}
            }
        }
    }
    (made.bytes, made.offence)
}

/// Makes a header block in HEADERS, padded and with a priority where the flags say so, and CONTINUATION.
fn block(made: &mut Made, flags: u8, stream: u8, rest: &mut &[u8]) {
    let (mut block, mut fragment, mut pseudo) = (Vec::new(), false, false);
    for _ in 0..take(rest) % 4 {
        let (form, named) = (take(rest) % 5, take(rest) & 1 == 0);
        let name: &[u8] = if named { b"\x05:path" } else { b"\x03x-a" };
        // RFC 7541 section 6.2: which name, and whether the field is to be known from now on.
        let (start, is_path, known) = match form {
            0 => ([&[0x00], name].concat(), named, false),
            1 => (vec![0x04], true, false),
            2 => (vec![0x45], true, true),
            3 => ([&[0x40], name].concat(), named, true),
            _ => (vec![0x0f, 62 - 15], made.newest, false),
        };
        let length = take(rest) % 40;
        let value: Vec<u8> = (0..length).map(|_| take(rest)).collect();
        block.extend_from_slice(&[&start[..], &[length], &value].concat());
        pseudo |= is_path;
        fragment |= is_path && value.contains(&b'#');
        if known {
            made.newest = is_path;
        }
    }
    let (more, padding) = (usize::from(take(rest) % 24), take(rest) % 8);
    let piece = |index: usize| &block[block.len() * index / (more + 1)..block.len() * (index + 1) / (more + 1)];
    let end = |index: usize| if index == more { 4 } else { 0 };
    let (padded, weighted) = (flags & 8 != 0, flags & 0x20 != 0);
    let before = [vec![padding; usize::from(padded)], vec![0; if weighted { 5 } else { 0 }]].concat();
    let behind = vec![0; if padded { usize::from(padding) } else { 0 }];
    made.frame(1, flags & 0x29 | end(0), stream, &[&before, piece(0), &behind].concat());
    made.spent[Flood::Continuation.index()] = 0;
    made.earn();
    for index in 1..=more {
        made.frame(9, end(index), stream, piece(index));
        made.spend(Flood::Continuation);
    }
    if fragment {
        made.offend(Offence::Fragment);
    } else if pseudo && stream <= made.highest {
        made.offend(Offence::Trailers);
    }
    made.highest = made.highest.max(stream);
}
