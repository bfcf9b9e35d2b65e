//! Looks into header blocks for what the parser drops without a word: a path's fragment, of which RFC 9113 section 8.3.1 allows
//! none, and pseudo-header fields where section 8.1 allows none; and counts their fields, each of which may be a single byte.
//!
//! It walks the representations of HPACK (RFC 7541 section 6) without decoding them. Of the dynamic table it must know only what
//! its entries' names are: their values were looked at when they came.

use std::collections::VecDeque;

/// The most entries a table of 4 KiB can have (RFC 7541 section 4.1), which is what we let clients use.
const MOST_ENTRIES: usize = 4096 / 32;

/// The entries of the static table whose name is `:path`, the last with a pseudo-header field, and how many there are of all
/// (RFC 7541 appendix A).
const PATHS: [usize; 2] = [4, 5];
const LAST_PSEUDO: usize = 14;
const STATIC: usize = 61;

/// `:path`, as it is and Huffman-coded.
const NAME: &[u8] = b":path";
const NAME_CODED: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];

/// The seven bits of a colon, Huffman-coded.
const COLON_CODED: u8 = 0b101_1100;

/// How many symbols have codes of how many bits (RFC 7541 appendix B); the codes are canonical, so that this says where they lie.
const CODES: [(u32, u64); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];

/// What the names of a connection's known entries are; the newest first.
#[derive(Debug)]
pub struct PathScan {
    known: VecDeque<Name>,
}

/// What a block has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// A path with a fragment.
    pub fragment: bool,
    /// A pseudo-header field.
    pub pseudo: bool,
    /// So many fields, the pseudo-fields among them.
    pub fields: usize,
}

/// What matters of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Path,
    /// Of another pseudo-header field.
    Pseudo,
    Other,
}

/// A text as it stands in a block.
struct Text<'a> {
    bytes: &'a [u8],
    coded: bool,
}

impl PathScan {
    /// Begins a connection.
    pub const fn new() -> Self {
        Self { known: VecDeque::new() }
    }

    /// Returns how many entries there is room for.
    pub fn held(&self) -> usize {
        self.known.capacity()
    }

    /// Looks through a whole block. Of what is malformed the rest is left to the parser, which ends the connection.
    pub fn look(&mut self, block: &[u8]) -> Found {
        let (mut rest, mut found) = (block, Found::default());
        while let Some(first) = rest.first().copied() {
            let (bits, kept) = match first {
                0x80.. => (7, false),
                0x40..0x80 => (6, true),
                0x20..0x40 => (5, false),
                _ => (4, false),
            };
            let Some(index) = integer(&mut rest, bits) else { return found };
            if matches!(first, 0x20..0x40) {
                continue;
            }
            found.fields += 1;
            let is_literal = first < 0x80;
            let name = if index == 0 && is_literal {
                let Some(name) = text(&mut rest) else { return found };
                name.as_name()
            } else {
                self.name_of(index)
            };
            found.pseudo |= name != Name::Other;
            if !is_literal {
                continue;
            }
            let Some(value) = text(&mut rest) else { return found };
            found.fragment |= name == Name::Path && value.has_hash();
            if kept {
                self.known.truncate(MOST_ENTRIES - 1);
                self.known.push_front(name);
            }
        }
        found
    }

    fn name_of(&self, index: usize) -> Name {
        match index.checked_sub(STATIC + 1) {
            Some(known) => self.known.get(known).copied().unwrap_or(Name::Other),
            None if PATHS.contains(&index) => Name::Path,
            None if (1..=LAST_PSEUDO).contains(&index) => Name::Pseudo,
            None => Name::Other,
        }
    }
}

impl Text<'_> {
    fn as_name(&self) -> Name {
        let (path, colon) = if self.coded { (NAME_CODED, COLON_CODED) } else { (NAME, b':') };
        let first = self.bytes.first().map(|byte| if self.coded { byte >> 1 } else { *byte });
        match self.bytes {
            bytes if bytes == path => Name::Path,
            _ if first == Some(colon) => Name::Pseudo,
            _ => Name::Other,
        }
    }

    fn has_hash(&self) -> bool {
        if !self.coded {
            return self.bytes.contains(&b'#');
        }
        let (mut window, mut bits) = (0_u64, 0_u32);
        let mut bytes = self.bytes.iter();
        loop {
            while bits <= 32
                && let Some(byte) = bytes.next()
            {
                window |= u64::from(*byte) << (56 - bits);
                bits += 8;
            }
            match code_length(window >> 32) {
                Some(length) if length <= bits => {
                    if length == 12 && window >> 52 == 0xffa {
                        return true;
                    }
                    window <<= length;
                    bits -= length;
                }
                _ => return false,
            }
        }
    }
}

/// Returns how many bits the code has that these 32 bits begin with.
fn code_length(bits: u64) -> Option<u32> {
    let mut end = 0_u64;
    CODES.iter().find_map(|(length, count)| {
        end += count << (32 - length);
        (bits < end).then_some(*length)
    })
}

