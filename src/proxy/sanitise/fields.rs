//! Names and values of header fields: hop-by-hop, protected, ours.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::proxy::settings::MAX_VALUE;

/// The prefix of fields that only this proxy may set.
pub const OURS: &str = "x-portcullis-";
/// The field of ours that carries a token to force a version; the only one that is looked at.
pub const FORCE: &str = "x-portcullis-version";
/// The field that marks a copy of a request.
pub const MIRROR: HeaderName = HeaderName::from_static("x-portcullis-mirror");

/// Says whether a field concerns one connection only and is never passed on (RFC 9110 section 7.6.1).
///
/// `Trailer` is among them because what is passed on of trailers is announced anew, and `Proxy-Authorization` because it is meant
/// for the first proxy.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::PROXY_AUTHORIZATION
            | header::PROXY_AUTHENTICATE
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Says whether a field may not be removed by naming it in `Connection` (CVE-2024-45410, CVE-2022-31813).
pub fn is_protected(name: &HeaderName) -> bool {
    let text = name.as_str();
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::AUTHORIZATION
            | header::COOKIE
            | header::SET_COOKIE
            | header::CACHE_CONTROL
            | header::FORWARDED
            | header::VIA
            | header::EXPECT
    ) || text.starts_with("x-forwarded-")
        || text.starts_with(OURS)
        || text.starts_with("x-b3-")
        || matches!(text, "x-real-ip" | "proxy-status" | "traceparent" | "tracestate" | "b3")
}

/// Which of the fields that need care a head has: one pass over the names is cheaper than a look-up for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present {
    /// Transfer-Encoding.
    pub coding: bool,
    /// Content-Length.
    pub length: bool,
    /// Connection.
    pub connection: bool,
    /// Expect.
    pub expect: bool,
    /// TE.
    pub te: bool,
    /// Via.
    pub via: bool,
    /// A value of more than [`MAX_VALUE`] bytes.
    pub long: bool,
    /// Something that may have to go, so that each field must be looked at: a hop-by-hop field, one that `Connection` names, an
    /// expectation, ours, or a claim of who the client is.
    pub odd: bool,
}

impl Present {
    /// Looks through a head.
    pub fn in_head(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for (name, value) in headers {
            present.long |= value.len() > MAX_VALUE;
            match *name {
                header::TRANSFER_ENCODING => present.coding = true,
                header::CONTENT_LENGTH => present.length = true,
                header::CONNECTION => {
                    let value = value.as_bytes();
                    present.connection = true;
                    // Alone these name no field.
                    present.odd |= !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close");
                }
                header::EXPECT => (present.expect, present.odd) = (true, true),
                header::TE => (present.te, present.odd) = (true, true),
                header::VIA => present.via = true,
                header::FORWARDED => present.odd = true,
                _ => {
                    let text = name.as_str();
                    present.odd |= is_hop_by_hop(name) || (text.starts_with("x-") && is_spoken_for(text));
                }
            }
        }
        present
    }
}

/// Says whether a name that begins with `x-` is one that clients do not set: ours, or who the client is.
fn is_spoken_for(text: &str) -> bool {
    text.starts_with(OURS) || text.starts_with("x-forwarded-") || text == "x-real-ip"
}

/// Removes the fields of one hop that ordinary heads have: Connection and the framing of a request.
pub fn remove_usual(headers: &mut HeaderMap, present: Present) {
    // What `Connection` names is looked up by who finds the head odd.
    if present.connection && !present.odd {
        headers.remove(header::CONNECTION);
    }
    if present.coding {
        headers.remove(header::TRANSFER_ENCODING);
    }
    if present.length {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Iterates over the comma-separated elements of all values of a field, trimmed; values that are not text are skipped.
pub fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim).filter(|e| !e.is_empty())
}

/// Returns the fields that `Connection` names and that are not protected.
pub fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    elements(headers, &header::CONNECTION)
        .filter_map(|element| HeaderName::try_from(element).ok())
        .filter(|name| headers.contains_key(name) && !is_protected(name))
        .collect()
}

/// Says whether the field's values amount to exactly one `chunked`.
pub fn is_exactly_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    let one = values.next().is_some_and(|v| trim(v.as_bytes()).eq_ignore_ascii_case(b"chunked"));
    one && values.next().is_none()
}

/// Reads Content-Length: digits only, and the same in every field; `Err` when it says anything else.
pub fn length(headers: &HeaderMap) -> Result<Option<u64>, InvalidLength> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(InvalidLength);
    }
    let digits = trim(first.as_bytes());
    // The parser itself would take a plus sign.
    let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|t| t.parse().ok()).map(Some).ok_or(InvalidLength)
}

/// The reason why a Content-Length is not used: not one number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLength;

/// Says whether Content-Length is one field that holds a plain number, as it would be written anew.
pub fn is_one_plain_length(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let plain = values.next().is_some_and(|value| match value.as_bytes() {
        b"0" => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    });
    plain && values.next().is_none()
}

/// Trims blanks and tabs.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|b| !blank(b)) else { return &[] };
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |e| e + 1);
    bytes.get(start..end).unwrap_or(&[])
}

/// Says whether a text is a token (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Adds our entry to `Via`, after those already there.
pub fn append_via(headers: &mut HeaderMap, via: &HeaderValue) {
    headers.append(header::VIA, via.clone());
}
