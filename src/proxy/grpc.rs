//! What of gRPC over HTTP/2 a proxy must know: which requests are calls, how long their clients wait, how a call ended, and how it is
//! told that it failed here.
//!
//! The names and rules are those of gRPC's PROTOCOL-HTTP2.md and http-grpc-status-mapping.md. Messages are not looked into.

use std::fmt::Write;
use std::time::Duration;

use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode, Version};

use crate::domain::outcome::Failure;

/// The field of a call's status.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The field of what is said about it.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Codes of gRPC that are used here.
mod code {
    pub const UNKNOWN: u32 = 2;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const PERMISSION_DENIED: u32 = 7;
    pub const UNIMPLEMENTED: u32 = 12;
    pub const INTERNAL: u32 = 13;
    pub const UNAVAILABLE: u32 = 14;
    pub const UNAUTHENTICATED: u32 = 16;
}

/// Says whether a request is a call: over HTTP/2, with a content type of `application/grpc`, a `+` or `;` perhaps behind it.
#[must_use]
pub fn is_call(version: Version, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    version == Version::HTTP_2 && kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Reads how long the client waits: up to eight digits and a unit. `None` when it does not say, or says it wrongly.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Reads the status that trailers, or the head of an answer without messages, end a call with; what is no number is UNKNOWN.
#[must_use]
pub fn status(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(STATUS)?.as_bytes();
    let plain = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(value).ok().filter(|_| plain).and_then(|digits| digits.parse().ok());
    Some(parsed.unwrap_or(code::UNKNOWN))
}

/// Returns the status that a client makes of an answer that is not 200 and names none.
#[must_use]
pub const fn status_of_http(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => code::INTERNAL,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502..=504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// Returns the status of a call that failed on its way: nothing is wrong with the call itself, so that another time may do.
#[must_use]
pub const fn status_of_failure(failure: Failure) -> u32 {
    match failure {
        Failure::ResponseTimeout | Failure::ResponseBodyTimeout | Failure::RequestBodyTimeout | Failure::GivenUp => code::DEADLINE_EXCEEDED,
        Failure::ResponseInvalid | Failure::ResponseInformational | Failure::RequestBodyInvalid => code::INTERNAL,
        _ => code::UNAVAILABLE,
    }
}

/// Encodes a message for `grpc-message`: what is not printable ASCII, and the percent sign, as `%` and two digits.
#[must_use]
pub fn encoded(message: &str) -> String {
    message.bytes().fold(String::with_capacity(message.len()), |mut text, byte| {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                // Writing to a text does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
            plain => text.push(char::from(plain)),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn calls_are_told_by_protocol_and_content_type() {
        let is = |version, kind: &str| is_call(version, &headers("content-type", kind));
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert!(is(Version::HTTP_2, kind) && !is(Version::HTTP_11, kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json", ""] {
            assert!(!is(Version::HTTP_2, kind), "{kind}");
        }
    }

    #[test]
    fn timeouts_have_up_to_eight_digits_and_a_unit() {
        let of = |text: &str| timeout(&headers("grpc-timeout", text));
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("100m", Duration::from_millis(100)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(of(text), Some(expected), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", " 1S", "1 S"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_are_numbers_or_unknown() {
        let of = |text: &str| status(&headers("grpc-status", text));
        assert_eq!([of("0"), of("14"), of("-1"), of("x"), of(""), of("99999999999")], [0, 14, 2, 2, 2, 2].map(Some));
        assert_eq!(status(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_printable() {
        assert_eq!(encoded("50% of\nnaïve"), "50%25 of%0Ana%C3%AFve");
    }
}