/// Reads an integer with a prefix of so many bits (RFC 7541 section 5.1).
fn integer(bytes: &mut &[u8], bits: u32) -> Option<usize> {
    let mask = (1_usize << bits) - 1;
    let (first, mut rest) = bytes.split_first()?;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value += usize::from(byte & 0x7f).checked_shl(shift).filter(|_| shift <= 21)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *bytes = rest;
    Some(value)
}

/// Reads a text (RFC 7541 section 5.2).
fn text<'a>(bytes: &mut &'a [u8]) -> Option<Text<'a>> {
    let coded = bytes.first()? & 0x80 != 0;
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Text { bytes: text, coded })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/t#f`, Huffman-coded.
    const CODED: [u8; 4] = [0x61, 0x3f, 0xf5, 0x2f];

    fn found(blocks: &[&[&[u8]]]) -> Vec<bool> {
        let mut scan = PathScan::new();
        blocks.iter().map(|block| scan.look(&block.concat()).fragment).collect()
    }

    #[test]
    fn finds_a_fragment_however_the_path_is_written() {
        for name in [&[0x04_u8][..], &[0x05], &[0x14], &[0x44], b"\x00\x05:path", b"\x10\x05:path", b"\x00\x84\xb9\x58\xd3\x3f"] {
            assert_eq!(found(&[&[name, b"\x04/t#f"]]), [true], "{name:?}");
            assert_eq!(found(&[&[name, b"\x84", &CODED]]), [true], "{name:?}");
            assert_eq!(found(&[&[name, b"\x03/tf"]]), [false], "{name:?}");
            assert_eq!(found(&[&[b"\x82\x86", name, b"\x03/tf\x44\x02/#"]]), [true], "{name:?}");
        }
    }

    #[test]
    fn a_name_from_the_table_is_known() {
        let keep_path: &[u8] = b"\x44\x02/a";
        let keep_other: &[u8] = b"\x40\x01x\x01y";
        // The newest entry is 62.
        assert_eq!(found(&[&[keep_path, keep_other], &[b"\x0f\x30\x02/#"]]), [false, true]);
        assert_eq!(found(&[&[keep_path, keep_other], &[b"\x0f\x2f\x02/#"]]), [false, false]);
        // Its value was looked at when it came.
        assert_eq!(found(&[&[b"\x44\x02/#"], &[b"\xbe"]]), [true, false]);
    }

    #[test]
    fn finds_a_pseudo_header_field_however_it_is_written() {
        let pseudo = |blocks: &[&[u8]]| -> Vec<bool> {
            let mut scan = PathScan::new();
            blocks.iter().map(|block| scan.look(block).pseudo).collect()
        };
        // `:status` of RFC 7541 appendix A, by its index, its name's index, and in full; `:m`, Huffman-coded.
        for field in [&b"\x88"[..], b"\x08\x03200", b"\x48\x03200", b"\x00\x07:status\x03200", b"\x00\x82\xb9\x4f\x01x", b"\x04\x01/"] {
            assert_eq!(pseudo(&[field]), [true], "{field:?}");
        }
        // `accept-charset`, by its index and its name's; names with a colon elsewhere; a change of the table's size.
        for field in [&b"\x8f"[..], b"\x0f\x00\x01x", b"\x00\x02x:\x01:", b"\x00\x00\x00", b"\x2e", b"\x80", b"\xbe", b""] {
            assert_eq!(pseudo(&[field]), [false], "{field:?}");
        }
        assert_eq!(pseudo(&[b"\x40\x02:x\x01y", b"\x40\x01x\x01y", b"\xbe", b"\xbf", b"\x0f\x30\x01z"]), [true, false, false, true, true]);
    }

    #[test]
    fn other_fields_may_have_a_hash() {
        assert_eq!(found(&[&[b"\x00\x01x\x01#\x0f\x24\x01#\x20\x3f\xe1\x1f"]]), [false]);
    }

    #[test]
    fn fields_are_counted_however_they_are_written_and_sizes_of_the_table_are_none() {
        let mut scan = PathScan::new();
        let block = b"\x3f\xe1\x1f\x82\x04\x02/a\x40\x01x\x01y\x00\x01x\x01y\x10\x01x\x01y\xbe\xbe\x20";
        assert_eq!(scan.look(block), Found { fragment: false, pseudo: true, fields: 7 });
        assert_eq!(scan.look(&[0xbe; 400]).fields, 400);
    }

    #[test]
    fn codes_are_walked_as_the_standard_writes_them() {
        // RFC 7541 appendix C.4.1 and C.6.1; none has a '#', and each ends with its padding.
        for coded in [
            &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
            &[0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6],
        ] {
            assert!(!Text { bytes: coded, coded: true }.has_hash());
        }
        assert!(Text { bytes: &CODED, coded: true }.has_hash());
        assert_eq!(CODES.iter().map(|(length, count)| count << (32 - length)).sum::<u64>(), 1 << 32, "the codes are complete");
    }

    #[test]
    fn what_is_cut_or_too_large_ends_the_walk() {
        let mut block = b"\x00\x05:path\x84".to_vec();
        block.extend(CODED);
        for end in 0..block.len() {
            assert!(!PathScan::new().look(&block[..end]).fragment);
        }
        assert_eq!(PathScan::new().look(b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Found::default());
        assert_eq!(PathScan::new().look(b"\xff"), Found::default());
    }
}
