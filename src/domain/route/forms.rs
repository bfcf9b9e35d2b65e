//! The readings of a path: what a version may take it for once it has decoded and resolved it.

/// Says whether a path reads the same to everybody: no escape, no backslash, no parameter, no empty or dotted segment.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let mut slash = false;
    for byte in path {
        match byte {
            b'%' | b'\\' | b';' => return false,
            b'/' | b'.' if slash => return false,
            _ => slash = *byte == b'/',
        }
    }
    true
}

/// Returns how others may read a path that is not plain: with escapes decoded and dots resolved (RFC 3986 sections 5.2.4 and
/// 6.2.2), and with escaped slashes and backslashes as slashes, repeated ones as one, and parameters of segments left out.
pub(super) fn readings(path: &[u8]) -> [Vec<u8>; 2] {
    let tame = resolve(&decode(path, |byte| !matches!(byte, b'/' | b'\\')), false);
    let wild = decode(path, |_| true);
    let wild: Vec<u8> = wild.into_iter().map(|byte| if byte == b'\\' { b'/' } else { byte }).collect();
    [tame, resolve(&wild, true)]
}

/// Decodes the escapes of bytes that `wanted` accepts; what is no escape stays.
fn decode(path: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        match escaped(rest).filter(|byte| wanted(*byte)) {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

/// Reads the escape that a text begins with.
pub(super) fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Resolves `.` and `..`; when `loose`, leaves out empty segments and what follows a `;` in one.
fn resolve(path: &[u8], loose: bool) -> Vec<u8> {
    let Some(path) = path.strip_prefix(b"/") else { return path.to_vec() };
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let segment = if loose { segment.split(|byte| *byte == b';').next().unwrap_or_default() } else { segment };
        let last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            b"" if loose && !last => continue,
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push(b"");
        }
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_same_to_everybody_is_plain() {
        for path in ["/", "/carts/1/items", "/a.b/c..d", "*", "/a/", ""] {
            assert!(is_plain(path.as_bytes()), "{path}");
        }
        for path in ["//", "/a/../t", "/a/%2e%2e/t", "/a%2ft", "/a\\t", "/./t", "/a;b", "/a/..", "/c%61rts"] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn readings_decode_and_resolve() {
        for (path, tame, wild) in [
            ("/a/../t", "/t", "/t"),
            ("/a/%2e%2E/t", "/t", "/t"),
            ("//t", "//t", "/t"),
            ("/a%2ft", "/a%2ft", "/a/t"),
            ("/a%2f..%2ft", "/a%2f..%2ft", "/t"),
            ("/a\\..\\t", "/a\\..\\t", "/t"),
            ("/a%5c..%5Ct", "/a%5c..%5Ct", "/t"),
            ("/c%61rts", "/carts", "/carts"),
            ("/../../t", "/t", "/t"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/.", "/a/", "/a/"),
            ("/a/..;x=1/t", "/a/..;x=1/t", "/t"),
            ("/a;b/", "/a;b/", "/a/"),
            ("/100%", "/100%", "/100%"),
            ("/%zz%4", "/%zz%4", "/%zz%4"),
            ("/", "/", "/"),
        ] {
            let read = readings(path.as_bytes()).map(|reading| String::from_utf8(reading).unwrap());
            assert_eq!(read, [tame, wild], "{path}");
        }
    }
}
