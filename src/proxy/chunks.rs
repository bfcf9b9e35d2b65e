//! Decodes a chunked body (RFC 9112 section 7.1), strictly: sizes of 1 to 16 hexadecimal digits, extensions only after ';',
//! trailers that are fields, CRLF line ends.
//!
//! Extensions are read and dropped, trailers are kept where they are wanted; at most 16 KiB of each are read.

use bytes::{Buf, Bytes};

/// The most bytes of extensions, and of trailers, that are read.
const MOST: usize = 16 * 1024;

/// What a step of decoding gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A piece of the body, never empty.
    Data(Bytes),
    /// Nothing until more bytes come.
    More,
    /// The body is over.
    End,
}

/// Something that is not a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Blank { size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
    Over,
}

/// The state of decoding one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    dropped: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunks {
    /// Begins before the first chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Size { size: 0, digits: 0 }, dropped: 0 }
    }

    /// Says whether the body is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Passes over what is there; returns how many of the bytes belong to the body, all of them unless it is over.
    ///
    /// # Errors
    ///
    /// Returns how many bytes come before the one that is malformed.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at)
            && !self.is_over()
        {
            if let State::Data { left } = self.state {
                at += self.take(left, bytes.len() - at);
            } else {
                self.state = self.next(*byte).map_err(|Malformed| at)?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Takes as much of a chunk's data as is there; returns how much that is.
    fn take(&mut self, left: u64, there: usize) -> usize {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(there);
        let left = left - length as u64;
        self.state = if left == 0 { State::DataReturn } else { State::Data { left } };
        length
    }

    /// Decodes what is there; the lines of trailers are put into `trailers`, without the empty one behind them.
    ///
    /// # Errors
    ///
    /// Fails at the first byte that a chunked body cannot have.
    pub fn step(&mut self, bytes: &mut Bytes, trailers: &mut Vec<u8>) -> Result<Step, Malformed> {
        loop {
            match self.state {
                State::Over => return Ok(Step::End),
                State::Data { left } if !bytes.is_empty() => {
                    let length = self.take(left, bytes.len());
                    return Ok(Step::Data(bytes.split_to(length)));
                }
                _ => {}
            }
            if bytes.is_empty() {
                return Ok(Step::More);
            }
            let byte = bytes.get_u8();
            self.state = self.next(byte)?;
            if matches!(self.state, State::TrailerName | State::TrailerValue | State::TrailerEnd)
                || (self.state == State::TrailerStart && !trailers.is_empty())
            {
                trailers.push(byte);
            }
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == 16 {
                    return Err(Malformed);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                State::Size { size: (size << 4) | digit, digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(Malformed),
            (State::Size { size, .. } | State::Blank { size } | State::Extension { size }, b'\r') => State::SizeEnd { size },
            (State::Size { size, .. } | State::Blank { size }, b';') => State::Extension { size },
            (State::Size { size, .. } | State::Blank { size }, b' ' | b'\t') => {
                self.drop_one()?;
                State::Blank { size }
            }
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.drop_one()?;
                State::Extension { size }
            }
            (State::SizeEnd { size: 0 }, b'\n') => {
                self.dropped = 0;
                State::TrailerStart
            }
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::LastEnd,
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                self.drop_one()?;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.drop_one()?;
                State::TrailerValue
            }
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastEnd, b'\n') => State::Over,
            _ => return Err(Malformed),
        })
    }

    const fn drop_one(&mut self) -> Result<(), Malformed> {
        self.dropped += 1;
        if self.dropped > MOST { Err(Malformed) } else { Ok(()) }
    }
}

