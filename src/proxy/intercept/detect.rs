//! Tells from a redirected connection's first bytes what its client speaks; pure.
//!
//! It is HTTP only where that is certain: a whole request line of HTTP/1 (RFC 9112 section 3) that asks an origin, or the preface of HTTP/2
//! (RFC 9113 section 3.4). A request to a forward proxy, which names a host in its line, is none: nobody but that proxy can answer it.

use crate::proxy::settings::MAX_TARGET;

/// What the client of a redirected connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else: TLS, a protocol of its own, or one in which the other side speaks first.
    Opaque,
}

/// The first line of HTTP/2's preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// The longest method, in bytes; those that are registered have at most 17.
const LONGEST_METHOD: usize = 24;
/// What stands behind a target, in bytes at most: a space, the version and the end of the line.
const BEHIND_TARGET: usize = " HTTP/1.1\r\n".len();

impl Spoken {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Opaque];

    /// Returns its position in [`Spoken::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the label used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Opaque => "opaque",
        }
    }

    /// Tells by the first bytes; `None` when more must come, of which [`MAX_TARGET`] and some 40 bytes are enough.
    #[must_use]
    pub fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(PREFACE) {
            return Some(Self::Http2);
        }
        let method = first.iter().position(|byte| !is_of_method(*byte)).unwrap_or(first.len());
        if method > LONGEST_METHOD {
            return Some(Self::Opaque);
        }
        let (_, rest) = first.split_at_checked(method)?;
        match rest {
            [] => None,
            _ if method == 0 => Some(Self::Opaque),
            [b' '] => None,
            [b' ', b'/' | b'*', ..] => Self::of_line(rest),
            _ => Some(Self::Opaque),
        }
    }

    /// Tells by the first line, from the space before its target on.
    fn of_line(rest: &[u8]) -> Option<Self> {
        let Some(end) = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\r') else {
            // What is too long is for its parser to refuse.
            return (rest.len() > MAX_TARGET + BEHIND_TARGET).then_some(Self::Http1);
        };
        let (line, after) = rest.split_at_checked(end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let ended = after.first() == Some(&b'\n') && !line.contains(&b'\r');
        let version = line.len().checked_sub(" HTTP/1.1".len()).and_then(|at| line.get(at..));
        let http1 = ended && matches!(version, Some([b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', digit]) if digit.is_ascii_digit());
        Some(if http1 { Self::Http1 } else { Self::Opaque })
    }
}

/// Says whether a method has such bytes; all that are registered have no others.
const fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each begins, in full.
    const KNOWN: [(&[u8], Spoken); 24] = [
        (b"GET / HTTP/1.1\r\n", Spoken::Http1),
        (b"GET /a?b=/c HTTP/1.0\n", Spoken::Http1),
        (b"OPTIONS * HTTP/1.1\r\n", Spoken::Http1),
        (b"VERSION-CONTROL /x HTTP/1.1\r\n", Spoken::Http1),
        (b"PRI * HTTP/1.1\r\n", Spoken::Http1),
        (b"PRI * HTTP/2.0\r\n", Spoken::Http2),
        (b"PRI * HTTP/2.0\n", Spoken::Opaque),
        (b"CONNECT a.test:443 HTTP/1.1\r\n", Spoken::Opaque),
        (b"GET http://a.test/ HTTP/1.1\r\n", Spoken::Opaque),
        (b"OPTIONS rtsp://a.test RTSP/1.0\r\n", Spoken::Opaque),
        (b"OPTIONS * RTSP/1.0\r\n", Spoken::Opaque),
        (b"GET /\r\n", Spoken::Opaque),
        (b"GET / HTTP/1.x\r\n", Spoken::Opaque),
        (b"GET / \0HTTP/1.1\r\n", Spoken::Opaque),
        (b"GET /\r HTTP/1.1\r\n", Spoken::Opaque),
        (b"get key\r\n", Spoken::Opaque),
        (b"SET a b\r\n", Spoken::Opaque),
        (b"PING\r\n", Spoken::Opaque),
        (b"*1\r\n$4\r\nPING\r\n", Spoken::Opaque),
        (b"\x16\x03\x01\x02", Spoken::Opaque),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", Spoken::Opaque),
        (b" / HTTP/1.1\r\n", Spoken::Opaque),
        (b"\r\nGET / HTTP/1.1\r\n", Spoken::Opaque),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n", Spoken::Opaque),
    ];

    #[test]
    fn every_part_of_the_first_bytes_tells_the_same_or_nothing_yet() {
        for (bytes, spoken) in KNOWN {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(Spoken::of(bytes), Some(spoken), "{shown}");
            for end in 0..bytes.len() {
                let told = Spoken::of(&bytes[..end]);
                assert!(told.is_none_or(|told| told == spoken), "{shown}: after {end} bytes {told:?}");
                assert!(spoken == Spoken::Opaque || told.is_none(), "{shown}: certain after {end} bytes");
            }
            assert_eq!(Spoken::of(&[bytes, &b"x".repeat(9000)[..]].concat()), Some(spoken), "{shown} with more behind it");
        }
    }

    #[test]
    fn a_line_without_an_end_is_told_in_the_end() {
        let long = [&b"GET /"[..], &b"a".repeat(MAX_TARGET + 40)].concat();
        let told = (0..=long.len()).find_map(|end| Spoken::of(&long[..end]).map(|spoken| (end, spoken)));
        assert_eq!(told, Some((MAX_TARGET + BEHIND_TARGET + 4, Spoken::Http1)));
        assert_eq!(Spoken::of(&b"A".repeat(25)), Some(Spoken::Opaque));
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_what_was_told(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[A-Z]{0,5} ?[/*]?[a-z /\r\n]{0,9}(HTTP/1.1)?[\r\n]{0,2}".prop_map(String::into_bytes),
        ]) {
            let mut told = None;
            for end in 0..=bytes.len() {
                let now = Spoken::of(&bytes[..end]);
                prop_assert!(told.is_none() || now == told, "{told:?} became {now:?} after {end} bytes");
                told = now;
            }
        }
    }
}
