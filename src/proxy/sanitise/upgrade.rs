//! The one protocol a request may switch to: WebSocket (RFC 6455), over HTTP/1.1 or a stream of HTTP/2.

use http::header;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use hyper::ext::Protocol;

use crate::proxy::sanitise::fields;

/// Says whether a request, not cleaned yet, asks to switch to WebSocket and to nothing else, whether or not it has a body. One that
/// asks for more is an ordinary request (RFC 9110 section 7.8: an Upgrade may be ignored).
pub fn is_asked(head: &Parts) -> bool {
    head.method == Method::GET
        // HTTP/2 has no such fields; they stand for an extended CONNECT (RFC 8441).
        && (head.version == Version::HTTP_11 || head.extensions.get::<Protocol>().is_some())
        && is_to_websocket(&head.headers)
}

/// Says whether `Connection` names Upgrade, and that names WebSocket alone.
pub fn is_to_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).into_iter();
    let one = protocols.next().is_some_and(|value| fields::trim(value.as_bytes()).eq_ignore_ascii_case(b"websocket"));
    one && protocols.next().is_none()
        && fields::elements(headers, &header::CONNECTION).any(|element| element.eq_ignore_ascii_case("upgrade"))
}

/// Says in a cleaned head that the connection switches to WebSocket.
pub fn announce(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}
