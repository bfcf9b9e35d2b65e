//! The head of an answer: read by httparse; how its body is delimited, and whether its connection carries another one.

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode, Version, response};

use crate::domain::outcome::Failure;
use crate::proxy::settings::{MAX_FIELDS, MAX_HEAD, POOL_IDLE};

/// Reads a response's head off the front of `unread` into the empty map `headers`; `None` when it is not there in full.
///
/// # Errors
///
/// Returns [`Failure::ResponseInvalid`] for what is not HTTP/1, has more than 100 fields or is longer than 32 KiB.
pub fn read_response(unread: &mut Bytes, headers: &mut HeaderMap) -> Result<Option<response::Parts>, Failure> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, unread, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if unread.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(_) => return Err(Failure::ResponseInvalid),
    };
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Failure::ResponseInvalid)?;
    parts.version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = std::mem::take(headers);
    // Room for what the sanitiser adds, at once; without it the map grows as it goes, which is only slower.
    let _ = parts.headers.try_reserve(parsed.headers.len() + 1);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Failure::ResponseInvalid)?;
        // Values are shared with the buffer instead of copied.
        let value = HeaderValue::from_maybe_shared(unread.slice_ref(field.value)).map_err(|_| Failure::ResponseInvalid)?;
        parts.headers.append(name, value);
    }
    unread.advance(length);
    Ok(Some(parts))
}

/// How a response's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// There is none, by the rules for the method or the status.
    Nothing,
    /// By this many bytes.
    Length(u64),
    /// By chunks.
    Chunks,
    /// By the end of the connection.
    Close,
}

/// Decides how a final response's body is delimited; `bodyless` says that it answers HEAD.
///
/// # Errors
///
/// Returns [`Failure::ResponseInvalid`] for differing or malformed lengths and for codings other than one `chunked`.
pub fn delimiter(head: &response::Parts, framing: &Framing<'_>, bodyless: bool) -> Result<Delimiter, Failure> {
    let length = match framing.length {
        None => None,
        Some(_) if framing.differing => return Err(Failure::ResponseInvalid),
        Some(length) => Some(number(length).ok_or(Failure::ResponseInvalid)?),
    };
    if bodyless || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Delimiter::Nothing);
    }
    match (framing.coding, length) {
        (Some(coding), _) => {
            let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") && !framing.recoded;
            if chunked && head.version == Version::HTTP_11 { Ok(Delimiter::Chunks) } else { Err(Failure::ResponseInvalid) }
        }
        (None, Some(length)) => Ok(Delimiter::Length(length)),
        (None, None) => Ok(Delimiter::Close),
    }
}

/// What a response says of its framing and its connection: one pass over the fields is cheaper than a look-up for each.
#[derive(Default)]
pub struct Framing<'a> {
    coding: Option<&'a HeaderValue>,
    /// There is more than one Transfer-Encoding.
    recoded: bool,
    length: Option<&'a HeaderValue>,
    /// There are two different Content-Lengths.
    differing: bool,
    connection: Option<&'a HeaderValue>,
    /// There is more than one Connection.
    reconnected: bool,
    keep_alive: Option<&'a HeaderValue>,
}

