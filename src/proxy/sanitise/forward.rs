//! Who the client is, for the upstream, when a trusted peer has spoken for it.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::proxy::sanitise::policy::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Appends a trusted peer's own address to the chain it sent, and adds the scheme, host and port where it left them out.
///
/// Of an untrusted peer nothing is believed: [`strip`](super::request) has removed what it sent, and
/// [`Outgoing`](super::Outgoing) writes who it is.
pub fn complete(headers: &mut HeaderMap, peer: &Peer, host: &HeaderValue) {
    // A peer without an address adds nothing to the chain: who it speaks for is the last one there.
    if let Some(text) = &peer.text {
        let known: Vec<&[u8]> = headers.get_all(&X_FORWARDED_FOR).into_iter().map(HeaderValue::as_bytes).collect();
        let chain = [known.join(&b", "[..]).as_slice(), text.as_bytes()].join(if known.is_empty() { &b""[..] } else { &b", "[..] });
        let chain = HeaderValue::from_bytes(&chain).unwrap_or_else(|_| text.clone());
        headers.insert(X_FORWARDED_FOR, chain);
    }
    for (name, value) in [(X_FORWARDED_PROTO, &HeaderValue::from_static(peer.scheme)), (X_FORWARDED_HOST, host)] {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Some(port) = &peer.port {
        headers.entry(X_FORWARDED_PORT).or_insert_with(|| port.clone());
    }
}