/// Says whether a byte may be part of a field name (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces of a size; returns the body and what was left when it was over.
    fn decode(bytes: &[u8], piece: usize) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let (mut chunks, mut buffer, mut body) = (Chunks::new(), Bytes::new(), Vec::new());
        let (mut fed, mut trailers) = (0, Vec::new());
        loop {
            match chunks.step(&mut buffer, &mut trailers)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => return Ok(Some((body, buffer.len() + bytes.len() - fed))),
                Step::More if fed == bytes.len() => return Ok(None),
                Step::More => {
                    let end = (fed + piece).min(bytes.len());
                    buffer = [&buffer[..], &bytes[fed..end]].concat().into();
                    fed = end;
                }
            }
        }
    }

    const TOKENS: [&[u8]; 10] = [b"0", b"1", b"5", b"\r\n", b"\n", b"hello", b"\r\n0\r\n\r\n", b";a", b"A: b", b"\0"];

    #[test]
    fn decodes_whatever_the_pieces() {
        let bytes = b"5;a=b\r\nhello\r\n1 \r\n \r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nrest";
        for piece in 1..=bytes.len() {
            assert_eq!(decode(bytes, piece), Ok(Some((b"hello 0123456789".to_vec(), 4))), "{piece}");
        }
    }

    #[test]
    fn trailers_are_kept_as_lines_whatever_the_pieces() {
        let bytes = b"1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\nrest";
        for piece in 1..=bytes.len() {
            let (mut chunks, mut buffer, mut trailers) = (Chunks::new(), Bytes::new(), Vec::new());
            for part in bytes.chunks(piece) {
                buffer = [&buffer[..], part].concat().into();
                while matches!(chunks.step(&mut buffer, &mut trailers).unwrap(), Step::Data(_)) {}
            }
            assert_eq!((chunks.is_over(), &trailers[..], &buffer[..]), (true, &b"A: b\r\nC:d\r\n"[..], &b"rest"[..]), "{piece}");
        }
    }

    #[test]
    fn refuses_what_is_not_chunked() {
        for bytes in [
            &b"\r\n"[..],
            b"G\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b" 1\r\n",
            b"0x1\r\n",
            b"1_0\r\n",
            b"1 0\r\n",
            b"1 ,\r\n",
            b"00000000000000001\r\n",
            b"1\nx",
            b"1\rx",
            b"1;a\nb",
            b"1;\0\r\n",
            b"1 1\r\n",
            b"1\tx\r\n",
            b"1\r\nxy",
            b"1\r\nx\n",
            b"1\r\nx\rx",
            b"0\r\nA: b\n",
            b"0\r\nA\0\r\n",
            b"0\r\nA: b\0\r\n",
            b"0\r\nA\r\n\r\n",
            b"0\r\n: b\r\n\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"0\r\n b\r\n\r\n",
            b"0\r\nHTTP/1.1 200 OK\r\n\r\n",
            b";\r\n",
        ] {
            assert_eq!(decode(bytes, bytes.len()), Err(Malformed), "{}", String::from_utf8_lossy(bytes));
        }
        let long = [&b"1;"[..], &vec![b'a'; MOST + 1]].concat();
        assert_eq!(decode(&long, 4096), Err(Malformed));
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(MOST)].concat();
        assert_eq!(decode(&trailers, 4096), Err(Malformed));
    }

    #[test]
    fn a_cut_body_is_never_over() {
        let bytes = b"5\r\nhello\r\n0\r\n\r\n";
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], end.max(1)), Ok(None), "{end}");
        }
    }

    #[test]
    fn the_largest_size_neither_overflows_nor_allocates() {
        assert_eq!(decode(b"FFFFFFFFFFFFFFFF\r\nabc", 100), Ok(None));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20), size in 1_usize..64) {
            let mut bytes = Vec::new();
            for piece in &pieces {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&bytes, size), Ok(Some((pieces.concat(), 0))));
        }

        #[test]
        fn passing_over_agrees_with_decoding(
            tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..30), size in 1_usize..20,
        ) {
            let bytes = tokens.concat();
            let mut chunks = Chunks::new();
            let mut passed = Ok(0);
            for piece in bytes.chunks(size) {
                match (passed, chunks.pass(piece)) {
                    (Ok(so_far), Ok(more)) => passed = Ok(so_far + more),
                    (Ok(so_far), Err(good)) => passed = Err(so_far + good),
                    (Err(_), _) => break,
                }
            }
            match decode(&bytes, size) {
                Err(Malformed) => {
                    let good = passed.unwrap_err();
                    prop_assert!(decode(&bytes[..good], size).is_ok(), "what comes before is sound");
                    prop_assert_eq!(decode(&bytes[..=good], size), Err(Malformed));
                }
                Ok(None) => prop_assert_eq!((passed, chunks.is_over()), (Ok(bytes.len()), false)),
                Ok(Some((_, rest))) => prop_assert_eq!((passed, chunks.is_over()), (Ok(bytes.len() - rest), true)),
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..20) {
            let _ = decode(&bytes, size);
        }
    }
}