impl<'a> Framing<'a> {
    /// Looks through a head.
    pub fn of(head: &'a response::Parts) -> Self {
        let mut framing = Self::default();
        for (name, value) in &head.headers {
            match *name {
                header::TRANSFER_ENCODING => framing.recoded = framing.coding.replace(value).is_some(),
                header::CONTENT_LENGTH => framing.differing |= framing.length.replace(value).is_some_and(|other| other != value),
                header::CONNECTION => framing.reconnected = framing.connection.replace(value).is_some(),
                _ if name.as_str() == "keep-alive" => framing.keep_alive = Some(value),
                _ => {}
            }
        }
        framing
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes().trim_ascii();
    let text = std::str::from_utf8(digits).ok().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// Returns how long the connection may rest in the pool after this response, if it may at all.
///
/// An endpoint that tells after what time it closes an idle connection (draft-thomson-hybi-http-timeout-03 section 2: `timeout`
/// in seconds) is believed, and left a second before.
pub fn rest(head: &response::Parts, framing: &Framing<'_>) -> Option<Duration> {
    if !keeps_alive(head, framing) {
        return None;
    }
    let hint = framing.keep_alive.and_then(timeout).map(|seconds| Duration::from_secs(seconds.saturating_sub(1)));
    hint.map_or(Some(POOL_IDLE), |hint| (!hint.is_zero()).then(|| hint.min(POOL_IDLE)))
}

/// Reads the parameter `timeout`; `None` when it is absent or no number.
fn timeout(keep_alive: &HeaderValue) -> Option<u64> {
    let parameters = keep_alive.to_str().ok()?.split(',').filter_map(|parameter| parameter.split_once('='));
    let named =
        |(name, value): (&str, &str)| name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"').parse().ok());
    parameters.filter_map(named).next()?
}

/// Says whether the endpoint keeps the connection open after this response, and both sides agree on where it ends.
///
/// An answer with two framings, or without content but with a framing, is passed on as RFC 9112 section 6.3 reads it; its
/// sender may have meant the other reading, and sent or left unsent a body accordingly.
fn keeps_alive(head: &response::Parts, framing: &Framing<'_>) -> bool {
    let clear = is_clear(head.status, framing);
    // By far the most common cases first.
    match framing.connection {
        None => return clear && head.version == Version::HTTP_11,
        Some(only) if !framing.reconnected && only.as_bytes().eq_ignore_ascii_case(b"keep-alive") => return clear,
        Some(_) => {}
    }
    let named = |wanted: &str, unreadable: bool| {
        let is_wanted = |value: &HeaderValue| {
            value.to_str().map_or(unreadable, |text| text.split(',').any(|element| element.trim().eq_ignore_ascii_case(wanted)))
        };
        head.headers.get_all(header::CONNECTION).into_iter().any(is_wanted)
    };
    clear && !named("close", true) && (head.version == Version::HTTP_11 || named("keep-alive", false))
}

/// Says whether the answer's framing can be read in one way only.
fn is_clear(status: StatusCode, framing: &Framing<'_>) -> bool {
    match status {
        StatusCode::NO_CONTENT => framing.coding.is_none() && framing.length.is_none_or(|length| length == "0"),
        _ => framing.coding.is_none() || framing.length.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Option<response::Parts>, Failure> {
        read_response(&mut Bytes::copy_from_slice(text), &mut HeaderMap::new())
    }

    #[test]
    fn reads_a_head_and_leaves_the_rest() {
        let mut unread =
            Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Empty:\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nabc");
        let head = read_response(&mut unread, &mut HeaderMap::new()).unwrap().unwrap();
        assert_eq!((head.status, head.version, &unread[..]), (StatusCode::OK, Version::HTTP_11, &b"abc"[..]));
        assert_eq!(head.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(head.headers["x-empty"], "");
        assert_eq!(delimiter(&head, &Framing::of(&head), false), Ok(Delimiter::Length(3)));
    }

    #[test]
    fn waits_for_the_end_of_a_head_at_every_byte() {
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).unwrap().is_none(), "{end}");
        }
        assert!(read(whole).unwrap().is_some());
    }

    #[test]
    fn refuses_what_is_not_http() {
        for text in [
            &b"\x16\x03\x01\x00\xa5\x01"[..],
            b"hello\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 99 X\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        ] {
            assert_eq!(read(text).err(), Some(Failure::ResponseInvalid), "{}", String::from_utf8_lossy(text));
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
        assert_eq!(read(many.as_bytes()).err(), Some(Failure::ResponseInvalid));
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(MAX_HEAD));
        assert_eq!(read(long.as_bytes()).err(), Some(Failure::ResponseInvalid));
    }

    #[test]
    fn bodies_are_delimited_in_one_way_only() {
        let of = |fields: &str, bodyless| {
            let head = read(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes()).unwrap().unwrap();
            delimiter(&head, &Framing::of(&head), bodyless)
        };
        assert_eq!(of("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", false), Ok(Delimiter::Chunks));
        assert_eq!(of("Content-Length: 5\r\nContent-Length: 5\r\n", false), Ok(Delimiter::Length(5)));
        assert_eq!(of("Content-Length: 5\r\n", true), Ok(Delimiter::Nothing));
        assert_eq!(of("", false), Ok(Delimiter::Close));
        for bad in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(of(bad, false), Err(Failure::ResponseInvalid), "{bad}");
        }
        let old = read(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!(delimiter(&old, &Framing::of(&old), false), Err(Failure::ResponseInvalid));
    }

    fn is_kept(text: &[u8]) -> bool {
        let head = read(text).unwrap().unwrap();
        keeps_alive(&head, &Framing::of(&head))
    }

    #[test]
    fn connections_are_kept_as_both_sides_understand_it() {
        let kept = |text: &str| is_kept(text.as_bytes());
        assert!(kept("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\n\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\n\r\n"));
        assert!(kept("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
        assert!(kept("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_connection_rests_until_a_second_before_the_endpoint_closes_it() {
        let rests = |fields: &str| {
            let head = read(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n").as_bytes()).unwrap().unwrap();
            rest(&head, &Framing::of(&head))
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for none in ["", "Keep-Alive: max=5\r\n", "Keep-Alive: timeout\r\n", "Keep-Alive: timeout=soon\r\n", "Keep-Alive: timeout=-1\r\n"] {
            assert_eq!(rests(none), Some(POOL_IDLE), "{none}");
        }
        assert_eq!(rests("Keep-Alive: timeout=5, max=100\r\n"), seconds(3));
        assert_eq!(rests("Keep-Alive: timeout=18446744073709551615\r\n"), seconds(3));
        assert_eq!(rests("keep-alive: max=1 , TIMEOUT = \"2\"\r\n"), seconds(1));
        for at_once in ["Keep-Alive: timeout=1\r\n", "Keep-Alive: timeout=0\r\n", "Keep-Alive: timeout=9\r\nConnection: close\r\n"] {
            assert_eq!(rests(at_once), None, "{at_once}");
        }
    }

    #[test]
    fn connections_with_two_possible_ends_of_the_answer_are_not_kept() {
        for text in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: \xff, close\r\n\r\n",
        ] {
            assert!(!is_kept(text), "{}", String::from_utf8_lossy(text));
        }
    }
}
