//! Requests over HTTP/2 as hyper hands them on.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version, uri};
use http_body::Body;
use http_body_util::Full;
use portcullis::domain::timeouts::Timeouts;
use portcullis::proxy::patrol::{Limits, Patrol};
use portcullis::proxy::sanitise::{self, WireNotes};
use portcullis::proxy::upload::{Source, Upload};

use super::passed::{self, text};

/// A request over HTTP/2, written as lines of `name: value` with pseudo-header fields among them, and its body behind an empty
/// line: what is accepted goes on as one clean HTTP/1.1 request with the authority as its Host, one Cookie and the whole body.
pub fn h2_to_h1(bytes: &[u8]) {
    let end = (0..bytes.len()).find(|at| bytes[*at..].starts_with(b"\n\n"));
    let (lines, body) = end.map_or((bytes, &b""[..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let Some(came) = received(lines) else { return };
    let announced = came.headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    // h2 has compared a length with END_STREAM already.
    if body.is_empty() && announced.is_some_and(|length| length != b"0") {
        return;
    }
    for world in passed::worlds() {
        let mut head = came.clone();
        let Ok(clean) = sanitise::request(&mut head, WireNotes::default(), &world.peer, &world.policy) else { continue };
        let (guard, _ticket) = Patrol::new(Limits::new(&Timeouts::default())).request();
        let mut upload = Upload::new(Source::Whole(Full::new(Bytes::copy_from_slice(body))), guard, None);
        let framing = upload.framing(&head, clean.framing);
        let sent = collect(&mut upload);
        if let Some(sent) = &sent {
            assert_eq!(sent, body, "the body");
        } else {
            assert!(announced.is_some_and(|length| text(length).trim().parse() != Ok(body.len())), "a sound body is refused");
        }
        let message = passed::claim(&came, &head, framing, sent.as_ref(), &world);
        if let Some(authority) = came.uri.authority() {
            assert_eq!(message.one("host"), text(authority.as_str().as_bytes()));
        }
        let crumbs: Vec<&[u8]> = came.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        // A reader takes the blanks off that an empty crumb leaves at the end.
        let whole = text(&crumbs.join(&b"; "[..])).trim_matches([' ', '\t']).to_owned();
        assert_eq!(message.all("cookie"), if crumbs.is_empty() { vec![] } else { vec![whole.as_str()] });
    }
}

/// Makes a head as h2 does; `None` for what h2 or http refuses.
fn received(lines: &[u8]) -> Option<Parts> {
    let mut parts = Request::new(()).into_parts().0;
    parts.version = Version::HTTP_2;
    let (mut target, mut method) = (uri::Parts::default(), None);
    for line in lines.split(|byte| *byte == b'\n') {
        let colon = line.iter().skip(1).position(|byte| *byte == b':')? + 1;
        let (name, value) = (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]));
        match name {
            b":method" if method.is_none() => method = Some(Method::from_bytes(value).ok()?),
            b":scheme" if target.scheme.is_none() => target.scheme = Some(value.try_into().ok()?),
            b":authority" if target.authority.is_none() => target.authority = Some(value.try_into().ok()?),
            b":path" if target.path_and_query.is_none() && !value.is_empty() => {
                // What HTTP/2 leaves of a fragment is looked for in its frames.
                let path = PathAndQuery::try_from(value).ok().filter(|_| !value.contains(&b'#'))?;
                target.path_and_query = Some(path);
            }
            [b':', ..] => return None,
            _ => {
                parts.headers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
            }
        }
    }
    parts.method = method?;
    target.path_and_query.as_ref()?;
    if target.authority.is_none() {
        target.scheme = None;
    }
    parts.uri = Uri::from_parts(target).ok()?;
    Some(parts)
}

/// Reads a body to its end; `None` when it is refused.
fn collect(upload: &mut Upload) -> Option<Bytes> {
    let mut body = Vec::new();
    while !upload.is_end_stream() {
        match Pin::new(&mut *upload).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => return None,
            Poll::Pending => unreachable!("bytes at hand are never waited for"),
        }
    }
    Some(body.into())
}
