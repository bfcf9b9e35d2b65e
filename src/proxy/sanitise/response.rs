//! The response side: a status that may be passed on, one framing, no hop-by-hop field.

use http::header::{self, HeaderName};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::domain::outcome::Failure;
use crate::proxy::sanitise::fields::{self, OURS, Present};
use crate::proxy::sanitise::request::Clean;
use crate::proxy::sanitise::{trailers, upgrade};

/// Refuses a response or cleans its head in place, so that it can be sent to the client as it stands.
///
/// # Errors
///
/// Returns the version's failure when the response must not be passed on: a 101 that is not to a WebSocket or not asked for, which
/// `upgrade` says; a status outside 200 to 599, or a transfer coding other than one `chunked`.
pub fn response(head: &mut Parts, via: &HeaderValue, upgrade: bool) -> Result<(), Failure> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return if upgrade { switch(head, via) } else { Err(Failure::ResponseInformational) };
    }
    if !(200..600).contains(&head.status.as_u16()) {
        return Err(Failure::ResponseInvalid);
    }
    let present = Present::in_head(&head.headers);
    let coded = present.coding;
    if coded && (head.version == Version::HTTP_10 || !fields::is_exactly_chunked(&head.headers)) {
        return Err(Failure::ResponseInvalid);
    }
    strip(&mut head.headers, present);
    let bodyless = head.status == StatusCode::NO_CONTENT;
    if coded || bodyless {
        head.headers.remove(header::CONTENT_LENGTH);
    } else if present.length
        && !fields::is_one_plain_length(&head.headers)
        && let Some(bytes) = fields::length(&head.headers).map_err(|_| Failure::ResponseInvalid)?
    {
        // Written anew: '005' and repeated equal fields become one plain number.
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    fields::append_via(&mut head.headers, via);
    head.version = Version::HTTP_11;
    Ok(())
}

/// Refuses or cleans the answer to this request. To a client that understands trailers it announces those that will be passed on:
/// over HTTP/1.1 only what was announced is sent behind a body.
///
/// # Errors
///
/// As [`response`].
pub fn answer(head: &mut Parts, via: &HeaderValue, to: &Clean) -> Result<(), Failure> {
    let announced = if to.trailers { trailers::announced(&head.headers) } else { None };
    response(head, via, to.upgrade)?;
    if let Some(names) = announced
        && !head.headers.contains_key(header::CONTENT_LENGTH)
    {
        head.headers.insert(header::TRAILER, names);
    }
    Ok(())
}

/// Cleans the head of a 101.
fn switch(head: &mut Parts, via: &HeaderValue) -> Result<(), Failure> {
    if !upgrade::is_to_websocket(&head.headers) {
        return Err(Failure::ResponseInformational);
    }
    let present = Present::in_head(&head.headers);
    strip(&mut head.headers, present);
    // It has no body, whatever it says (RFC 9110 section 8.6).
    head.headers.remove(header::CONTENT_LENGTH);
    upgrade::announce(&mut head.headers);
    fields::append_via(&mut head.headers, via);
    head.version = Version::HTTP_11;
    Ok(())
}

/// Removes hop-by-hop fields, those `Connection` names, and ours.
fn strip(headers: &mut HeaderMap, present: Present) {
    fields::remove_usual(headers, Present { length: false, ..present });
    if present.odd {
        let mut gone: Vec<HeaderName> = fields::nominated(headers);
        gone.extend(headers.keys().filter(|name| fields::is_hop_by_hop(name) || name.as_str().starts_with(OURS)).cloned());
        for name in gone {
            headers.remove(name);
        }
    }
}
