//! Fields written in every way, and blocks that cannot be read (RFC 7541).

use super::case::{Case, case, section};
use super::ends::{COMPRESSION, Ends};
use super::peer::Peer;
use crate::support::frames::{headers, integer};

/// A name and a value as they are written: with the bit that says whether they are Huffman-coded, their lengths and bytes.
pub struct Text {
    /// Name.
    pub name: &'static [u8],
    /// Value.
    pub value: &'static [u8],
}

impl Text {
    /// `custom-key: custom-value`.
    pub const PLAIN: Self = Self { name: b"\x0acustom-key", value: b"\x0ccustom-value" };
    /// The same, as in RFC 7541 appendix C.4.3.
    pub const CODED: Self = Self { name: b"\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", value: b"\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf" };
}

/// Makes a literal field: how it is treated and its name's index in so many bits, its name unless it has an index, its value.
pub fn literal(first: u8, bits: u8, index: usize, name: Option<&[u8]>, value: &[u8]) -> Vec<u8> {
    [&integer(first, bits, index)[..], name.unwrap_or_default(), value].concat()
}

/// All that cannot be read.
pub fn cases(peer: &Peer) -> Vec<Case> {
    let block = peer.block("GET");
    let unreadable = |title: &str, block: Vec<u8>| case(title, Ends::ConnectionError(&[COMPRESSION]), headers(1, &block, true));
    let after = |title: &str, field: &[u8]| unreadable(title, [&block[..], field].concat());
    let valued = |title: &str, value: &[u8]| after(title, &literal(0, 4, 0, Some(Text::CODED.name), value));
    let larger = [&integer(0x20, 5, peer.table_size + 1)[..], &block].concat();
    [
        section(
            "hpack/2.3.3",
            [
                after("a field with an index beyond both tables", &integer(0x80, 7, 70)),
                after("a name with an index beyond both tables", &literal(0, 4, 70, None, Text::PLAIN.value)),
            ],
        ),
        section("hpack/4.2", [after("the size of the table changes at the end of a block", &integer(0x20, 5, 1))]),
        section(
            "hpack/5.2",
            [
                valued("a Huffman code padded by more than 7 bits", b"\x8a\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf\xff"),
                // `private` of appendix C.6.1, whose one bit of padding is a zero here.
                valued("a Huffman code padded by zeros", b"\x85\xae\xc3\x77\x1a\x4a"),
                // 30 ones, the code of e, and the padding.
                valued("a Huffman code with the symbol of the end in it", b"\x85\xff\xff\xff\xfc\xbf"),
            ],
        ),
        section("hpack/6.1", [after("a field with index 0", &[0x80])]),
        section("hpack/6.3", [unreadable("the table is made larger than the server allows", larger)]),
    ]
    .concat()
}
