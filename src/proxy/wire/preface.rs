//! Tells from a connection's first bytes which protocol its client speaks (RFC 9113 section 3.4).

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1, or what its parser will refuse.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The first line of HTTP/2's preface, which no HTTP/1 request may begin with: what follows it is for HTTP/2's parser to judge.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

impl Protocol {
    /// The most bytes that are needed to tell.
    pub const MOST: usize = PREFACE.len();

    /// Tells by the first bytes; `None` when more must come.
    #[must_use]
    pub fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(PREFACE) {
            Some(Self::Http2)
        } else if PREFACE.starts_with(first) {
            None
        } else {
            Some(Self::Http1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_as_soon_as_it_can() {
        for (first, protocol) in [
            (&b""[..], None),
            (b"P", None),
            (b"PRI * HTTP/2.0\r", None),
            (b"PRI * HTTP/2.0\r\n", Some(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Some(Protocol::Http2)),
            (b"PRI * HTTP/2.0\n", Some(Protocol::Http1)),
            (b"PRI /", Some(Protocol::Http1)),
            (b"PU", Some(Protocol::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\x16\x03\x01", Some(Protocol::Http1)),
        ] {
            assert_eq!(Protocol::of(first), protocol, "{}", String::from_utf8_lossy(first));
        }
    }
}
